// SPDX-License-Identifier: BSD-2-Clause
/*
 * AMD-V: the service VM's model-specific registers. All are its own, but those that would show or
 * switch off SVM, and those that decide what a physical address means and so could lay something
 * over the hypervisor's memory.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "arch/x86/msr.h"
#include "hv/memory.h"

/* The permission map (APM volume 2, section 15.11): two bits a register, three ranges of 8,192. */
#define MSR_MAP_BYTES  8192
#define MSR_MAP_RANGE  2048
#define MSR_RANGE_LOW  0
#define MSR_RANGE_MID  0xc0000000
#define MSR_RANGE_HIGH 0xc0010000

static uint8_t msr_map[MSR_MAP_BYTES] __attribute__((aligned(4096)));

static void intercept(uint32_t msr, bool read, bool write)
{
	uint32_t range = msr >= MSR_RANGE_HIGH	? MSR_RANGE_HIGH
			 : msr >= MSR_RANGE_MID ? MSR_RANGE_MID
						: MSR_RANGE_LOW;
	uint32_t base = range == MSR_RANGE_HIGH	 ? 2 * MSR_MAP_RANGE
			: range == MSR_RANGE_MID ? MSR_MAP_RANGE
						 : 0;
	uint32_t bit = (msr - range) * 2;

	msr_map[base + bit / 8] |=
		(uint8_t)((read ? 1 : 0) << (bit % 8) | (write ? 2 : 0) << (bit % 8));
}

hpa_t svm_msr_map(void)
{
	intercept(MSR_APIC_BASE, false, true);
	intercept(MSR_EFER, true, true);
	intercept(MSR_SYSCFG, false, true);
	for (uint32_t msr = MSR_IORR_FIRST; msr <= MSR_IORR_LAST; msr++)
		intercept(msr, false, true);
	intercept(MSR_MMIO_CFG_BASE, false, true);
	intercept(MSR_TOP_MEM, false, true);
	intercept(MSR_TOP_MEM2, false, true);
	for (uint32_t msr = MSR_SMM_BASE; msr <= MSR_SMM_MASK; msr++)
		intercept(msr, false, true);
	intercept(MSR_VM_CR, true, true);
	intercept(MSR_VM_HSAVE_PA, true, true);
	return memory_physical(msr_map);
}

bool svm_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (vcpu->domain != NULL)
		return svm_guest_msr_read(vcpu, msr, value);
	switch (msr) {
	case MSR_EFER:
		*value = vmcb_of(vcpu)->efer & ~EFER_SVME;
		return true;
	case MSR_VM_CR:
		*value = VM_CR_SVMDIS | VM_CR_LOCK;
		return true;
	default: /* VM_HSAVE_PA does not exist without SVM. */
		return false;
	}
}

bool svm_efer_write(struct vcpu *vcpu, uint64_t value)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (!msr_efer_valid(vmcb->efer, vmcb->cr0, value))
		return false;
	vmcb->efer = (value & ~EFER_LMA) | EFER_SVME | (vmcb->efer & EFER_LMA);
	vmcb->clean &= ~CLEAN_CR_EFER;
	vmcb->tlb_control = TLB_CONTROL_FLUSH; /* NXE may have changed */
	return true;
}

bool svm_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (vcpu->domain != NULL)
		return svm_guest_msr_write(vcpu, msr, value);
	switch (msr) {
	case MSR_EFER:
		return svm_efer_write(vcpu, value);
	case MSR_APIC_BASE:
		return msr_apic_base_write(value);
	case MSR_SYSCFG:
	case MSR_IORR_FIRST ... MSR_IORR_LAST:
	case MSR_MMIO_CFG_BASE:
	case MSR_TOP_MEM:
	case MSR_TOP_MEM2:
	case MSR_SMM_BASE ... MSR_SMM_MASK:
		return value == rdmsr(msr); /* what firmware chose stays */
	default:
		return false;
	}
}
