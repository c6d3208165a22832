/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the AMD-V back end share. The functions are those of struct arch_ops. */
#ifndef ARCH_X86_SVM_SVM_H
#define ARCH_X86_SVM_SVM_H

#include "arch/x86/arch.h"
#include "arch/x86/guest_debug.h"
#include "arch/x86/guest_fpu.h"
#include "arch/x86/svm/vmcb.h"

/* struct vcpu's nmi_iret: there is none. No instruction is there: it would end behind 2^64. */
#define SVM_NO_IRET ~0ull

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
_Noreturn void svm_cpu_run(struct cpu *cpu);
void svm_cpu_flush(struct cpu *cpu);
void svm_vcpu_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code);
uint64_t svm_vcpu_read(struct vcpu *vcpu, enum vcpu_register which);
bool svm_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool svm_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void svm_vcpu_dump(struct vcpu *vcpu);

bool svm_guest_init(struct vcpu *vcpu, const struct ept *memory);
void svm_guest_load(struct vcpu *vcpu, uint64_t load);
void svm_guest_leave(struct vcpu *vcpu);
void svm_guest_save_system(struct vcpu *vcpu);
bool svm_guest_event(struct vcpu *vcpu, uint64_t event);
bool svm_guest_interrupt(struct vcpu *vcpu, uint8_t vector);
void svm_priority_wait(struct vcpu *vcpu);
void svm_priority_close(struct vmcb *vmcb);
void svm_nmi_unstep(struct vcpu *vcpu);

/*
 * A guest's CR8 is the VMCB's V_TPR, and the task priority of its local APIC, which is brought up
 * to date behind each exit but those that have nothing to do with the local APIC: where V_TPR is
 * not what the VMCB was given, the guest has written CR8.
 */
static inline void svm_priority_save(struct vcpu *vcpu)
{
	uint8_t now = (uint8_t)vmcb_of(vcpu)->v_intr; /* V_TPR; the other bits are 0 */

	if (__builtin_expect(now != vcpu->priority, false)) {
		vcpu->priority = now;
		*(volatile uint32_t *)&vcpu->area->apic[4 * APIC_TPR] = (uint32_t)now << 4;
	}
}

/*
 * NMIs are blocked until the IRET of the one before is done: it has not exited yet, or is being
 * single-stepped, or has exited and is still to be executed.
 */
static inline bool svm_nmi_blocked(const struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vcpu->control;

	return (vmcb->intercept3 & INTERCEPT_IRET) || vcpu->nmi_step || vmcb->rip == vcpu->nmi_iret;
}

/* What CR8 is to read. */
static inline uint32_t svm_task_priority(const struct vcpu *vcpu)
{
	return *(const volatile uint32_t *)&vcpu->area->apic[4 * APIC_TPR] >> 4 & 0xf;
}

/* Gives the guest its task priority, before an entry. */
static inline void svm_priority_load(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->priority = (uint8_t)svm_task_priority(vcpu);
	*(uint8_t *)&vmcb->v_intr = vcpu->priority; /* its lowest byte has nothing but V_TPR */
	vmcb->clean &= ~CLEAN_TPR;
	if (__builtin_expect(vcpu->waiting != 0, false))
		svm_priority_wait(vcpu);
}

/* svm_msr_read() and svm_msr_write() for guests. */
bool svm_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool svm_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
/* WRMSR of EFER, the same for all VMs. */
bool svm_efer_write(struct vcpu *vcpu, uint64_t value);
/* Fills the guests' permission maps. Boot CPU, once. */
void svm_guest_maps_init(void);

/* VMSAVE and VMLOAD: FS, GS, TR, LDTR, KERNEL_GS_BASE, the SYSCALL and SYSENTER registers. */
static inline void svm_vmsave(uint64_t vmcb_pa)
{
	__asm__ volatile("vmsave %%rax" : : "a"(vmcb_pa) : "memory");
}

static inline void svm_vmload(uint64_t vmcb_pa)
{
	__asm__ volatile("vmload %%rax" : : "a"(vmcb_pa) : "memory");
}

/* Host-physical address of the service VM's MSR permission map; builds it on the first call. */
hpa_t svm_msr_map(void);

#endif
