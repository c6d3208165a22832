/* SPDX-License-Identifier: BSD-2-Clause */
/* From a guest's linear address to its guest-physical address, by the guest's own page tables. */
#ifndef VMM_WALK_H
#define VMM_WALK_H

#include "vmm-user/vmm/vmm.h"

/* What paging depends on. physical_bits: MAXPHYADDR as the guest's CPUID gives it, 32 .. 52. */
struct walk_registers {
	uint64_t cr0, cr3, cr4, efer;
	unsigned physical_bits;
};

/* The access; 0 is a supervisor's read of data. */
#define WALK_WRITE 1u
#define WALK_FETCH 2u
#define WALK_USER  4u
#define WALK_AC	   8u /* EFLAGS.AC is set: a supervisor may use user pages in spite of SMAP */

/* Bits of a page fault's error code (SDM volume 3, section 4.7). */
#define WALK_ERROR_PRESENT  0x01u
#define WALK_ERROR_WRITE    0x02u
#define WALK_ERROR_USER	    0x04u
#define WALK_ERROR_RESERVED 0x08u
#define WALK_ERROR_FETCH    0x10u

/*
 * Translates one linear address (SDM volume 3, chapter 4: no paging, 32-bit, PAE, 4-level; pages of
 * 4 KiB, 2 MiB, 4 MiB and 1 GiB; CR0.WP, SMEP, SMAP, NX). Sets the accessed bits on the way and,
 * for a write, the dirty bit, as the processor does: with a compare and exchange. Page tables may
 * lie outside RAM, they are then read over the bus and their bits stay as they are.
 *
 * linear:  canonical; its upper half is ignored outside long mode
 * access:  WALK_*
 * gpa:     out: the guest-physical address of the byte
 * error:   out, if the result is false: the page fault's error code
 *
 * Not checked: protection keys (the state they need is not the VMM's) and 5-level paging, which is
 * not offered. PAE's four root entries are read from memory each time.
 */
bool walk(struct vmm *vmm, const struct walk_registers *registers, uint64_t linear, unsigned access,
	  uint64_t *gpa, uint32_t *error);

/*
 * The entries by which a walk came to its page, the last one repeated where the tables end early.
 * While they have these values, and the registers are the same, another walk for that page comes to
 * the same end.
 */
struct walk_path {
	const uint64_t *entry[4];
	uint64_t value[4];
};

/*
 * As walk(), for 4-level tables in RAM below 4 GiB in which there is nothing to be set, and with
 * the path. False: it is no such walk, or it faults.
 */
bool walk_with_path(struct vmm *vmm, const struct walk_registers *registers, uint64_t linear,
		    unsigned access, uint64_t *gpa, struct walk_path *path);

static inline bool walk_path_holds(const struct walk_path *path)
{
	for (unsigned i = 0; i < 4; i++)
		if (__atomic_load_n(path->entry[i], __ATOMIC_RELAXED) != path->value[i])
			return false;
	return true;
}

#endif
