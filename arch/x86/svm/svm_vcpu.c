// SPDX-License-Identifier: BSD-2-Clause
/* AMD-V: a vCPU. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/log.h"

void svm_take_pending(void);

/* Segment attributes as the VMCB packs them. */
#define ATTRIBUTES_CODE64 0x0a9b
#define ATTRIBUTES_DATA	  0x0c93
#define ATTRIBUTES_LDT	  0x0082
#define ATTRIBUTES_TSS	  0x008b

#define ASID_SERVICE	  1
#define EVENT_SINGLE_STEP (EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB)
#define EVENT_MACHINE	  (EVENT_VALID | EVENT_EXCEPTION | VECTOR_MC)

void svm_service_init(struct vcpu *vcpu, const struct boot_info *boot,
		      const struct boot_service_entry *entry, const struct ept *memory)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	struct vmcb_segment data = {BOOT_SELECTOR_DATA, ATTRIBUTES_DATA, 0xffffffff, 0};

	/* Interrupts, ports and the local APIC are the service VM's own: no INTR, no I/O intercept.
	 */
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
	vmcb->rip = entry->rip;
	vcpu->regs->rsi = entry->rsi;
	vcpu->nmi_iret = SVM_NO_IRET;
}

/*
 * Goes past the instruction that exited, to `next`: what its end would have done. It ends the
 * shadow of an STI or MOV SS before it, and is single-stepped.
 */
static inline void complete_at(struct vmcb *vmcb, uint64_t next)
{
	vmcb->rip = next;
	vmcb->interrupt_shadow = 0;
	if (__builtin_expect((vmcb->rflags & RFLAGS_TF) != 0, false)) {
		vmcb->dr6 |= DR6_BS;
		vmcb->eventinj = EVENT_SINGLE_STEP;
		vmcb->clean &= ~CLEAN_DR;
	}
}

/* The same for an instruction that is `length` bytes long without prefixes. */
static inline void complete_instruction(struct vcpu *vcpu, struct vmcb *vmcb, unsigned length)
{
	vcpu->exit.rip = vmcb->rip;
	complete_at(vmcb, vmcb->next_rip != 0 ? vmcb->next_rip : vmcb->rip + length);
}

/* An NMI is still pending when its exit is taken, and so is an INIT: fetch it. The machine's NMIs
 * are the service VM's. */
static void fetch_nmi(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	svm_take_pending();
	if (cpu->nmi_pending) {
		cpu->nmi_pending = false;
		cpu->service.nmi_pending = true;
	}
}

/*
 * An IRET ends the blocking of NMIs, and none may come before it is done: its frame would be where
 * the one is that the IRET is to read, on the stack that both have. With one that waits the IRET is
 * single-stepped.
 */
static void start_step(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->nmi_step = true;
	vcpu->nmi_step_own = (vmcb->rflags & RFLAGS_TF) != 0;
	vmcb->rflags |= RFLAGS_TF;
	vmcb->intercept_exceptions |= 1u << VECTOR_DB;
	vmcb->clean &= ~CLEAN_INTERCEPT;
}

/* The guest's state is looked at: if the IRET is still to be done, its TF is what it was. */
void svm_nmi_unstep(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (vmcb->rip != vcpu->nmi_iret)
		return;
	vcpu->nmi_step = false;
	if (!vcpu->nmi_step_own)
		vmcb->rflags &= ~RFLAGS_TF;
}

/*
 * Delivers an NMI, and asks for an exit at its IRET: until that is done a second one waits. A fault
 * that was to be raised gives way: its instruction runs again when the NMI has been handled. A
 * single step's trap, a machine check or an interrupt would be lost, and goes first.
 */
static void deliver_nmi(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if ((vmcb->intercept3 & INTERCEPT_IRET) || vcpu->nmi_step ||
	    vmcb->eventinj == EVENT_SINGLE_STEP || vmcb->eventinj == EVENT_MACHINE ||
	    ((vmcb->eventinj & EVENT_VALID) && (vmcb->eventinj & EVENT_TYPE) != EVENT_EXCEPTION))
		return;
	if (vmcb->rip == vcpu->nmi_iret) {
		start_step(vcpu);
		return;
	}
	vcpu->nmi_pending = false;
	vmcb->eventinj = EVENT_VALID | EVENT_NMI | VECTOR_NMI;
	vmcb->intercept3 |= INTERCEPT_IRET;
	vmcb->clean &= ~CLEAN_INTERCEPT;
}

/* The IRET of an NMI's handler, before it is done. Should an NMI come till then: deliver_nmi(). */
static enum socle_exit_reason decode_iret(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->intercept3 &= ~INTERCEPT_IRET;
	vmcb->clean &= ~CLEAN_INTERCEPT;
	vcpu->nmi_iret = vmcb->rip;
	return SOCLE_EXIT_NMI_WINDOW;
}

/* The step is done. True: the #DB is nobody else's. */
static bool end_step(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->nmi_step = false;
	vcpu->nmi_iret = SVM_NO_IRET;
	if (vcpu->domain == NULL)
		vmcb->intercept_exceptions &= ~(1u << VECTOR_DB);
	vmcb->clean &= ~(CLEAN_INTERCEPT | CLEAN_DR);
	if (vcpu->nmi_step_own)
		return false;
	vmcb->rflags &= ~RFLAGS_TF;
	vmcb->dr6 &= ~DR6_BS;
	return (vmcb->dr6 & DR6_BREAKPOINTS) == 0;
}

/*
 * A nested page fault while an event was delivered. The exception that the fault becomes takes the
 * event's place; an NMI waits, for it is not the instruction stream's to lose. Where the event was
 * an exception that exception could not be delivered either, and so on for ever: like the triple
 * fault that a processor makes of it, this is the end. (QEMU calls interrupts exceptions.)
 */
static enum socle_exit_reason decode_violation(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	uint64_t event = vmcb->exitintinfo;
	uint64_t type = event & EVENT_TYPE;

	vcpu->exit.address = gpa(vmcb->exitinfo2);
	vcpu->exit.write = (vmcb->exitinfo1 & NPF_WRITE) != 0;
	/* A guest's VMM may mend it: svm_guest_leave() gives it the event to raise again. */
	if (!(event & EVENT_VALID) || vcpu->domain != NULL)
		return SOCLE_EXIT_SECOND_LEVEL;
	if (type == EVENT_EXCEPTION && (event & EVENT_VECTOR) < 32)
		return SOCLE_EXIT_SHUTDOWN;
	if (type == EVENT_NMI) {
		vmcb->intercept3 &= ~INTERCEPT_IRET;
		vmcb->clean &= ~CLEAN_INTERCEPT;
		vcpu->nmi_pending = true;
	}
	return SOCLE_EXIT_SECOND_LEVEL;
}

/*
 * Task switches are refused with a #GP, as 64-bit mode does it: no system of today switches tasks
 * by them but for a double fault's sake, and that ends like one that nothing handles. To do them
 * here would take a walk of the guest's memory. An INT3 or INTO is called an exception (APM volume
 * 2, section 15.7.2), but is an instruction as INT is. (QEMU 7.2 does not ask, and switches.)
 */
static enum socle_exit_reason decode_task_switch(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	uint64_t event = vmcb->exitintinfo, type = event & EVENT_TYPE;
	uint32_t vector = (uint32_t)(event & EVENT_VECTOR);
	uint32_t error_code = (uint32_t)vmcb->exitinfo1 & 0xfffc;

	if (event & EVENT_VALID) {
		bool by_instruction =
			type == EVENT_SOFTWARE || vector == VECTOR_BP || vector == VECTOR_OF;

		if (type == EVENT_EXCEPTION && !by_instruction) {
			vcpu->exit.information = SOCLE_SHUTDOWN_TASK_GATE;
			return SOCLE_EXIT_SHUTDOWN;
		}
		error_code = vector << 3 | ERROR_CODE_IDT | (by_instruction ? 0 : ERROR_CODE_EXT);
	}
	vcpu->exit.undone = false;
	svm_vcpu_fault(vcpu, VECTOR_GP, error_code);
	return SOCLE_EXIT_CR_ACCESS;
}

/*
 * #AC and #DB are the guest's own: svm_guest_leave() gives them to the next run, in place of what
 * was being delivered. A machine check is raised in the service VM, which the guest is left for.
 */
static enum socle_exit_reason decode_exception(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	uint64_t vector = vmcb->exitcode - VMEXIT_EXCEPTION;
	struct vmcb *service = vmcb_of(&vcpu->cpu->service);

	if (vector == VECTOR_MC) {
		service->eventinj = EVENT_MACHINE;
		return SOCLE_EXIT_INTERRUPT;
	}
	if (vector == VECTOR_DB && vcpu->nmi_step) {
		if (!end_step(vcpu))
			vmcb->eventinj = EVENT_SINGLE_STEP;
		return SOCLE_EXIT_NMI_WINDOW;
	}
	vmcb->exitintinfo = EVENT_VALID | EVENT_EXCEPTION | vector;
	if (vector == VECTOR_AC)
		vmcb->exitintinfo |= EVENT_ERROR_CODE;
	vcpu->exit.undone = true;
	return SOCLE_EXIT_EXCEPTION;
}

/* Rarer exits. Unless it was by an instruction's design, nothing of it is done. */
static __attribute__((noinline)) enum socle_exit_reason decode_other(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	struct vcpu_exit *exit = &vcpu->exit;

	exit->rip = vmcb->rip;
	exit->code = vmcb->exitcode;
	exit->information = 0;
	vcpu->shadow_open = vmcb->interrupt_shadow != 0;
	if (vcpu->domain != NULL)
		svm_priority_save(vcpu);
	switch ((uint32_t)vmcb->exitcode) {
	case VMEXIT_NPF:
		return decode_violation(vcpu);
	case VMEXIT_HLT:
		complete_instruction(vcpu, vmcb, LENGTH_HLT);
		return SOCLE_EXIT_HLT;
	case VMEXIT_XSETBV:
		complete_instruction(vcpu, vmcb, LENGTH_XSETBV);
		return SOCLE_EXIT_XSETBV;
	case VMEXIT_INVD:
	case VMEXIT_WBINVD:
		complete_instruction(vcpu, vmcb, LENGTH_INVD);
		return SOCLE_EXIT_INVD;
	case VMEXIT_READ_DR0 ... VMEXIT_WRITE_DR15: /* the access is made again, to its own */
		exit->undone = false;
		guest_debug_begin(vcpu);
		vmcb->intercept_dr = 0;
		vmcb->clean &= ~CLEAN_INTERCEPT;
		return SOCLE_EXIT_CR_ACCESS;
	case VMEXIT_WRITE_CR8:
		exit->undone = true;
		return SOCLE_EXIT_CR_ACCESS;
	case VMEXIT_EXCEPTION ... VMEXIT_EXCEPTION + 31:
		return decode_exception(vcpu);
	case VMEXIT_INTR:
	case VMEXIT_SMI:
		return SOCLE_EXIT_INTERRUPT;
	case VMEXIT_TASK_SWITCH:
		return decode_task_switch(vcpu);
	case VMEXIT_VINTR:
		svm_priority_close(vmcb);
		return SOCLE_EXIT_INTERRUPT_WINDOW;
	case VMEXIT_NMI:
		fetch_nmi(vcpu);
		return SOCLE_EXIT_NMI;
	case VMEXIT_IRET:
		return decode_iret(vcpu);
	case VMEXIT_INIT:
		fetch_nmi(vcpu); /* there may be one too */
		return SOCLE_EXIT_INIT;
	case VMEXIT_SHUTDOWN:
		return SOCLE_EXIT_SHUTDOWN;
	case VMEXIT_INVALID:
		/* QEMU 7.2 has written zero; without masking no interrupt would end a run. */
		vmcb->v_intr = V_INTR_MASKING;
		return SOCLE_EXIT_ENTRY_FAILURE;
	case VMEXIT_INVLPGA:
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD ... VMEXIT_SKINIT:
	case VMEXIT_RSM:
	case VMEXIT_RDPMC:
	case VMEXIT_MONITOR ... VMEXIT_MWAIT_ARMED:
		return SOCLE_EXIT_REFUSED;
	default:
		return SOCLE_EXIT_OTHER;
	}
}

/* A port access; one that is not a string instruction's counts as done. */
static inline void decode_io(struct vcpu *vcpu, struct vmcb *vmcb)
{
	uint32_t info = (uint32_t)vmcb->exitinfo1;

	vcpu->exit.information = IOIO_PORT(info) | IOIO_BYTES(info) << 16 | (info & IOIO_IN) << 24;
	if (__builtin_expect((info & (IOIO_STRING | IOIO_REP)) != 0, false)) {
		vcpu->exit.information |= (info & IOIO_STRING ? SOCLE_IO_STRING : 0) |
					  (info & IOIO_REP ? SOCLE_IO_REP : 0);
		vcpu->shadow_open = true;
	} else {
		complete_at(vmcb, vmcb->exitinfo2);
	}
}

static inline void handle(struct vcpu *vcpu, enum socle_exit_reason reason)
{
	vcpu->exits[reason]++;
	vcpu->handlers[reason](vcpu);
}

/*
 * Says in common words why the vCPU was left, and has it handled: each exit that counts has its own
 * way to its handler.
 */
static inline void handle_exit(struct vcpu *vcpu, struct vmcb *vmcb)
{
	uint32_t code = (uint32_t)vmcb->exitcode;

	if (code == VMEXIT_VMMCALL) {
		/* A guest gets #UD where it was; whoever calls puts no prefixes before it. */
		vcpu->exit.rip = vmcb->rip;
		complete_at(vmcb, vmcb->rip + LENGTH_VMMCALL);
		vcpu->exit.cpl = vmcb->cpl;
		handle(vcpu, SOCLE_EXIT_HYPERCALL);
	} else if (code == VMEXIT_CPUID) {
		complete_instruction(vcpu, vmcb, LENGTH_CPUID);
		handle(vcpu, SOCLE_EXIT_CPUID);
	} else if (code == VMEXIT_IOIO) {
		decode_io(vcpu, vmcb);
		handle(vcpu, SOCLE_EXIT_IO);
	} else if (code == VMEXIT_MSR) {
		complete_instruction(vcpu, vmcb, LENGTH_MSR);
		if (vcpu->domain != NULL)
			svm_priority_save(vcpu);
		if (vmcb->exitinfo1 & 1)
			handle(vcpu, SOCLE_EXIT_MSR_WRITE);
		else
			handle(vcpu, SOCLE_EXIT_MSR_READ);
	} else {
		handle(vcpu, decode_other(vcpu));
	}
}

/* The call goes to svm_world.asm, which keeps RSP and RBP only: nothing is saved for nobody. */
#define WORLD_SWITCH(function, vcpu, regs)                                                         \
	do {                                                                                       \
		uint64_t vmcb_pa = (vcpu)->control_pa.v;                                           \
                                                                                                   \
		__asm__ volatile("call " #function                                                 \
				 : "+D"(regs), "+a"(vmcb_pa)                                       \
				 :                                                                 \
				 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12",    \
				   "r13", "r14", "r15", "cc", "memory");                           \
	} while (0)

/*
 * What is rarely to be done before an entry. True: the entry is made too, by way of
 * svm_world_switch_shadow().
 */
static __attribute__((noinline)) bool attend(struct vcpu *vcpu)
{
	struct vcpu_registers *registers;

	if (vcpu->priority_open) {
		vcpu->priority_open = false;
		svm_priority_load(vcpu);
		if (vcpu->attention == 0)
			return false;
	}
	if (vcpu->nmi_pending)
		deliver_nmi(vcpu);
	if (!vcpu->shadow_open)
		return false;
	vcpu->shadow_open = false;
	if (!(vmcb_of(vcpu)->interrupt_shadow & 1))
		return false;
	registers = vcpu->regs;
	WORLD_SWITCH(svm_world_switch_shadow, vcpu, registers);
	return true;
}

_Noreturn void svm_cpu_run(struct cpu *cpu)
{
	cpu->left = rdtsc_low();
	/* Guests are left at interrupts only if the hypervisor's IF is 1; GIF holds them off here.
	 */
	__asm__ volatile("sti");
	for (;;) {
		struct vcpu *vcpu = cpu->current;
		struct vcpu_registers *registers = vcpu->regs;
		struct vmcb *vmcb = vmcb_of(vcpu);

		vmcb->rax = registers->rax;
		cpu->hypervisor_cycles += rdtsc_low() - cpu->left;
		if (__builtin_expect(vcpu->attention == 0, true) || !attend(vcpu))
			WORLD_SWITCH(svm_world_switch, vcpu, registers);
		cpu->left = rdtsc_low();
		vcpu = cpu->current;
		vmcb = vmcb_of(vcpu);
		registers->rax = vmcb->rax;
		vmcb->tlb_control = TLB_CONTROL_NONE;
		vmcb->clean = CLEAN_ALL;
		handle_exit(vcpu, vmcb);
	}
}

void svm_vcpu_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
	uint64_t event = EVENT_VALID | EVENT_EXCEPTION | vector;
	struct vmcb *vmcb = vmcb_of(vcpu);

	/* Real mode has no error codes. */
	if ((vector == VECTOR_GP || vector == VECTOR_PF) && (vmcb->cr0 & CR0_PE))
		event |= EVENT_ERROR_CODE | (uint64_t)error_code << 32;
	if (vmcb->eventinj == EVENT_SINGLE_STEP)
		vmcb->dr6 &= ~DR6_BS; /* the step did not take place after all */
	vmcb->eventinj = event;
	vmcb->rip = vcpu->exit.rip;
}

uint64_t svm_vcpu_read(struct vcpu *vcpu, enum vcpu_register which)
{
	const struct vmcb *vmcb = vmcb_of(vcpu);

	switch (which) {
	case VCPU_RIP:
		return vmcb->rip;
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
