/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts a kernel into a guest's memory and the first vCPU at its entry. Images come from whoever
 * made the domain and are not trusted: every offset and size in them is checked against the file
 * and against the guest's RAM.
 */
#ifndef VMM_LOADER_H
#define VMM_LOADER_H

#include "socle_abi.h"
#include "vmm-user/vmm/vmm.h"

#define LOADER_ERROR_BYTES 384
#define LOADER_MODULES_MAX 16
#define LOADER_RANGES_MAX  8

/* Where loaders put what is not the kernel's own; the rest of the first 640 KiB is free. */
#define LOADER_GDT	   0x6000u
#define LOADER_PARAMETERS  0x7000u  /* boot_params, hvm_start_info, multiboot information */
#define LOADER_TABLES	   0x9000u  /* identity page tables, 6 pages */
#define LOADER_COMMAND	   0x20000u /* command line */
#define LOADER_COMMAND_MAX 0x10000u
#define LOADER_LOW_END	   0x9fc00u /* the end of what the first 640 KiB offer */
#define LOADER_ACPI	   0xe0000u /* 128 KiB for ACPI and SMBIOS tables */

/* A file, read once as a whole: what happens to it later does not matter. */
struct loader_image {
	const char *path;
	uint8_t *at;
	size_t bytes;
};

struct loader_request {
	const struct loader_image *kernel;
	const struct loader_image *module; /* the first is the initial RAM disk */
	unsigned modules;
	const char *command_line; /* NULL: none */
	uint64_t rsdp;		  /* guest-physical; 0: no ACPI */
};

/* Why a loader failed: what was expected, what was found, what to do. One line, no newline. */
struct loader_error {
	char text[LOADER_ERROR_BYTES];
};

/* A piece of the guest's memory map; type as in E820: 1 RAM, 2 reserved. */
struct loader_range {
	uint64_t base, bytes;
	uint32_t type;
};

/*
 * Reads a file of at most max_bytes. False: *error says why, and *image holds nothing. The path is
 * not copied. loader_free() releases what was read; it may be called on an empty image.
 */
bool loader_read(const char *path, size_t max_bytes, struct loader_image *image,
		 struct loader_error *error);
void loader_free(struct loader_image *image);

/*
 * The kernel's format decides the loader: a Linux bzImage, an ELF with a PVH entry, Multiboot 1,
 * other ELFs. The guest's memory is all zero before; area is the first vCPU's, and gets its
 * registers and SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM. False: *error says why.
 */
bool loader_load(struct vmm *vmm, const struct loader_request *request,
		 struct socle_vcpu_area *area, struct loader_error *error);

/* One format each; the *_is functions look at the image alone. */
bool load_linux_is(const struct loader_image *image);
bool load_linux(struct vmm *vmm, const struct loader_request *request, struct socle_vcpu_area *area,
		struct loader_error *error);
bool load_multiboot_is(const struct loader_image *image);
bool load_multiboot(struct vmm *vmm, const struct loader_request *request,
		    struct socle_vcpu_area *area, struct loader_error *error);
bool load_elf_is(const struct loader_image *image);
bool load_elf(struct vmm *vmm, const struct loader_request *request, struct socle_vcpu_area *area,
	      struct loader_error *error);

/* What an ELF's program headers put where. */
struct elf_loaded {
	uint64_t entry;	     /* e_entry */
	uint64_t first, end; /* guest-physical: of everything loaded */
	uint64_t pvh_entry;  /* of the PVH note; ~0: none */
	bool wide;	     /* ELF64 */
};
/* Copies the loadable segments of an ELF32 or ELF64 for x86 to their physical addresses. */
bool elf_copy(struct vmm *vmm, const struct loader_image *image, struct elf_loaded *loaded,
	      struct loader_error *error);

/* A kernel's piece goes to [at, at + bytes): RAM, and not where the loaders put their own. */
void *loader_kernel_memory(struct vmm *vmm, uint64_t at, uint64_t bytes, const char *path,
			   struct loader_error *error);
/* For the loaders: writes the error and gives false. */
bool loader_fail(struct loader_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Guest RAM at [at, at + bytes), or NULL with the error written; what names it in the error. */
void *loader_memory(struct vmm *vmm, uint64_t at, uint64_t bytes, const char *what,
		    struct loader_error *error);
/*
 * Copies an image as high as it goes below `limit` in low RAM, page aligned and not below `floor`;
 * *at is where. False: no room.
 */
bool loader_place_high(struct vmm *vmm, const struct loader_image *image, uint64_t floor,
		       uint64_t limit, uint64_t *at, struct loader_error *error);
/* Copies the command line, at most `longest` characters, to LOADER_COMMAND. */
bool loader_command(struct vmm *vmm, const char *line, size_t longest, struct loader_error *error);
/* The guest's memory map, in order; the number of ranges. */
unsigned loader_memory_map(const struct vmm *vmm, struct loader_range range[LOADER_RANGES_MAX]);

/*
 * Registers of a vCPU that starts: flat 32-bit protected mode without paging, or 64-bit mode with
 * the first 4 GiB mapped one to one. Both put a GDT with CS 0x10 and DS 0x18 at LOADER_GDT.
 * Interrupts are off, general registers 0.
 */
bool loader_state_32(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t entry,
		     struct loader_error *error);
bool loader_state_64(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t entry,
		     struct loader_error *error);

#endif
