/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts between two CPUs, in both modes of the local APIC. */
#include "lib/apic.h"

const char guest_name[] = "ipi";

#define VECTOR	   0x51u
#define ROUNDS	   200u
#define SHOWER	   300u
#define FLAT	   0xffffffffu
#define CLUSTER	   0x0fffffffu
#define ALL_XAPIC  0xffu
#define ALL_X2APIC 0xffffffffu

static struct cpu *const first = &guest_cpus[0], *const second = &guest_cpus[1];
static volatile bool stop;
static volatile uint32_t nmis;

/* What the second CPU does meanwhile. */
static void compute(void *unused)
{
	(void)unused;
	interrupts_on();
	while (!stop)
		pause();
	interrupts_off();
}

static void sleep(void *unused)
{
	(void)unused;
	while (!stop)
		halt();
}

static void count_nmi(struct frame *frame)
{
	(void)frame;
	__atomic_fetch_add(&nmis, 1, __ATOMIC_SEQ_CST);
}

static void begin(void (*work)(void *))
{
	stop = false;
	cpu_begin(1, work, NULL);
	wait_us(1000);
}

/* Ends its work; the interrupt is for one that sleeps. */
static bool end(void)
{
	stop = true;
	apic_send(1, VECTOR + 1);
	return cpu_finish(1);
}

static void check_arrives(const char *name, uint32_t destination, uint32_t command)
{
	uint32_t before = second->count[VECTOR];

	apic_send(destination, command | VECTOR);
	check_true(name, wait_count(&second->count[VECTOR], before + 1));
}

static void check_both(const char *name, uint32_t destination, uint32_t command)
{
	uint32_t own = first->count[VECTOR];

	check_arrives(name, destination, command);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	check_equal("and here", own + 1, first->count[VECTOR]);
}

/* Waits for either CPU's count to go on. */
static bool taken_since(uint32_t sum)
{
	uint64_t end = rdtsc() + tsc_khz() * 10000;

	interrupts_on();
	while (first->count[VECTOR] + second->count[VECTOR] == sum && rdtsc() < end)
		pause();
	interrupts_off();
	return first->count[VECTOR] + second->count[VECTOR] != sum;
}

static void test_destinations(bool x2apic)
{
	uint32_t own = first->count[VECTOR], other;

	check_arrives("fixed, physical", 1, 0);
	if (x2apic) {
		check_arrives("fixed, logical", 2, DESTINATION_LOGICAL);
		check_both("fixed, logical, both", 3, DESTINATION_LOGICAL);
		check_both("fixed, broadcast by destination", ALL_X2APIC, 0);
	} else {
		check_both("fixed, broadcast by destination", ALL_XAPIC, 0);
	}
	check_both("fixed, all", 0, ICR_ALL);
	own = first->count[VECTOR];
	check_arrives("fixed, all others", 0, ICR_OTHERS);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	check_equal("and not here", own, first->count[VECTOR]);
	other = second->count[VECTOR];
	apic_send(x2apic ? ALL_X2APIC : ALL_XAPIC, VECTOR | DELIVERY_LOWEST);
	check_true("lowest priority: somebody takes it", taken_since(own + other));
	wait_us(2000);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	check_equal("lowest priority: one of two takes it", 1,
		    first->count[VECTOR] - own + second->count[VECTOR] - other);
	apic_send(1, DELIVERY_SIPI | GUEST_TRAMPOLINE >> 12);
	check_arrives("a start-up IPI to one that runs is nothing", 1, 0);
}

/* Logical destinations of xAPIC mode, with both processors' bits in one message. */
static void join(void *model)
{
	uint32_t dfr = (uint32_t)(uintptr_t)model, bit = 1u << this_cpu()->number;

	apic_write(APIC_DFR, dfr);
	apic_write(APIC_LDR, (dfr == FLAT ? bit : 0x20 | bit) << 24);
}

static bool both_join(uint32_t model)
{
	join((void *)(uintptr_t)model);
	cpu_begin(1, join, (void *)(uintptr_t)model);
	return cpu_finish(1);
}

static void test_logical(void)
{
	if (!check_true("flat model", both_join(FLAT)))
		return;
	begin(compute);
	check_arrives("logical, flat", 2, DESTINATION_LOGICAL);
	check_both("logical, flat, both", 3, DESTINATION_LOGICAL);
	check_both("logical, flat, everyone", ALL_XAPIC, DESTINATION_LOGICAL);
	check_true("it ends", end());
	if (!check_true("cluster model", both_join(CLUSTER)))
		return;
	begin(compute);
	check_arrives("logical, cluster", 0x22, DESTINATION_LOGICAL);
	check_both("logical, cluster, both", 0x23, DESTINATION_LOGICAL);
	check_both("logical, cluster, everyone", ALL_XAPIC, DESTINATION_LOGICAL);
	check_true("it ends", end());
	both_join(FLAT);
}

static void shower(void *unused)
{
	(void)unused;
	while (!stop)
		apic_send(0, VECTOR);
}

/* Interrupts that come from outside at any time, at one that opens no gap but STI's shadow. */
static void test_shadow(void)
{
	uint32_t enough = first->count[VECTOR] + SHOWER, early = 0;
	uint64_t patience = rdtsc() + tsc_khz() * 10000;

	begin(shower);
	while (first->count[VECTOR] < enough && rdtsc() < patience) {
		uint32_t before = first->count[VECTOR];

		__asm__ volatile("sti; cli" : : : "memory");
		early += first->count[VECTOR] != before;
		__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	}
	stop = true;
	check_true("a shower of interrupts: ends", cpu_finish(1));
	check_equal("a shower of interrupts: none in the shadow of STI", 0, early);
	check_true("a shower of interrupts: behind it", first->count[VECTOR] >= enough);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void test_nmi(void)
{
	trap_handle(VECTOR_NMI, count_nmi);
	nmis = 0;
	apic_send(1, DELIVERY_NMI);
	check_true("NMI", wait_count(&nmis, 1));
	apic_send(0, DELIVERY_NMI | ICR_OTHERS);
	check_true("NMI to all others", wait_count(&nmis, 2));
}

/* Sleeping and being woken, to and fro. */
static void answer(void *unused)
{
	(void)unused;
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		while (second->count[VECTOR] < i)
			halt();
		apic_send(0, VECTOR);
	}
}

static void test_rounds(void)
{
	uint32_t i;

	first->count[VECTOR] = second->count[VECTOR] = 0;
	cpu_begin(1, answer, NULL);
	for (i = 1; i <= ROUNDS; i++) {
		apic_send(1, VECTOR);
		while (first->count[VECTOR] < i)
			halt();
	}
	check_true("round trips of sleeping CPUs: the other's end", cpu_finish(1));
	check_equal("round trips: none lost here", ROUNDS, first->count[VECTOR]);
	check_equal("round trips: none lost there", ROUNDS, second->count[VECTOR]);
}

static void test_mode(bool x2apic)
{
	say("# %s mode\n", x2apic ? "x2APIC" : "xAPIC");
	apic_enable(x2apic);
	/* INIT ends whatever it did, so the second time it is an INIT of a CPU that runs. */
	if (!check_true("INIT and start-up IPI", cpu_start(1)))
		return;
	check_equal("its mode", x2apic, second->x2apic);
	begin(compute);
	test_destinations(x2apic);
	test_nmi();
	check_true("it ends", end());
	begin(sleep);
	check_arrives("fixed, to one that sleeps", 1, 0);
	nmis = 0;
	apic_send(1, DELIVERY_NMI);
	check_true("NMI to one that sleeps", wait_count(&nmis, 1));
	check_true("it ends", end());
	if (!x2apic)
		test_logical();
	test_shadow();
	test_rounds();
}

void guest_test(void)
{
	test_mode(false);
	test_mode(true);
	/* From x2APIC mode an INIT leads back to where it began: it is enabled in x2APIC mode
	 * still. */
	check_true("INIT in x2APIC mode", cpu_start(1));
}
