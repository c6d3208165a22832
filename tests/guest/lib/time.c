/* SPDX-License-Identifier: BSD-2-Clause */
/* Time by the TSC, whose rate the ACPI power-management timer gives (ACPI 6.4, section 4.8.2.1). */
#include "lib/guest.h"

#define PM_TIMER    0x608
#define PM_MASK	    0xffffffu
#define PM_KHZ	    3579545ull /* thousandths of kHz */
#define CALIBRATION 35795u     /* ticks: 10 ms */
#define PATIENCE_MS 10000u

static uint64_t khz;

uint64_t tsc_khz(void)
{
	uint32_t first, ticks;
	uint64_t begun, end;

	if (khz != 0)
		return khz;
	first = in32(PM_TIMER) & PM_MASK;
	begun = rdtsc();
	do
		ticks = (in32(PM_TIMER) - first) & PM_MASK;
	while (ticks < CALIBRATION);
	end = rdtsc();
	khz = (end - begun) * PM_KHZ / ticks / 1000;
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
		pause();
		if (rdtsc() > end)
			return false;
	}
	return true;
}

void wait_us(uint64_t microseconds)
{
	uint64_t end = rdtsc() + tsc_khz() * microseconds / 1000;

	while (rdtsc() < end)
		pause();
}
