/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The high-precision event timer (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz and
 * three comparators, all of them able to be periodic.
 *
 * A comparator keeps the value that it waits for; what remains until then is computed from the
 * counter whenever something changes.
 */
#include "vmm-user/vmm/devices/tick.h"
#include "vmm-user/vmm/machine.h"

#define HPET_VERSION	 2u
#define HPET_BASE	 0xfed00000ull
#define HPET_BYTES	 0x400
#define HPET_TIMERS	 3u
#define TICK_NS		 10ull
#define TICK_FS		 10000000ull
#define SHORTEST_WAIT_NS 20000ull     /* a guest cannot make the event loop busier than that */
#define LONGEST_WAIT	 (1ull << 50) /* ticks: 130 days, then it is looked at again */

enum hpet_register {
	GCAP_ID = 0x000,
	GEN_CONF = 0x010,
	GINTR_STA = 0x020,
	MAIN_CNT = 0x0f0,
	TIMERS = 0x100,
	TIMER_BYTES = 0x20,
	TN_CONF = 0x00,
	TN_COMP = 0x08,
};

#define GCAP_VALUE                                                                                 \
	(TICK_FS << 32 | 0x8086ull << 16 | 1ull << 15 | 1ull << 13 | (HPET_TIMERS - 1) << 8 | 1)
#define ENABLE_CNF 1ull
#define LEG_RT_CNF 2ull

#define TN_INT_TYPE   (1ull << 1) /* level-triggered */
#define TN_INT_ENB    (1ull << 2)
#define TN_TYPE	      (1ull << 3) /* periodic */
#define TN_PER_CAP    (1ull << 4)
#define TN_SIZE_CAP   (1ull << 5)
#define TN_VAL_SET    (1ull << 6)
#define TN_32MODE     (1ull << 8)
#define TN_ROUTE(c)   ((unsigned)((c) >> 9 & 31))
#define TN_WRITABLE   (TN_INT_TYPE | TN_INT_ENB | TN_TYPE | TN_VAL_SET | TN_32MODE | 0x3e00ull)
#define ROUTES	      0x00f00000ull /* pins that nobody else has */
#define TN_CAPABLE    (ROUTES << 32 | TN_PER_CAP | TN_SIZE_CAP)
#define LEGACY_GSI(n) ((n) == 0 ? 0u : 8u)

struct hpet_timer_state {
	uint64_t config, comparator, period;
	uint16_t owed, reserved[3]; /* edges */
};

struct hpet_state {
	uint64_t config, status;
	uint64_t counter; /* while it stands; else what it was at `start` */
	uint64_t start;	  /* vmm_now() when it was started */
	struct hpet_timer_state timer[HPET_TIMERS];
};

struct hpet {
	struct vmm *vmm;
	struct hpet_state *state;
	/* vmm_now() when the access or the timer that is handled came. What falls between two looks
	 * at the clock would be lost. */
	uint64_t now;
	struct hpet_timer {
		struct hpet *hpet;
		unsigned number;
		struct vmm_timer timer;
	} timer[HPET_TIMERS];
};

static uint64_t counter(const struct hpet *hpet)
{
	const struct hpet_state *state = hpet->state;

	if ((state->config & ENABLE_CNF) == 0)
		return state->counter;
	return state->counter + (hpet->now - state->start) / TICK_NS;
}

static uint64_t width(const struct hpet_timer_state *timer)
{
	return timer->config & TN_32MODE ? 0xffffffffull : ~0ull;
}

/* Of a periodic timer, in ticks of the counter; 0: it is none. */
static uint64_t period(const struct hpet_timer_state *timer)
{
	return timer->config & TN_TYPE ? timer->period & width(timer) : 0;
}

/* Interrupts --------------------------------------------------------------------------------- */

/* The line of a timer, or 32 if it has none. */
static unsigned line(const struct hpet *hpet, unsigned number)
{
	unsigned route = TN_ROUTE(hpet->state->timer[number].config);

	if ((hpet->state->config & LEG_RT_CNF) && number < 2)
		return LEGACY_GSI(number);
	return ROUTES >> route & 1 ? route : 32;
}

static void set_line(struct hpet *hpet, unsigned gsi, bool level)
{
	if (gsi < 32)
		irq_set(hpet->vmm, gsi, level);
}

/* The levels of all level-triggered timers; two may share a line. */
static void update_lines(struct hpet *hpet)
{
	uint32_t low = 0, high = 0;

	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		const struct hpet_timer_state *timer = &hpet->state->timer[i];
		unsigned gsi = line(hpet, i);

		if (gsi == 32 || (timer->config & TN_INT_TYPE) == 0)
			continue;
		if ((hpet->state->status >> i & 1) && (timer->config & TN_INT_ENB) &&
		    (hpet->state->config & ENABLE_CNF))
			high |= 1u << gsi;
		else
			low |= 1u << gsi;
	}
	for (unsigned gsi = 0; gsi < 32; gsi++)
		if ((low | high) >> gsi & 1)
			irq_set(hpet->vmm, gsi, (high >> gsi & 1) != 0);
}

static void interrupt(struct hpet *hpet, unsigned number)
{
	const struct hpet_timer_state *timer = &hpet->state->timer[number];

	if (timer->config & TN_INT_TYPE) {
		hpet->state->status |= 1ull << number;
		update_lines(hpet);
	} else if (timer->config & TN_INT_ENB) {
		set_line(hpet, line(hpet, number), true);
		set_line(hpet, line(hpet, number), false);
	}
}

/* Waiting ------------------------------------------------------------------------------------ */

/* Ticks until the comparator matches: 1 .. 2^32 or 2^64 - 1, as one that matches now has fired. */
static uint64_t remaining(const struct hpet *hpet, unsigned number)
{
	const struct hpet_timer_state *timer = &hpet->state->timer[number];
	uint64_t ticks = (timer->comparator - counter(hpet)) & width(timer);

	if (ticks == 0)
		return width(timer) == ~0ull ? ~0ull : width(timer) + 1;
	return ticks;
}

static void schedule(struct hpet *hpet, unsigned number)
{
	struct vmm_timer *timer = &hpet->timer[number].timer;
	struct hpet_timer_state *state = &hpet->state->timer[number];
	uint64_t ticks = remaining(hpet, number), phase;

	if (period(state) == 0 || (state->config & TN_INT_TYPE) ||
	    (hpet->state->config & ENABLE_CNF) == 0)
		state->owed = 0;
	if ((hpet->state->config & ENABLE_CNF) == 0) {
		timer_clear(hpet->vmm, timer);
		return;
	}
	if (ticks > LONGEST_WAIT)
		ticks = LONGEST_WAIT;
	if (state->owed > 0 && ticks > period(state) / 2)
		ticks = period(state) / 2;
	phase = (hpet->now - hpet->state->start) % TICK_NS;
	timer_set(hpet->vmm, timer, hpet->now - phase + ticks * TICK_NS);
}

static void schedule_all(struct hpet *hpet)
{
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		schedule(hpet, i);
}

/* The comparator matched `late` ticks ago. */
static void matched(struct hpet *hpet, unsigned number, uint64_t late)
{
	struct hpet_timer_state *timer = &hpet->state->timer[number];
	uint64_t length = period(timer);

	if (length != 0) {
		timer->comparator =
			(timer->comparator + (late / length + 1) * length) & width(timer);
		tick_owe(&timer->owed, late / length + irq_waits(hpet->vmm, line(hpet, number)));
	}
	interrupt(hpet, number);
}

static void expired(void *device)
{
	struct hpet_timer *which = device;
	struct hpet *hpet = which->hpet;
	struct hpet_timer_state *timer = &hpet->state->timer[which->number];
	uint64_t late, soonest;

	hpet->now = vmm_now(hpet->vmm);
	late = (counter(hpet) - timer->comparator) & width(timer);
	soonest = hpet->now + SHORTEST_WAIT_NS;
	/* "Late" by half the range is early: for an edge that is owed, or it was a wait in pieces.
	 */
	if (late <= width(timer) / 2) {
		matched(hpet, which->number, late);
	} else if (timer->owed > 0 && !irq_waits(hpet->vmm, line(hpet, which->number))) {
		timer->owed--;
		interrupt(hpet, which->number);
	}
	schedule(hpet, which->number);
	if (which->timer.deadline != 0 && which->timer.deadline < soonest)
		timer_set(hpet->vmm, &which->timer, soonest);
}

/* Registers ---------------------------------------------------------------------------------- */

static uint64_t timer_read(const struct hpet *hpet, uint64_t offset)
{
	const struct hpet_timer_state *timer = &hpet->state->timer[(offset - TIMERS) / TIMER_BYTES];

	switch (offset % TIMER_BYTES) {
	case TN_CONF:
		return timer->config | TN_CAPABLE;
	case TN_COMP:
		return timer->comparator & width(timer);
	default:
		return 0;
	}
}

static uint64_t register_read(const struct hpet *hpet, uint64_t offset)
{
	switch (offset) {
	case GCAP_ID:
		return GCAP_VALUE;
	case GEN_CONF:
		return hpet->state->config;
	case GINTR_STA:
		return hpet->state->status;
	case MAIN_CNT:
		return counter(hpet);
	default:
		if (offset < TIMERS || offset >= TIMERS + HPET_TIMERS * TIMER_BYTES)
			return 0;
		return timer_read(hpet, offset);
	}
}

static void write_config(struct hpet *hpet, uint64_t value)
{
	struct hpet_state *state = hpet->state;
	uint64_t changed = state->config ^ value, legacy = value & LEG_RT_CNF;

	if (changed & ENABLE_CNF) {
		state->counter = counter(hpet);
		state->start = hpet->now;
	}
	state->config = value & (ENABLE_CNF | LEG_RT_CNF);
	if (changed & LEG_RT_CNF) {
		pit_legacy_replaced(hpet->vmm, legacy != 0);
		rtc_legacy_replaced(hpet->vmm, legacy != 0);
	}
	update_lines(hpet);
	schedule_all(hpet);
}

static void write_timer_config(struct hpet *hpet, unsigned number, uint64_t value)
{
	struct hpet_timer_state *timer = &hpet->state->timer[number];
	unsigned before = line(hpet, number);

	/* A line that it leaves, or that becomes one of edges, is let go. */
	if (timer->config & TN_INT_TYPE)
		set_line(hpet, before, false);
	timer->config = value & TN_WRITABLE;
	timer->owed = 0;
	if ((timer->config & TN_INT_TYPE) == 0)
		hpet->state->status &= ~(1ull << number);
	update_lines(hpet);
	schedule(hpet, number);
}

/* mask: the bits that are written, as a half of the register may be. */
static void write_comparator(struct hpet *hpet, unsigned number, uint64_t value, uint64_t mask)
{
	struct hpet_timer_state *timer = &hpet->state->timer[number];
	bool periodic = (timer->config & TN_TYPE) != 0;

	if (!periodic || (timer->config & TN_VAL_SET))
		timer->comparator = (timer->comparator & ~mask) | (value & mask);
	if (periodic)
		timer->period = (timer->period & ~mask) | (value & mask);
	/* It holds for one value: of 64 bits, both halves, the upper one last. */
	if ((timer->config & TN_32MODE) || mask >> 63)
		timer->config &= ~TN_VAL_SET;
	schedule(hpet, number);
}

static void register_write(struct hpet *hpet, uint64_t offset, uint64_t value, uint64_t mask)
{
	struct hpet_state *state = hpet->state;
	uint64_t merged = (register_read(hpet, offset) & ~mask) | (value & mask);
	unsigned number = (unsigned)((offset - TIMERS) / TIMER_BYTES);

	switch (offset) {
	case GEN_CONF:
		write_config(hpet, merged);
		return;
	case GINTR_STA:
		state->status &= ~(value & mask);
		update_lines(hpet);
		return;
	case MAIN_CNT:
		if ((state->config & ENABLE_CNF) == 0)
			state->counter = merged;
		return;
	}
	if (offset < TIMERS || number >= HPET_TIMERS)
		return;
	if (offset % TIMER_BYTES == TN_CONF)
		write_timer_config(hpet, number, merged);
	else if (offset % TIMER_BYTES == TN_COMP)
		write_comparator(hpet, number, value, mask);
}

static uint64_t hpet_read(void *device, uint64_t offset, unsigned bytes)
{
	struct hpet *hpet = device;

	if (bytes < 4 || offset % bytes != 0)
		return 0;
	if ((offset & ~7ull) == MAIN_CNT) /* the only one that tells the time */
		hpet->now = vmm_now(hpet->vmm);
	return register_read(hpet, offset & ~7ull) >> 8 * (offset % 8);
}

static void hpet_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct hpet *hpet = device;
	uint64_t mask = bytes == 8 ? ~0ull : 0xffffffffull << 8 * (offset % 8);

	if (bytes < 4 || offset % bytes != 0)
		return;
	if ((offset & ~7ull) != GINTR_STA)
		hpet->now = vmm_now(hpet->vmm);
	register_write(hpet, offset & ~7ull, value << 8 * (offset % 8), mask);
}

/* After the PIT and the RTC: it takes their interrupts over. */
bool hpet_create(struct vmm *vmm)
{
	static struct hpet device;
	struct hpet *hpet = &device;
	const struct bus_range range = {"HPET", HPET_BASE, HPET_BYTES, hpet_read, hpet_write, hpet};
	bool fresh;

	*hpet = (struct hpet){.vmm = vmm, .now = vmm_now(vmm)};
	hpet->state = state_section(vmm, "hpet", 0, HPET_VERSION, sizeof(*hpet->state), &fresh);
	if (hpet->state == NULL)
		return false;
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		hpet->timer[i] = (struct hpet_timer){
			hpet, i, {.expired = expired, .device = &hpet->timer[i]}};
		if (fresh)
			hpet->state->timer[i].comparator = ~0ull;
	}
	schedule_all(hpet);
	return bus_add(vmm, BUS_MEMORY, &range);
}
