/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot 1 kernels, ELF or flat with load addresses in the header (Multiboot Specification
 * 0.6.96, section 3).
 */
#include <stdio.h>
#include <string.h>

#include "vmm-user/vmm/loader.h"

#define SEARCH_BYTES	  8192u
#define HEADER_MAGIC	  0x1badb002u
#define LOADED_MAGIC	  0x2badb002u
#define NEEDS_UNKNOWN	  0xfff8u /* bits 3 .. 15: must be understood */
#define HAS_ADDRESSES	  (1u << 16)
#define INFO_MEMORY	  (1u << 0)
#define INFO_COMMAND_LINE (1u << 2)
#define INFO_MODULES	  (1u << 3)
#define INFO_MEMORY_MAP	  (1u << 6)
#define INFO_LOADER_NAME  (1u << 9)

/* Offsets in the parameter page. */
#define MODULES_AT	 0x100u
#define MEMORY_MAP_AT	 0x300u
#define LOADER_NAME_AT	 0x400u
#define MODULE_NAMES_AT	 0x500u
#define MODULE_NAME	 64u
#define PARAMETERS_BYTES 0x1000u

struct header {
	uint32_t magic, flags, checksum;
	uint32_t header_at, load_at, load_end, bss_end, entry;
};

struct information {
	uint32_t flags, memory_lower, memory_upper, boot_device, command_line;
	uint32_t modules, module_list, symbols[4], memory_map_bytes, memory_map;
	uint32_t drives[2], configuration, loader_name;
};

struct module {
	uint32_t start, end, name, reserved;
};

struct __attribute__((packed)) range {
	uint32_t size; /* of what follows */
	uint64_t base, bytes;
	uint32_t type;
};

/* Finds the header; its offset in the image, or -1. */
static int64_t find_header(const struct loader_image *image, struct header *header)
{
	size_t end = image->bytes < SEARCH_BYTES ? image->bytes : SEARCH_BYTES;

	for (size_t at = 0; at + 12 <= end; at += 4) {
		size_t bytes = image->bytes - at;

		*header = (struct header){.magic = 0};
		memcpy(header, image->at + at, bytes < sizeof(*header) ? bytes : sizeof(*header));
		if (header->magic == HEADER_MAGIC &&
		    header->magic + header->flags + header->checksum == 0)
			return (int64_t)at;
	}
	return -1;
}

bool load_multiboot_is(const struct loader_image *image)
{
	struct header header;

	return find_header(image, &header) >= 0;
}

/* A flat kernel: the header says where the file goes. */
static bool load_flat(struct vmm *vmm, const struct loader_image *image,
		      const struct header *header, uint64_t header_offset,
		      struct elf_loaded *loaded, struct loader_error *error)
{
	uint64_t offset = header_offset - (header->header_at - header->load_at), bytes, end;
	uint8_t *memory;

	if (header->load_at > header->header_at ||
	    header->header_at - header->load_at > header_offset)
		return loader_fail(error,
				   "%s: expected a load address at most 0x%llx below the header's, "
				   "found 0x%x and 0x%x: the header is wrong",
				   image->path, (unsigned long long)header_offset, header->load_at,
				   header->header_at);
	/* Zero: up to the end of the file; no BSS. */
	end = header->load_end != 0 ? header->load_end : header->load_at + image->bytes - offset;
	bytes = end - header->load_at;
	if (end < header->load_at || bytes > image->bytes - offset)
		return loader_fail(error,
				   "%s is cut short: expected %llu bytes from 0x%llx, the "
				   "file has %zu; copy it again",
				   image->path, (unsigned long long)bytes,
				   (unsigned long long)offset, image->bytes);
	if (header->bss_end > end)
		end = header->bss_end;
	memory = loader_kernel_memory(vmm, header->load_at, end - header->load_at, image->path,
				      error);
	if (memory == NULL)
		return false;
	memcpy(memory, image->at + offset, bytes);
	memset(memory + bytes, 0, end - header->load_at - bytes);
	*loaded = (struct elf_loaded){.entry = header->entry, .first = header->load_at, .end = end};
	return true;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* The command line starts with the kernel's name, as boot loaders do it. */
static bool place_command(struct vmm *vmm, const struct loader_request *request,
			  struct loader_error *error)
{
	const char *line = request->command_line != NULL ? request->command_line : "";
	const char *name = file_name(request->kernel->path);
	char text[4096];
	int length = snprintf(text, sizeof(text), "%s%s%s", name, *line != '\0' ? " " : "", line);

	if (length < 0 || (size_t)length >= sizeof(text))
		return loader_fail(error,
				   "the command line has %zu characters, %zu fit: shorten "
				   "extra=",
				   strlen(line), sizeof(text) - strlen(name) - 2);
	return loader_command(vmm, text, LOADER_COMMAND_MAX - 1, error);
}

static bool place_modules(struct vmm *vmm, const struct loader_request *request, uint64_t floor,
			  uint8_t *parameters, struct loader_error *error)
{
	uint64_t limit = ~0ull, at;

	if (request->modules > LOADER_MODULES_MAX)
		return loader_fail(error, "expected at most %u modules, found %u",
				   LOADER_MODULES_MAX, request->modules);
	for (unsigned i = 0; i < request->modules; i++) {
		uint32_t name = MODULE_NAMES_AT + i * MODULE_NAME;
		struct module module = {.name = LOADER_PARAMETERS + name};

		if (!loader_place_high(vmm, &request->module[i], floor, limit, &at, error))
			return false;
		limit = at;
		module.start = (uint32_t)at;
		module.end = (uint32_t)(at + request->module[i].bytes);
		memcpy(parameters + MODULES_AT + i * sizeof(module), &module, sizeof(module));
		snprintf((char *)parameters + name, MODULE_NAME, "%s",
			 file_name(request->module[i].path));
	}
	return true;
}

static bool place_information(struct vmm *vmm, const struct loader_request *request, uint64_t floor,
			      struct loader_error *error)
{
	uint8_t *parameters = loader_memory(vmm, LOADER_PARAMETERS, PARAMETERS_BYTES,
					    "the Multiboot information", error);
	struct loader_range range[LOADER_RANGES_MAX];
	unsigned count = loader_memory_map(vmm, range);
	uint64_t low = guest_memory_low(vmm);
	struct information information = {
		.flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MEMORY_MAP | INFO_LOADER_NAME |
			 (request->modules != 0 ? INFO_MODULES : 0),
		.memory_lower = LOADER_LOW_END >> 10,
		.memory_upper = (uint32_t)((low > 0x100000 ? low - 0x100000 : 0) >> 10),
		.command_line = LOADER_COMMAND,
		.modules = request->modules,
		.module_list = LOADER_PARAMETERS + MODULES_AT,
		.memory_map_bytes = count * (uint32_t)sizeof(struct range),
		.memory_map = LOADER_PARAMETERS + MEMORY_MAP_AT,
		.loader_name = LOADER_PARAMETERS + LOADER_NAME_AT,
	};

	if (parameters == NULL)
		return false;
	memcpy(parameters, &information, sizeof(information));
	memcpy(parameters + LOADER_NAME_AT, "Socle", sizeof("Socle"));
	for (unsigned i = 0; i < count; i++) {
		struct range entry = {sizeof(entry) - sizeof(entry.size), range[i].base,
				      range[i].bytes, range[i].type};

		memcpy(parameters + MEMORY_MAP_AT + i * sizeof(entry), &entry, sizeof(entry));
	}
	return place_command(vmm, request, error) &&
	       place_modules(vmm, request, floor, parameters, error);
}

bool load_multiboot(struct vmm *vmm, const struct loader_request *request,
		    struct socle_vcpu_area *area, struct loader_error *error)
{
	const struct loader_image *image = request->kernel;
	struct elf_loaded loaded = {.entry = 0};
	struct header header = {.magic = 0};
	int64_t offset = find_header(image, &header);
	bool good;

	if (offset < 0)
		return loader_fail(error,
				   "%s: expected a Multiboot header in its first %u bytes, found "
				   "none; check kernel=",
				   image->path, SEARCH_BYTES);
	if (header.flags & NEEDS_UNKNOWN)
		return loader_fail(error,
				   "%s: its Multiboot header needs features 0x%x that nobody "
				   "defined: the header is wrong",
				   image->path, header.flags & NEEDS_UNKNOWN);
	good = header.flags & HAS_ADDRESSES
		       ? load_flat(vmm, image, &header, (uint64_t)offset, &loaded, error)
		       : elf_copy(vmm, image, &loaded, error);
	if (!good)
		return false;
	if (loaded.entry < loaded.first || loaded.entry >= loaded.end)
		return loader_fail(error,
				   "%s: expected its entry between 0x%llx and 0x%llx, where it is "
				   "loaded, found 0x%llx",
				   image->path, (unsigned long long)loaded.first,
				   (unsigned long long)loaded.end,
				   (unsigned long long)loaded.entry);
	if (!place_information(vmm, request, loaded.end, error) ||
	    !loader_state_32(vmm, area, loaded.entry, error))
		return false;
	area->rax = LOADED_MAGIC;
	area->rbx = LOADER_PARAMETERS;
	return true;
}
