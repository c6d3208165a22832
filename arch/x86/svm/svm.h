/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the AMD-V back end share. The functions are those of struct arch_ops. */
#ifndef ARCH_X86_SVM_SVM_H
#define ARCH_X86_SVM_SVM_H

#include "arch/x86/arch.h"
#include "arch/x86/svm/vmcb.h"

static inline struct vmcb *vmcb_of(struct vcpu *vcpu)
{
	return vcpu->control;
}

/*
 * svm_check.c: what this CPU has of AMD-V. NULL: all that is needed. Else what is missing; text, of
 * SVM_CHECK_BYTES, may hold it.
 */
#define SVM_CHECK_BYTES 256
const char *svm_check(char *text);

const char *svm_cpu_enable(struct cpu *cpu, void *page);
uint64_t svm_cpu_features(void);
void svm_cpu_nmi(struct cpu *cpu);
void svm_service_init(struct vcpu *vcpu, const struct boot_info *boot,
		      const struct boot_service_entry *entry, const struct ept *memory);
_Noreturn void svm_cpu_run(struct cpu *cpu, const vcpu_handler handlers[SOCLE_EXIT_COUNT]);
void svm_vcpu_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code);
uint64_t svm_vcpu_read(struct vcpu *vcpu, enum vcpu_register which);
bool svm_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool svm_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void svm_vcpu_dump(struct vcpu *vcpu);

/* Host-physical address of the service VM's MSR permission map; builds it on the first call. */
hpa_t svm_msr_map(void);

#endif
