/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest of ordinary memory for what only needs guest_memory() and the bus. */
#ifndef SOCLE_FAKE_GUEST_H
#define SOCLE_FAKE_GUEST_H

#include "vmm-user/vmm/vmm.h"

#define FAKE_RAM_BYTES	(64ull << 20) /* from 0, but for the hole at 640 KiB */
#define FAKE_MMIO_BASE	0xfe000000ull
#define FAKE_MMIO_BYTES 0x10000ull
#define FAKE_PORTS	0x10000u

struct fake_guest {
	uint8_t *ram;
	uint8_t mmio[FAKE_MMIO_BYTES]; /* registers that keep what is written */
	uint64_t reads, writes;	       /* of these registers */
	uint64_t high_bytes;	       /* what guest_memory_high() says */
	uint64_t port_next;	       /* what the next read of a port gives, then counts on */
	uint64_t port_sum;	       /* a hash of what was written to ports */
	uint64_t dirty;		       /* calls of guest_memory_dirty() */
	uint64_t asked;		       /* calls of guest_memory() */
	char log[512];		       /* the last line */
};

extern struct fake_guest guest;
/* The handle that the functions take; never looked into. */
extern struct vmm *const fake_vmm;

/* Empty memory, registers 0. */
void fake_guest_start(void);
void fake_guest_stop(void);

/* A xorshift generator: the same numbers in every run. */
uint64_t fake_random(void);

#endif
