/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF images: entered through their PVH note if they have one (Xen: docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h), else at e_entry in the mode of their class. EBX (RBX) points
 * to the start info in either case.
 */
#include <elf.h>
#include <string.h>

#include "vmm-user/vmm/loader.h"

#define NOTE_NAME	 "Xen"
#define NOTE_PHYS32	 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define HEADERS_MAX	 64
#define START_MAGIC	 0x336ec578
#define MODULES_AT	 (LOADER_PARAMETERS + 0x100)
#define MEMORY_MAP_AT	 (LOADER_PARAMETERS + 0x400)
#define PARAMETERS_BYTES 0x1000
#define NO_ENTRY	 (~0ull)

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};

struct start_module {
	uint64_t at, bytes, command_line, reserved;
};

struct start_range {
	uint64_t base, bytes;
	uint32_t type, reserved;
};

_Static_assert(sizeof(struct start_info) == 56, "hvm_start_info");

/* What is used of a program header, of either class. */
struct segment {
	uint32_t type;
	uint64_t offset, address, file_bytes, memory_bytes;
};

struct headers {
	bool wide;
	uint64_t entry, offset;
	unsigned count, bytes;
};

bool load_elf_is(const struct loader_image *image)
{
	return image->bytes >= sizeof(Elf32_Ehdr) && memcmp(image->at, ELFMAG, SELFMAG) == 0;
}

static bool inside(const struct loader_image *image, uint64_t offset, uint64_t bytes)
{
	return offset <= image->bytes && bytes <= image->bytes - offset;
}

static bool read_header(const struct loader_image *image, struct headers *headers,
			struct loader_error *error)
{
	const char *path = image->path;
	Elf64_Ehdr header64;
	Elf32_Ehdr header32;
	unsigned machine, expected;

	if (!load_elf_is(image))
		return loader_fail(error, "%s is no ELF image; check kernel=", path);
	headers->wide = image->at[EI_CLASS] == ELFCLASS64;
	if (headers->wide && image->bytes >= sizeof(header64)) {
		memcpy(&header64, image->at, sizeof(header64));
		headers->entry = header64.e_entry;
		headers->offset = header64.e_phoff;
		headers->count = header64.e_phnum;
		headers->bytes = header64.e_phentsize;
		machine = header64.e_machine;
		expected = sizeof(Elf64_Phdr);
	} else {
		memcpy(&header32, image->at, sizeof(header32));
		headers->entry = header32.e_entry;
		headers->offset = header32.e_phoff;
		headers->count = header32.e_phnum;
		headers->bytes = header32.e_phentsize;
		machine = header32.e_machine;
		expected = sizeof(Elf32_Phdr);
	}
	if (image->at[EI_DATA] != ELFDATA2LSB || (machine != EM_386 && machine != EM_X86_64))
		return loader_fail(error,
				   "%s: expected an ELF for x86 (machine 3 or 62), found %u: it is "
				   "for another processor",
				   path, machine);
	if (headers->count == 0 || headers->count > HEADERS_MAX || headers->bytes != expected ||
	    !inside(image, headers->offset, (uint64_t)headers->count * headers->bytes))
		return loader_fail(error,
				   "%s: expected 1 to %u program headers of %u bytes, found %u of "
				   "%u at 0x%llx in %zu bytes: it is cut short or not linked",
				   path, HEADERS_MAX, expected, headers->count, headers->bytes,
				   (unsigned long long)headers->offset, image->bytes);
	return true;
}

static struct segment read_segment(const struct loader_image *image, const struct headers *headers,
				   unsigned index)
{
	const uint8_t *at = image->at + headers->offset + (uint64_t)index * headers->bytes;
	Elf64_Phdr wide;
	Elf32_Phdr narrow;

	if (headers->wide) {
		memcpy(&wide, at, sizeof(wide));
		return (struct segment){wide.p_type, wide.p_offset, wide.p_paddr, wide.p_filesz,
					wide.p_memsz};
	}
	memcpy(&narrow, at, sizeof(narrow));
	return (struct segment){narrow.p_type, narrow.p_offset, narrow.p_paddr, narrow.p_filesz,
				narrow.p_memsz};
}

static bool copy_segment(struct vmm *vmm, const struct loader_image *image,
			 const struct segment *segment, struct elf_loaded *loaded,
			 struct loader_error *error)
{
	uint8_t *memory;

	if (segment->memory_bytes == 0)
		return true;
	if (segment->file_bytes > segment->memory_bytes ||
	    !inside(image, segment->offset, segment->file_bytes))
		return loader_fail(error,
				   "%s is cut short: a segment has 0x%llx bytes at 0x%llx, the "
				   "file %zu; copy it again",
				   image->path, (unsigned long long)segment->file_bytes,
				   (unsigned long long)segment->offset, image->bytes);
	memory = loader_kernel_memory(vmm, segment->address, segment->memory_bytes, image->path,
				      error);
	if (memory == NULL)
		return false;
	memcpy(memory, image->at + segment->offset, segment->file_bytes);
	memset(memory + segment->file_bytes, 0, segment->memory_bytes - segment->file_bytes);
	if (segment->address < loaded->first)
		loaded->first = segment->address;
	if (segment->address + segment->memory_bytes > loaded->end)
		loaded->end = segment->address + segment->memory_bytes;
	return true;
}

/* Looks for the PVH entry in a note segment; notes that make no sense end the search. */
static void read_notes(const struct loader_image *image, const struct segment *segment,
		       struct elf_loaded *loaded)
{
	uint64_t at = segment->offset, end = segment->offset + segment->file_bytes;
	Elf32_Nhdr note;

	if (!inside(image, segment->offset, segment->file_bytes))
		return;
	while (end - at >= sizeof(note)) {
		uint64_t name = at + sizeof(note), content, next;

		memcpy(&note, image->at + at, sizeof(note));
		content = name + (((uint64_t)note.n_namesz + 3) & ~3ull);
		next = content + (((uint64_t)note.n_descsz + 3) & ~3ull);
		if (content + note.n_descsz > end)
			return;
		if (note.n_type == NOTE_PHYS32 && note.n_namesz == sizeof(NOTE_NAME) &&
		    memcmp(image->at + name, NOTE_NAME, sizeof(NOTE_NAME)) == 0 &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			loaded->pvh_entry = 0;
			memcpy(&loaded->pvh_entry, image->at + content, note.n_descsz);
			return;
		}
		if (next > end)
			return;
		at = next;
	}
}

/* Of two segments at one place the second would win: the image is not what its maker meant. */
static bool apart(const struct loader_image *image, const struct headers *headers, unsigned index,
		  struct loader_error *error)
{
	struct segment segment = read_segment(image, headers, index);

	for (unsigned i = 0; i < index; i++) {
		struct segment other = read_segment(image, headers, i);

		if (other.type != PT_LOAD || other.memory_bytes == 0 || segment.memory_bytes == 0 ||
		    other.address >= segment.address + segment.memory_bytes ||
		    segment.address >= other.address + other.memory_bytes)
			continue;
		return loader_fail(error,
				   "%s: expected segments apart from each other, found two at "
				   "0x%llx and 0x%llx that overlap: link it again",
				   image->path, (unsigned long long)other.address,
				   (unsigned long long)segment.address);
	}
	return true;
}

bool elf_copy(struct vmm *vmm, const struct loader_image *image, struct elf_loaded *loaded,
	      struct loader_error *error)
{
	struct headers headers = {.count = 0};

	if (!read_header(image, &headers, error))
		return false;
	*loaded = (struct elf_loaded){.entry = headers.entry,
				      .first = ~0ull,
				      .pvh_entry = NO_ENTRY,
				      .wide = headers.wide};
	for (unsigned i = 0; i < headers.count; i++) {
		struct segment segment = read_segment(image, &headers, i);

		if (segment.type == PT_LOAD &&
		    (!copy_segment(vmm, image, &segment, loaded, error) ||
		     !apart(image, &headers, i, error)))
			return false;
		if (segment.type == PT_NOTE)
			read_notes(image, &segment, loaded);
	}
	if (loaded->end == 0)
		return loader_fail(error, "%s: expected a segment to load, found none: link it",
				   image->path);
	return true;
}

static bool place_modules(struct vmm *vmm, const struct loader_request *request, uint64_t floor,
			  uint8_t *parameters, struct loader_error *error)
{
	uint64_t limit = ~0ull;

	for (unsigned i = 0; i < request->modules; i++) {
		struct start_module module = {.bytes = request->module[i].bytes};

		if (!loader_place_high(vmm, &request->module[i], floor, limit, &module.at, error))
			return false;
		limit = module.at;
		memcpy(parameters + (MODULES_AT - LOADER_PARAMETERS) + i * sizeof(module), &module,
		       sizeof(module));
	}
	return true;
}

static bool place_start_info(struct vmm *vmm, const struct loader_request *request, uint64_t floor,
			     struct loader_error *error)
{
	uint8_t *parameters =
		loader_memory(vmm, LOADER_PARAMETERS, PARAMETERS_BYTES, "the start info", error);
	struct loader_range range[LOADER_RANGES_MAX];
	unsigned count = loader_memory_map(vmm, range);
	struct start_info info = {
		.magic = START_MAGIC,
		.version = 1,
		.modules = request->modules,
		.module_list = request->modules != 0 ? MODULES_AT : 0,
		.command_line = LOADER_COMMAND,
		.rsdp = request->rsdp,
		.memory_map = MEMORY_MAP_AT,
		.memory_map_entries = count,
	};

	if (parameters == NULL)
		return false;
	if (request->modules > LOADER_MODULES_MAX)
		return loader_fail(error, "expected at most %u modules, found %u",
				   LOADER_MODULES_MAX, request->modules);
	memcpy(parameters, &info, sizeof(info));
	for (unsigned i = 0; i < count; i++) {
		struct start_range entry = {range[i].base, range[i].bytes, range[i].type, 0};

		memcpy(parameters + (MEMORY_MAP_AT - LOADER_PARAMETERS) + i * sizeof(entry), &entry,
		       sizeof(entry));
	}
	return loader_command(vmm, request->command_line, LOADER_COMMAND_MAX - 1, error) &&
	       place_modules(vmm, request, floor, parameters, error);
}

bool load_elf(struct vmm *vmm, const struct loader_request *request, struct socle_vcpu_area *area,
	      struct loader_error *error)
{
	struct elf_loaded loaded = {.entry = 0};
	bool pvh, good;
	uint64_t entry;

	if (!elf_copy(vmm, request->kernel, &loaded, error))
		return false;
	pvh = loaded.pvh_entry != NO_ENTRY;
	entry = pvh ? loaded.pvh_entry : loaded.entry;
	if (entry < loaded.first || entry >= loaded.end)
		return loader_fail(error,
				   "%s: expected its entry between 0x%llx and 0x%llx, where it is "
				   "loaded, found 0x%llx: the link addresses are not physical",
				   request->kernel->path, (unsigned long long)loaded.first,
				   (unsigned long long)loaded.end, (unsigned long long)entry);
	if (!place_start_info(vmm, request, loaded.end, error))
		return false;
	good = loaded.wide && !pvh ? loader_state_64(vmm, area, entry, error)
				   : loader_state_32(vmm, area, entry, error);
	area->rbx = LOADER_PARAMETERS;
	return good;
}
