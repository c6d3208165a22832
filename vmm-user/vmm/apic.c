/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC where the VMM has a part in it: messages from devices, and the memory-mapped
 * registers of xAPIC mode (SDM volume 3, chapter 11). The hypervisor does the rest, on the same
 * register image; its own thread is in the VMM while one of these functions works on it.
 */
#include <x86intrin.h>

#include "vmm-user/vmm/vcpu.h"

/* Register numbers: the x2APIC MSR - 0x800, the xAPIC offset / 16. */
enum apic_register {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_PPR = 0x0a,
	APIC_EOI = 0x0b,
	APIC_LDR = 0x0d,
	APIC_DFR = 0x0e,
	APIC_SVR = 0x0f,
	APIC_ISR = 0x10,
	APIC_TMR = 0x18,
	APIC_IRR = 0x20,
	APIC_ESR = 0x28,
	APIC_ICR = 0x30,
	APIC_ICR_HIGH = 0x31,
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_LINT0 = 0x35,
	APIC_LVT_ERROR = 0x37,
	APIC_TIMER_INITIAL = 0x38,
	APIC_TIMER_CURRENT = 0x39,
	APIC_TIMER_DIVIDE = 0x3e,
};

#define APIC_REGISTERS	   64
#define APIC_VERSION_VALUE 0x00050014u /* 6 LVT entries, integrated */
#define SVR_ENABLED	   (1u << 8)
#define LVT_MASKED	   (1u << 16)
#define LVT_WRITABLE	   0x1f7ffull /* of any entry in x2APIC mode; the rest faults */
#define LVT_DELIVERY(lvt)  ((lvt) >> 8 & 7)
#define LVT_TIMER_DEADLINE (2u << 17)
#define LVT_TIMER_MODE	   (3u << 17)
#define ICR_PENDING	   (1u << 12)
#define FIRST_VECTOR	   16

static uint32_t *reg(const struct vcpu *vcpu, unsigned number)
{
	return &vcpu->area->apic[4 * number];
}

static bool in_x2apic_mode(const struct vcpu *vcpu)
{
	return (vcpu->area->apic_base & APIC_BASE_X2APIC) != 0;
}

static bool enabled(const struct vcpu *vcpu)
{
	return (vcpu->area->apic_base & APIC_BASE_ENABLE) != 0 &&
	       (*reg(vcpu, APIC_SVR) & SVR_ENABLED) != 0;
}

/* What is in the image is not what the hypervisor, or the processor, knows of it. */
static void changed(struct vcpu *vcpu)
{
	vcpu->area->load |= SOCLE_LOAD_APIC;
}

void apic_reset(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < 256; i++)
		vcpu->area->apic[i] = 0;
	*reg(vcpu, APIC_ID) = in_x2apic_mode(vcpu) ? vcpu->index : vcpu->index << 24;
	*reg(vcpu, APIC_VERSION) = APIC_VERSION_VALUE;
	*reg(vcpu, APIC_DFR) = ~0u;
	*reg(vcpu, APIC_SVR) = 0xff;
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt++)
		*reg(vcpu, lvt) = LVT_MASKED;
	for (unsigned i = 0; i < 4; i++)
		__atomic_store_n(&vcpu->area->posted[i], 0, __ATOMIC_SEQ_CST);
	changed(vcpu);
}

void apic_mode_changed(struct vcpu *vcpu)
{
	bool x2apic = in_x2apic_mode(vcpu);

	*reg(vcpu, APIC_ID) = x2apic ? vcpu->index : vcpu->index << 24;
	if (x2apic)
		*reg(vcpu, APIC_LDR) = vcpu->index / 16 << 16 | 1u << vcpu->index % 16;
	changed(vcpu);
	irq_pic_changed(vcpu->vmm);
}

/* Destinations (SDM volume 3, sections 11.6.2 and 11.12.9) ------------------------------------ */

static bool addressed(const struct vcpu *vcpu, const struct apic_message *message)
{
	uint32_t ldr = *reg(vcpu, APIC_LDR), destination = message->destination;

	if (destination == APIC_BROADCAST)
		return true;
	if (!message->logical)
		return destination == vcpu->index;
	if (in_x2apic_mode(vcpu))
		return ldr >> 16 == destination >> 16 && (ldr & destination & 0xffff) != 0;
	ldr >>= 24;
	if (*reg(vcpu, APIC_DFR) >> 28 == 0xf) /* the flat model */
		return (ldr & destination & 0xff) != 0;
	return (ldr >> 4 == (destination >> 4 & 0xf) || (destination >> 4 & 0xf) == 0xf) &&
	       (ldr & destination & 0xf) != 0;
}

static void accept(struct vcpu *vcpu, const struct apic_message *message)
{
	switch (message->delivery) {
	case APIC_DELIVERY_FIXED:
	case APIC_DELIVERY_LOWEST:
		/* A vector below 16 is an error that nobody looks for; it is dropped. */
		if (message->vector >= FIRST_VECTOR && enabled(vcpu))
			vcpu_post(vcpu, message->vector, message->level);
		break;
	case APIC_DELIVERY_NMI:
		vcpu_signal(vcpu, VCPU_PENDING_NMI);
		break;
	case APIC_DELIVERY_INIT:
		vcpu_signal(vcpu, VCPU_PENDING_INIT);
		break;
	case APIC_DELIVERY_SIPI:
		__atomic_store_n(&vcpu->state->sipi_vector, message->vector, __ATOMIC_SEQ_CST);
		vcpu_signal(vcpu, VCPU_PENDING_SIPI);
		break;
	case APIC_DELIVERY_EXTINT:
		vcpu_signal(vcpu, VCPU_PENDING_INTR);
		break;
	default: /* SMI: there is no such mode here */
		break;
	}
}

void apic_send(struct vmm *vmm, const struct apic_message *message)
{
	unsigned count = vmm->config.vcpus;

	for (unsigned i = 0; i < count; i++) {
		bool lowest = message->delivery == APIC_DELIVERY_LOWEST;
		struct vcpu *vcpu = &vmm->vcpu[lowest ? (vmm->next_lowest + i) % count : i];

		if (!addressed(vcpu, message))
			continue;
		if (!lowest) {
			accept(vcpu, message);
		} else if (enabled(vcpu)) {
			vmm->next_lowest = (vcpu->index + 1) % count;
			accept(vcpu, message);
			return;
		}
	}
}

bool apic_waits(const struct vmm *vmm, uint8_t vector)
{
	for (unsigned i = 0; vmm->vcpu != NULL && i < vmm->config.vcpus; i++) {
		const struct vcpu *vcpu = &vmm->vcpu[i];
		const uint32_t *irr = reg(vcpu, APIC_IRR + vector / 32);
		uint64_t posted =
			__atomic_load_n(&vcpu->area->posted[vector / 64], __ATOMIC_SEQ_CST);

		if ((posted >> vector % 64 & 1) != 0 ||
		    (__atomic_load_n(irr, __ATOMIC_SEQ_CST) >> vector % 32 & 1) != 0)
			return true;
	}
	return false;
}

void apic_command(struct vcpu *vcpu, uint64_t icr)
{
	struct vmm *vmm = vcpu->vmm;
	unsigned shorthand = (unsigned)(icr >> 18 & 3);
	struct apic_message message = {
		.destination = (uint32_t)(icr >> 32),
		.logical = (icr >> 11 & 1) != 0,
		.delivery = (uint8_t)(icr >> 8 & 7),
		.vector = (uint8_t)icr,
	};

	/* INIT level de-assert does nothing on processors of this century. */
	if (message.delivery == APIC_DELIVERY_INIT && (icr >> 14 & 3) == 2)
		return;
	if (shorthand == 0) {
		apic_send(vmm, &message);
		return;
	}
	for (unsigned i = 0; i < vmm->config.vcpus; i++) {
		bool self = i == vcpu->index;

		if (shorthand == 2 || self == (shorthand == 1))
			accept(&vmm->vcpu[i], &message);
	}
}

/* Priority ----------------------------------------------------------------------------------- */

/* The highest vector in eight registers from `first` on, or -1. */
static int highest(const struct vcpu *vcpu, unsigned first)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = *reg(vcpu, first + (unsigned)i);

		if (word != 0)
			return 32 * i + 31 - __builtin_clz(word);
	}
	return -1;
}

static unsigned priority(const struct vcpu *vcpu)
{
	unsigned tpr = *reg(vcpu, APIC_TPR) & 0xff;
	int isr = highest(vcpu, APIC_ISR);

	if (isr >= 0 && ((unsigned)isr & 0xf0) > (tpr & 0xf0))
		return (unsigned)isr & 0xf0;
	return tpr;
}

bool apic_has_interrupt(const struct vcpu *vcpu)
{
	int vector = highest(vcpu, APIC_IRR);

	/* Switched off it keeps what was requested, and delivers nothing (SDM, section 11.4.7.2).
	 */
	if (!enabled(vcpu))
		return false;
	for (int i = 3; i >= 0; i--) {
		uint64_t word = __atomic_load_n(&vcpu->area->posted[i], __ATOMIC_SEQ_CST);

		if (word != 0) {
			int posted = 64 * i + 63 - __builtin_clzll(word);

			vector = posted > vector ? posted : vector;
			break;
		}
	}
	return vector >= 0 && ((unsigned)vector & 0xf0) > (priority(vcpu) & 0xf0);
}

bool apic_takes_extint(const struct vcpu *vcpu)
{
	uint32_t lvt = *reg(vcpu, APIC_LVT_LINT0);

	if ((vcpu->area->apic_base & APIC_BASE_ENABLE) == 0)
		return true;
	return (lvt & LVT_MASKED) == 0 && LVT_DELIVERY(lvt) == APIC_DELIVERY_EXTINT;
}

/* Registers of xAPIC mode -------------------------------------------------------------------- */

static void eoi(struct vcpu *vcpu)
{
	int vector = highest(vcpu, APIC_ISR);
	uint32_t bit;

	if (vector < 0)
		return;
	changed(vcpu);
	bit = 1u << (vector % 32);
	*reg(vcpu, APIC_ISR + (unsigned)vector / 32) &= ~bit;
	if (__atomic_load_n(reg(vcpu, APIC_TMR + (unsigned)vector / 32), __ATOMIC_SEQ_CST) & bit)
		irq_eoi(vcpu->vmm, (uint8_t)vector);
}

static uint64_t timer_ticks_a_count(const struct vcpu *vcpu)
{
	uint32_t divide = *reg(vcpu, APIC_TIMER_DIVIDE);
	unsigned shift = ((divide & 3) | (divide >> 1 & 4)) + 1;

	return 1ull << (shift & 7);
}

/* The timer counts at the TSC's rate, divided. */
static void timer_start(struct vcpu *vcpu)
{
	uint64_t count = *reg(vcpu, APIC_TIMER_INITIAL);

	if ((*reg(vcpu, APIC_LVT_TIMER) & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE)
		return;
	vcpu->area->timer_deadline = count == 0 ? 0 : __rdtsc() + count * timer_ticks_a_count(vcpu);
}

static uint32_t timer_current(const struct vcpu *vcpu)
{
	uint64_t deadline = vcpu->area->timer_deadline, now = __rdtsc();

	if ((*reg(vcpu, APIC_LVT_TIMER) & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE || deadline == 0 ||
	    (int64_t)(deadline - now) <= 0)
		return 0;
	return (uint32_t)((deadline - now) / timer_ticks_a_count(vcpu));
}

static uint64_t apic_read(void *device, uint64_t offset, unsigned bytes)
{
	struct vcpu *vcpu = vcpu_current();
	unsigned number = (unsigned)offset / 16;

	(void)device;
	(void)bytes;
	if (vcpu == NULL || offset % 16 != 0 || in_x2apic_mode(vcpu))
		return 0;
	switch (number) {
	case APIC_PPR:
		return priority(vcpu);
	case APIC_TIMER_CURRENT:
		return timer_current(vcpu);
	default: /* in the rest of the page there is nothing */
		return number < APIC_REGISTERS ? *reg(vcpu, number) : 0;
	}
}

static void write_lvt(struct vcpu *vcpu, unsigned number, uint32_t value)
{
	static const uint32_t writable[] = {0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};

	if ((*reg(vcpu, APIC_SVR) & SVR_ENABLED) == 0)
		value |= LVT_MASKED;
	value &= writable[number - APIC_LVT_TIMER];
	/* Another mode of the timer is a timer that does not run (section 11.5.4.1). */
	if (number == APIC_LVT_TIMER && ((value ^ *reg(vcpu, number)) & LVT_TIMER_MODE) != 0)
		vcpu->area->timer_deadline = 0;
	*reg(vcpu, number) = value;
	if (number == APIC_LVT_LINT0)
		irq_pic_changed(vcpu->vmm);
}

void apic_set_priority(struct vcpu *vcpu, uint8_t value)
{
	*reg(vcpu, APIC_TPR) = value;
	changed(vcpu);
}

bool apic_write_lint0(struct vcpu *vcpu, uint64_t value)
{
	if (!in_x2apic_mode(vcpu) || (value & ~LVT_WRITABLE) != 0)
		return false;
	write_lvt(vcpu, APIC_LVT_LINT0, (uint32_t)value);
	return true;
}

static void apic_write(void *device, uint64_t offset, unsigned bytes, uint64_t wide)
{
	struct vcpu *vcpu = vcpu_current();
	unsigned number = (unsigned)offset / 16;
	uint32_t value = (uint32_t)wide;

	(void)device;
	(void)bytes;
	if (vcpu == NULL || offset % 16 != 0 || in_x2apic_mode(vcpu))
		return;
	if (number != APIC_EOI)
		changed(vcpu);
	switch (number) {
	case APIC_ID:
		*reg(vcpu, APIC_ID) = value & 0xff000000;
		break;
	case APIC_TPR:
		*reg(vcpu, APIC_TPR) = value & 0xff;
		break;
	case APIC_EOI:
		eoi(vcpu);
		break;
	case APIC_LDR:
		*reg(vcpu, APIC_LDR) = value & 0xff000000;
		break;
	case APIC_DFR:
		*reg(vcpu, APIC_DFR) = value | 0x0fffffff;
		break;
	case APIC_SVR:
		*reg(vcpu, APIC_SVR) = value & 0x3ff;
		if ((value & SVR_ENABLED) == 0)
			for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt++)
				*reg(vcpu, lvt) |= LVT_MASKED;
		break;
	case APIC_ESR:
		*reg(vcpu, APIC_ESR) = 0;
		break;
	case APIC_ICR:
		*reg(vcpu, APIC_ICR) = value & ~ICR_PENDING;
		value &= ~ICR_PENDING;
		wide = *reg(vcpu, APIC_ICR_HIGH) >> 24;
		if (wide == 0xff)
			wide = APIC_BROADCAST;
		apic_command(vcpu, wide << 32 | value);
		break;
	case APIC_ICR_HIGH:
		*reg(vcpu, APIC_ICR_HIGH) = value & 0xff000000;
		break;
	case APIC_TIMER_INITIAL:
		*reg(vcpu, APIC_TIMER_INITIAL) = value;
		timer_start(vcpu);
		break;
	case APIC_TIMER_DIVIDE:
		*reg(vcpu, APIC_TIMER_DIVIDE) = value & 0xb;
		break;
	default:
		if (number >= APIC_LVT_TIMER && number <= APIC_LVT_ERROR)
			write_lvt(vcpu, number, value);
		break; /* the others are read-only or reserved */
	}
}

bool apic_create(struct vmm *vmm)
{
	const struct bus_range range = {"local APIC", APIC_BASE,  0x1000,
					apic_read,    apic_write, vmm};

	return bus_add(vmm, BUS_MEMORY, &range);
}
