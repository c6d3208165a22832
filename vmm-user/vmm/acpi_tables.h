/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's ACPI tables, built when the machine is: RSDP, XSDT, FADT, FACS, MADT, HPET, MCFG,
 * WAET and a DSDT (ACPI 6.4). They are made for address 0, with a list of what depends on the
 * address, so that either acpi_place() or the firmware (fw_cfg's table loader, whose commands these
 * lists are) can put them anywhere below 4 GiB.
 */
#ifndef VMM_ACPI_TABLES_H
#define VMM_ACPI_TABLES_H

#include "vmm-user/vmm/vmm.h"

#define ACPI_TABLES_BYTES 0x8000u
#define ACPI_RSDP_BYTES	  36u
#define ACPI_FIXES_MAX	  16u
#define ACPI_ALIGNMENT	  64u /* of the tables in memory: the FACS wants it */

struct acpi_config {
	unsigned vcpus; /* their APIC ids are 0 .. vcpus - 1 */
	bool hpet;
	bool com[2];
	bool i8042;
	bool fw_cfg;
	uint64_t pci64_base, pci64_bytes; /* the window for 64-bit BARs; 0 bytes: none */
};

/* One of the two pieces: the RSDP, or all the others. */
enum acpi_piece { ACPI_PIECE_RSDP, ACPI_PIECE_TABLES };

/* `bytes` bytes at `offset` of a piece: add the address of the tables. */
struct acpi_pointer {
	enum acpi_piece piece;
	uint32_t offset, bytes;
};

/* The byte at `offset` makes the sum of [start, start + bytes) of the same piece 0. */
struct acpi_checksum {
	enum acpi_piece piece;
	uint32_t offset, start, bytes;
};

struct acpi_tables {
	uint8_t rsdp[ACPI_RSDP_BYTES];
	uint8_t table[ACPI_TABLES_BYTES];
	uint32_t bytes;	     /* of table[] in use */
	uint32_t xsdt, dsdt; /* offsets of these */
	struct acpi_pointer pointer[ACPI_FIXES_MAX];
	struct acpi_checksum checksum[ACPI_FIXES_MAX];
	unsigned pointers, checksums;
};

/* Builds the tables; pointers and checksums are still to be fixed. False: they do not fit. */
bool acpi_build(const struct acpi_config *config, struct acpi_tables *tables);

/*
 * Fixes pointers and checksums for tables at guest-physical `at` (a multiple of ACPI_ALIGNMENT,
 * below 4 GiB), in place. The RSDP may be anywhere. Once for each acpi_build().
 */
void acpi_fix(struct acpi_tables *tables, uint32_t at);

/*
 * Copies RSDP and tables to guest memory from `at` on, the RSDP first, as a machine without
 * firmware has them (ACPI 6.4, section 5.2.5.1: `at` is in 0xe0000 .. 0xfffff). Gives the number of
 * bytes used; 0: there is no RAM, or not `room` bytes of it.
 */
uint32_t acpi_place(struct vmm *vmm, struct acpi_tables *tables, uint32_t at, uint32_t room);

#endif
