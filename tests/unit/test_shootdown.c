/* SPDX-License-Identifier: BSD-2-Clause */
/* NMIs to other CPUs: one under way at most, and one more when it seems lost. */
#include "arch/x86/asm.h"
#include "fake_cpu.h"
#include "hv/paging.h"
#include "hv/shootdown.h"
#include "unit.h"

#define APIC_BASE  0xfee00000ull
#define X2APIC	   (1ull << 10)
#define MSR_ICR	   0x830u
#define LOST_TICKS (1ull << 31) /* shootdown.c */

static uint32_t apic_page[1024];
static struct cpu other;

volatile uint32_t *paging_apic(void)
{
	return apic_page;
}

static void start(void)
{
	fake_cpu_reset();
	fake_msr(MSR_APIC_BASE, APIC_BASE | X2APIC);
	fake_msr(MSR_ICR, 0);
	fake_tsc(1000);
	other = (struct cpu){.index = 1, .apic_id = 7};
}

START_TEST(one_is_under_way_at_most)
{
	shootdown_kick(&other);
	ck_assert_uint_eq(fake_msr_writes(), 1);
	ck_assert_uint_eq(fake_msr_value(MSR_ICR), 7ull << 32 | 0x4400);
	shootdown_kick(&other);
	ck_assert_uint_eq(fake_msr_writes(), 1);
	ck_assert(shootdown_answer(&other));
	ck_assert(!shootdown_answer(&other)); /* the machine's */
	shootdown_kick(&other);
	ck_assert_uint_eq(fake_msr_writes(), 2);
}
END_TEST

/* A kick waits for nobody: without the second NMI a lost one would be the last. */
START_TEST(a_lost_one_is_sent_again)
{
	shootdown_kick(&other);
	fake_tsc(1000 + LOST_TICKS);
	shootdown_kick(&other);
	ck_assert_uint_eq(fake_msr_writes(), 2);
	shootdown_kick(&other); /* it has just been sent */
	ck_assert_uint_eq(fake_msr_writes(), 2);
	/* Both may come after all. */
	ck_assert(shootdown_answer(&other));
	ck_assert(shootdown_answer(&other));
	ck_assert(!shootdown_answer(&other));
}
END_TEST

START_TEST(an_icr_that_is_half_written_stays)
{
	fake_msr(MSR_APIC_BASE, APIC_BASE);
	apic_page[0x310 / 4] = 0x5a000000;
	shootdown_kick(&other);
	ck_assert_uint_eq(apic_page[0x300 / 4], 0x4400);
	ck_assert_uint_eq(apic_page[0x310 / 4], 0x5a000000);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("shootdown");
	TCase *nmis = tcase_create("NMIs");

	tcase_add_checked_fixture(nmis, start, NULL);
	tcase_add_test(nmis, one_is_under_way_at_most);
	tcase_add_test(nmis, a_lost_one_is_sent_again);
	tcase_add_test(nmis, an_icr_that_is_half_written_stays);
	suite_add_tcase(suite, nmis);
	return suite;
}
