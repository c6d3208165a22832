/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the VT-x back end share. The functions are those of struct arch_ops. */
#ifndef ARCH_X86_VMX_VMX_H
#define ARCH_X86_VMX_VMX_H

#include "arch/x86/arch.h"
#include "arch/x86/vmx/vmcs.h"

/* The controls of the service VM: what is wanted and this machine offers. The same on every CPU. */
struct vmx_controls {
	uint32_t pin, processor, secondary, exit, entry;
};

/*
 * vmx_check.c: what this CPU has of VT-x. NULL: all that is needed, and *controls is what to use of
 * it. Else what is missing; text, of VMX_CHECK_BYTES, may hold it.
 */
#define VMX_CHECK_BYTES 256
const char *vmx_check(struct vmx_controls *controls, char *text);

/* The high half of a capability MSR: the controls that may be 1 (SDM volume 3, section A.3). */
uint32_t vmx_may_be_one(uint32_t msr);

/* Set by the first vmx_cpu_enable(). */
extern struct vmx_controls vmx_controls;

/*
 * exit.code of an entry that VMLAUNCH or VMRESUME refused: exit.information is the VM-instruction
 * error (SDM volume 3, section 31.4). Other exit codes are exit reasons.
 */
#define VMX_CODE_INSTRUCTION_FAILED (1ull << 32)

const char *vmx_cpu_enable(struct cpu *cpu, void *page);
uint64_t vmx_cpu_features(void);
void vmx_cpu_nmi(struct cpu *cpu);
void vmx_service_init(struct vcpu *vcpu, const struct boot_info *boot,
		      const struct boot_service_entry *entry, const struct ept *memory);
_Noreturn void vmx_cpu_run(struct cpu *cpu);
void vmx_cpu_flush(struct cpu *cpu);
void vmx_vcpu_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code);
uint64_t vmx_vcpu_read(struct vcpu *vcpu, enum vcpu_register which);
bool vmx_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool vmx_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void vmx_vcpu_dump(struct vcpu *vcpu);

/* Fills the service VM's MSR bitmap. Boot CPU, once. */
void vmx_msr_map_init(void);

/* Its host-physical address. */
hpa_t vmx_msr_map(void);

/* Makes a VMCS the current one of this CPU, empty. vmcs is a zeroed page. */
void vmx_vmcs_load(void *vmcs, hpa_t vmcs_pa);

/* Drops what this CPU has cached of any second-level table, and of any VPID. */
void vmx_invalidate_all(void);

#endif
