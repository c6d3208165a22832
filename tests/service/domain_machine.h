/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A domain with one vCPU and one frame of memory, mapped at 0, which a test program runs in place
 * of a VMM. The vCPU's area is at the frame's end.
 */
#ifndef SOCLE_DOMAIN_MACHINE_H
#define SOCLE_DOMAIN_MACHINE_H

#include <stddef.h>

#include "service_test.h"

#define FRAME	    SOCLE_FRAME_BYTES
#define CODE	    0x1000  /* guest-physical: where each piece of code is put */
#define PML4	    0x10000 /* and behind it a PDPT and a page directory: 2 MiB, identity */
#define AREA	    (FRAME - SOCLE_VCPU_AREA_BYTES)
#define ATTR_CODE   0x009b
#define ATTR_CODE64 0x0a9b
#define ATTR_DATA   0x0093
#define CR0_PG	    (1ull << 31)
#define EFER_LME    0x100ull
#define EFER_LMA    0x400ull

struct machine {
	struct socle_handle root, own; /* with the root key, and with the domain's */
	struct socle_info_memory memory;
	uint8_t *pool; /* the first two frames */
	uint32_t domain;
	struct socle_vcpu_area *area;
};

/* The test fails if result is not what was wanted. */
void expect(int64_t result, int64_t wanted, const char *what);

void machine_create(struct machine *m);
void machine_destroy(struct machine *m);

/* The guest's memory. */
uint8_t *machine_memory(struct machine *m, uint64_t address);

/* Real mode at CODE, flat segments from 0, with a piece of code; behind it, HLTs. */
void machine_load(struct machine *m, const void *code, size_t bytes);

/* The same in 64-bit mode. */
void machine_load64(struct machine *m, const void *code, size_t bytes);

/* Runs until there is something to do for a VMM: the exit reason, or an error. */
int machine_run(struct machine *m);

#endif
