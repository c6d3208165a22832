/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory types from the memory type range registers (SDM volume 3, section 12.11). */
#ifndef ARCH_X86_MTRR_H
#define ARCH_X86_MTRR_H

#include "arch/x86/x86.h"
#include "hv/types.h"

#define MTRR_MAX_VARIABLE 32

struct mtrr_state {
	uint64_t def_type;
	uint64_t fixed[11]; /* FIX64K, FIX16K x2, FIX4K x8 */
	bool have_fixed;
	unsigned variable_count;
	struct {
		uint64_t base, mask;
	} variable[MTRR_MAX_VARIABLE];
};

/* Reads this CPU's registers. A CPU without MTRRs gives a state in which all memory is write-back.
 */
void mtrr_read(struct mtrr_state *state);

/*
 * The memory type at an address, and in *end the end of a range from there on that has the same
 * type (at most 2^52). Overlaps are resolved as section 12.11.4.1 says.
 */
enum memory_type mtrr_type(const struct mtrr_state *state, uint64_t at, uint64_t *end);

#endif
