/* SPDX-License-Identifier: BSD-2-Clause */
/* The service VM's timer brought forward: in each of its modes, with each divisor, and only if it
 * would come too late. */
#include "arch/fake/fake_cpu.h"
#include "arch/x86/x86.h"
#include "hv/paging.h"
#include "hv/timer.h"
#include "unit.h"

#define HZ	      1000000000ull
#define REGISTER(n)   (MSR_X2APIC_FIRST + (n))
#define LVT	      0x32
#define TMICT	      0x38
#define TMCCT	      0x39
#define TDCR	      0x3e
#define MASKED	      (1u << 16)
#define PERIODIC      (1u << 17)
#define DEADLINE      (2u << 17)
#define VECTOR	      0xec
#define DIVIDE_1      0xb
#define COUNTS_A_TICK 4 /* of this machine: TSC ticks a count */

static volatile uint32_t apic[1024];

volatile uint32_t *paging_apic(void)
{
	return apic;
}

/*
 * A timer that counts once in four TSC ticks. Its current count is what a measurement of HZ / 1000
 * ticks finds, as that is the one time it is read with the initial count at its highest.
 */
static void start_x2apic(void)
{
	fake_start();
	fake_msr(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	fake_msr(MSR_TSC_DEADLINE, 0);
	fake_msr(REGISTER(LVT), 0);
	fake_msr(REGISTER(TMICT), 0);
	fake_msr(REGISTER(TMCCT), UINT32_MAX - HZ / 1000 / COUNTS_A_TICK);
	fake_msr(REGISTER(TDCR), 0);
	fake_tsc_step(1000);
	timer_init(HZ);
	ck_assert_uint_eq(fake_msr_value(REGISTER(LVT)), MASKED);
	ck_assert_uint_eq(fake_msr_value(REGISTER(TDCR)), DIVIDE_1);
	ck_assert_uint_eq(fake_msr_value(REGISTER(TMICT)), 0);
	fake_tsc_step(0);
	fake_tsc(HZ);
	fake_msr(REGISTER(TMCCT), 0);
}

static uint64_t bound(uint64_t ticks)
{
	fake_msr(REGISTER(TMICT), 0);
	timer_bound(HZ + ticks);
	return fake_msr_value(REGISTER(TMICT));
}

START_TEST(one_shot)
{
	fake_msr(REGISTER(LVT), VECTOR);
	fake_msr(REGISTER(TDCR), DIVIDE_1);
	ck_assert_uint_eq(bound(4000), 4000 / COUNTS_A_TICK + 1);
	ck_assert_uint_eq(bound(0), 1);
	/* one that is due sooner stays */
	fake_msr(REGISTER(TMCCT), 900);
	ck_assert_uint_eq(bound(4000), 0);
	fake_msr(REGISTER(TMCCT), 1100);
	ck_assert_uint_eq(bound(4000), 1001);
}
END_TEST

/* A deadline that has passed is one that is now. */
START_TEST(passed)
{
	fake_msr(REGISTER(LVT), VECTOR);
	fake_msr(REGISTER(TDCR), DIVIDE_1);
	timer_bound(HZ - 1);
	ck_assert_uint_eq(fake_msr_value(REGISTER(TMICT)), 1);
}
END_TEST

/* SDM volume 3, figure 11-10: 2, 4, 8, 16, 32, 64, 128, 1. */
START_TEST(divisors)
{
	static const uint32_t code[8] = {0, 1, 2, 3, 8, 9, 10, 11};
	static const uint64_t divisor[8] = {2, 4, 8, 16, 32, 64, 128, 1};

	fake_msr(REGISTER(LVT), VECTOR);
	fake_msr(REGISTER(TDCR), code[_i]);
	ck_assert_uint_eq(bound(1 << 20), (1 << 20) / COUNTS_A_TICK / divisor[_i] + 1);
}
END_TEST

START_TEST(deadline)
{
	fake_msr(REGISTER(LVT), VECTOR | DEADLINE);
	timer_bound(HZ + 5000);
	ck_assert_uint_eq(fake_msr_value(MSR_TSC_DEADLINE), HZ + 5000);
	timer_bound(HZ + 6000);
	ck_assert_uint_eq(fake_msr_value(MSR_TSC_DEADLINE), HZ + 5000);
	timer_bound(HZ + 4000);
	ck_assert_uint_eq(fake_msr_value(MSR_TSC_DEADLINE), HZ + 4000);
	ck_assert_uint_eq(fake_msr_value(REGISTER(TMICT)), 0);
}
END_TEST

/* 10 ms are far enough for the service VM's own tick; masked or periodic is not ours to change. */
START_TEST(left_alone)
{
	fake_msr(REGISTER(LVT), VECTOR);
	fake_msr(REGISTER(TDCR), DIVIDE_1);
	ck_assert_uint_eq(bound(HZ / 100), 0);
	ck_assert_uint_ne(bound(HZ / 100 - 1), 0);
	fake_msr(REGISTER(LVT), VECTOR | MASKED);
	ck_assert_uint_eq(bound(1000), 0);
	fake_msr(REGISTER(LVT), VECTOR | PERIODIC);
	ck_assert_uint_eq(bound(1000), 0);
	ck_assert_uint_eq(fake_msr_value(MSR_TSC_DEADLINE), 0);
}
END_TEST

START_TEST(near)
{
	uint64_t left;

	ck_assert(!timer_near(HZ + 1001, 1000, &left));
	ck_assert(timer_near(HZ + 1000, 1000, &left));
	ck_assert_uint_eq(left, 1000);
	ck_assert(timer_near(HZ - 1, 0, &left));
	ck_assert_uint_eq(left, 0);
	ck_assert(timer_near(0, 0, &left));
}
END_TEST

/* What was left is waited for, and next time it is early by less; by more if it was late. */
START_TEST(waits)
{
	const uint64_t most = HZ / 200000;

	ck_assert_uint_eq(timer_wait(HZ - 50, 900), 950);
	ck_assert_uint_eq(timer_wait(HZ - (most - 1), 900), most);
	/* a vCPU that did not run in time teaches nothing */
	ck_assert_uint_eq(timer_wait(HZ - most, 7), 7);
	ck_assert_uint_eq(timer_wait(0, 7), 7);
	fake_tsc_step(1);
	ck_assert_uint_eq(timer_wait(HZ + 801, 1000), 900);
	fake_tsc_step(0);
	ck_assert_uint_eq(rdtsc(), HZ + 801);
}
END_TEST

/* The same registers in memory. */
START_TEST(xapic)
{
	fake_msr(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE);
	apic[4 * LVT] = VECTOR;
	apic[4 * TDCR] = DIVIDE_1;
	timer_bound(HZ + 4000);
	ck_assert_uint_eq(apic[4 * TMICT], 1001);
	ck_assert_uint_eq(fake_msr_value(REGISTER(TMICT)), 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("timer");
	TCase *tests = tcase_create("timer");

	tcase_add_checked_fixture(tests, start_x2apic, NULL);
	tcase_add_test(tests, one_shot);
	tcase_add_test(tests, passed);
	tcase_add_loop_test(tests, divisors, 0, 8);
	tcase_add_test(tests, deadline);
	tcase_add_test(tests, left_alone);
	tcase_add_test(tests, near);
	tcase_add_test(tests, waits);
	tcase_add_test(tests, xapic);
	suite_add_tcase(suite, tests);
	return suite;
}
