// SPDX-License-Identifier: BSD-2-Clause
#include "hv/apic.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/domain.h"
#include "hv/shootdown.h"

/* Numbers of registers (SDM volume 3, table 11-6). */
#define APIC_ID	       0x02
#define APIC_VERSION   0x03
#define APIC_PPR       0x0a
#define APIC_EOI_REG   0x0b
#define APIC_LDR       0x0d
#define APIC_SVR       0x0f
#define APIC_ISR       0x10
#define APIC_TMR       0x18
#define APIC_IRR       0x20
#define APIC_ESR       0x28
#define APIC_ICR       0x30
#define APIC_ICR_HIGH  0x31
#define APIC_LVT_TIMER 0x32
#define APIC_LVT_LINT0 0x35
#define APIC_LVT_ERROR 0x37
#define APIC_TMICT     0x38
#define APIC_TMCCT     0x39
#define APIC_TDCR      0x3e
#define APIC_SELF_IPI  0x3f
#define REGISTERS      0x40

#define MSR_X2APIC_LAST 0x8ff

#define SVR_ENABLED	   (1u << 8)
#define SVR_WRITABLE	   0x1ffu
#define LVT_MASKED	   (1u << 16)
#define LVT_WRITABLE	   0x1f7ffu
#define LVT_TIMER_WRITABLE 0x700ffu
#define TIMER_MODE(lvt)	   ((lvt) >> 17 & 3)
#define TIMER_PERIODIC	   1
#define TIMER_TSC_DEADLINE 2
#define ICR_MODE(icr)	   ((icr) >> 8 & 7)
#define ICR_LOGICAL	   (1ull << 11)
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)
#define SHORTHAND_SELF	   1
#define SHORTHAND_ALL	   2
#define SHORTHAND_OTHERS   3
#define BROADCAST	   0xffffffffu
#define FIRST_VECTOR	   16 /* lower ones are illegal (section 11.5.2) */

static uint32_t get(const struct vcpu *vcpu, unsigned n)
{
	return *(volatile const uint32_t *)&vcpu->area->apic[4 * n];
}

static void put(struct vcpu *vcpu, unsigned n, uint32_t value)
{
	*(volatile uint32_t *)&vcpu->area->apic[4 * n] = value;
}

/* The highest vector of a 256-bit register; -1: none is set. */
static inline int highest(const struct vcpu *vcpu, unsigned first)
{
#pragma GCC unroll 8
	for (int i = 7; i >= 0; i--) {
		uint32_t bits = get(vcpu, first + (unsigned)i);

		if (bits != 0)
			return i * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

static void set_bit(struct vcpu *vcpu, unsigned first, unsigned vector)
{
	put(vcpu, first + vector / 32, get(vcpu, first + vector / 32) | 1u << vector % 32);
}

static void clear_bit(struct vcpu *vcpu, unsigned first, unsigned vector)
{
	put(vcpu, first + vector / 32, get(vcpu, first + vector / 32) & ~(1u << vector % 32));
}

/* The processor's priority (section 11.8.3.1). */
static uint32_t priority(const struct vcpu *vcpu)
{
	uint32_t tpr = get(vcpu, APIC_TPR) & 0xff;
	int in_service = highest(vcpu, APIC_ISR);

	if (in_service >= 0 && (uint32_t)in_service >> 4 > tpr >> 4)
		return (uint32_t)in_service & 0xf0;
	return tpr;
}

/* The timer
 * ------------------------------------------------------------------------------------------ */

/* The timer counts the host's TSC, divided (section 11.5.4; figure 11-10). */
static uint64_t divisor(const struct vcpu *vcpu)
{
	uint32_t value = get(vcpu, APIC_TDCR);
	unsigned shift = ((value >> 1 & 4) | (value & 3)) + 1;

	return 1ull << (shift & 7);
}

static uint64_t period(const struct vcpu *vcpu)
{
	return get(vcpu, APIC_TMICT) * divisor(vcpu);
}

static void check_timer(struct vcpu *vcpu)
{
	uint64_t deadline = vcpu->area->timer_deadline, now, step;
	uint32_t lvt;

	if (deadline == 0)
		return;
	now = rdtsc() + vcpu->timer_ahead;
	if (now < deadline)
		return;
	lvt = get(vcpu, APIC_LVT_TIMER);
	step = period(vcpu);
	if (TIMER_MODE(lvt) == TIMER_PERIODIC && step != 0)
		vcpu->area->timer_deadline = now + step - (now - deadline) % step;
	else
		vcpu->area->timer_deadline = 0;
	if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= FIRST_VECTOR)
		set_bit(vcpu, APIC_IRR, lvt & 0xff);
}

static uint32_t timer_count(const struct vcpu *vcpu)
{
	uint64_t deadline = vcpu->area->timer_deadline, now = rdtsc();

	if (TIMER_MODE(get(vcpu, APIC_LVT_TIMER)) == TIMER_TSC_DEADLINE || deadline <= now)
		return 0;
	return (uint32_t)((deadline - now) / divisor(vcpu));
}

/* Interrupts
 * ----------------------------------------------------------------------------------------- */

static void take_posted(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t bits;

		if (*(volatile uint64_t *)&vcpu->area->posted[i] == 0)
			continue;
		bits = __atomic_exchange_n(&vcpu->area->posted[i], 0, __ATOMIC_ACQ_REL);
		put(vcpu, APIC_IRR + 2 * i, get(vcpu, APIC_IRR + 2 * i) | (uint32_t)bits);
		put(vcpu, APIC_IRR + 2 * i + 1,
		    get(vcpu, APIC_IRR + 2 * i + 1) | (uint32_t)(bits >> 32));
	}
}

/* The interrupt that the priorities allow; -1: none. */
static int deliverable(struct vcpu *vcpu)
{
	int vector;

	check_timer(vcpu);
	take_posted(vcpu);
	vector = highest(vcpu, APIC_IRR);
	vcpu->requests = vector >= 0;
	vcpu->waiting = 0;
	if (vector < FIRST_VECTOR || !(get(vcpu, APIC_SVR) & SVR_ENABLED))
		return -1;
	if (vector >> 4 <= highest(vcpu, APIC_ISR) >> 4)
		return -1;
	if ((uint32_t)vector >> 4 > (get(vcpu, APIC_TPR) & 0xff) >> 4)
		return vector;
	vcpu->waiting = (uint8_t)vector;
	vcpu->priority_open = true;
	return -1;
}

bool apic_has_interrupt(struct vcpu *vcpu)
{
	if (vcpu->virtual_interrupts)
		vcpu->requests = true; /* the processor may have put some there */
	return apic_is_worth_a_look(vcpu) && deliverable(vcpu) >= 0;
}

/* The processor compares the priorities, when it enters and when the guest changes them. */
static void tell_processor(struct vcpu *vcpu)
{
	int requested, in_service;

	check_timer(vcpu);
	take_posted(vcpu);
	vcpu->requests = false;
	requested = get(vcpu, APIC_SVR) & SVR_ENABLED ? highest(vcpu, APIC_IRR) : 0;
	in_service = highest(vcpu, APIC_ISR);
	vcpu->apic_status = (uint16_t)((in_service < 0 ? 0 : in_service) << 8 |
				       (requested < FIRST_VECTOR ? 0 : requested));
	vcpu->apic_stale = true;
}

void apic_deliver_now(struct vcpu *vcpu)
{
	int vector;

	if (vcpu->virtual_interrupts) {
		tell_processor(vcpu);
		return;
	}
	vector = deliverable(vcpu);
	if (vector < 0 || !arch->guest_interrupt(vcpu, (uint8_t)vector))
		return;
	clear_bit(vcpu, APIC_IRR, (unsigned)vector);
	set_bit(vcpu, APIC_ISR, (unsigned)vector);
}

/* Sets an interrupt and sees that the vCPU notices. Gives its bit if it sleeps. */
static uint64_t post(struct vcpu *vcpu, unsigned vector)
{
	/* An IPI is edge-triggered: its EOI is nobody's business (section 11.8.4). */
	__atomic_fetch_and(&vcpu->area->apic[4 * (APIC_TMR + vector / 32)], ~(1u << vector % 32),
			   __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&vcpu->area->posted[vector / 64], 1ull << vector % 64, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->running, __ATOMIC_SEQ_CST) != 0) {
		shootdown_kick(vcpu->cpu);
		return 0;
	}
	return __atomic_load_n(&vcpu->area->where, __ATOMIC_SEQ_CST) == SOCLE_WHERE_IDLE
		       ? 1ull << vcpu->number
		       : 0;
}

static bool in_x2apic_mode(const struct vcpu *vcpu)
{
	return (vcpu->area->apic_base & APIC_BASE_X2APIC) != 0;
}

/* True if an IPI is for this vCPU (section 11.12.9). */
static bool is_target(const struct vcpu *from, const struct vcpu *to, uint64_t icr)
{
	uint32_t destination = (uint32_t)(icr >> 32);
	uint32_t ldr;

	switch (ICR_SHORTHAND(icr)) {
	case SHORTHAND_SELF:
		return to == from;
	case SHORTHAND_ALL:
		return true;
	case SHORTHAND_OTHERS:
		return to != from;
	}
	if (destination == BROADCAST)
		return true;
	if (!(icr & ICR_LOGICAL)) /* in xAPIC mode the number is in the upper byte */
		return (in_x2apic_mode(to) ? get(to, APIC_ID) : get(to, APIC_ID) >> 24) ==
		       destination;
	ldr = get(to, APIC_LDR);
	return destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff) != 0;
}

static enum apic_result send_ipi(struct vcpu *vcpu, uint64_t icr, uint64_t *detail)
{
	struct domain *domain = vcpu->domain;

	*detail = icr;
	if (ICR_MODE(icr) != 0)
		return APIC_IPI;
	if ((icr & 0xff) < FIRST_VECTOR)
		return APIC_DONE; /* an illegal vector is sent to nobody */
	*detail = 0;
	for (unsigned i = 0; i < SOCLE_MAX_VCPUS; i++) {
		struct vcpu *to = __atomic_load_n(&domain->vcpu[i], __ATOMIC_ACQUIRE);

		if (to != NULL && is_target(vcpu, to, icr))
			*detail |= post(to, icr & 0xff);
	}
	return *detail != 0 ? APIC_WAKE : APIC_DONE;
}

static enum apic_result write_icr(struct vcpu *vcpu, uint64_t icr, uint64_t *detail)
{
	put(vcpu, APIC_ICR, (uint32_t)icr);
	put(vcpu, APIC_ICR_HIGH, (uint32_t)(icr >> 32));
	return send_ipi(vcpu, icr, detail);
}

/* Registers
 * ------------------------------------------------------------------------------------------ */

static bool in_deadline_mode(const struct vcpu *vcpu)
{
	return TIMER_MODE(get(vcpu, APIC_LVT_TIMER)) == TIMER_TSC_DEADLINE;
}

static __attribute__((noinline)) enum apic_result read_deadline(const struct vcpu *vcpu,
								uint64_t *value)
{
	uint64_t deadline = vcpu->area->timer_deadline;

	*value = in_deadline_mode(vcpu) && deadline != 0 ? deadline + vcpu->tsc_offset : 0;
	return APIC_DONE;
}

static __attribute__((noinline)) enum apic_result write_deadline(struct vcpu *vcpu, uint64_t value)
{
	if (in_deadline_mode(vcpu))
		vcpu->area->timer_deadline = value != 0 ? value - vcpu->tsc_offset : 0;
	return APIC_DONE;
}

enum apic_result apic_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	uint32_t n = msr - MSR_X2APIC_FIRST;

	if (n > MSR_X2APIC_LAST - MSR_X2APIC_FIRST)
		return msr == MSR_TSC_DEADLINE ? read_deadline(vcpu, value) : APIC_OTHER;
	if (!in_x2apic_mode(vcpu))
		return APIC_FAULT;
	switch (n) {
	case APIC_ID:
	case APIC_VERSION:
	case APIC_TPR:
	case APIC_LDR:
	case APIC_SVR:
	case APIC_ISR ... APIC_ESR:
	case APIC_LVT_TIMER ... APIC_TMICT:
	case APIC_TDCR:
		if (n >= APIC_IRR && n < APIC_ESR) {
			take_posted(vcpu);
			vcpu->requests = true;
		}
		*value = get(vcpu, n);
		return APIC_DONE;
	case APIC_PPR:
		*value = priority(vcpu);
		return APIC_DONE;
	case APIC_ICR:
		*value = get(vcpu, APIC_ICR) | (uint64_t)get(vcpu, APIC_ICR_HIGH) << 32;
		return APIC_DONE;
	case APIC_TMCCT:
		*value = timer_count(vcpu);
		return APIC_DONE;
	default:
		return APIC_FAULT;
	}
}

static enum apic_result write_eoi(struct vcpu *vcpu, uint64_t *detail)
{
	int vector = highest(vcpu, APIC_ISR);

	if (vector < 0)
		return APIC_DONE;
	clear_bit(vcpu, APIC_ISR, (unsigned)vector);
	*detail = (uint64_t)vector;
	return get(vcpu, APIC_TMR + (unsigned)vector / 32) >> vector % 32 & 1 ? APIC_EOI
									      : APIC_DONE;
}

/* An entry of the vector table as it is kept: masked while the local APIC is switched off. */
static uint32_t masked(const struct vcpu *vcpu, uint32_t entry)
{
	return get(vcpu, APIC_SVR) & SVR_ENABLED ? entry : entry | LVT_MASKED;
}

static enum apic_result write_register(struct vcpu *vcpu, uint32_t n, uint32_t value,
				       uint64_t *detail)
{
	switch (n) {
	case APIC_TPR:
		if (value > 0xff)
			return APIC_FAULT;
		put(vcpu, n, value);
		vcpu->priority_open = true;
		return APIC_DONE;
	case APIC_EOI_REG:
		return value == 0 ? write_eoi(vcpu, detail) : APIC_FAULT;
	case APIC_SVR:
		if (value & ~SVR_WRITABLE)
			return APIC_FAULT;
		put(vcpu, n, value);
		vcpu->requests = true;
		for (n = APIC_LVT_TIMER; n <= APIC_LVT_ERROR && !(value & SVR_ENABLED); n++)
			put(vcpu, n, get(vcpu, n) | LVT_MASKED);
		return APIC_DONE;
	case APIC_ESR:
		if (value != 0)
			return APIC_FAULT;
		put(vcpu, n, 0);
		return APIC_DONE;
	case APIC_LVT_TIMER:
		if (value & ~LVT_TIMER_WRITABLE)
			return APIC_FAULT;
		if (TIMER_MODE(value ^ get(vcpu, n)) != 0)
			vcpu->area->timer_deadline = 0;
		put(vcpu, n, masked(vcpu, value));
		return APIC_DONE;
	case APIC_LVT_LINT0: /* the PIC behind it is the VMM's */
		return APIC_OTHER;
	case APIC_LVT_TIMER + 1 ... APIC_LVT_LINT0 - 1:
	case APIC_LVT_LINT0 + 1 ... APIC_LVT_ERROR:
		if (value & ~LVT_WRITABLE)
			return APIC_FAULT;
		put(vcpu, n, masked(vcpu, value));
		return APIC_DONE;
	case APIC_TMICT:
		if (in_deadline_mode(vcpu))
			return APIC_DONE; /* ignored (section 11.5.4.1) */
		put(vcpu, n, value);
		vcpu->area->timer_deadline = value != 0 ? rdtsc() + period(vcpu) : 0;
		return APIC_DONE;
	case APIC_TDCR:
		if (value & ~0xbu)
			return APIC_FAULT;
		put(vcpu, n, value);
		return APIC_DONE;
	case APIC_SELF_IPI:
		if (value > 0xff)
			return APIC_FAULT;
		return send_ipi(vcpu, value | SHORTHAND_SELF << 18, detail);
	default:
		return APIC_FAULT;
	}
}

enum apic_result apic_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, uint64_t *detail)
{
	uint32_t n = msr - MSR_X2APIC_FIRST;

	if (n > MSR_X2APIC_LAST - MSR_X2APIC_FIRST)
		return msr == MSR_TSC_DEADLINE ? write_deadline(vcpu, value) : APIC_OTHER;
	if (!in_x2apic_mode(vcpu))
		return APIC_FAULT;
	if (n == APIC_ICR)
		return write_icr(vcpu, value, detail);
	if (value >> 32 != 0 && n != APIC_LVT_LINT0)
		return APIC_FAULT;
	return write_register(vcpu, n, (uint32_t)value, detail);
}
