/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual local APIC (SDM volume 3, chapter 11): registers in x2APIC mode, interrupts, timer.
 * Its state is the register image in the vCPU's area, which the VMM works on too (accesses in xAPIC
 * mode, restoring); nothing but the guest depends on what is there.
 *
 * Interrupts for a vCPU are set in area->posted by anyone at any time, and taken into the image by
 * the CPU that runs the vCPU.
 */
#ifndef HV_APIC_H
#define HV_APIC_H

#include "arch/x86/asm.h"
#include "arch/x86/vcpu.h"

enum apic_result {
	APIC_DONE,  /* the access is done */
	APIC_FAULT, /* the processor would raise #GP */
	APIC_EOI,   /* done; *detail is the vector of a level-triggered interrupt */
	APIC_IPI,   /* *detail is an ICR value that is the VMM's to carry out */
	APIC_WAKE,  /* done; *detail is a mask of idle vCPUs that have an interrupt now */
	APIC_OTHER, /* not one of the local APIC's registers */
};

/* RDMSR and WRMSR of 0x800 .. 0x8ff and IA32_TSC_DEADLINE. */
enum apic_result apic_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
enum apic_result apic_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, uint64_t *detail);

/*
 * Before an entry: takes what has been posted and what the timer made, and has the highest
 * interrupt that the priorities allow raised, now or as soon as the guest can take it. Where the
 * processor delivers interrupts itself, it is left to do that.
 */
void apic_deliver_now(struct vcpu *vcpu);

/* True if there may be an interrupt to deliver: what most entries have to look at. */
static inline bool apic_is_worth_a_look(const struct vcpu *vcpu)
{
	const uint64_t *posted = vcpu->area->posted;
	uint64_t deadline = vcpu->area->timer_deadline;

	/* They change at any time. Each is read once all the same, for what is read is not kept. */
	__asm__ volatile("" : : : "memory");
	return vcpu->requests || (posted[0] | posted[1] | posted[2] | posted[3]) != 0 ||
	       (deadline != 0 && rdtsc() >= deadline);
}

/* The same, where there is usually nothing. */
static inline void apic_deliver(struct vcpu *vcpu)
{
	if (__builtin_expect(apic_is_worth_a_look(vcpu), false))
		apic_deliver_now(vcpu);
}

/* True if a halted vCPU has an interrupt to wake up for. */
bool apic_has_interrupt(struct vcpu *vcpu);

#endif
