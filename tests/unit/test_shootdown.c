/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs that tell each other things by NMI, on one thread: while one waits, the others do what the
 * test says. Both ways to send, NMIs that get lost, the machine's own, a CPU that is dead.
 */
#include <string.h>

#include "arch/fake/fake_cpu.h"
#include "arch/x86/x86.h"
#include "hv/cpus.h"
#include "hv/paging.h"
#include "hv/shootdown.h"
#include "unit.h"

#define CPUS	 3
#define ICR_LOW	 (0x300 / 4)
#define ICR_HIGH (0x310 / 4)
#define NMI	 0x4400u

static struct cpu *cpu[CPUS];
static unsigned flushes[CPUS], answers, dropped;
static volatile uint32_t apic[1024];
static uint32_t last_icr_high;
static bool deliver = true;
static struct arch_ops ops;
static struct spinlock lock;

volatile uint32_t *paging_apic(void)
{
	return apic;
}

static void flush(struct cpu *which)
{
	flushes[which->index]++;
}

static void answer(uint32_t index, struct cpu *back)
{
	fake_cpu_is(cpu[index]);
	ck_assert(shootdown_answer(cpu[index]));
	answers++;
	fake_cpu_is(back);
}

/* The APIC id that the last NMI went to, or -1; the ICR is then free again. */
static int sent_to(void)
{
	uint64_t icr = fake_msr_value(MSR_X2APIC_ICR);

	if (icr != 0) {
		ck_assert_uint_eq((uint32_t)icr, NMI);
		fake_msr(MSR_X2APIC_ICR, 0);
		return (int)(icr >> 32);
	}
	if (apic[ICR_LOW] == 0)
		return -1;
	ck_assert_uint_eq(apic[ICR_LOW], NMI);
	apic[ICR_LOW] = 0;
	return (int)(last_icr_high >> 24);
}

/* Time passes: NMIs that were sent arrive, unless they get lost. */
static void pass(void)
{
	for (uint32_t i = 1; i < CPUS; i++) {
		bool sent = __atomic_load_n(&cpu[i]->nmi_expected, __ATOMIC_RELAXED);

		if (sent && deliver)
			answer(i, cpu[0]);
	}
}

static void start(void)
{
	fake_start();
	ops = fake_ops;
	ops.cpu_flush = flush;
	arch = &ops;
	fake_msr(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	fake_msr(MSR_X2APIC_ICR, 0);
	for (uint32_t i = 0; i < CPUS; i++) {
		cpu[i] = fake_cpu_new(i, 10 + i);
		cpus_add(cpu[i]);
	}
	fake_cpu_is(cpu[0]);
	fake_tsc_step(1000);
	fake_on_pause(pass);
}

/* Everybody has flushed, second-level translations and its own, once. */
START_TEST(all_flush)
{
	shootdown();
	for (uint32_t i = 0; i < CPUS; i++) {
		ck_assert_uint_eq(flushes[i], 1);
		ck_assert(!cpu[i]->nmi_expected);
	}
	ck_assert_uint_eq(fake_flushes(), CPUS);
	ck_assert_uint_eq(answers, CPUS - 1);
	ck_assert_int_eq(sent_to(), 10 + CPUS - 1);
	shootdown();
	for (uint32_t i = 0; i < CPUS; i++)
		ck_assert_uint_eq(flushes[i], 2);
}
END_TEST

/* The service VM is between its two writes: it finds ICR's high half as it was. */
START_TEST(xapic_keeps_icr2)
{
	fake_msr(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE);
	apic[ICR_HIGH] = 0x42000000;
	fake_on_pause(NULL);
	shootdown_kick(cpu[1]);
	ck_assert_uint_eq(apic[ICR_HIGH], 0x42000000);
	ck_assert_uint_eq(apic[ICR_LOW], NMI);
	ck_assert_uint_eq(fake_msr_value(MSR_X2APIC_ICR), 0);
}
END_TEST

/* A busy ICR is waited for, not for ever. */
static void icr_becomes_free(void)
{
	if (++dropped == 10) {
		last_icr_high = apic[ICR_HIGH];
		apic[ICR_LOW] &= ~(1u << 12);
	}
}

START_TEST(xapic_waits)
{
	fake_msr(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE);
	apic[ICR_LOW] = 1u << 12 | 0x31;
	fake_on_pause(icr_becomes_free);
	shootdown_kick(cpu[1]);
	ck_assert_uint_ge(dropped, 10);
	ck_assert_uint_eq(last_icr_high, 0); /* it was not touched before it was free */
	ck_assert_uint_eq(apic[ICR_LOW], NMI);
}
END_TEST

/* One NMI is under way to a CPU at most. */
START_TEST(one_at_a_time)
{
	shootdown_kick(cpu[1]);
	ck_assert_int_eq(sent_to(), 11);
	shootdown_kick(cpu[1]);
	ck_assert_int_eq(sent_to(), -1);
	answer(1, cpu[0]);
	shootdown_kick(cpu[1]);
	ck_assert_int_eq(sent_to(), 11);
}
END_TEST

/* Nobody to kick: a vCPU that never ran, and this CPU, which is about to look by itself. */
START_TEST(no_kick)
{
	shootdown_kick(NULL);
	shootdown_kick(cpu[0]);
	ck_assert_int_eq(sent_to(), -1);
	ck_assert(!cpu[0]->nmi_expected);
}
END_TEST

/* What nobody asked for is the machine's. */
START_TEST(the_machines)
{
	fake_cpu_is(cpu[1]);
	ck_assert(!shootdown_answer(cpu[1]));
	ck_assert_uint_eq(flushes[1], 0);
	fake_cpu_is(cpu[0]);
	shootdown_kick(cpu[1]);
	answer(1, cpu[1]);
	ck_assert(!shootdown_answer(cpu[1]));
}
END_TEST

/* An NMI that gets lost is sent again; that makes two that may be ours. */
static void lost_once(void)
{
	int to = sent_to();

	if (to == 11 && dropped++ == 0)
		return;
	if (to == 11)
		answer(1, cpu[0]);
	else if (cpu[2]->nmi_expected)
		answer(2, cpu[0]);
}

START_TEST(lost)
{
	fake_tsc_step(1ull << 24);
	fake_on_pause(lost_once);
	cpu[2]->apic_id = 12;
	/* One call at a time, so that ICR shows each. */
	shootdown_kick(cpu[1]);
	ck_assert_int_eq(sent_to(), 11);
	dropped = 1;
	shootdown();
	ck_assert_uint_eq(flushes[1], 1);
	ck_assert(cpu[1]->nmi_spare);
	fake_cpu_is(cpu[1]);
	ck_assert(shootdown_answer(cpu[1])); /* the first, late */
	ck_assert(!shootdown_answer(cpu[1]));
}
END_TEST

/* A kick waits for nobody, so the next one finds out. */
START_TEST(lost_kick)
{
	shootdown_kick(cpu[1]);
	ck_assert_int_eq(sent_to(), 11);
	fake_tsc_step(1ull << 32);
	shootdown_kick(cpu[1]);
	ck_assert_int_eq(sent_to(), 11);
	ck_assert(cpu[1]->nmi_spare);
}
END_TEST

static void shoot(void *unused)
{
	(void)unused;
	shootdown();
}

START_TEST(dead)
{
	deliver = false;
	fake_tsc_step(1ull << 28);
	ck_assert(fake_panics(shoot, NULL));
	ck_assert_str_eq(fake_panic_text(), "CPU 1 does not answer NMIs");
}
END_TEST

/* Two shootdowns at once: a CPU that waits for the lock answers meanwhile. */
static void holder_works(void)
{
	if (++dropped < 3)
		return;
	/* CPU 1 has the lock and shoots; CPU 0, which waits for it, must flush. */
	if (dropped == 3) {
		fake_on_pause(NULL);
		fake_cpu_is(cpu[1]);
		cpu[2]->flushed = UINT64_MAX; /* another story */
		cpu[0]->flushed = UINT64_MAX;
		shootdown();
		cpu[0]->flushed = 0;
		fake_cpu_is(cpu[0]);
		fake_on_pause(holder_works);
		return;
	}
	ck_assert_uint_eq(flushes[0], 1);
	spin_unlock(&lock);
}

START_TEST(lock_answers)
{
	spin_lock_answering(&lock);
	ck_assert_int_eq(lock.taken, 1);
	ck_assert_uint_eq(flushes[0], 0);
	fake_on_pause(holder_works);
	spin_lock_answering(&lock);
	ck_assert_int_eq(lock.taken, 1);
	ck_assert_uint_eq(flushes[0], 1);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("shootdown");
	TCase *tests = tcase_create("shootdown");

	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_test(tests, all_flush);
	tcase_add_test(tests, xapic_keeps_icr2);
	tcase_add_test(tests, xapic_waits);
	tcase_add_test(tests, one_at_a_time);
	tcase_add_test(tests, no_kick);
	tcase_add_test(tests, the_machines);
	tcase_add_test(tests, lost);
	tcase_add_test(tests, lost_kick);
	tcase_add_test(tests, dead);
	tcase_add_test(tests, lock_answers);
	suite_add_tcase(suite, tests);
	return suite;
}
