/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers: each interrupt within a millisecond of its time, while the processor computes and while
 * it sleeps, never early; the clocks behind them against each other.
 *
 * Whoever emulates the machine may hold this processor up at any time, so what counts is the median
 * of many shots, and one good round of several is enough. A timer that waits for somebody's 4 ms
 * tick has a median of 2 ms in each round.
 */
#include "lib/apic.h"

const char guest_name[] = "timers";

#define VECTOR	   0x51u
#define SHOTS	   15u /* odd: the median is one of them */
#define ROUNDS	   4u
#define LIMIT_NS   1000000u
#define PERIOD_US  3000u
#define TAKEN_US   4000u /* what is taken back at once had so long */
#define QUIET_US   5000u
#define SETTLED	   0x52u
#define SETTLE_US  200000u
#define PIT_HZ	   1193182ull
#define PIT_PIN	   2
#define PIT_0	   0x40
#define PIT_MODE   0x43
#define PIT_SHOT   0x30 /* channel 0, both bytes, mode 0 */
#define PIT_RATE   0x34 /* mode 2 */
#define PIT_LATCH  0x00
#define RTC_INDEX  0x70
#define RTC_DATA   0x71
#define RTC_PIN	   8
#define RTC_A	   0x0a
#define RTC_B	   0x0b
#define RTC_C	   0x0c
#define RTC_128HZ  0x29 /* of the 32,768 Hz crystal */
#define RTC_HZ	   128ull
#define RTC_PIE	   0x40
#define HPET	   0xfed00000ull
#define HPET_CAPS  (HPET + 0x000)
#define HPET_RUN   (HPET + 0x010)
#define HPET_NOW   (HPET + 0x0f0)
#define HPET_TIMER (HPET + 0x100) /* of the first: configuration, comparator */
#define HPET_PIN   20
#define HPET_INT   (1u << 2 | HPET_PIN << 9)
#define HPET_EVERY (1u << 3 | 1u << 6) /* periodic; the next write sets the period */
#define FEMTO	   1000000000000000ull

static struct cpu *cpu;
static volatile uint64_t arrived[SHOTS + 1];
static volatile uint32_t arrivals;
static uint64_t late[SHOTS], early; /* ns */

/* A timer: begins something due `us` from now, or every `us`. Its interrupt is VECTOR. */
struct timer {
	const char *name;
	void (*prepare)(void);
	void (*start)(uint64_t us);
	void (*stop)(void);
	bool x2apic;
	bool has_phase; /* false: where its first period began is not known */
};

static uint64_t ticks_of(uint64_t us)
{
	return us * tsc_khz() / 1000;
}

/* Interrupts ----------------------------------------------------------------------------------- */

static void stamp(struct frame *frame)
{
	uint64_t now = rdtsc();

	(void)frame;
	if (arrivals <= SHOTS)
		arrived[arrivals] = now;
	arrivals++;
	apic_eoi();
}

/* The real-time clock gives no further interrupt until register C has been read. */
static uint8_t rtc_read(uint8_t index)
{
	out8(RTC_INDEX, index);
	return in8(RTC_DATA);
}

static void rtc_write(uint8_t index, uint8_t value)
{
	out8(RTC_INDEX, index);
	out8(RTC_DATA, value);
}

static void stamp_rtc(struct frame *frame)
{
	stamp(frame);
	rtc_read(RTC_C);
}

/* Waits for a number of interrupts, with interrupts off afterwards. */
static bool wait(uint32_t number, bool asleep)
{
	uint64_t end = rdtsc() + ticks_of(10000000);

	while (arrivals < number && rdtsc() < end) {
		if (asleep) {
			halt();
		} else {
			interrupts_on();
			while (arrivals < number && rdtsc() < end)
				dwell();
			interrupts_off();
		}
	}
	return arrivals >= number;
}

/* Takes what waits. */
static void drain(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

/* Nothing may come for a while. */
static void check_quiet(const char *name)
{
	uint32_t before = arrivals;

	interrupts_on();
	wait_us(QUIET_US);
	interrupts_off();
	check_equal(name, before, arrivals);
}

/* The timers ----------------------------------------------------------------------------------- */

static void lapic_prepare(void)
{
	apic_write(APIC_TDCR, 0xb); /* undivided */
	apic_write(APIC_LVT_TIMER, VECTOR);
}

static void lapic_prepare_periodic(void)
{
	apic_write(APIC_TDCR, 0);
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | VECTOR);
}

static void lapic_start(uint64_t us)
{
	apic_write(APIC_TMICT, (uint32_t)ticks_of(us));
}

static void lapic_start_halved(uint64_t us)
{
	apic_write(APIC_TMICT, (uint32_t)(ticks_of(us) / 2));
}

static void lapic_stop(void)
{
	apic_write(APIC_TMICT, 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

static void deadline_prepare(void)
{
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
}

static void deadline_start(uint64_t us)
{
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks_of(us));
}

static void deadline_stop(void)
{
	wrmsr(MSR_TSC_DEADLINE, 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

static void pit_write(uint8_t mode, uint64_t count)
{
	out8(PIT_MODE, mode);
	out8(PIT_0, (uint8_t)count);
	out8(PIT_0, (uint8_t)(count >> 8));
}

static void pit_prepare(void)
{
	/* Mode 0 without a count: the output is low, and stays so. */
	out8(PIT_MODE, PIT_SHOT);
	ioapic_set(PIT_PIN, VECTOR);
}

static void pit_start(uint64_t us)
{
	pit_write(PIT_SHOT, us * PIT_HZ / 1000000);
}

static void pit_start_periodic(uint64_t us)
{
	pit_write(PIT_RATE, us * PIT_HZ / 1000000);
}

static void pit_stop(void)
{
	out8(PIT_MODE, PIT_SHOT);
	ioapic_set(PIT_PIN, REDIRECTION_MASKED);
}

static uint64_t hpet_ticks(uint64_t us)
{
	return us * (FEMTO / 1000000) / (mmio_read64(HPET_CAPS) >> 32);
}

static void hpet_prepare(void)
{
	mmio_write(HPET_RUN, 0);
	mmio_write64(HPET_NOW, 0);
	ioapic_set(HPET_PIN, VECTOR);
	mmio_write(HPET_RUN, 1);
}

static void hpet_start(uint64_t us)
{
	mmio_write64(HPET_TIMER, HPET_INT);
	mmio_write64(HPET_TIMER + 8, mmio_read64(HPET_NOW) + hpet_ticks(us));
}

static void hpet_start_periodic(uint64_t us)
{
	uint64_t ticks = hpet_ticks(us);

	mmio_write(HPET_RUN, 0);
	mmio_write64(HPET_NOW, 0);
	mmio_write64(HPET_TIMER, HPET_INT | HPET_EVERY);
	mmio_write64(HPET_TIMER + 8, ticks);
	mmio_write64(HPET_TIMER + 8, ticks);
	mmio_write(HPET_RUN, 1);
}

static void hpet_stop(void)
{
	mmio_write64(HPET_TIMER, 0);
	mmio_write(HPET_RUN, 0);
	ioapic_set(HPET_PIN, REDIRECTION_MASKED);
}

static void rtc_prepare(void)
{
	trap_handle(VECTOR, stamp_rtc);
	ioapic_set(RTC_PIN, VECTOR);
}

static void rtc_start(uint64_t us)
{
	(void)us;
	rtc_write(RTC_A, RTC_128HZ);
	rtc_write(RTC_B, rtc_read(RTC_B) | RTC_PIE);
	rtc_read(RTC_C);
}

static void rtc_stop(void)
{
	rtc_write(RTC_B, rtc_read(RTC_B) & (uint8_t)~RTC_PIE);
	rtc_read(RTC_C);
	ioapic_set(RTC_PIN, REDIRECTION_MASKED);
	trap_handle(VECTOR, stamp);
}

/*
 * Sleeps for a while: what was said has to go through several programs to a serial line, and would
 * compete with whoever is to be in time.
 */
static void settle(void)
{
	uint32_t before = cpu->count[SETTLED];

	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, SETTLED);
	apic_write(APIC_TMICT, (uint32_t)ticks_of(SETTLE_US));
	while (cpu->count[SETTLED] == before)
		halt();
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

/* Single shots --------------------------------------------------------------------------------- */

static uint64_t median(void)
{
	for (unsigned i = 1; i < SHOTS; i++) {
		uint64_t value = late[i];
		unsigned j = i;

		for (; j > 0 && late[j - 1] > value; j--)
			late[j] = late[j - 1];
		late[j] = value;
	}
	return late[SHOTS / 2];
}

/* One shot: how late it was, and whether early. False: it did not come. */
static bool shoot(const struct timer *timer, unsigned i, bool asleep)
{
	uint64_t us = 1000 + i * 733 % 2500, before, after, length = ticks_of(us), at;

	for (;;) {
		drain();
		arrivals = 0;
		before = rdtsc();
		timer->start(us);
		after = rdtsc();
		if (after - before < length / 2)
			break;
		timer->stop(); /* held up for so long that its time may have been over */
		timer->prepare();
	}
	if (!wait(1, asleep))
		return false;
	at = arrived[0];
	late[i] = at > after + length ? tsc_ns(at - after - length) : 0;
	/* A hundredth is what is not known of the TSC's rate. */
	if (at + length / 100 < before + length && before + length - at > early)
		early = before + length - at;
	return true;
}

static void say_result(const char *what, uint64_t middle)
{
	say("# %s: median %d us late, the latest %d us\n", what, (int64_t)middle / 1000,
	    (int64_t)late[SHOTS - 1] / 1000);
}

static void test_shots(const struct timer *timer, bool asleep)
{
	uint64_t middle = ~0ull;

	say("# %s, %s\n", timer->name, asleep ? "asleep" : "computing");
	early = 0;
	for (unsigned round = 0; round < ROUNDS && middle > LIMIT_NS; round++) {
		settle();
		timer->prepare();
		for (unsigned i = 0; i < SHOTS; i++) {
			if (!shoot(timer, i, asleep)) {
				check_true("a shot comes", false);
				timer->stop();
				return;
			}
		}
		middle = median();
		say_result(timer->name, middle);
	}
	timer->stop();
	check_range("a shot's lateness (ns)", 0, LIMIT_NS, middle);
	check_equal("none comes early (ticks)", 0, early);
}

/* Periods -------------------------------------------------------------------------------------- */

/* How late the interrupts were if the first period began at `from`. */
static uint64_t lateness(uint64_t from, uint64_t period)
{
	for (unsigned i = 0; i < SHOTS; i++)
		late[i] = tsc_ns((arrived[i] - from) % period);
	return median();
}

/* The same if that is not known: from where they are the least late. */
static uint64_t least_lateness(uint64_t period)
{
	uint64_t least = ~0ull;

	for (unsigned i = 0; i < SHOTS; i++) {
		/* As if one period before: all differences are positive then. */
		uint64_t found = lateness(arrived[i] - period * 1024, period);

		if (found < least)
			least = found;
	}
	return least;
}

static void test_period(const struct timer *timer, uint64_t period_ns, bool asleep)
{
	uint64_t period = period_ns * tsc_khz() / 1000000, middle = ~0ull, start, length = 0;
	/* One that was held up may make up for it, or leave a few out. */
	uint64_t shortest = period * (SHOTS - 3), longest = period * (SHOTS + 3);

	say("# %s, %s\n", timer->name, asleep ? "asleep" : "computing");
	for (unsigned round = 0; round < ROUNDS; round++) {
		settle();
		drain();
		timer->prepare();
		arrivals = 0;
		start = rdtsc();
		timer->start(PERIOD_US);
		if (!wait(SHOTS, asleep)) {
			check_range("it goes on", SHOTS, SHOTS, arrivals);
			timer->stop();
			return;
		}
		timer->stop();
		middle = timer->has_phase ? lateness(start, period) : least_lateness(period);
		length = arrived[SHOTS - 1] - arrived[0];
		say_result(timer->name, middle);
		if (middle <= LIMIT_NS && length >= shortest && length <= longest)
			break;
	}
	check_range("a period's lateness (ns)", 0, LIMIT_NS, middle);
	check_range("all periods together (ticks)", shortest, longest, length);
	drain();
	check_quiet("it is quiet when stopped");
}

/* What is special ------------------------------------------------------------------------------ */

static void test_deadline(void)
{
	uint64_t deadline;

	say("# TSC deadline: the register\n");
	deadline_prepare();
	arrivals = 0;
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1);
	check_true("one that is over comes at once", wait(1, false));
	check_equal("and the register is 0 afterwards", 0, rdmsr(MSR_TSC_DEADLINE));
	deadline = rdtsc() + ticks_of(3600000000);
	wrmsr(MSR_TSC_DEADLINE, deadline);
	check_equal("it reads back", deadline, rdmsr(MSR_TSC_DEADLINE));
	deadline_start(TAKEN_US);
	wrmsr(MSR_TSC_DEADLINE, 0);
	check_quiet("0 takes it back");
	deadline_start(TAKEN_US);
	apic_write(APIC_LVT_TIMER, VECTOR);
	check_quiet("another mode takes it back");
	wrmsr(MSR_TSC_DEADLINE, rdtsc());
	check_equal("in another mode the register is 0", 0, rdmsr(MSR_TSC_DEADLINE));
	deadline_prepare();
	check_quiet("and what was written then is nothing");
	apic_write(APIC_TMICT, 1000);
	check_quiet("the count is nothing in deadline mode");
	deadline_stop();
}

/* The count goes down at the TSC's rate, divided. */
static void test_count(void)
{
	static const uint8_t divide[] = {0xb, 0, 1, 2, 3, 8, 9, 0xa};

	say("# the local APIC's count\n");
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	for (unsigned i = 0; i < ARRAY_COUNT(divide); i++) {
		uint64_t best = ~0ull, found = 0;

		apic_write(APIC_TDCR, divide[i]);
		apic_write(APIC_TMICT, 0xffffffff);
		/* What is held up between the two looks does not count. */
		for (unsigned attempt = 0; attempt < 20 && best > ticks_of(20); attempt++) {
			uint64_t t0 = rdtsc(), t1, t2, t3;
			uint32_t first = apic_read(APIC_TMCCT), last;

			t1 = rdtsc();
			wait_us(1000);
			t2 = rdtsc();
			last = apic_read(APIC_TMCCT);
			t3 = rdtsc();
			if (t1 - t0 + t3 - t2 >= best)
				continue;
			best = t1 - t0 + t3 - t2;
			found = ((uint64_t)(first - last) << i) * 1000 / ((t3 + t2 - t1 - t0) / 2);
		}
		check_range("thousandths of a tick", 900, 1100, found);
	}
	arrivals = 0;
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_TMICT, 1000);
	check_quiet("masked: nothing");
	check_equal("a shot that is over counts no more", 0, apic_read(APIC_TMCCT));
	apic_write(APIC_LVT_TIMER, VECTOR);
	check_quiet("unmasked too late: nothing");
	apic_write(APIC_TMICT, (uint32_t)ticks_of(TAKEN_US));
	apic_write(APIC_TMICT, 0);
	check_quiet("0 stops it");
	lapic_stop();
}

/* The rates of the clocks ---------------------------------------------------------------------- */

static uint64_t read_hpet(void)
{
	return mmio_read64(HPET_NOW);
}

/* Counts down. */
static uint64_t read_pit(void)
{
	uint32_t low;

	out8(PIT_MODE, PIT_LATCH);
	low = in8(PIT_0);
	return (0u - (low | (uint32_t)in8(PIT_0) << 8)) & 0xffff;
}

/* A clock's rate in Hz by the TSC, over about 20 ms. */
static uint64_t rate(uint64_t (*read)(void), uint64_t mask)
{
	uint64_t best = ~0ull, hz = 0;

	for (unsigned i = 0; i < 20 && best > ticks_of(40); i++) {
		uint64_t t0 = rdtsc(), first = read(), t1 = rdtsc(), t2, t3, last;

		wait_us(20000);
		t2 = rdtsc();
		last = read();
		t3 = rdtsc();
		if (t1 - t0 + t3 - t2 >= best)
			continue;
		best = t1 - t0 + t3 - t2;
		hz = ((last - first) & mask) * 1000000000ull / tsc_ns((t3 + t2 - t1 - t0) / 2);
	}
	return hz;
}

static void check_rate(const char *name, uint64_t expected, uint64_t found)
{
	check_range(name, expected - expected / 100, expected + expected / 100, found);
}

static void test_rates(void)
{
	struct cpuid_words crystal = cpuid(0x15, 0);

	say("# rates\n");
	say("# TSC: %d kHz by the ACPI timer\n", (int64_t)tsc_khz());
	if (cpuid(0, 0).a >= 0x15 && crystal.a != 0 && crystal.c != 0)
		check_rate("TSC, of CPUID leaf 0x15 (kHz)",
			   (uint64_t)crystal.c * crystal.b / crystal.a / 1000, tsc_khz());
	mmio_write(HPET_RUN, 1);
	check_rate("HPET", FEMTO / (mmio_read64(HPET_CAPS) >> 32), rate(read_hpet, ~0ull));
	mmio_write(HPET_RUN, 0);
	pit_write(PIT_RATE, 0);
	check_rate("PIT", PIT_HZ, rate(read_pit, 0xffff));
	out8(PIT_MODE, PIT_SHOT);
}

void guest_test(void)
{
	static const struct timer shots[] = {
		{"xAPIC one-shot", lapic_prepare, lapic_start, lapic_stop, false, true},
		{"TSC deadline", deadline_prepare, deadline_start, deadline_stop, false, true},
		{"x2APIC one-shot", lapic_prepare, lapic_start, lapic_stop, true, true},
		{"x2APIC TSC deadline", deadline_prepare, deadline_start, deadline_stop, true,
		 true},
		{"PIT one-shot", pit_prepare, pit_start, pit_stop, true, true},
		{"HPET one-shot", hpet_prepare, hpet_start, hpet_stop, true, true},
	};
	static const struct timer periods[] = {
		{"xAPIC periodic", lapic_prepare_periodic, lapic_start_halved, lapic_stop, false,
		 true},
		{"x2APIC periodic", lapic_prepare_periodic, lapic_start_halved, lapic_stop, true,
		 true},
		{"PIT periodic", pit_prepare, pit_start_periodic, pit_stop, true, true},
		{"HPET periodic", hpet_prepare, hpet_start_periodic, hpet_stop, true, false},
		{"RTC periodic", rtc_prepare, rtc_start, rtc_stop, true, false},
	};

	cpu = this_cpu();
	trap_handle(VECTOR, stamp);
	pic_init(0);
	apic_enable(false);
	test_rates();
	for (unsigned i = 0; i < ARRAY_COUNT(shots); i++) {
		apic_enable(shots[i].x2apic);
		test_shots(&shots[i], false);
		test_shots(&shots[i], true);
	}
	for (unsigned i = 0; i < ARRAY_COUNT(periods); i++) {
		uint64_t ns = periods[i].start == rtc_start ? 1000000000ull / RTC_HZ
							    : PERIOD_US * 1000ull;

		apic_enable(periods[i].x2apic);
		test_period(&periods[i], ns, false);
		test_period(&periods[i], ns, true);
	}
	apic_enable(false);
	test_deadline();
	test_count();
	apic_enable(true);
	test_deadline();
	test_count();
}
