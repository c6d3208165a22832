// SPDX-License-Identifier: BSD-2-Clause
/* AMD-V: a vCPU. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/log.h"

void svm_world_switch(struct vcpu_registers *regs, uint64_t vmcb_pa);
void svm_take_pending(void);

/* Segment attributes as the VMCB packs them. */
#define ATTRIBUTES_CODE64 0x0a9b
#define ATTRIBUTES_DATA   0x0c93
#define ATTRIBUTES_LDT    0x0082
#define ATTRIBUTES_TSS    0x008b

#define ASID_SERVICE 1

void svm_service_init(struct vcpu *vcpu, const struct boot_info *boot,
                      const struct boot_service_entry *entry, const struct ept *memory)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	struct vmcb_segment data = {BOOT_SELECTOR_DATA, ATTRIBUTES_DATA, 0xffffffff, 0};

	/* Interrupts, ports and the local APIC are the service VM's own: no INTR, no I/O intercept. */
	vmcb->intercept3 = INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_CPUID | INTERCEPT_INVD |
	                   INTERCEPT_INVLPGA | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	vmcb->intercept4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
	                   INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT;
	vmcb->msrpm_base_pa = svm_msr_map().v;
	vmcb->asid = ASID_SERVICE;
	vmcb->tlb_control = TLB_CONTROL_FLUSH;
	vmcb->np_control = NP_ENABLE;
	vmcb->n_cr3 = memory->root.v;

	vmcb->cs = (struct vmcb_segment){BOOT_SELECTOR_CODE, ATTRIBUTES_CODE64, 0xffffffff, 0};
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->ldtr = (struct vmcb_segment){0, ATTRIBUTES_LDT, 0, 0};
	vmcb->tr = (struct vmcb_segment){0, ATTRIBUTES_TSS, 0xffff, 0};
	vmcb->gdtr.base = boot->service_gdt;
	vmcb->gdtr.limit = (uint32_t)boot->service_gdt_limit;
	vmcb->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP;
	vmcb->cr3 = boot->service_cr3;
	vmcb->cr4 = CR4_PAE;
	/* EFER.SVME must be 1 in a VMCB; svm_msr_read() hides it. */
	vmcb->efer = EFER_SVME | EFER_LME | EFER_LMA;
	vmcb->dr6 = 0xffff0ff0;
	vmcb->dr7 = 0x400;
	vmcb->g_pat = rdmsr(MSR_PAT);
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->rsp = entry->rsp;
	vcpu->rip = entry->rip;
	vcpu->regs.rsi = entry->rsi;
}

/* Bytes of the instruction that exited. */
static uint32_t length_of(const struct vmcb *vmcb, uint32_t length)
{
	return vmcb->next_rip != 0 ? (uint32_t)(vmcb->next_rip - vmcb->rip) : length;
}

/* An NMI is still pending when its exit is taken: fetch it, and hand it on. */
static void fetch_nmi(struct vcpu *vcpu)
{
	svm_take_pending();
	if (vcpu->cpu->nmi_pending) {
		vcpu->cpu->nmi_pending = false;
		vcpu->nmi_pending = true;
	}
}

/*
 * Delivers an NMI, and notices its IRET: until then a second one waits, as hardware would have it.
 */
static void deliver_nmi(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if ((vmcb->intercept3 & INTERCEPT_IRET) || (vmcb->eventinj & EVENT_VALID))
		return;
	vcpu->nmi_pending = false;
	vmcb->eventinj = EVENT_VALID | EVENT_NMI | VECTOR_NMI;
	vmcb->intercept3 |= INTERCEPT_IRET;
	vmcb->clean &= ~CLEAN_INTERCEPT;
}

/* Says in common words why the vCPU was left. */
static void decode_exit(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	struct vcpu_exit *exit = &vcpu->exit;

	exit->length = 0;
	switch ((uint32_t)vmcb->exitcode) {
	case VMEXIT_VMMCALL:
		exit->reason = SOCLE_EXIT_HYPERCALL;
		exit->length = length_of(vmcb, LENGTH_VMMCALL);
		exit->cpl = vmcb->cpl;
		return;
	case VMEXIT_CPUID:
		exit->reason = SOCLE_EXIT_CPUID;
		exit->length = length_of(vmcb, LENGTH_CPUID);
		return;
	case VMEXIT_MSR:
		exit->reason = vmcb->exitinfo1 & 1 ? SOCLE_EXIT_MSR_WRITE : SOCLE_EXIT_MSR_READ;
		exit->length = length_of(vmcb, LENGTH_MSR);
		return;
	case VMEXIT_NPF:
		exit->reason = SOCLE_EXIT_SECOND_LEVEL;
		exit->address = gpa(vmcb->exitinfo2);
		exit->write = (vmcb->exitinfo1 & NPF_WRITE) != 0;
		return;
	case VMEXIT_NMI:
		exit->reason = SOCLE_EXIT_NMI;
		fetch_nmi(vcpu);
		return;
	case VMEXIT_IRET:
		exit->reason = SOCLE_EXIT_NMI_WINDOW;
		vmcb->intercept3 &= ~INTERCEPT_IRET;
		vmcb->clean &= ~CLEAN_INTERCEPT;
		return;
	case VMEXIT_INIT:
		exit->reason = SOCLE_EXIT_INIT;
		svm_take_pending();
		return;
	case VMEXIT_INVD:
		exit->reason = SOCLE_EXIT_INVD;
		exit->length = length_of(vmcb, LENGTH_INVD);
		return;
	case VMEXIT_SHUTDOWN:
		exit->reason = SOCLE_EXIT_SHUTDOWN;
		return;
	case VMEXIT_INVALID:
		exit->reason = SOCLE_EXIT_ENTRY_FAILURE;
		return;
	default:
		exit->reason = vmcb->exitcode == VMEXIT_INVLPGA ||
		                               (vmcb->exitcode >= VMEXIT_VMRUN &&
		                                vmcb->exitcode <= VMEXIT_SKINIT)
		                       ? SOCLE_EXIT_REFUSED
		                       : SOCLE_EXIT_OTHER;
		return;
	}
}

void svm_vcpu_enter(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (__builtin_expect(vcpu->nmi_pending, false))
		deliver_nmi(vcpu);
	vmcb->rax = vcpu->regs.rax;
	vmcb->rip = vcpu->rip;
	svm_world_switch(&vcpu->regs, vcpu->control_pa.v);
	vcpu->regs.rax = vmcb->rax;
	vcpu->rip = vmcb->rip;
	vmcb->tlb_control = TLB_CONTROL_NONE;
	vmcb->clean = CLEAN_ALL;
	vmcb->eventinj = 0;
	decode_exit(vcpu);
}

void svm_vcpu_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
	uint64_t event = EVENT_VALID | EVENT_EXCEPTION | vector;

	if (vector == VECTOR_GP || vector == VECTOR_PF)
		event |= EVENT_ERROR_CODE | (uint64_t)error_code << 32;
	vmcb_of(vcpu)->eventinj = event;
}

uint64_t svm_vcpu_read(struct vcpu *vcpu, enum vcpu_register which)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);

	switch (which) {
	case VCPU_CR0:
		return vmcb->cr0;
	case VCPU_CR3:
		return vmcb->cr3;
	case VCPU_CR4:
		return vmcb->cr4;
	case VCPU_EFER:
		return vmcb->efer;
	case VCPU_RSP:
		return vmcb->rsp;
	case VCPU_RFLAGS:
		return vmcb->rflags;
	case VCPU_CS_BASE:
		return vmcb->cs.base;
	}
	return 0;
}

void svm_vcpu_dump(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);

	log_error("exitcode %llx exitinfo1 %llx exitinfo2 %llx exitintinfo %llx",
	          (unsigned long long)vmcb->exitcode, (unsigned long long)vmcb->exitinfo1,
	          (unsigned long long)vmcb->exitinfo2, (unsigned long long)vmcb->exitintinfo);
	log_error("cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx", (unsigned long long)vmcb->cr0,
	          (unsigned long long)vmcb->cr2, (unsigned long long)vmcb->cr3,
	          (unsigned long long)vmcb->cr4, (unsigned long long)vmcb->efer);
	log_error("cs %x rip %llx ss %x rsp %llx rflags %llx cpl %u", vmcb->cs.selector,
	          (unsigned long long)vmcb->rip, vmcb->ss.selector, (unsigned long long)vmcb->rsp,
	          (unsigned long long)vmcb->rflags, vmcb->cpl);
}
