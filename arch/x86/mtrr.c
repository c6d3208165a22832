// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/mtrr.h"

#include "arch/x86/asm.h"

#define CPUID_1_EDX_MTRR (1u << 12)
#define MTRRCAP_COUNT	 0xff
#define MTRRCAP_FIXED	 (1u << 8)
#define DEF_TYPE_FIXED	 (1u << 10)
#define DEF_TYPE_ENABLE	 (1u << 11)
#define PHYSMASK_VALID	 (1u << 11)
#define ADDRESS_END	 (1ull << 52)
#define ADDRESS_MASK	 (ADDRESS_END - PAGE_BYTES)

void mtrr_read(struct mtrr_state *state)
{
	uint64_t cap;

	*state = (struct mtrr_state){.def_type = DEF_TYPE_ENABLE | MEMORY_WB};
	if (!(cpuid(1, 0).edx & CPUID_1_EDX_MTRR))
		return;
	cap = rdmsr(MSR_MTRRCAP);
	state->def_type = rdmsr(MSR_MTRR_DEF_TYPE);
	state->have_fixed = (cap & MTRRCAP_FIXED) != 0;
	if (state->have_fixed) {
		state->fixed[0] = rdmsr(MSR_MTRR_FIX64K);
		for (unsigned i = 0; i < 2; i++)
			state->fixed[1 + i] = rdmsr(MSR_MTRR_FIX16K + i);
		for (unsigned i = 0; i < 8; i++)
			state->fixed[3 + i] = rdmsr(MSR_MTRR_FIX4K + i);
	}
	state->variable_count = (unsigned)min_u64(cap & MTRRCAP_COUNT, MTRR_MAX_VARIABLE);
	for (unsigned i = 0; i < state->variable_count; i++) {
		state->variable[i].base = rdmsr(MSR_MTRR_PHYSBASE0 + 2 * i);
		state->variable[i].mask = rdmsr(MSR_MTRR_PHYSMASK0 + 2 * i);
	}
}

/* The fixed range that holds an address below 1 MiB. */
static enum memory_type fixed_type(const struct mtrr_state *state, uint64_t at, uint64_t *end)
{
	unsigned index, shift;

	if (at < 0x80000) {
		shift = 16;
		index = (unsigned)(at >> 16);
	} else if (at < 0xc0000) {
		shift = 14;
		index = 8 + (unsigned)((at - 0x80000) >> 14);
	} else {
		shift = 12;
		index = 24 + (unsigned)((at - 0xc0000) >> 12);
	}
	*end = ((at >> shift) + 1) << shift;
	return (enum memory_type)(state->fixed[index / 8] >> (index % 8 * 8) & 7);
}

/* UC wins over all, WT over WB; any other overlap is undefined and taken as UC. */
static enum memory_type combine(enum memory_type a, enum memory_type b)
{
	if (a == b)
		return a;
	if ((a == MEMORY_WT && b == MEMORY_WB) || (a == MEMORY_WB && b == MEMORY_WT))
		return MEMORY_WT;
	return MEMORY_UC;
}

enum memory_type mtrr_type(const struct mtrr_state *state, uint64_t at, uint64_t *end)
{
	enum memory_type type = MEMORY_UC;
	bool found = false;

	*end = ADDRESS_END;
	if (!(state->def_type & DEF_TYPE_ENABLE))
		return MEMORY_UC;
	if (at < MIB(1) && state->have_fixed && (state->def_type & DEF_TYPE_FIXED))
		return fixed_type(state, at, end);

	if (at < MIB(1))
		*end = MIB(1);
	for (unsigned i = 0; i < state->variable_count; i++) {
		uint64_t mask = state->variable[i].mask & ADDRESS_MASK;
		uint64_t base = state->variable[i].base & mask;
		uint64_t step = mask & (0 - mask);
		enum memory_type own = (enum memory_type)(state->variable[i].base & 7);

		if (!(state->variable[i].mask & PHYSMASK_VALID) || step == 0)
			continue;
		if (at < base)
			*end = min_u64(*end, base);
		if ((at & mask) == base) {
			*end = min_u64(*end, align_down(at, step) + step);
			type = found ? combine(type, own) : own;
			found = true;
		}
	}
	return found ? type : (enum memory_type)(state->def_type & 7);
}
