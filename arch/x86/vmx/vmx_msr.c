// SPDX-License-Identifier: BSD-2-Clause
/*
 * VT-x: the service VM's model-specific registers. All are its own, but
 *
 * - those that would show or switch off VT-x;
 * - those that decide what a physical address means: the local APIC's place, the ranges of system
 *   management and of enclaves, and memory encryption, which firmware may have left unlocked;
 * - those that make the processor itself write to memory past the second-level tables: trace output
 *   and the hardware feedback table go to physical addresses, and the debug store to linear ones,
 *   which would be the hypervisor's when a counter overflows in it. guest_cpuid() hides all three;
 * - microcode, which is not loaded in non-root operation (SDM volume 3, section 33.4).
 *
 * The MTRRs are the VM's: EPT takes their place for its memory, and what they say about the
 * hypervisor's memory changes its speed. EFER is too: entries and exits switch it.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/msr.h"
#include "hv/memory.h"

#define MSR_BIOS_UPDT_TRIG  0x79
#define MSR_SMM_MONITOR_CTL 0x9b
#define MSR_SMRR_PHYSBASE   0x1f2
#define MSR_PRMRR_PHYSMASK  0x1f5
#define MSR_PEBS_ENABLE	    0x3f1
#define MSR_RTIT_CTL	    0x570
#define MSR_DS_AREA	    0x600
#define MSR_TME_ACTIVATE    0x982
#define MSR_HW_FEEDBACK_PTR 0x17d0

/* The bitmap (SDM volume 3, section 25.6.9): a bit a register, four ranges of 8,192. */
#define MSR_MAP_BYTES	  4096
#define MSR_MAP_READ_LOW  0
#define MSR_MAP_WRITE_LOW 2048

static uint8_t msr_map[MSR_MAP_BYTES] __attribute__((aligned(4096)));

/* A register below 0x2000. */
static void intercept(uint32_t msr, bool read, bool write)
{
	if (read)
		msr_map[MSR_MAP_READ_LOW + msr / 8] |= (uint8_t)(1 << msr % 8);
	if (write)
		msr_map[MSR_MAP_WRITE_LOW + msr / 8] |= (uint8_t)(1 << msr % 8);
}

void vmx_msr_map_init(void)
{
	intercept(MSR_APIC_BASE, false, true);
	intercept(MSR_FEATURE_CONTROL, true, true);
	intercept(MSR_BIOS_UPDT_TRIG, false, true);
	intercept(MSR_SMM_MONITOR_CTL, false, true);
	for (uint32_t msr = MSR_SMRR_PHYSBASE; msr <= MSR_PRMRR_PHYSMASK; msr++)
		intercept(msr, false, true);
	intercept(MSR_PEBS_ENABLE, false, true);
	for (uint32_t msr = MSR_VMX_BASIC; msr <= MSR_VMX_LAST; msr++)
		intercept(msr, true, true);
	intercept(MSR_RTIT_CTL, false, true);
	intercept(MSR_DS_AREA, false, true);
	intercept(MSR_TME_ACTIVATE, false, true);
	intercept(MSR_HW_FEEDBACK_PTR, false, true);
}

hpa_t vmx_msr_map(void)
{
	return memory_physical(msr_map);
}

bool vmx_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (vcpu->domain != NULL)
		return vmx_guest_msr_read(vcpu, msr, value);
	switch (msr) {
	case MSR_FEATURE_CONTROL: /* locked, by firmware or by vmx_cpu_enable() */
		*value = rdmsr(msr) &
			 ~(FEATURE_CONTROL_VMXON_INSIDE_SMX | FEATURE_CONTROL_VMXON_OUTSIDE_SMX);
		return true;
	default: /* VT-x's own, or past the bitmap's ranges, where there are none */
		return false;
	}
}

bool vmx_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (vcpu->domain != NULL)
		return vmx_guest_msr_write(vcpu, msr, value);
	switch (msr) {
	case MSR_APIC_BASE:
		return msr_apic_base_write(value);
	case MSR_BIOS_UPDT_TRIG:
		return true; /* the revision stays as it is, which is how a failed update looks */
	case MSR_PEBS_ENABLE:
	case MSR_RTIT_CTL:
	case MSR_DS_AREA:
	case MSR_HW_FEEDBACK_PTR:
		return value == 0; /* absent in CPUID; software clears them all the same */
	default:
		return false;
	}
}
