/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MC146818 real-time clock with its battery-backed memory (Motorola MC146818A data sheet; ICH9
 * data sheet, section 13.6).
 *
 * The clock is a number of nanoseconds ahead of vmm_now(); the ten time registers are made from it
 * when they are read. While they are being set (SET) or the divider is held in reset, they stand
 * still, and the clock is made from them when that ends.
 */
#include <string.h>
#include <time.h>

#include "vmm-user/vmm/devices/tick.h"
#include "vmm-user/vmm/machine.h"

#define RTC_VERSION	2u
#define RTC_GSI		8
#define RTC_BYTES	256
#define NANOSECONDS	1000000000ll
#define PERIODIC_HZ	32768ll
#define UIP_NANOSECONDS 244000ll /* UIP precedes the update by so much */
#define DAY_SECONDS	86400ll
#define LAST_SECOND	8000000000ll /* in 2223: more nanoseconds do not fit */

enum rtc_register {
	RTC_SECONDS = 0x00,
	RTC_SECONDS_ALARM = 0x01,
	RTC_MINUTES = 0x02,
	RTC_MINUTES_ALARM = 0x03,
	RTC_HOURS = 0x04,
	RTC_HOURS_ALARM = 0x05,
	RTC_DAY_OF_WEEK = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_BASE_MEMORY = 0x15,	    /* KiB below 1 MiB; 2 bytes */
	RTC_EXTENDED_MEMORY = 0x17, /* KiB from 1 MiB on, to 64 MiB at most; 2 bytes */
	RTC_EXTENDED_MEMORY2 = 0x30,
	RTC_CENTURY = 0x32,
	RTC_MEMORY_16M = 0x34, /* units of 64 KiB from 16 MiB on, below 4 GiB; 2 bytes */
	RTC_MEMORY_4G = 0x5b,  /* units of 64 KiB from 4 GiB on; 3 bytes */
	RTC_CPUS = 0x5f,       /* processors - 1 */
};

#define RTC_A_UIP      0x80u
#define RTC_A_DIVIDER  0x70u
#define RTC_A_RUNNING  0x20u /* the divider of a 32,768 Hz crystal */
#define RTC_A_RATE     0x0fu
#define RTC_B_SET      0x80u
#define RTC_B_PIE      0x40u
#define RTC_B_AIE      0x20u
#define RTC_B_UIE      0x10u
#define RTC_B_BINARY   0x04u
#define RTC_B_24_HOURS 0x02u
#define RTC_C_IRQF     0x80u
#define RTC_C_PF       0x40u
#define RTC_C_AF       0x20u
#define RTC_C_UF       0x10u
#define RTC_D_VALID    0x80u
#define HOURS_PM       0x80u
#define ALARM_ANY      0xc0u /* this or more: every value matches */

struct rtc_state {
	uint8_t cmos[RTC_BYTES];
	int64_t ahead;	/* nanoseconds: the clock - vmm_now(), while it runs */
	int64_t phase;	/* nanoseconds into the second at which it stands, while it does not */
	int64_t looked; /* second up to which UF and AF are right */
	int64_t ticks;	/* periodic ticks up to which PF is right */
	uint16_t owed;	/* periodic interrupts */
	uint8_t index, extended_index, legacy_replaced, reserved[3];
};

struct rtc {
	struct vmm *vmm;
	struct rtc_state *state;
	struct vmm_timer second, periodic;
};

/* Numbers ------------------------------------------------------------------------------------ */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
	return a - floor_div(a, b) * b;
}

static uint8_t encode(const struct rtc_state *state, int value)
{
	if (state->cmos[RTC_B] & RTC_B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc_state *state, uint8_t value)
{
	if (state->cmos[RTC_B] & RTC_B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hours(const struct rtc_state *state, int hours)
{
	uint8_t pm = hours >= 12 ? HOURS_PM : 0;

	if (state->cmos[RTC_B] & RTC_B_24_HOURS)
		return encode(state, hours);
	return (uint8_t)(encode(state, hours % 12 == 0 ? 12 : hours % 12) | pm);
}

static int decode_hours(const struct rtc_state *state, uint8_t value)
{
	int hours;

	if (state->cmos[RTC_B] & RTC_B_24_HOURS)
		return decode(state, value);
	hours = decode(state, value & (uint8_t)~HOURS_PM) % 12;
	return value & HOURS_PM ? hours + 12 : hours;
}

/* The clock and its registers ---------------------------------------------------------------- */

static bool running(const struct rtc_state *state)
{
	return (state->cmos[RTC_B] & RTC_B_SET) == 0 &&
	       (state->cmos[RTC_A] & RTC_A_DIVIDER) == RTC_A_RUNNING;
}

static int64_t clock_now(const struct rtc *rtc)
{
	return (int64_t)vmm_now(rtc->vmm) + rtc->state->ahead;
}

static void registers_from_clock(const struct rtc *rtc)
{
	struct rtc_state *state = rtc->state;
	time_t seconds = (time_t)floor_div(clock_now(rtc), NANOSECONDS);
	struct tm time;

	if (gmtime_r(&seconds, &time) == NULL)
		return;
	state->cmos[RTC_SECONDS] = encode(state, time.tm_sec);
	state->cmos[RTC_MINUTES] = encode(state, time.tm_min);
	state->cmos[RTC_HOURS] = encode_hours(state, time.tm_hour);
	state->cmos[RTC_DAY_OF_WEEK] = encode(state, time.tm_wday + 1);
	state->cmos[RTC_DAY] = encode(state, time.tm_mday);
	state->cmos[RTC_MONTH] = encode(state, time.tm_mon + 1);
	state->cmos[RTC_YEAR] = encode(state, (time.tm_year + 1900) % 100);
	state->cmos[RTC_CENTURY] = encode(state, (time.tm_year + 1900) / 100);
}

static void clock_from_registers(const struct rtc *rtc, int64_t phase)
{
	struct rtc_state *state = rtc->state;
	struct tm time = {
		.tm_sec = decode(state, state->cmos[RTC_SECONDS]),
		.tm_min = decode(state, state->cmos[RTC_MINUTES]),
		.tm_hour = decode_hours(state, state->cmos[RTC_HOURS]),
		.tm_mday = decode(state, state->cmos[RTC_DAY]),
		.tm_mon = decode(state, state->cmos[RTC_MONTH]) - 1,
		.tm_year = decode(state, state->cmos[RTC_CENTURY]) * 100 +
			   decode(state, state->cmos[RTC_YEAR]) - 1900,
	};
	int64_t seconds = (int64_t)timegm(&time);

	if (seconds > LAST_SECOND)
		seconds = LAST_SECOND;
	if (seconds < -LAST_SECOND)
		seconds = -LAST_SECOND;
	state->ahead = seconds * NANOSECONDS + phase - (int64_t)vmm_now(rtc->vmm);
	state->looked = seconds;
}

/* Alarm -------------------------------------------------------------------------------------- */

static bool matches(uint8_t alarm, int wanted, int value)
{
	return alarm >= ALARM_ANY || wanted == value;
}

/*
 * Whether the alarm goes off in a second of (from, to]. Whole days match if any second of them
 * does; an alarm that no time matches (25 o'clock) is none.
 */
static bool alarm_within(const struct rtc_state *state, int64_t from, int64_t to)
{
	uint8_t seconds = state->cmos[RTC_SECONDS_ALARM], minutes = state->cmos[RTC_MINUTES_ALARM],
		hours = state->cmos[RTC_HOURS_ALARM];
	int second = decode(state, seconds), minute = decode(state, minutes),
	    hour = decode_hours(state, hours);

	if (to - from > DAY_SECONDS)
		from = to - DAY_SECONDS;
	for (int64_t at = from + 1; at <= to;) {
		int in_day = (int)floor_mod(at, DAY_SECONDS);

		if (!matches(hours, hour, in_day / 3600))
			at += 3600 - in_day % 3600;
		else if (!matches(minutes, minute, in_day / 60 % 60))
			at += 60 - in_day % 60;
		else if (!matches(seconds, second, in_day % 60))
			at++;
		else
			return true;
	}
	return false;
}

/* Interrupts --------------------------------------------------------------------------------- */

/* Nanoseconds of vmm_now() of a periodic tick, and the other way round. */
static int64_t period(const struct rtc_state *state)
{
	unsigned rate = state->cmos[RTC_A] & RTC_A_RATE;

	if (rate == 0 || (state->cmos[RTC_A] & RTC_A_DIVIDER) != RTC_A_RUNNING)
		return 0;
	return 1ll << ((rate <= 2 ? rate + 7 : rate) - 1); /* in ticks of 32,768 Hz */
}

static int64_t periods_now(const struct rtc *rtc)
{
	int64_t length = period(rtc->state);
	__int128 ticks = (__int128)vmm_now(rtc->vmm) * PERIODIC_HZ / NANOSECONDS;

	return length == 0 ? 0 : (int64_t)(ticks / length);
}

static void update_irq(struct rtc *rtc)
{
	struct rtc_state *state = rtc->state;
	uint8_t flags = state->cmos[RTC_C] & (RTC_C_PF | RTC_C_AF | RTC_C_UF);
	bool level = (flags & state->cmos[RTC_B]) != 0;

	state->cmos[RTC_C] = (uint8_t)(flags | (level ? RTC_C_IRQF : 0));
	if (!state->legacy_replaced)
		irq_set(rtc->vmm, RTC_GSI, level);
}

/* Sets the flags of what has happened since they were last looked at. */
static void catch_up(struct rtc *rtc)
{
	struct rtc_state *state = rtc->state;
	int64_t ticks = periods_now(rtc);

	if (ticks > state->ticks) {
		/* Nobody has looked since the one before, or at those between. */
		bool waits = (state->cmos[RTC_C] & RTC_C_PF) != 0;

		if (state->cmos[RTC_B] & RTC_B_PIE)
			tick_owe(&state->owed, (uint64_t)(ticks - state->ticks) - !waits);
		state->cmos[RTC_C] |= RTC_C_PF;
	}
	state->ticks = ticks;
	if (running(state)) {
		int64_t second = floor_div(clock_now(rtc), NANOSECONDS);

		if (second > state->looked) {
			state->cmos[RTC_C] |= RTC_C_UF;
			if (alarm_within(state, state->looked, second))
				state->cmos[RTC_C] |= RTC_C_AF;
		}
		state->looked = second;
	}
	update_irq(rtc);
}

/* A timer runs only for a flag that is clear, and whose interrupt is enabled. */
static void schedule(struct rtc *rtc)
{
	struct rtc_state *state = rtc->state;
	uint8_t wanted = state->cmos[RTC_B] & (uint8_t)~state->cmos[RTC_C];
	int64_t length = period(state), at, soon;

	if ((wanted & RTC_B_PIE) && length != 0) {
		__int128 tick = (__int128)(state->ticks + 1) * length;

		at = (int64_t)((tick * NANOSECONDS + PERIODIC_HZ - 1) / PERIODIC_HZ);
		soon = (int64_t)vmm_now(rtc->vmm) + length * NANOSECONDS / PERIODIC_HZ / 2;
		if (state->owed > 0 && soon < at)
			at = soon;
		timer_set(rtc->vmm, &rtc->periodic, (uint64_t)at);
	} else {
		timer_clear(rtc->vmm, &rtc->periodic);
	}
	if ((wanted & (RTC_B_AIE | RTC_B_UIE)) && running(state)) {
		at = (state->looked + 1) * NANOSECONDS - state->ahead;
		timer_set(rtc->vmm, &rtc->second, (uint64_t)at);
	} else {
		timer_clear(rtc->vmm, &rtc->second);
	}
}

static void periodic_expired(void *device)
{
	struct rtc *rtc = device;
	struct rtc_state *state = rtc->state;

	/* Between two: one that is owed. */
	if (periods_now(rtc) == state->ticks && state->owed > 0 &&
	    (state->cmos[RTC_C] & RTC_C_PF) == 0) {
		state->owed--;
		state->cmos[RTC_C] |= RTC_C_PF;
	}
	catch_up(rtc);
	schedule(rtc);
}

static void expired(void *device)
{
	struct rtc *rtc = device;

	catch_up(rtc);
	schedule(rtc);
}

void rtc_legacy_replaced(struct vmm *vmm, bool replaced)
{
	struct rtc *rtc = vmm->rtc;

	if (rtc->state->legacy_replaced == replaced)
		return;
	irq_set(vmm, RTC_GSI, false);
	rtc->state->legacy_replaced = replaced;
	update_irq(rtc);
}

/* Registers ---------------------------------------------------------------------------------- */

static bool is_time(unsigned index)
{
	return index == RTC_CENTURY || index == RTC_SECONDS || index == RTC_MINUTES ||
	       index == RTC_HOURS || (index >= RTC_DAY_OF_WEEK && index <= RTC_YEAR);
}

static uint8_t cmos_read(struct rtc *rtc, unsigned index)
{
	struct rtc_state *state = rtc->state;
	uint8_t value;

	if (is_time(index) && running(state))
		registers_from_clock(rtc);
	value = state->cmos[index];
	switch (index) {
	case RTC_A:
		if (running(state) &&
		    floor_mod(clock_now(rtc), NANOSECONDS) >= NANOSECONDS - UIP_NANOSECONDS)
			value |= RTC_A_UIP;
		break;
	case RTC_C:
		catch_up(rtc);
		value = state->cmos[RTC_C];
		state->cmos[RTC_C] = 0;
		update_irq(rtc);
		schedule(rtc);
		break;
	case RTC_D:
		value = RTC_D_VALID;
		break;
	}
	return value;
}

/* Registers A and B: what stops and starts the clock. */
static void control_write(struct rtc *rtc, unsigned index, uint8_t value)
{
	struct rtc_state *state = rtc->state;
	bool was = running(state);
	bool held = (state->cmos[RTC_A] & RTC_A_DIVIDER) != RTC_A_RUNNING;

	catch_up(rtc);
	if (was) {
		registers_from_clock(rtc);
		state->phase = floor_mod(clock_now(rtc), NANOSECONDS);
		/* While SET holds the registers, the divider below the seconds goes on. */
		state->looked = floor_div(clock_now(rtc), NANOSECONDS);
	}
	if (index == RTC_A)
		value &= (uint8_t)~RTC_A_UIP;
	else if (value & RTC_B_SET)
		value &= (uint8_t)~RTC_B_UIE;
	state->cmos[index] = value;
	if (!was && running(state)) {
		/* The first update comes half a second after the divider is released. */
		if (held)
			state->phase = NANOSECONDS / 2;
		else
			state->phase = floor_mod(clock_now(rtc), NANOSECONDS);
		clock_from_registers(rtc, state->phase);
	}
	state->ticks = periods_now(rtc);
	/* Another rate, or none. */
	if (index == RTC_A || (value & RTC_B_PIE) == 0)
		state->owed = 0;
	update_irq(rtc);
	schedule(rtc);
}

static void cmos_write(struct rtc *rtc, unsigned index, uint8_t value)
{
	struct rtc_state *state = rtc->state;

	if (index == RTC_A || index == RTC_B) {
		control_write(rtc, index, value);
	} else if (index == RTC_C || index == RTC_D) {
		return;
	} else if (is_time(index) && running(state)) {
		/* Set without SET: it takes effect at once. */
		catch_up(rtc);
		registers_from_clock(rtc);
		state->cmos[index] = value;
		clock_from_registers(rtc, floor_mod(clock_now(rtc), NANOSECONDS));
		schedule(rtc);
	} else {
		catch_up(rtc);
		state->cmos[index] = value;
	}
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned bytes)
{
	struct rtc *rtc = device;

	if (bytes != 1 || offset % 2 == 0)
		return 0xff;
	return cmos_read(rtc, offset == 1 ? rtc->state->index : rtc->state->extended_index);
}

static void rtc_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct rtc *rtc = device;
	struct rtc_state *state = rtc->state;

	if (bytes != 1)
		return;
	switch (offset) {
	case 0: /* bit 7 masks NMIs, of which there are none */
		state->index = value & 0x7f;
		break;
	case 2: /* the second half of the memory */
		state->extended_index = (uint8_t)(value | 0x80);
		break;
	default:
		cmos_write(rtc, offset == 1 ? state->index : state->extended_index, (uint8_t)value);
	}
}

/* What firmware of the last century wants to know. */
static void set_sizes(struct rtc *rtc)
{
	uint8_t *cmos = rtc->state->cmos;
	uint64_t low = guest_memory_low(rtc->vmm), high = guest_memory_high(rtc->vmm) >> 16;
	uint64_t extended = low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0;
	uint64_t above = low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0;

	if (extended > 0xfc00)
		extended = 0xfc00;
	cmos[RTC_BASE_MEMORY] = 640 & 0xff;
	cmos[RTC_BASE_MEMORY + 1] = 640 >> 8;
	cmos[RTC_EXTENDED_MEMORY] = cmos[RTC_EXTENDED_MEMORY2] = (uint8_t)extended;
	cmos[RTC_EXTENDED_MEMORY + 1] = cmos[RTC_EXTENDED_MEMORY2 + 1] = (uint8_t)(extended >> 8);
	cmos[RTC_MEMORY_16M] = (uint8_t)above;
	cmos[RTC_MEMORY_16M + 1] = (uint8_t)(above >> 8);
	for (unsigned i = 0; i < 3; i++)
		cmos[RTC_MEMORY_4G + i] = (uint8_t)(high >> (8 * i));
	cmos[RTC_CPUS] = (uint8_t)(vmm_vcpus(rtc->vmm) - 1);
}

static void set_now(struct rtc *rtc, bool local_time)
{
	int64_t wall = vmm_wall_clock(rtc->vmm);
	time_t seconds = (time_t)floor_div(wall, NANOSECONDS);
	struct tm time;

	if (local_time && localtime_r(&seconds, &time) != NULL)
		wall += (int64_t)time.tm_gmtoff * NANOSECONDS;
	rtc->state->ahead = wall - (int64_t)vmm_now(rtc->vmm);
	rtc->state->looked = floor_div(wall, NANOSECONDS);
}

bool rtc_create(struct vmm *vmm, bool local_time)
{
	static struct rtc device;
	struct rtc *rtc = &device;
	const struct bus_range range = {"RTC", 0x70, 4, rtc_read, rtc_write, rtc};
	bool fresh;

	*rtc = (struct rtc){.vmm = vmm,
			    .second = {.expired = expired, .device = rtc},
			    .periodic = {.expired = periodic_expired, .device = rtc}};
	rtc->state = state_section(vmm, "rtc", 0, RTC_VERSION, sizeof(*rtc->state), &fresh);
	if (rtc->state == NULL)
		return false;
	if (fresh) {
		rtc->state->cmos[RTC_A] = RTC_A_RUNNING | 6; /* 1,024 Hz */
		rtc->state->cmos[RTC_B] = RTC_B_24_HOURS;
		set_sizes(rtc);
		set_now(rtc, local_time);
		registers_from_clock(rtc);
	}
	vmm->rtc = rtc;
	schedule(rtc);
	return bus_add(vmm, BUS_PORT, &range);
}
