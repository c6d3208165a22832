/* SPDX-License-Identifier: BSD-2-Clause */
/* Time by the TSC, whose rate the ACPI power-management timer gives (ACPI 6.4, section 4.8.2.1). */
#include "lib/guest.h"

#define PM_TIMER    0x608
#define PM_MASK	    0xffffffu
#define PM_KHZ	    3579545ull /* thousandths of kHz */
#define CALIBRATION 178977u    /* ticks: 50 ms */
#define ATTEMPTS    50u
#define ENOUGH	    100u /* ten thousandths */
#define PATIENCE_MS 10000u

static uint64_t khz;

/* Both clocks at one time: whoever answers the port may be held up at either side of reading it. */
struct moment {
	uint32_t pm;
	uint64_t before, after; /* TSC */
};

static struct moment look(void)
{
	struct moment m;

	m.before = rdtsc();
	m.pm = in32(PM_TIMER) & PM_MASK;
	m.after = rdtsc();
	return m;
}

static uint64_t calibrate(void)
{
	uint64_t best = ~0ull, rate = 0;

	/* Once is enough where nobody was held up for longer than a hundredth of the time. */
	for (unsigned i = 0; i < ATTEMPTS && best > ENOUGH; i++) {
		struct moment first = look(), last;
		uint64_t length, doubt;
		uint32_t ticks;

		do {
			last = look();
			ticks = (last.pm - first.pm) & PM_MASK;
		} while (ticks < CALIBRATION);
		length = last.after - first.before;
		doubt = ((first.after - first.before) + (last.after - last.before)) * 10000;
		if (doubt / length >= best)
			continue;
		best = doubt / length;
		rate = (length - doubt / 20000) * PM_KHZ / ticks / 1000;
	}
	return rate;
}

uint64_t tsc_khz(void)
{
	if (khz == 0)
		khz = calibrate();
	return khz;
}

/* In two parts, as a product of 64 bits would soon overflow. */
uint64_t tsc_ns(uint64_t ticks)
{
	uint64_t rate = tsc_khz();

	return ticks / rate * 1000000 + ticks % rate * 1000000 / rate;
}

bool wait_count(const volatile uint32_t *counter, uint32_t number)
{
	uint64_t end = rdtsc() + tsc_khz() * PATIENCE_MS;

	while (*counter < number) {
		dwell();
		if (rdtsc() > end)
			return false;
	}
	return true;
}

void wait_us(uint64_t microseconds)
{
	uint64_t end = rdtsc() + tsc_khz() * microseconds / 1000;

	while (rdtsc() < end)
		dwell();
}
