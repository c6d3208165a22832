// SPDX-License-Identifier: BSD-2-Clause
/* AMD-V: a CPU. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/memory.h"
#include "hv/shootdown.h"

#define CPUID_1_XSAVE	   (1u << 26)
#define CPUID_EXT_1	   0x80000001
#define CPUID_SVM	   0x8000000a
#define CPUID_EXT_1_PAGE1G (1u << 26)

void svm_clear_gif(void);

const char *svm_cpu_enable(struct cpu *cpu, void *page)
{
	char *text = page; /* holds a message, if any */
	const char *error = svm_check(text);

	if (error != NULL)
		return error;
	/* MCE: a machine check is no silent shutdown. OSXSAVE: guests' FPU state is switched. */
	write_cr4(read_cr4() | CR4_MCE | (cpuid(1, 0).ecx & CPUID_1_XSAVE ? CR4_OSXSAVE : 0));
	if (cpu->index == 0)
		svm_guest_maps_init();
	/* The nested walk uses the host's EFER: without NXE, NX bits in it would be reserved. */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME | EFER_NXE);
	wrmsr(MSR_VM_CR, rdmsr(MSR_VM_CR) | VM_CR_R_INIT);
	wrmsr(MSR_VM_HSAVE_PA, memory_physical(page).v);
	svm_clear_gif();
	return NULL;
}

uint64_t svm_cpu_features(void)
{
	struct cpuid_result r = cpuid(CPUID_SVM, 0);
	uint64_t features = SOCLE_FEATURE_DIRTY_LOG;

	if (cpuid(CPUID_EXT_1, 0).edx & CPUID_EXT_1_PAGE1G)
		features |= SOCLE_FEATURE_PAGE_1G;
	if (r.edx & SVM_FEATURE_AVIC)
		features |= SOCLE_FEATURE_APICV;
	if (r.edx & SVM_FEATURE_NRIP_SAVE)
		features |= SOCLE_FEATURE_NEXT_RIP;
	if (r.ebx > 1)
		features |= SOCLE_FEATURE_ASID;
	return features;
}

/* Only svm_take_pending() lets NMIs in, between two exits: a moment to answer other CPUs. */
void svm_cpu_nmi(struct cpu *cpu)
{
	if (!shootdown_answer(cpu))
		cpu->nmi_pending = true;
}

/* The next VMRUN flushes all ASIDs, whichever vCPU's it is. */
void svm_cpu_flush(struct cpu *cpu)
{
	vmcb_of(&cpu->service)->tlb_control = TLB_CONTROL_FLUSH;
	if (cpu->current != NULL)
		vmcb_of(cpu->current)->tlb_control = TLB_CONTROL_FLUSH;
	cpu->last_guest = NULL;
}

const struct arch_ops svm_ops = {
	.name = "svm",
	.ept_format = &ept_format_npt,
	.cpu_enable = svm_cpu_enable,
	.cpu_features = svm_cpu_features,
	.cpu_nmi = svm_cpu_nmi,
	.cpu_flush = svm_cpu_flush,
	.service_init = svm_service_init,
	.cpu_run = svm_cpu_run,
	.vcpu_fault = svm_vcpu_fault,
	.vcpu_read = svm_vcpu_read,
	.msr_read = svm_msr_read,
	.msr_write = svm_msr_write,
	.guest_init = svm_guest_init,
	.guest_load = svm_guest_load,
	.guest_leave = svm_guest_leave,
	.guest_save_system = svm_guest_save_system,
	.guest_event = svm_guest_event,
	.guest_interrupt = svm_guest_interrupt,
	.vcpu_dump = svm_vcpu_dump,
};
