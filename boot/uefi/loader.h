/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot loader. It runs as a UEFI application on the boot CPU until ExitBootServices, then with
 * the machine to itself until it jumps into the hypervisor. Nothing of it stays.
 */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include <efi.h>

#include "boot/uefi/config.h"
#include "boot/uefi/memory_map.h"
#include "hv/boot_info.h"

/* A block of memory, identity mapped. */
struct block {
	uint64_t at;
	uint64_t bytes;
};

struct loader {
	EFI_HANDLE image;
	struct config config;
	EFI_HANDLE volume_device;

	enum socle_vendor vendor;
	unsigned physical_bits;
	bool pages_1g;
	uint64_t tsc_hz, boot_tsc;

	struct block kernel;	 /* the bzImage as it is on disk */
	struct block initramfs;	 /* all of them, concatenated */
	struct block kernel_run; /* where the kernel's 64-bit part runs */
	struct block zero_page;	 /* boot_params, command line, setup data */
	struct block wakeup; /* mailbox, its loop, GDT, identity page tables of the service VM */
	struct block acpi;   /* the copied tables */
	struct block hypervisor;
	struct block boot_tables; /* page tables for the way from here into the hypervisor */
	struct block trampoline;  /* one page below 1 MiB */
	struct block map;	  /* the memory map as the service VM gets it */

	uint64_t rsdp; /* the firmware's; 0: none */
	uint64_t acpi_new_rsdp;
	uint8_t seed[32]; /* for the service VM's kernel */

	uint64_t entry;		/* hv_entry, virtual */
	uint64_t cr3;		/* of boot_tables */
	struct boot_info *boot; /* in the hypervisor's memory */
};

extern EFI_SYSTEM_TABLE *system_table;
extern EFI_BOOT_SERVICES *boot_services;

/* report.c: messages ----------------------------------------------------------------------------
 */

/* Opens serial port and screen. */
void report_init(struct loader *loader);

/* The firmware's console is gone from here on: writes go to the hardware. */
void report_own_console(struct loader *loader);

/* One line on serial and screen, and in the log that the hypervisor takes over. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Says why Socle cannot start, gives back all memory and returns to the firmware; after
 * ExitBootServices it resets the machine.
 */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copies what was reported to the hypervisor's boot_info. */
void report_hand_over(struct boot_info *boot);

/* firmware.c: what the firmware knows and gives
 * ---------------------------------------------------- */

/* Allocates pages of a type at or below limit, aligned; fails the boot if there are none. */
struct block allocate(const char *what, uint64_t bytes, uint64_t alignment, uint64_t limit,
		      EFI_MEMORY_TYPE type);
/* The same at a fixed address; false if it is not free. */
bool allocate_at(struct block *block, uint64_t at, uint64_t bytes, EFI_MEMORY_TYPE type);
void free_all(void);

/* Reads a file of the loader's own volume. */
struct block read_file(struct loader *loader, const char *path, uint64_t limit);
/* Size of a file in bytes; fails the boot if it is not there. */
uint64_t file_bytes(struct loader *loader, const char *path);
void read_file_to(struct loader *loader, const char *path, uint64_t at, uint64_t bytes);

void find_volume(struct loader *loader);
void measure_tsc(struct loader *loader);
void find_acpi(struct loader *loader);
void find_cpus(struct loader *loader, struct boot_info *boot);
void find_framebuffer(struct boot_framebuffer *framebuffer);
void get_entropy(uint8_t *to, uint64_t bytes);

/* check.c: can this CPU run Socle?
 * ------------------------------------------------------------------- */

/* Finds vendor and address width; fails the boot if something needed is missing. */
void check_cpu(struct loader *loader);

/* image.c: the hypervisor's image and page tables
 * --------------------------------------------------------- */

void place_hypervisor(struct loader *loader, uint32_t cpu_count);

/* linux.c: the service VM's kernel (Documentation/arch/x86/boot.rst of Linux)
 * ------------------------------- */

void load_kernel(struct loader *loader);
void prepare_kernel(struct loader *loader);
/* Last: needs the memory map. */
void finish_kernel(struct loader *loader, const struct memory_map *map);

/* smp.c
 * ----------------------------------------------------------------------------------------------------
 */

void prepare_trampoline(struct loader *loader);
void start_cpus(struct loader *loader);
_Noreturn void enter_hypervisor(struct loader *loader);

/* acpi.c
 * ----------------------------------------------------------------------------------------------------
 */

/* Allocates room for the service VM's tables. */
void prepare_acpi(struct loader *loader);
/* Writes them: only the CPUs that arrived are in them. */
void finish_acpi(struct loader *loader);

/* A delay that needs no firmware. */
void delay_microseconds(const struct loader *loader, uint64_t microseconds);

#endif
