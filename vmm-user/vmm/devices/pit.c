/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254 interval timer of a PC, and port 0x61 (Intel 8254 data sheet; ICH9 data sheet, sections
 * 13.3 and 13.7.1). Nothing counts: outputs and counts are computed from the time, and only the
 * rising edges of counter 0, which is interrupt 0, have a timer.
 *
 * A counting sequence starts at tick `start`. What is here called its age is the number of ticks
 * since then.
 */
#include "vmm-user/vmm/devices/tick.h"
#include "vmm-user/vmm/machine.h"

#define PIT_VERSION 2u
#define PIT_HZ	    1193182ull
#define NANOSECONDS 1000000000ull
#define PIT_GSI	    0
#define COUNTERS    3
#define SPEAKER	    2 /* the counter that port 0x61 gates */

#define CONTROL_SELECT(value) ((value) >> 6 & 3)
#define CONTROL_READ_BACK     3
#define CONTROL_RW(value)     ((value) >> 4 & 3)
#define CONTROL_MODE(value)   ((value) >> 1 & 7)
#define CONTROL_BCD	      0x01u
#define READ_BACK_NO_COUNT    0x20u
#define READ_BACK_NO_STATUS   0x10u
#define STATUS_OUTPUT	      0x80u
#define STATUS_NULL_COUNT     0x40u
#define RW_LSB		      1
#define RW_MSB		      2
#define RW_BOTH		      3

#define PORT61_GATE    0x01u
#define PORT61_DATA    0x02u
#define PORT61_REFRESH 0x10u
#define PORT61_OUT2    0x20u
#define REFRESH_NS     15085

struct pit_counter {
	uint64_t start, next_start; /* ticks */
	uint32_t count, next_count; /* 1 .. 0x10000; next_count 0: there is none */
	uint8_t mode, rw, bcd, gate;
	uint8_t loaded;		       /* a count was written since the control word */
	uint8_t running;	       /* a sequence has been started */
	uint8_t write_high, read_high; /* the second of two bytes is next */
	uint8_t low;		       /* the first of two bytes written */
	uint8_t count_latched, status_latched, status;
	uint16_t latch;
	uint8_t halted, reserved; /* the gate stopped it: `age` is where */
	uint64_t age;
};

struct pit_state {
	struct pit_counter counter[COUNTERS];
	uint64_t next; /* tick of the edge of counter 0 that has not come yet; 0: none */
	uint16_t owed; /* edges */
	uint8_t port61, legacy_replaced, reserved[4];
};

struct pit {
	struct vmm *vmm;
	struct pit_state *state;
	struct vmm_timer timer;
};

static uint64_t ticks(struct vmm *vmm)
{
	return (uint64_t)((unsigned __int128)vmm_now(vmm) * PIT_HZ / NANOSECONDS);
}

static uint64_t tick_time(uint64_t tick)
{
	return (uint64_t)(((unsigned __int128)tick * NANOSECONDS + PIT_HZ - 1) / PIT_HZ);
}

static bool periodic(const struct pit_counter *counter)
{
	return counter->mode == 2 || counter->mode == 3;
}

/* Sequences ---------------------------------------------------------------------------------- */

static void begin(struct pit_counter *counter, uint64_t now)
{
	counter->start = now;
	counter->running = 1;
	counter->halted = 0;
	if (counter->next_count != 0)
		counter->count = counter->next_count;
	counter->next_count = 0;
}

/* A count written in modes 2 and 3 takes over when the current period ends. */
static void take_next(struct pit_counter *counter, uint64_t now)
{
	if (counter->next_count != 0 && counter->running && periodic(counter) &&
	    now >= counter->next_start)
		begin(counter, counter->next_start);
}

static uint64_t age(const struct pit_counter *counter, uint64_t now)
{
	return counter->halted ? counter->age : now - counter->start;
}

static bool output(const struct pit_counter *counter, uint64_t now)
{
	uint64_t elapsed = age(counter, now);
	uint32_t count = counter->count;

	if (!counter->running)
		return counter->mode != 0;
	switch (counter->mode) {
	case 0:
	case 1:
		return elapsed >= count;
	case 2:
		return counter->halted || elapsed % count != count - 1;
	case 3:
		return counter->halted || elapsed % count < (count + 1) / 2;
	default:
		return elapsed != count;
	}
}

static uint16_t current(const struct pit_counter *counter, uint64_t now)
{
	uint64_t elapsed = age(counter, now), range = counter->bcd ? 10000 : 0x10000;
	uint64_t value;

	if (!counter->running)
		value = counter->count;
	else if (counter->mode == 2)
		value = counter->count - elapsed % counter->count;
	else if (counter->mode == 3)
		value = counter->count - 2 * elapsed % counter->count;
	else
		value = (counter->count + range - elapsed % range) % range;
	value %= range;
	if (counter->bcd)
		value = value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
			value / 1000 << 12;
	return (uint16_t)value;
}

/* The tick of the next rising edge after `now`, or 0. */
static uint64_t next_edge(const struct pit_counter *counter, uint64_t now)
{
	uint64_t elapsed = now - counter->start;

	if (!counter->running || counter->halted)
		return 0;
	if (periodic(counter))
		return now + counter->count - elapsed % counter->count;
	if (counter->mode >= 4)
		return elapsed <= counter->count ? counter->start + counter->count + 1 : 0;
	return elapsed < counter->count ? counter->start + counter->count : 0;
}

/* Counter 0 and its interrupt ---------------------------------------------------------------- */

/*
 * One `now` for all that an access or a timer does: an edge that falls between two looks at the
 * clock would be one that nobody sees.
 */
static void schedule(struct pit *pit, uint64_t now)
{
	struct pit_state *state = pit->state;
	struct pit_counter *counter = &state->counter[0];
	uint64_t soon = now + (counter->count + 1) / 2;

	take_next(counter, now);
	state->next = next_edge(counter, now);
	if (state->next == 0 || !periodic(counter) || state->legacy_replaced)
		state->owed = 0;
	if (state->next == 0 || state->legacy_replaced)
		timer_clear(pit->vmm, &pit->timer);
	else if (state->owed > 0 && soon < state->next)
		timer_set(pit->vmm, &pit->timer, tick_time(soon));
	else
		timer_set(pit->vmm, &pit->timer, tick_time(state->next));
}

static void set_irq(struct pit *pit, uint64_t now)
{
	if (!pit->state->legacy_replaced)
		irq_set(pit->vmm, PIT_GSI, output(&pit->state->counter[0], now));
}

/* The output has been low for a tick at least, which nobody may have seen, and rises. */
static void rise(struct pit *pit)
{
	irq_set(pit->vmm, PIT_GSI, false);
	irq_set(pit->vmm, PIT_GSI, true);
}

/* The time of an edge, or of one that is owed. */
static void edge(void *device)
{
	struct pit *pit = device;
	struct pit_state *state = pit->state;
	uint64_t now = ticks(pit->vmm);
	bool waits = irq_waits(pit->vmm, PIT_GSI);

	if (now >= state->next) {
		if (periodic(&state->counter[0]))
			tick_owe(&state->owed,
				 (now - state->next) / state->counter[0].count + waits);
		rise(pit);
	} else if (state->owed > 0 && !waits) {
		state->owed--;
		rise(pit);
	}
	schedule(pit, now);
}

void pit_legacy_replaced(struct vmm *vmm, bool replaced)
{
	struct pit *pit = vmm->pit;
	uint64_t now = ticks(vmm);

	if (pit->state->legacy_replaced == replaced)
		return;
	/* The line is somebody else's now, and starts low. */
	irq_set(vmm, PIT_GSI, false);
	pit->state->legacy_replaced = replaced;
	set_irq(pit, now);
	schedule(pit, now);
}

/* Registers ---------------------------------------------------------------------------------- */

static void load(struct pit_counter *counter, uint32_t value, uint64_t now)
{
	uint32_t range = counter->bcd ? 10000 : 0x10000;

	if (counter->bcd)
		value = (value & 0xf) + 10 * (value >> 4 & 0xf) + 100 * (value >> 8 & 0xf) +
			1000 * (value >> 12);
	/* 0 is the largest count. A BCD digit above 9 is nonsense, and taken modulo the range. */
	value %= range;
	if (value == 0)
		value = range;
	/* Modes 2 and 3 divide by the count, and with 1 would never be low, or high. */
	if (periodic(counter) && value == 1)
		value = 2;
	take_next(counter, now);
	counter->next_count = value;
	counter->loaded = 1;
	if (periodic(counter) && counter->running && !counter->halted) {
		uint64_t elapsed = now - counter->start;

		counter->next_start = now + counter->count - elapsed % counter->count;
	} else if (counter->mode == 1 || counter->mode == 5) {
		if (!counter->running)
			counter->count = value;
		/* The gate's next rise starts it. */
	} else {
		begin(counter, now);
		counter->halted = !counter->gate;
		counter->age = 0;
	}
}

static void write_count(struct pit_counter *counter, uint8_t value, uint64_t now)
{
	switch (counter->rw) {
	case RW_LSB:
		load(counter, value, now);
		break;
	case RW_MSB:
		load(counter, (uint32_t)value << 8, now);
		break;
	case RW_BOTH:
		if (counter->write_high) {
			load(counter, counter->low | (uint32_t)value << 8, now);
		} else {
			counter->low = value;
			/* In mode 0 the first byte stops the count, and the output is low. */
			if (counter->mode == 0)
				counter->running = 0;
		}
		counter->write_high ^= 1;
		break;
	}
}

static void latch_count(struct pit_counter *counter, uint64_t now)
{
	if (counter->count_latched)
		return;
	counter->latch = current(counter, now);
	counter->count_latched = counter->rw == RW_BOTH ? 2 : 1;
}

static void read_back(struct pit *pit, unsigned value, uint64_t now)
{
	for (unsigned i = 0; i < COUNTERS; i++) {
		struct pit_counter *counter = &pit->state->counter[i];

		if ((value >> (i + 1) & 1) == 0)
			continue;
		take_next(counter, now);
		if ((value & READ_BACK_NO_COUNT) == 0)
			latch_count(counter, now);
		if ((value & READ_BACK_NO_STATUS) == 0 && !counter->status_latched) {
			bool null = !counter->loaded || counter->next_count != 0;

			counter->status =
				(uint8_t)((output(counter, now) ? STATUS_OUTPUT : 0) |
					  (null ? STATUS_NULL_COUNT : 0) | counter->rw << 4 |
					  counter->mode << 1 | counter->bcd);
			counter->status_latched = 1;
		}
	}
}

static void write_control(struct pit *pit, unsigned value, uint64_t now)
{
	struct pit_counter *counter;

	if (CONTROL_SELECT(value) == CONTROL_READ_BACK) {
		read_back(pit, value, now);
		return;
	}
	counter = &pit->state->counter[CONTROL_SELECT(value)];
	if (CONTROL_RW(value) == 0) {
		take_next(counter, now);
		latch_count(counter, now);
		return;
	}
	counter->rw = CONTROL_RW(value);
	counter->mode = CONTROL_MODE(value);
	if (counter->mode > 5)
		counter->mode -= 4; /* modes 2 and 3 have a bit that does not matter */
	counter->bcd = value & CONTROL_BCD;
	counter->loaded = counter->running = counter->halted = 0;
	counter->next_count = 0;
	counter->write_high = counter->read_high = 0;
	counter->count_latched = counter->status_latched = 0;
}

static uint8_t read_count(struct pit *pit, struct pit_counter *counter)
{
	uint64_t now = ticks(pit->vmm);
	uint16_t value;
	bool high;

	if (counter->status_latched) {
		counter->status_latched = 0;
		return counter->status;
	}
	take_next(counter, now);
	value = counter->count_latched ? counter->latch : current(counter, now);
	if (counter->count_latched)
		counter->count_latched--;
	high = counter->rw == RW_MSB || (counter->rw == RW_BOTH && counter->read_high);
	if (counter->rw == RW_BOTH)
		counter->read_high ^= 1;
	return (uint8_t)(high ? value >> 8 : value);
}

static uint64_t pit_read(void *device, uint64_t offset, unsigned bytes)
{
	struct pit *pit = device;

	if (bytes != 1 || offset >= COUNTERS)
		return ~0ull;
	return read_count(pit, &pit->state->counter[offset]);
}

static void pit_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct pit *pit = device;
	uint64_t now = ticks(pit->vmm);

	if (bytes != 1)
		return;
	if (offset < COUNTERS)
		write_count(&pit->state->counter[offset], (uint8_t)value, now);
	else
		write_control(pit, (unsigned)value, now);
	set_irq(pit, now);
	schedule(pit, now);
}

static void set_gate(struct pit_counter *counter, bool gate, uint64_t now)
{
	bool was = counter->gate != 0;

	take_next(counter, now);
	counter->gate = gate;
	if (was == gate || !counter->loaded)
		return;
	switch (counter->mode) {
	case 1:
	case 5:
		if (gate)
			begin(counter, now);
		break;
	case 2:
	case 3:
		/* Low stops it with the output high; the rise starts a new period. */
		if (gate)
			begin(counter, now);
		else
			counter->halted = 1;
		break;
	default: /* low holds the count, high lets it go on */
		if (!gate && !counter->halted) {
			counter->age = now - counter->start;
			counter->halted = 1;
		} else if (gate && counter->halted) {
			counter->start = now - counter->age;
			counter->halted = 0;
		}
	}
}

static uint64_t port61_read(void *device, uint64_t offset, unsigned bytes)
{
	struct pit *pit = device;
	struct pit_counter *counter = &pit->state->counter[SPEAKER];
	uint64_t value = pit->state->port61, now = ticks(pit->vmm);

	(void)offset;
	(void)bytes;
	take_next(counter, now);
	if (output(counter, now))
		value |= PORT61_OUT2;
	if (vmm_now(pit->vmm) / REFRESH_NS % 2)
		value |= PORT61_REFRESH;
	return value;
}

static void port61_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct pit *pit = device;

	(void)offset;
	(void)bytes;
	pit->state->port61 = (uint8_t)(value & (PORT61_GATE | PORT61_DATA));
	set_gate(&pit->state->counter[SPEAKER], (value & PORT61_GATE) != 0, ticks(pit->vmm));
}

bool pit_create(struct vmm *vmm)
{
	static struct pit device;
	struct pit *pit = &device;
	const struct bus_range counters = {"PIT", 0x40, 4, pit_read, pit_write, pit};
	const struct bus_range port61 = {"port 0x61", 0x61, 1, port61_read, port61_write, pit};
	bool fresh;

	*pit = (struct pit){.vmm = vmm, .timer = {.expired = edge, .device = pit}};
	pit->state = state_section(vmm, "pit", 0, PIT_VERSION, sizeof(*pit->state), &fresh);
	if (pit->state == NULL)
		return false;
	for (unsigned i = 0; i < COUNTERS; i++) {
		struct pit_counter *counter = &pit->state->counter[i];

		if (fresh)
			*counter = (struct pit_counter){
				.count = 0x10000, .mode = 3, .rw = RW_BOTH, .gate = i != SPEAKER};
		if (counter->count == 0 || counter->mode > 5) {
			vmm_log(vmm, "pit: counter %u was left in a state that does not exist", i);
			return false;
		}
	}
	vmm->pit = pit;
	schedule(pit, ticks(vmm));
	return bus_add(vmm, BUS_PORT, &counters) && bus_add(vmm, BUS_PORT, &port61);
}
