/* SPDX-License-Identifier: BSD-2-Clause */
/* What the loaders share. */
#include "vmm-user/vmm/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm-user/vmm/pci.h"

#define PAGE 4096u

/* Registers after loading (SDM volume 3, section 9.1.1, where it is not the protocol's). */
#define CR0_PE	     (1ull << 0)
#define CR0_ET	     (1ull << 4)
#define CR0_NE	     (1ull << 5)
#define CR0_PG	     (1ull << 31)
#define CR4_PAE	     (1ull << 5)
#define EFER_LME     (1ull << 8)
#define EFER_LMA     (1ull << 10)
#define PAT_RESET    0x0007040600070406ull
#define DR6_RESET    0xffff0ff0ull
#define DR7_RESET    0x400ull
#define RFLAGS_RESET 2ull

#define SELECTOR_CODE	0x10
#define SELECTOR_DATA	0x18
#define GDT_ENTRIES	5
#define ATTRIBUTE_CODE	0xc9b /* 32-bit code, accessed, 4 KiB granularity */
#define ATTRIBUTE_CODE6 0xa9b /* 64-bit code */
#define ATTRIBUTE_DATA	0xc93
#define ATTRIBUTE_LDT	0x82
#define ATTRIBUTE_TSS	0x8b

#define ENTRY_TABLE 3u	  /* present, writable */
#define ENTRY_LARGE 0x83u /* and a 2 MiB page */

bool loader_fail(struct loader_error *error, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(error->text, sizeof(error->text), format, list);
	va_end(list);
	return false;
}

/* Reads until the file ends or the buffer is full. */
static ssize_t read_all(int fd, uint8_t *at, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t now = read(fd, at + done, bytes - done);

		if (now < 0 && errno == EINTR)
			continue;
		if (now < 0)
			return -1;
		if (now == 0)
			break;
		done += (size_t)now;
	}
	return (ssize_t)done;
}

static bool read_open(int fd, size_t max_bytes, struct loader_image *image,
		      struct loader_error *error)
{
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) != 0)
		return loader_fail(error, "%s: %s", image->path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return loader_fail(error, "%s is not a regular file", image->path);
	if (status.st_size == 0)
		return loader_fail(error, "%s is empty", image->path);
	if ((uint64_t)status.st_size > max_bytes)
		return loader_fail(error,
				   "%s has %lld bytes, more than the %zu that there is room for: "
				   "give the domain more memory",
				   image->path, (long long)status.st_size, max_bytes);
	image->at = malloc((size_t)status.st_size);
	if (image->at == NULL)
		return loader_fail(error, "%s: no memory for %lld bytes", image->path,
				   (long long)status.st_size);
	got = read_all(fd, image->at, (size_t)status.st_size);
	if (got == status.st_size) {
		image->bytes = (size_t)got;
		return true;
	}
	loader_free(image);
	if (got < 0)
		return loader_fail(error, "%s: %s", image->path, strerror(errno));
	return loader_fail(
		error, "%s shrank while it was read: expected %lld bytes, found %lld; try again",
		image->path, (long long)status.st_size, (long long)got);
}

bool loader_read(const char *path, size_t max_bytes, struct loader_image *image,
		 struct loader_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool good;

	*image = (struct loader_image){.path = path};
	if (fd < 0)
		return loader_fail(error, "%s: %s", path, strerror(errno));
	good = read_open(fd, max_bytes, image, error);
	close(fd);
	return good;
}

void loader_free(struct loader_image *image)
{
	free(image->at);
	image->at = NULL;
	image->bytes = 0;
}

bool loader_load(struct vmm *vmm, const struct loader_request *request,
		 struct socle_vcpu_area *area, struct loader_error *error)
{
	const struct loader_image *kernel = request->kernel;

	if (load_linux_is(kernel))
		return load_linux(vmm, request, area, error);
	/* Before ELF: a Multiboot kernel mostly is one. */
	if (load_multiboot_is(kernel))
		return load_multiboot(vmm, request, area, error);
	if (load_elf_is(kernel))
		return load_elf(vmm, request, area, error);
	return loader_fail(error,
			   "%s is no kernel: expected a Linux bzImage, an ELF or a Multiboot 1 "
			   "image, found neither in %zu bytes; check kernel=",
			   kernel->path, kernel->bytes);
}

void *loader_memory(struct vmm *vmm, uint64_t at, uint64_t bytes, const char *what,
		    struct loader_error *error)
{
	void *memory = guest_memory(vmm, at, bytes);

	if (memory == NULL)
		loader_fail(error,
			    "%s does not fit: it needs %llu bytes at 0x%llx, and the domain's "
			    "memory ends at 0x%llx; give it more memory",
			    what, (unsigned long long)bytes, (unsigned long long)at,
			    (unsigned long long)guest_memory_low(vmm));
	return memory;
}

static bool overlap(uint64_t at, uint64_t end, uint64_t from, uint64_t to)
{
	return at < to && from < end;
}

void *loader_kernel_memory(struct vmm *vmm, uint64_t at, uint64_t bytes, const char *path,
			   struct loader_error *error)
{
	uint64_t end = at + bytes;

	if (end < at || end > 1ull << 32 ||
	    overlap(at, end, LOADER_GDT, LOADER_COMMAND + LOADER_COMMAND_MAX) ||
	    overlap(at, end, LOADER_LOW_END, 0x100000)) {
		loader_fail(error,
			    "%s wants 0x%llx bytes at 0x%llx: expected an address outside 0x%x to "
			    "0x%x and 0x%x to 0x100000, below 4 GiB; link it at 1 MiB",
			    path, (unsigned long long)bytes, (unsigned long long)at, LOADER_GDT,
			    LOADER_COMMAND + LOADER_COMMAND_MAX, LOADER_LOW_END);
		return NULL;
	}
	return loader_memory(vmm, at, bytes, path, error);
}

bool loader_place_high(struct vmm *vmm, const struct loader_image *image, uint64_t floor,
		       uint64_t limit, uint64_t *at, struct loader_error *error)
{
	uint64_t low = guest_memory_low(vmm), end = limit < low ? limit : low;
	void *memory;

	end &= ~(uint64_t)(PAGE - 1);
	if (image->bytes > end || ((end - image->bytes) & ~(uint64_t)(PAGE - 1)) < floor)
		return loader_fail(error,
				   "%s does not fit: it has %zu bytes, and 0x%llx to 0x%llx is "
				   "free; give the domain more memory",
				   image->path, image->bytes, (unsigned long long)floor,
				   (unsigned long long)end);
	*at = (end - image->bytes) & ~(uint64_t)(PAGE - 1);
	memory = loader_memory(vmm, *at, image->bytes, image->path, error);
	if (memory == NULL)
		return false;
	memcpy(memory, image->at, image->bytes);
	return true;
}

bool loader_command(struct vmm *vmm, const char *line, size_t longest, struct loader_error *error)
{
	size_t length = line != NULL ? strlen(line) : 0;
	char *memory;

	if (longest > LOADER_COMMAND_MAX - 1)
		longest = LOADER_COMMAND_MAX - 1;
	if (length > longest)
		return loader_fail(error,
				   "the command line has %zu characters, the kernel takes %zu: "
				   "shorten extra=",
				   length, longest);
	memory = loader_memory(vmm, LOADER_COMMAND, length + 1, "the command line", error);
	if (memory == NULL)
		return false;
	memcpy(memory, line != NULL ? line : "", length + 1);
	return true;
}

unsigned loader_memory_map(const struct vmm *vmm, struct loader_range range[LOADER_RANGES_MAX])
{
	uint64_t low = guest_memory_low(vmm), high = guest_memory_high(vmm);
	unsigned count = 0;

	range[count++] = (struct loader_range){0, LOADER_LOW_END, 1};
	range[count++] = (struct loader_range){LOADER_LOW_END, 0xa0000 - LOADER_LOW_END, 2};
	range[count++] = (struct loader_range){LOADER_ACPI, 0x100000 - LOADER_ACPI, 2};
	if (low > 0x100000)
		range[count++] = (struct loader_range){0x100000, low - 0x100000, 1};
	range[count++] = (struct loader_range){PCI_ECAM_BASE, 256ull << 20, 2};
	if (high != 0)
		range[count++] = (struct loader_range){1ull << 32, high, 1};
	return count;
}

/* A flat descriptor with those attributes (SDM volume 3, section 3.4.5). */
static uint64_t descriptor(unsigned attributes)
{
	return 0x000f00000000ffffull | (uint64_t)(attributes & 0xff) << 40 |
	       (uint64_t)(attributes & 0xf00) << 44;
}

static bool start_state(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t entry,
			unsigned code, struct loader_error *error)
{
	uint64_t gdt[GDT_ENTRIES] = {0, 0, descriptor(code), descriptor(ATTRIBUTE_DATA), 0};
	void *memory = loader_memory(vmm, LOADER_GDT, sizeof(gdt), "the descriptor table", error);
	const struct socle_segment data = {SELECTOR_DATA, ATTRIBUTE_DATA, 0xffffffff, 0};

	if (memory == NULL)
		return false;
	memcpy(memory, gdt, sizeof(gdt));
	memset(&area->rax, 0, SOCLE_VCPU_REGISTER_BYTES);
	area->rip = entry;
	area->rflags = RFLAGS_RESET;
	area->event = 0;
	area->load |= SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
	area->system = (struct socle_system_state){
		.es = data,
		.cs = {SELECTOR_CODE, (uint16_t)code, 0xffffffff, 0},
		.ss = data,
		.ds = data,
		.fs = data,
		.gs = data,
		.ldtr = {0, ATTRIBUTE_LDT, 0xffff, 0},
		.tr = {0, ATTRIBUTE_TSS, 0xffff, 0},
		.gdtr = {0, 0, sizeof(gdt) - 1, LOADER_GDT},
		.cr0 = CR0_PE | CR0_ET | CR0_NE,
		.xcr0 = 1,
		.dr6 = DR6_RESET,
		.dr7 = DR7_RESET,
		.pat = PAT_RESET,
	};
	return true;
}

bool loader_state_32(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t entry,
		     struct loader_error *error)
{
	return start_state(vmm, area, entry, ATTRIBUTE_CODE, error);
}

bool loader_state_64(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t entry,
		     struct loader_error *error)
{
	uint64_t *table = loader_memory(vmm, LOADER_TABLES, 6 * PAGE, "the page tables", error);
	unsigned entries = PAGE / sizeof(*table);

	if (table == NULL || !start_state(vmm, area, entry, ATTRIBUTE_CODE6, error))
		return false;
	table[0] = (LOADER_TABLES + PAGE) | ENTRY_TABLE;
	for (unsigned i = 0; i < 4; i++)
		table[entries + i] = (LOADER_TABLES + (2 + i) * PAGE) | ENTRY_TABLE;
	for (unsigned i = 0; i < 4 * entries; i++)
		table[2 * entries + i] = (uint64_t)i << 21 | ENTRY_LARGE;
	area->system.cr0 |= CR0_PG;
	area->system.cr3 = LOADER_TABLES;
	area->system.cr4 = CR4_PAE;
	area->system.efer = EFER_LME | EFER_LMA;
	return true;
}
