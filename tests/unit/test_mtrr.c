/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory types from MTRRs, against section 12.11 of the SDM's volume 3 read literally. */
#include "arch/fake/fake_cpu.h"
#include "arch/x86/mtrr.h"
#include "unit.h"

#define DEF_ENABLE (1u << 11)
#define DEF_FIXED  (1u << 10)
#define VALID	   (1u << 11)
#define BITS	   40 /* physical address bits */
#define ALL	   ((1ull << BITS) - 1)

static struct mtrr_state state;

static void add_variable(uint64_t base, uint64_t bytes, enum memory_type type)
{
	unsigned i = state.variable_count++;

	state.variable[i].base = base | (uint64_t)type;
	state.variable[i].mask = (ALL & ~(bytes - 1)) | VALID;
}

/* The type of one address, with no thought for speed. */
static enum memory_type expected(uint64_t at)
{
	bool found = false, uc = false, wt = false, other = false;
	enum memory_type type = MEMORY_UC;

	if (!(state.def_type & DEF_ENABLE))
		return MEMORY_UC;
	if (at < MIB(1) && (state.def_type & DEF_FIXED) && state.have_fixed) {
		const uint8_t *bytes = (const uint8_t *)state.fixed;

		if (at < 0x80000)
			return (enum memory_type)bytes[at / 0x10000];
		if (at < 0xc0000)
			return (enum memory_type)bytes[8 + (at - 0x80000) / 0x4000];
		return (enum memory_type)bytes[24 + (at - 0xc0000) / 0x1000];
	}
	for (unsigned i = 0; i < state.variable_count; i++) {
		uint64_t mask = state.variable[i].mask & ALL & ~0xfffull;
		enum memory_type own = (enum memory_type)(state.variable[i].base & 0xff);

		if (!(state.variable[i].mask & VALID) ||
		    (at & mask) != (state.variable[i].base & mask))
			continue;
		uc |= own == MEMORY_UC;
		wt |= own == MEMORY_WT;
		other |= found && own != type && own != MEMORY_WT && own != MEMORY_WB;
		other |= found && own != type && type != MEMORY_WT && type != MEMORY_WB;
		type = own;
		found = true;
	}
	if (!found)
		return (enum memory_type)(state.def_type & 0xff);
	return uc || other ? MEMORY_UC : wt ? MEMORY_WT : type;
}

/* Walks all ranges: each has one type from its first byte to its last, and they cover everything.
 */
static void check_all(void)
{
	uint64_t at = 0, end, steps = 0;

	for (; at <= ALL; at = end, steps++) {
		enum memory_type type = mtrr_type(&state, at, &end);
		uint64_t last = end - 1 < ALL ? end - 1 : ALL;

		ck_assert_uint_gt(end, at);
		ck_assert_uint_eq(end % PAGE_BYTES, 0);
		ck_assert_uint_lt(steps, 100000);
		for (unsigned i = 0; i <= 16; i++) {
			uint64_t sample = at + (last - at) / 16 * i;

			if (expected(sample) != type)
				ck_abort_msg("%llx is %d, not %d", (unsigned long long)sample,
					     (int)expected(sample), (int)type);
		}
		ck_assert_uint_eq(expected(last), type);
	}
}

START_TEST(switched_off)
{
	uint64_t end;

	state = (struct mtrr_state){.def_type = MEMORY_WB};
	ck_assert_uint_eq(mtrr_type(&state, 0, &end), MEMORY_UC);
	ck_assert_uint_eq(mtrr_type(&state, GIB(5), &end), MEMORY_UC);
	check_all();
}
END_TEST

START_TEST(a_pc)
{
	uint64_t end;

	/* write-back, but the top of the first 4 GiB and a frame buffer */
	state = (struct mtrr_state){.def_type = DEF_ENABLE | DEF_FIXED | MEMORY_WB,
				    .have_fixed = true};
	for (unsigned i = 0; i < 11; i++)
		state.fixed[i] = 0x0606060606060606ull;
	state.fixed[2] = 0; /* 0xa0000 .. 0xbffff */
	add_variable(GIB(2), GIB(2), MEMORY_UC);
	add_variable(0xd0000000, MIB(16), MEMORY_WC);
	ck_assert_uint_eq(mtrr_type(&state, 0x9ffff, &end), MEMORY_WB);
	ck_assert_uint_eq(end, 0xa0000);
	ck_assert_uint_eq(mtrr_type(&state, 0xa0000, &end), MEMORY_UC);
	ck_assert_uint_eq(mtrr_type(&state, MIB(1), &end), MEMORY_WB);
	ck_assert_uint_eq(end, GIB(2));
	ck_assert_uint_eq(mtrr_type(&state, 0xd0000000, &end), MEMORY_UC);
	ck_assert_uint_eq(mtrr_type(&state, GIB(4), &end), MEMORY_WB);
	check_all();
}
END_TEST

START_TEST(overlaps)
{
	uint64_t end;

	state = (struct mtrr_state){.def_type = DEF_ENABLE | MEMORY_UC};
	add_variable(0, GIB(4), MEMORY_WB);
	add_variable(GIB(1), GIB(1), MEMORY_WT);
	add_variable(GIB(2), MIB(2), MEMORY_UC);
	ck_assert_uint_eq(mtrr_type(&state, 0, &end), MEMORY_WB);
	ck_assert_uint_eq(mtrr_type(&state, GIB(1), &end), MEMORY_WT);
	ck_assert_uint_eq(mtrr_type(&state, GIB(2), &end), MEMORY_UC);
	ck_assert_uint_eq(end, GIB(2) + MIB(2));
	ck_assert_uint_eq(mtrr_type(&state, GIB(4), &end), MEMORY_UC);
	check_all();
}
END_TEST

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull % limit;
}

START_TEST(random_ranges)
{
	static const enum memory_type types[] = {MEMORY_UC, MEMORY_WC, MEMORY_WT, MEMORY_WP,
						 MEMORY_WB};

	random_state = 0x9e3779b97f4a7c15ull + (uint64_t)_i;
	state = (struct mtrr_state){
		.def_type = DEF_ENABLE | (uint64_t)types[random_below(5)] |
			    (random_below(2) ? DEF_FIXED : 0),
		.have_fixed = true,
	};
	for (unsigned i = 0; i < 11; i++)
		for (unsigned k = 0; k < 8; k++)
			state.fixed[i] |= (uint64_t)types[random_below(5)] << (8 * k);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t bytes = PAGE_BYTES << random_below(BITS - PAGE_SHIFT);

		add_variable(random_below((ALL + 1) / bytes) * bytes, bytes,
			     types[random_below(5)]);
		if (random_below(8) == 0)
			state.variable[i].mask &= ~(uint64_t)VALID;
	}
	check_all();
}
END_TEST

START_TEST(reads_the_registers)
{
	uint64_t end;

	fake_cpu_reset();
	mtrr_read(&state); /* no MTRRs: all memory is write-back */
	ck_assert_uint_eq(mtrr_type(&state, 0, &end), MEMORY_WB);
	ck_assert_uint_eq(mtrr_type(&state, GIB(100), &end), MEMORY_WB);

	fake_cpuid(1, 0, (struct cpuid_result){.edx = 1u << 12});
	fake_msr(MSR_MTRRCAP, 2 | 1u << 8);
	fake_msr(MSR_MTRR_DEF_TYPE, DEF_ENABLE | DEF_FIXED | MEMORY_UC);
	fake_msr(MSR_MTRR_FIX64K, 0x0606060606060600ull);
	fake_msr(MSR_MTRR_FIX16K, 0x0404040404040404ull);
	fake_msr(MSR_MTRR_FIX16K + 1, 0);
	for (unsigned i = 0; i < 8; i++)
		fake_msr(MSR_MTRR_FIX4K + i, 0x0505050505050505ull);
	fake_msr(MSR_MTRR_PHYSBASE0, MEMORY_WB);
	fake_msr(MSR_MTRR_PHYSMASK0, (ALL & ~(GIB(1) - 1)) | VALID);
	fake_msr(MSR_MTRR_PHYSBASE0 + 2, GIB(1) | MEMORY_WC);
	fake_msr(MSR_MTRR_PHYSMASK0 + 2, (ALL & ~(MIB(256) - 1)) | VALID);
	mtrr_read(&state);
	ck_assert_uint_eq(mtrr_type(&state, 0, &end), MEMORY_UC);
	ck_assert_uint_eq(mtrr_type(&state, 0x10000, &end), MEMORY_WB);
	ck_assert_uint_eq(mtrr_type(&state, 0x80000, &end), MEMORY_WT);
	ck_assert_uint_eq(mtrr_type(&state, 0xfffff, &end), MEMORY_WP);
	ck_assert_uint_eq(mtrr_type(&state, MIB(1), &end), MEMORY_WB);
	ck_assert_uint_eq(mtrr_type(&state, GIB(1), &end), MEMORY_WC);
	ck_assert_uint_eq(end, GIB(1) + MIB(256));
	ck_assert_uint_eq(mtrr_type(&state, GIB(2), &end), MEMORY_UC);
	check_all();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("MTRRs");
	TCase *types = tcase_create("types");

	tcase_add_test(types, switched_off);
	tcase_add_test(types, a_pc);
	tcase_add_test(types, overlaps);
	tcase_add_loop_test(types, random_ranges, 0, 200);
	tcase_add_test(types, reads_the_registers);
	suite_add_tcase(suite, types);
	return suite;
}
