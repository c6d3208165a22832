/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's SMBIOS 3 tables (DSP0134 3.4): who made the machine, its memory and processors. */
#ifndef VMM_SMBIOS_TABLES_H
#define VMM_SMBIOS_TABLES_H

#include "vmm-user/vmm/vmm.h"

#define SMBIOS_TABLE_BYTES 0x1000u
#define SMBIOS_ENTRY_BYTES 24u
#define SMBIOS_AT	   0xf0000u /* where a BIOS has the entry point: 0xf0000 .. 0xfffff */

struct smbios_config {
	const char *version; /* the hypervisor's */
	const char *serial;  /* of the system; NULL: none */
	uint8_t uuid[16];    /* in the order in which it is written; all zero: none */
	uint64_t memory;     /* bytes */
	unsigned vcpus;
};

/* The structures, and the entry point for them, as fw_cfg's etc/smbios files have them. */
struct smbios_tables {
	uint8_t entry[SMBIOS_ENTRY_BYTES];
	uint8_t table[SMBIOS_TABLE_BYTES];
	uint32_t bytes; /* of table[] in use */
};

/* Builds both; the entry point's address of the table is 0. False: they do not fit. */
bool smbios_build(const struct smbios_config *config, struct smbios_tables *tables);

/*
 * Copies entry point and table to guest memory at `at` (16-byte aligned), `room` bytes at most, and
 * sets address and checksum. Gives the number of bytes; 0: there is no RAM, or not enough.
 */
uint32_t smbios_place(struct vmm *vmm, struct smbios_tables *tables, uint32_t at, uint32_t room);

#endif
