/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Linux bzImage by its 64-bit boot protocol, or by the 32-bit one if the kernel has no 64-bit
 * entry (Linux: Documentation/arch/x86/boot.rst and zero-page.rst).
 */
#include <string.h>

#include "vmm-user/vmm/loader.h"

/* Offsets in the image's first sectors, and the same in boot_params. */
#define SETUP_SECTORS	0x1f1
#define SYSSIZE		0x1f4 /* of the protected-mode part, in 16 bytes */
#define VIDEO_MODE	0x1fa
#define BOOT_FLAG	0x1fe
#define JUMP_LENGTH	0x201
#define MAGIC		0x202
#define VERSION		0x206
#define LOADER_TYPE	0x210
#define LOAD_FLAGS	0x211
#define CODE32_START	0x214
#define RAMDISK_IMAGE	0x218
#define RAMDISK_SIZE	0x21c
#define HEAP_END	0x224
#define COMMAND_POINTER 0x228
#define INITRD_MAX	0x22c
#define ALIGNMENT	0x230
#define RELOCATABLE	0x234
#define XLOADFLAGS	0x236
#define COMMAND_SIZE	0x238
#define PREF_ADDRESS	0x258
#define INIT_SIZE	0x260
#define HEADER_END	0x268
/* Only in boot_params. */
#define PARAMETER_RSDP	 0x070
#define E820_COUNT	 0x1e8
#define E820_TABLE	 0x2d0
#define PARAMETERS_BYTES 4096
#define E820_ENTRY_BYTES 20

#define SECTOR		 512u
#define BOOT_FLAG_VALUE	 0xaa55
#define MAGIC_VALUE	 0x53726448 /* "HdrS" */
#define LOADED_HIGH	 0x01
#define KEEP_SEGMENTS	 0x40
#define CAN_USE_HEAP	 0x80
#define XLF_KERNEL_64	 0x0001
#define XLF_ABOVE_4G	 0x0002
#define LOADER_UNDEFINED 0xff
#define ENTRY_64	 0x200
#define VIDEO_NORMAL	 0xffff
#define HIGH_MEMORY	 0x100000u
#define OLD_INITRD_MAX	 0x37ffffffu
#define OLD_COMMAND_SIZE 255

struct bzimage {
	const struct loader_image *image;
	unsigned version, xloadflags;
	uint64_t setup_bytes, code_bytes;
	uint64_t address, memory_bytes; /* where it goes, and what it needs there */
};

static uint64_t get(const uint8_t *at, unsigned offset, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at + offset, bytes);
	return value;
}

static void put(uint8_t *at, unsigned offset, unsigned bytes, uint64_t value)
{
	memcpy(at + offset, &value, bytes);
}

bool load_linux_is(const struct loader_image *image)
{
	return image->bytes >= HEADER_END && get(image->at, BOOT_FLAG, 2) == BOOT_FLAG_VALUE &&
	       get(image->at, MAGIC, 4) == MAGIC_VALUE;
}

static bool parse(const struct loader_image *image, struct bzimage *kernel,
		  struct loader_error *error)
{
	uint64_t sectors, needed;

	if (!load_linux_is(image))
		return loader_fail(
			error,
			"%s is no Linux kernel: expected \"HdrS\" at 0x202, not found in "
			"%zu bytes; check kernel=",
			image->path, image->bytes);
	*kernel = (struct bzimage){.image = image, .version = (unsigned)get(image->at, VERSION, 2)};
	if (kernel->version < 0x0203)
		return loader_fail(
			error,
			"%s: expected boot protocol 2.03 or later, found %u.%02u: take a "
			"kernel from Linux 2.4.18 or later",
			image->path, kernel->version >> 8, kernel->version & 0xff);
	if (!(get(image->at, LOAD_FLAGS, 1) & LOADED_HIGH))
		return loader_fail(error,
				   "%s: expected a bzImage, found a zImage (loadflags 0x%x): build "
				   "the kernel with make bzImage",
				   image->path, (unsigned)get(image->at, LOAD_FLAGS, 1));
	sectors = get(image->at, SETUP_SECTORS, 1);
	kernel->setup_bytes = ((sectors != 0 ? sectors : 4) + 1) * SECTOR;
	/* syssize has 16 bits before 2.04. */
	needed =
		kernel->setup_bytes + 16 * get(image->at, SYSSIZE, kernel->version < 0x204 ? 2 : 4);
	if (image->bytes <= kernel->setup_bytes || image->bytes < needed)
		return loader_fail(error,
				   "%s is cut short: expected %llu bytes, found %zu; copy it "
				   "again",
				   image->path, (unsigned long long)needed, image->bytes);
	kernel->code_bytes = image->bytes - kernel->setup_bytes;
	if (kernel->version >= 0x20c)
		kernel->xloadflags = (unsigned)get(image->at, XLOADFLAGS, 2);
	return true;
}

/* Where the kernel runs: its preferred address, or for old ones 1 MiB. */
static bool place(struct vmm *vmm, struct bzimage *kernel, struct loader_error *error)
{
	const uint8_t *image = kernel->image->at;
	uint64_t low = guest_memory_low(vmm), alignment;

	kernel->address = HIGH_MEMORY;
	/* Without init_size: unpacking takes about four times the file. */
	kernel->memory_bytes = 4 * kernel->code_bytes;
	if (kernel->version >= 0x20a) {
		kernel->address = get(image, PREF_ADDRESS, 8);
		kernel->memory_bytes = get(image, INIT_SIZE, 4);
	}
	if (kernel->memory_bytes < kernel->code_bytes)
		kernel->memory_bytes = kernel->code_bytes;
	if (kernel->address >= HIGH_MEMORY && kernel->address < low &&
	    kernel->memory_bytes <= low - kernel->address)
		return true;
	/* A relocatable one goes lower if that helps. */
	alignment = get(image, ALIGNMENT, 4);
	if (kernel->version >= 0x205 && get(image, RELOCATABLE, 1) != 0 && alignment != 0 &&
	    (alignment & (alignment - 1)) == 0) {
		kernel->address = (HIGH_MEMORY + alignment - 1) & ~(alignment - 1);
		if (kernel->address < low && kernel->memory_bytes <= low - kernel->address)
			return true;
	}
	return loader_fail(error,
			   "%s does not fit: it needs %llu KiB from 0x%llx, and the domain's "
			   "memory ends at 0x%llx; give it more memory",
			   kernel->image->path, (unsigned long long)kernel->memory_bytes >> 10,
			   (unsigned long long)kernel->address, (unsigned long long)low);
}

static bool place_ramdisk(struct vmm *vmm, const struct loader_request *request,
			  const struct bzimage *kernel, uint8_t *parameters,
			  struct loader_error *error)
{
	uint64_t limit = OLD_INITRD_MAX, at;

	if (request->modules == 0)
		return true;
	if (kernel->xloadflags & XLF_ABOVE_4G)
		limit = ~0ull;
	else if (kernel->version >= 0x203)
		limit = get(kernel->image->at, INITRD_MAX, 4) + 1;
	if (!loader_place_high(vmm, &request->module[0], kernel->address + kernel->memory_bytes,
			       limit, &at, error))
		return false;
	put(parameters, RAMDISK_IMAGE, 4, at);
	put(parameters, RAMDISK_SIZE, 4, request->module[0].bytes);
	return true;
}

static void put_memory_map(const struct vmm *vmm, uint8_t *parameters)
{
	struct loader_range range[LOADER_RANGES_MAX];
	unsigned count = loader_memory_map(vmm, range);

	put(parameters, E820_COUNT, 1, count);
	for (unsigned i = 0; i < count; i++) {
		unsigned at = E820_TABLE + i * E820_ENTRY_BYTES;

		put(parameters, at, 8, range[i].base);
		put(parameters, at + 8, 8, range[i].bytes);
		put(parameters, at + 16, 4, range[i].type);
	}
}

static bool fill_parameters(struct vmm *vmm, const struct loader_request *request,
			    const struct bzimage *kernel, struct loader_error *error)
{
	const uint8_t *image = kernel->image->at;
	uint8_t *parameters =
		loader_memory(vmm, LOADER_PARAMETERS, PARAMETERS_BYTES, "boot_params", error);
	unsigned end = JUMP_LENGTH + 1 + (unsigned)get(image, JUMP_LENGTH, 1);
	uint64_t longest = OLD_COMMAND_SIZE;

	if (parameters == NULL)
		return false;
	if (kernel->version >= 0x206)
		longest = get(image, COMMAND_SIZE, 4);
	if (!loader_command(vmm, request->command_line, longest, error))
		return false;
	/* The header ends where its jump leads; the next that is ours is the E820 table. */
	if (end > E820_TABLE)
		end = E820_TABLE;
	memset(parameters, 0, PARAMETERS_BYTES);
	memcpy(parameters + SETUP_SECTORS, image + SETUP_SECTORS,
	       (end < HEADER_END ? end : HEADER_END) - SETUP_SECTORS);
	put(parameters, VIDEO_MODE, 2, VIDEO_NORMAL);
	put(parameters, LOADER_TYPE, 1, LOADER_UNDEFINED);
	put(parameters, LOAD_FLAGS, 1,
	    get(image, LOAD_FLAGS, 1) & (unsigned)~(KEEP_SEGMENTS | CAN_USE_HEAP));
	put(parameters, CODE32_START, 4, kernel->address);
	put(parameters, HEAP_END, 2, 0);
	put(parameters, COMMAND_POINTER, 4, LOADER_COMMAND);
	put(parameters, RAMDISK_IMAGE, 8, 0);
	put(parameters, PARAMETER_RSDP, 8, request->rsdp);
	put_memory_map(vmm, parameters);
	return place_ramdisk(vmm, request, kernel, parameters, error);
}

bool load_linux(struct vmm *vmm, const struct loader_request *request, struct socle_vcpu_area *area,
		struct loader_error *error)
{
	struct bzimage kernel = {.image = request->kernel};
	void *memory;

	if (!parse(request->kernel, &kernel, error) || !place(vmm, &kernel, error) ||
	    !fill_parameters(vmm, request, &kernel, error))
		return false;
	if (request->modules > 1)
		return loader_fail(error, "Linux takes one ramdisk, found %u: join them with cat",
				   request->modules);
	memory = loader_memory(vmm, kernel.address, kernel.code_bytes, kernel.image->path, error);
	if (memory == NULL)
		return false;
	memcpy(memory, kernel.image->at + kernel.setup_bytes, kernel.code_bytes);
	if (kernel.xloadflags & XLF_KERNEL_64) {
		if (!loader_state_64(vmm, area, kernel.address + ENTRY_64, error))
			return false;
	} else if (!loader_state_32(vmm, area, kernel.address, error)) {
		return false;
	}
	area->rsi = LOADER_PARAMETERS;
	return true;
}
