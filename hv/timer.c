// SPDX-License-Identifier: BSD-2-Clause
#include "hv/timer.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "hv/paging.h"

/* Registers of the local APIC: the x2APIC MSR - 0x800, the offset / 16 (SDM volume 3, 11.5.4). */
#define APIC_LVT_TIMER 0x32
#define APIC_TMICT     0x38
#define APIC_TMCCT     0x39
#define APIC_TDCR      0x3e

#define LVT_MASKED    (1u << 16)
#define LVT_MODE(lvt) ((lvt) >> 17 & 3)
#define MODE_ONE_SHOT 0
#define MODE_DEADLINE 2
#define TDCR_1	      0xb /* divide by 1 */

#define MEASURE_PART 1000 /* of a second */
#define BOUND_PART   100
#define EARLY_PART   2000 /* of that */
#define CALMER	     8	  /* too early is corrected by this part of it, too late at once */

static uint64_t counts_per_tick; /* of the undivided timer, a TSC tick, in 1/2^32 */
static uint64_t bound_ticks;

static uint32_t read_register(unsigned number)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
		return (uint32_t)rdmsr(MSR_X2APIC_FIRST + number);
	return paging_apic()[4 * number];
}

static void write_register(unsigned number, uint32_t value)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
		wrmsr(MSR_X2APIC_FIRST + number, value);
	else
		paging_apic()[4 * number] = value;
}

void timer_init(uint64_t tsc_hz)
{
	uint64_t start, ticks;

	write_register(APIC_LVT_TIMER, LVT_MASKED);
	write_register(APIC_TDCR, TDCR_1);
	write_register(APIC_TMICT, UINT32_MAX);
	start = rdtsc();
	do
		ticks = rdtsc() - start;
	while (ticks < tsc_hz / MEASURE_PART);
	counts_per_tick = ((uint64_t)(UINT32_MAX - read_register(APIC_TMCCT)) << 32) /
			  (ticks != 0 ? ticks : 1);
	write_register(APIC_TMICT, 0);
	bound_ticks = tsc_hz / BOUND_PART;
}

/* The divide configuration's powers of two (figure 11-10). */
static unsigned divisor_shift(void)
{
	uint32_t value = read_register(APIC_TDCR);

	return (((value >> 1 & 4) | (value & 3)) + 1) & 7;
}

static void bound_deadline(uint64_t deadline)
{
	uint64_t armed = rdmsr(MSR_TSC_DEADLINE);

	if (armed == 0 || armed > deadline)
		wrmsr(MSR_TSC_DEADLINE, deadline);
}

/* ticks: from now. */
static void bound_one_shot(uint64_t ticks)
{
	uint64_t counts = (ticks * counts_per_tick >> 32 >> divisor_shift()) + 1;
	uint32_t left = read_register(APIC_TMCCT);

	if (left == 0 || left > counts)
		write_register(APIC_TMICT, (uint32_t)counts);
}

bool timer_bound(uint64_t deadline)
{
	uint64_t now = rdtsc();
	uint64_t ticks = deadline > now ? deadline - now : 0;
	uint32_t lvt;

	if (ticks >= bound_ticks)
		return false;
	lvt = read_register(APIC_LVT_TIMER);
	if (lvt & LVT_MASKED)
		return false;
	if (LVT_MODE(lvt) == MODE_DEADLINE)
		bound_deadline(now + ticks);
	else if (LVT_MODE(lvt) == MODE_ONE_SHOT)
		bound_one_shot(ticks);
	return LVT_MODE(lvt) == MODE_DEADLINE || LVT_MODE(lvt) == MODE_ONE_SHOT;
}

bool timer_near(uint64_t deadline, uint64_t early, uint64_t *left)
{
	uint64_t now = rdtsc();

	*left = now < deadline ? deadline - now : 0;
	return *left <= early;
}

uint64_t timer_wait(uint64_t deadline, uint64_t early)
{
	const uint64_t most = bound_ticks / EARLY_PART;
	uint64_t now = rdtsc(), late = now - deadline;

	if (now < deadline) {
		early -= (deadline - now) / CALMER;
		while (rdtsc() < deadline)
			;
	} else if (late < most) { /* much too late it is for another reason */
		early = early + late < most ? early + late : most;
	}
	return early;
}
