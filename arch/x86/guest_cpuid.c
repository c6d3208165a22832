// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_cpuid.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/x86.h"

#define LEAF_FEATURES	    0x00000001
#define LEAF_POWER	    0x00000006
#define LEAF_EXTENDED	    0x00000007
#define LEAF_XSAVE	    0x0000000d
#define LEAF_TRACE	    0x00000014
#define LEAF_HYPERVISOR	    0x40000000
#define LEAF_HYPERVISOR_END 0x400000ff
#define LEAF_SECOND	    0x40000100
#define LEAF_EXTENDED_FIRST 0x80000000
#define LEAF_AMD_FEATURES   0x80000001
#define LEAF_AMD_SIZES	    0x80000008
#define LEAF_AMD_SVM	    0x8000000a
#define LEAF_AMD_ENCRYPTION 0x8000001f

#define ECX_1_DTES64	  (1u << 2)
#define ECX_1_DS_CPL	  (1u << 4)
#define ECX_1_VMX	  (1u << 5)
#define ECX_1_SMX	  (1u << 6)
#define ECX_1_OSXSAVE	  (1u << 27)
#define ECX_1_HYPERVISOR  (1u << 31)
#define EDX_1_DS	  (1u << 21)
#define EAX_6_FEEDBACK	  (1u << 19 | 1u << 23) /* hardware feedback, thread director */
#define EBX_7_TRACE	  (1u << 25)
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
	uint32_t leaf = (uint32_t)vcpu->regs->rax;
	struct cpuid_result r;

	if (leaf >= LEAF_HYPERVISOR && leaf <= LEAF_HYPERVISOR_END) {
		r = (struct cpuid_result){0};
		if (leaf == LEAF_HYPERVISOR)
			r = (struct cpuid_result){LEAF_HYPERVISOR, SIGNATURE_EBX, SIGNATURE_ECX,
						  SIGNATURE_EDX};
	} else {
		r = cpuid(leaf, (uint32_t)vcpu->regs->rcx);
	}

	switch (leaf) {
	case LEAF_FEATURES: /* OSXSAVE and OSPKE mirror CR4, and this ran with the hypervisor's. */
		r.ecx &= ~(ECX_1_VMX | ECX_1_SMX | ECX_1_OSXSAVE | ECX_1_DTES64 | ECX_1_DS_CPL);
		r.edx &= ~EDX_1_DS;
		r.ecx |= ECX_1_HYPERVISOR;
		if (arch->vcpu_read(vcpu, VCPU_CR4) & CR4_OSXSAVE)
			r.ecx |= ECX_1_OSXSAVE;
		break;
	case LEAF_POWER: /* this, the debug store and traces: vmx_msr.c */
		r.eax &= ~EAX_6_FEEDBACK;
		r.edx = 0;
		break;
	case LEAF_EXTENDED:
		if ((uint32_t)vcpu->regs->rcx != 0)
			break;
		r.ebx &= ~EBX_7_TRACE;
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
	case LEAF_TRACE:
	case LEAF_AMD_SVM:
	case LEAF_AMD_ENCRYPTION:
		r = (struct cpuid_result){0};
		break;
	}
	vcpu->regs->rax = r.eax;
	vcpu->regs->rbx = r.ebx;
	vcpu->regs->rcx = r.ecx;
	vcpu->regs->rdx = r.edx;
}

/* Where a leaf's entry is (see socle_abi.h). */
static unsigned entry_index(uint32_t leaf)
{
	unsigned low = leaf & 31;

	if (leaf < 32)
		return low;
	if (leaf >> 5 == LEAF_EXTENDED_FIRST >> 5)
		return SOCLE_CPUID_EXTENDED + low;
	if (leaf >> 4 == LEAF_HYPERVISOR >> 4)
		return SOCLE_CPUID_HYPERVISOR + (leaf & 15);
	if (leaf >> 4 == LEAF_SECOND >> 4)
		return SOCLE_CPUID_SECOND + (leaf & 15);
	return SOCLE_CPUID_ENTRIES;
}

static void answer(struct vcpu *vcpu, const struct socle_cpuid_entry *entry)
{
	struct vcpu_registers *regs = vcpu->regs;

	regs->rax = entry->eax;
	regs->rbx = entry->ebx;
	regs->rcx = entry->ecx;
	regs->rdx = entry->edx;
}

static const struct socle_cpuid_entry *find_subleaf(const struct socle_cpuid_entry *table,
						    uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = SOCLE_CPUID_LIST; i < SOCLE_CPUID_ENTRIES; i++)
		if ((table[i].flags & SOCLE_CPUID_VALID) && table[i].leaf == leaf &&
		    table[i].subleaf == subleaf)
			return &table[i];
	return NULL;
}

/* What is not just the entry at a leaf's place. */
static __attribute__((noinline)) void answer_other(struct vcpu *vcpu, unsigned index)
{
	static const struct socle_cpuid_entry none;
	const struct socle_cpuid_entry *table = vcpu->area->cpuid, *found = NULL;
	uint32_t leaf = (uint32_t)vcpu->regs->rax, subleaf = (uint32_t)vcpu->regs->rcx;

	if (index < SOCLE_CPUID_ENTRIES && (table[index].flags & SOCLE_CPUID_VALID))
		found = table[index].flags & SOCLE_CPUID_SUBLEAVES
				? find_subleaf(table, leaf, subleaf)
				: &table[index];
	answer(vcpu, found != NULL ? found : &none);
	/* The size of what XCR0 switches on: the guest's XCR0 is the processor's now. */
	if (leaf == LEAF_XSAVE && subleaf == 0 && found != NULL)
		vcpu->regs->rbx = cpuid(leaf, subleaf).ebx;
}

void guest_cpuid_table(struct vcpu *vcpu)
{
	const struct socle_cpuid_entry *table = vcpu->area->cpuid;
	uint32_t leaf = (uint32_t)vcpu->regs->rax;
	unsigned index = entry_index(leaf);

	if (index >= SOCLE_CPUID_ENTRIES || leaf == LEAF_XSAVE ||
	    (table[index].flags & (SOCLE_CPUID_VALID | SOCLE_CPUID_SUBLEAVES)) !=
		    SOCLE_CPUID_VALID) {
		answer_other(vcpu, index);
		return;
	}
	answer(vcpu, &table[index]);
	if (leaf == LEAF_FEATURES && (arch->vcpu_read(vcpu, VCPU_CR4) & CR4_OSXSAVE))
		vcpu->regs->rcx |= ECX_1_OSXSAVE;
}
