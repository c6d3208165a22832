/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's clock: what a guest computes from it, and where it may lie. */
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "fake_machine.h"
#include "unit.h"

#define WALL_CLOCK  0x4b564d00
#define SYSTEM_TIME 0x4b564d01
#define FEATURES    (SOCLE_CPUID_SECOND + 1)
#define ADDRESS	    0x123440ull
#define SECOND	    1000000000ull

static struct vmm *vmm;
static struct vcpu *vcpu;

/* As a guest sees it: asm/pvclock-abi.h. */
struct time_info {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

static void start(void)
{
	vmm = fake_machine_start(2);
	vcpu = &vmm->vcpu[1];
}

static uint64_t nanoseconds(const struct time_info *info, uint64_t tsc)
{
	unsigned __int128 delta = tsc - info->tsc_timestamp;

	delta = info->shift < 0 ? delta >> -info->shift : delta << info->shift;
	return info->system_time + (uint64_t)(delta * info->mul >> 32);
}

START_TEST(time_at_any_frequency)
{
	static const uint64_t hz[] = {1000000,	  50000000,   999999999,  1000000000,
				      1000000001, 1999999999, 2000000000, 2000000001,
				      2606208801, 4000000000, 4000000001, 9999999999};
	const struct time_info *info = guest_memory(vmm, ADDRESS, sizeof(*info));
	const uint64_t offset = 0 - 12345678ull;

	for (unsigned i = 0; i < sizeof(hz) / sizeof(hz[0]); i++) {
		uint64_t day = hz[i] * 86400, found;

		vmm->config.tsc_hz = hz[i];
		vcpu->area->system.tsc_offset = offset;
		ck_assert(msr_write(vcpu, SYSTEM_TIME, ADDRESS | 1));
		ck_assert_uint_eq(info->version % 2, 0);
		ck_assert_uint_eq(info->version, 2 * (i + 1));
		ck_assert_uint_eq(info->flags, 1);
		ck_assert_uint_ge(info->mul, 1u << 31);
		found = nanoseconds(info, day + offset);
		ck_assert_uint_le(found, 86400 * SECOND);
		ck_assert_uint_ge(found, 86400 * SECOND - 86400);
	}
	ck_assert(msr_read(vcpu, SYSTEM_TIME, &(uint64_t){0}));
}
END_TEST

START_TEST(wall)
{
	const struct time_info *info = guest_memory(vmm, ADDRESS, sizeof(*info));
	const uint32_t *clock = guest_memory(vmm, ADDRESS + 64, 12);
	int64_t found;

	vmm->config.tsc_hz = 2000000000;
	ck_assert(msr_write(vcpu, SYSTEM_TIME, ADDRESS | 1));
	ck_assert(msr_write(vcpu, WALL_CLOCK, ADDRESS + 64));
	ck_assert_uint_eq(clock[0], 2);
	ck_assert_uint_lt(clock[2], SECOND);
	found = (int64_t)(clock[1] * SECOND + clock[2] + nanoseconds(info, __rdtsc()));
	ck_assert_int_lt(vmm_wall_clock(vmm) - found, (int64_t)(60 * SECOND));
	ck_assert_int_gt(vmm_wall_clock(vmm) - found, -(int64_t)SECOND);
}
END_TEST

START_TEST(places)
{
	uint8_t before[64], *memory = guest_memory(vmm, ADDRESS, sizeof(before));
	uint64_t value;

	vmm->config.tsc_hz = 2000000000;
	memcpy(before, memory, sizeof(before));
	ck_assert(!msr_write(vcpu, SYSTEM_TIME, (ADDRESS + 2) | 1));
	ck_assert(!msr_write(vcpu, SYSTEM_TIME, (FAKE_RAM_BYTES - 28) | 1));
	ck_assert(!msr_write(vcpu, SYSTEM_TIME, ~0ull));
	ck_assert(!msr_write(vcpu, WALL_CLOCK, FAKE_RAM_BYTES - 8));
	ck_assert(!msr_write(vcpu, WALL_CLOCK, ADDRESS + 1));
	ck_assert(msr_write(vcpu, SYSTEM_TIME, FAKE_RAM_BYTES - 28)); /* off */
	ck_assert(msr_write(vcpu, SYSTEM_TIME, 0));
	ck_assert_mem_eq(memory, before, sizeof(before));
	ck_assert(msr_write(vcpu, SYSTEM_TIME, (FAKE_RAM_BYTES - 32) | 1));
	ck_assert(msr_read(vcpu, SYSTEM_TIME, &value));
	ck_assert_uint_eq(value, (FAKE_RAM_BYTES - 32) | 1);
}
END_TEST

START_TEST(none_without_a_frequency)
{
	uint64_t value;

	vmm->config.tsc_hz = 0;
	cpuid_fill(vcpu);
	ck_assert_uint_eq(vcpu->area->cpuid[FEATURES].eax, 1u << 1);
	ck_assert(!msr_write(vcpu, SYSTEM_TIME, ADDRESS | 1));
	ck_assert(!msr_write(vcpu, WALL_CLOCK, ADDRESS));
	ck_assert(!msr_read(vcpu, SYSTEM_TIME, &value));
	vmm->config.tsc_hz = 2000000000;
	cpuid_fill(vcpu);
	ck_assert_uint_eq(vcpu->area->cpuid[FEATURES].eax, 1u << 1 | 1u << 3 | 1u << 24);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("kvm_clock");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_machine_stop);
	tcase_add_test(tests, time_at_any_frequency);
	tcase_add_test(tests, wall);
	tcase_add_test(tests, places);
	tcase_add_test(tests, none_without_a_frequency);
	suite_add_tcase(suite, tests);
	return suite;
}
