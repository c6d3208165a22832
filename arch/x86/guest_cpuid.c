// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_cpuid.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/x86.h"

#define LEAF_FEATURES	    0x00000001
#define LEAF_EXTENDED	    0x00000007
#define LEAF_HYPERVISOR	    0x40000000
#define LEAF_HYPERVISOR_END 0x400000ff
#define LEAF_AMD_FEATURES   0x80000001
#define LEAF_AMD_SIZES	    0x80000008
#define LEAF_AMD_SVM	    0x8000000a
#define LEAF_AMD_ENCRYPTION 0x8000001f

#define ECX_1_VMX	  (1u << 5)
#define ECX_1_SMX	  (1u << 6)
#define ECX_1_OSXSAVE	  (1u << 27)
#define ECX_1_HYPERVISOR  (1u << 31)
#define ECX_7_OSPKE	  (1u << 4)
#define EDX_7_PCONFIG	  (1u << 18)
#define EBX_SIZES_INVLPGB (1u << 3)
#define ECX_AMD_SVM	  (1u << 2)
#define ECX_AMD_SKINIT	  (1u << 12)

/* "SocleSocleSo" in EBX, ECX, EDX. */
#define SIGNATURE_EBX 0x6c636f53
#define SIGNATURE_ECX 0x636f5365
#define SIGNATURE_EDX 0x6f53656c

void guest_cpuid(struct vcpu *vcpu)
{
	uint32_t leaf = (uint32_t)vcpu->regs.rax;
	struct cpuid_result r;

	if (leaf >= LEAF_HYPERVISOR && leaf <= LEAF_HYPERVISOR_END) {
		r = (struct cpuid_result){0};
		if (leaf == LEAF_HYPERVISOR)
			r = (struct cpuid_result){LEAF_HYPERVISOR, SIGNATURE_EBX, SIGNATURE_ECX,
						  SIGNATURE_EDX};
	} else {
		r = cpuid(leaf, (uint32_t)vcpu->regs.rcx);
	}

	switch (leaf) {
	case LEAF_FEATURES: /* OSXSAVE and OSPKE mirror CR4, and this ran with the hypervisor's. */
		r.ecx &= ~(ECX_1_VMX | ECX_1_SMX | ECX_1_OSXSAVE);
		r.ecx |= ECX_1_HYPERVISOR;
		if (arch->vcpu_read(vcpu, VCPU_CR4) & CR4_OSXSAVE)
			r.ecx |= ECX_1_OSXSAVE;
		break;
	case LEAF_EXTENDED:
		if ((uint32_t)vcpu->regs.rcx != 0)
			break;
		r.ecx &= ~ECX_7_OSPKE;
		r.edx &= ~EDX_7_PCONFIG;
		if (arch->vcpu_read(vcpu, VCPU_CR4) & CR4_PKE)
			r.ecx |= ECX_7_OSPKE;
		break;
	case LEAF_AMD_FEATURES:
		r.ecx &= ~(ECX_AMD_SVM | ECX_AMD_SKINIT);
		break;
	case LEAF_AMD_SIZES: /* INVLPGB reaches other ASIDs: the control block does not allow it */
		r.ebx &= ~EBX_SIZES_INVLPGB;
		break;
	case LEAF_AMD_SVM:
	case LEAF_AMD_ENCRYPTION:
		r = (struct cpuid_result){0};
		break;
	}
	vcpu->regs.rax = r.eax;
	vcpu->regs.rbx = r.ebx;
	vcpu->regs.rcx = r.ecx;
	vcpu->regs.rdx = r.edx;
}
