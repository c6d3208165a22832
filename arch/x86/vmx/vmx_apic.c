// SPDX-License-Identifier: BSD-2-Clause
/*
 * VT-x: virtual-interrupt delivery (SDM volume 3, chapter 30). The local APIC's image is the
 * virtual-APIC page: the processor delivers from it, and a guest in x2APIC mode reads registers,
 * sets its task priority and acknowledges interrupts with no exit. In xAPIC mode the accesses are
 * the VMM's, on the same image, and delivery is the processor's all the same.
 *
 * The image is the VMM's to write at any time. The processor takes no address from it, and the
 * vectors that it finds there are delivered to the guest alone.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "hv/paging.h"

#define SECONDARY_ALL                                                                              \
	(SECONDARY_VIRTUAL_X2APIC | SECONDARY_APIC_REGISTERS | SECONDARY_VIRTUAL_INTERRUPTS)
#define APIC_TMR 0x18
#define TMR_BITS 256

void vmx_apic_controls(struct vmx_controls *controls)
{
	if (!(vmx_may_be_one(MSR_VMX_TRUE_PROCBASED_CTLS) & PROCESSOR_TPR_SHADOW) ||
	    (~vmx_may_be_one(MSR_VMX_PROCBASED_CTLS2) & SECONDARY_ALL))
		return;
	controls->processor = (controls->processor & ~PROCESSOR_CR8_EXITING) | PROCESSOR_TPR_SHADOW;
	controls->secondary |= SECONDARY_APIC_REGISTERS | SECONDARY_VIRTUAL_INTERRUPTS;
}

void vmx_apic_init(struct vcpu *vcpu)
{
	if (!(vmcs_read(VMCS_SECONDARY_CONTROLS) & SECONDARY_VIRTUAL_INTERRUPTS))
		return;
	vmcs_write(VMCS_VIRTUAL_APIC, paging_pool_physical(vcpu->area).v);
	vmcs_write(VMCS_TPR_THRESHOLD, 0);
	vcpu->virtual_interrupts = true;
	vcpu->requests = true;
}

/* In x2APIC mode the MSR bitmap lets the guest at what the processor then takes from the image. */
static void set_mode(struct vcpu *vcpu, bool x2apic)
{
	uint64_t secondary =
		vmcs_read(VMCS_SECONDARY_CONTROLS) & ~(uint64_t)SECONDARY_VIRTUAL_X2APIC;

	vcpu->x2apic = x2apic;
	vmcs_write(VMCS_SECONDARY_CONTROLS, secondary | (x2apic ? SECONDARY_VIRTUAL_X2APIC : 0));
	vmcs_write(VMCS_MSR_BITMAP, vmx_guest_map(x2apic).v);
}

void vmx_apic_load(struct vcpu *vcpu)
{
	if (vcpu->virtual_interrupts && !(vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF))
		vcpu->requests = true;
}

/*
 * An interrupt for a guest with interrupts off waits for a window, during which the processor
 * delivers none: Bochs 2.7 goes by what RFLAGS.IF was in the service VM until the guest changes its
 * own, and would deliver it at once.
 */
static void hold_back(struct vcpu *vcpu)
{
	if ((vcpu->apic_status & 0xff) != 0 && !(vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF))
		vmcs_write(VMCS_PROCESSOR_CONTROLS,
			   vmcs_read(VMCS_PROCESSOR_CONTROLS) | PROCESSOR_INTERRUPT_WINDOW);
}

void vmx_apic_update(struct vcpu *vcpu)
{
	const volatile uint32_t *tmr = &vcpu->area->apic[4 * APIC_TMR];
	bool x2apic = (vcpu->area->apic_base & APIC_BASE_X2APIC) != 0;

	vcpu->apic_stale = false;
	if (x2apic != vcpu->x2apic)
		set_mode(vcpu, x2apic);
	vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, vcpu->apic_status);
	hold_back(vcpu);
	/* Who has a level-triggered interrupt is to hear of its end (section 30.1.4). */
	for (unsigned i = 0; i < TMR_BITS / 64; i++)
		vmcs_write(VMCS_EOI_EXIT_BITMAP0 + 2 * i,
			   tmr[8 * i] | (uint64_t)tmr[8 * i + 4] << 32);
}
