// SPDX-License-Identifier: BSD-2-Clause
/* AMD-V: a CPU. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/memory.h"

#define CPUID_EXT_1	   0x80000001
#define CPUID_SVM	   0x8000000a
#define CPUID_EXT_1_PAGE1G (1u << 26)

void svm_clear_gif(void);

const char *svm_cpu_enable(struct cpu *cpu, void *page)
{
	char *text = page; /* holds a message, if any */
	const char *error = svm_check(text);

	(void)cpu;
	if (error != NULL)
		return error;
	write_cr4(read_cr4() | CR4_MCE); /* a machine check is no silent shutdown */
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

/* Only with GIF set do NMIs arrive in the hypervisor, and svm_cpu_run() then looks for them. */
void svm_cpu_nmi(struct cpu *cpu)
{
	cpu->nmi_pending = true;
}

const struct arch_ops svm_ops = {
	.name = "svm",
	.ept_format = &ept_format_npt,
	.cpu_enable = svm_cpu_enable,
	.cpu_features = svm_cpu_features,
	.cpu_nmi = svm_cpu_nmi,
	.service_init = svm_service_init,
	.cpu_run = svm_cpu_run,
	.vcpu_fault = svm_vcpu_fault,
	.vcpu_read = svm_vcpu_read,
	.msr_read = svm_msr_read,
	.msr_write = svm_msr_write,
	.vcpu_dump = svm_vcpu_dump,
};
