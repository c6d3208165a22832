// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: why a vCPU was left, in common words, and what is done about it before anybody is told. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"

void vmx_unblock_nmis(void);

static void clear_processor_control(uint32_t control)
{
	vmcs_write(VMCS_PROCESSOR_CONTROLS,
		   vmcs_read(VMCS_PROCESSOR_CONTROLS) & ~(uint64_t)control);
}

/* The VM can take an NMI now. */
static void open_nmi_window(struct vcpu *vcpu)
{
	uint64_t interruptibility = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	clear_processor_control(PROCESSOR_NMI_WINDOW_EXITING);
	if (!vcpu->nmi_pending)
		return;
	vcpu->nmi_pending = false;
	/* STI holds back no NMI, but a processor may refuse an entry with both (27.3.1.5). */
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~INTERRUPTIBILITY_STI);
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO,
		   INTERRUPTION_VALID | INTERRUPTION_NMI | VECTOR_NMI);
}

/*
 * An EPT violation while an event was delivered. The exception that the violation becomes takes the
 * event's place; an NMI waits, for it is not the instruction stream's to lose. Where the event was
 * an exception that exception could not be delivered either, and so on for ever: like the triple
 * fault that a processor makes of it, this is the end.
 */
static enum socle_exit_reason decode_violation(struct vcpu *vcpu)
{
	uint64_t vectoring = vmcs_read(VMCS_IDT_VECTORING_INFO);
	uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	uint64_t type = vectoring & INTERRUPTION_TYPE;

	vcpu->exit.address = gpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	vcpu->exit.write = (qualification & QUALIFICATION_EPT_WRITE) != 0;
	/* An IRET that is to be done again (section 28.2.3). */
	if (!(vectoring & INTERRUPTION_VALID) && (qualification & QUALIFICATION_EPT_IRET_UNBLOCKED))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
			   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
	/* A guest's VMM may mend it: vmx_guest_leave() gives it the event to raise again. */
	if (!(vectoring & INTERRUPTION_VALID) || vcpu->domain != NULL)
		return SOCLE_EXIT_SECOND_LEVEL;
	if (type == INTERRUPTION_EXCEPTION)
		return SOCLE_EXIT_SHUTDOWN;
	if (type == INTERRUPTION_NMI) {
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
								~(uint64_t)INTERRUPTIBILITY_NMI);
		vcpu->nmi_pending = true;
		vmx_want_nmi_window();
	}
	return SOCLE_EXIT_SECOND_LEVEL;
}

/* Ends the shadow of an STI or MOV SS before the instruction that exited. */
static inline void end_shadow(void)
{
	uint64_t interruptibility = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	if (__builtin_expect((interruptibility & shadow) != 0, false))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~shadow);
}

/*
 * Goes past the instruction that exited: what its end would have done. The shadow ends, and it is
 * single-stepped. Outside 64-bit mode RIP wraps at 4 GiB: an entry with more is refused.
 */
static inline void complete_instruction(struct vcpu *vcpu)
{
	uint64_t rip = vmcs_read(VMCS_GUEST_RIP);
	uint64_t next = rip + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);

	if (__builtin_expect((rip ^ next) >> 32 != 0, false) &&
	    !(vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS) & ACCESS_RIGHTS_L))
		next = (uint32_t)next;
	vcpu->exit.rip = rip;
	vmcs_write(VMCS_GUEST_RIP, next);
	end_shadow();
	if (__builtin_expect((vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_TF) != 0, false))
		vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
			   vmcs_read(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

#define NUMBER_RSP 4

/* A general register but RSP, by its number in an instruction's encoding. */
static uint64_t *register_of(struct vcpu *vcpu, unsigned number)
{
	struct vcpu_registers *r = vcpu->regs;
	uint64_t *const registers[] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, NULL,    &r->rbp,
				       &r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
				       &r->r12, &r->r13, &r->r14, &r->r15};

	return registers[number];
}

static uint64_t register_value(struct vcpu *vcpu, unsigned number)
{
	return number == NUMBER_RSP ? vmcs_read(VMCS_GUEST_RSP) : *register_of(vcpu, number);
}

/*
 * A guest's CR8 is the task priority of its local APIC (SDM volume 3, section 11.8.6). The
 * processor's own CR8 is the service VM's. The handler looks for an interrupt that the new priority
 * lets through.
 */
static void handle_cr8(struct vcpu *vcpu, unsigned number, uint64_t value, bool is_write)
{
	uint32_t *tpr = &vcpu->area->apic[4 * APIC_TPR];

	if (is_write && value > 0xf) {
		vmx_vcpu_fault(vcpu, VECTOR_GP, 0);
		return;
	}
	if (is_write)
		*tpr = (uint32_t)value << 4;
	else if (number == NUMBER_RSP)
		vmcs_write(VMCS_GUEST_RSP, *tpr >> 4 & 0xf);
	else
		*register_of(vcpu, number) = *tpr >> 4 & 0xf;
	complete_instruction(vcpu);
}

/*
 * Reads of CR0 and CR4 take the owned bits from the shadows and do not exit; CLTS and LMSW concern
 * bits that are not owned. What is left are MOVs with owned bits other than the shadow's. With them
 * in the shadow as the VM wants to see them the instruction does not exit: it runs again, with all
 * the processor's own checks, and leaves the true bits alone. (If those refuse it, the bits read as
 * they were asked for all the same.) In CR4 that is so for MCE; other bits the VM cannot have.
 */
static void handle_cr_access(struct vcpu *vcpu)
{
	uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	uint64_t value = register_value(vcpu, QUALIFICATION_CR_REGISTER(qualification));
	unsigned number = QUALIFICATION_CR_NUMBER(qualification);
	bool is_write = QUALIFICATION_CR_TYPE(qualification) == CR_TYPE_MOV_TO;

	if (!(vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS) & ACCESS_RIGHTS_L))
		value = (uint32_t)value;
	if (number == 8 && vcpu->domain != NULL)
		handle_cr8(vcpu, QUALIFICATION_CR_REGISTER(qualification), value, is_write);
	else if (is_write && number == 0)
		vmcs_write(VMCS_CR0_READ_SHADOW, value);
	else if (is_write && number == 4 && !(value & vmcs_read(VMCS_CR4_MASK) & ~CR4_MCE))
		vmcs_write(VMCS_CR4_READ_SHADOW, value);
	else
		vmx_vcpu_fault(vcpu, VECTOR_GP, 0);
}

/*
 * Task switches always exit. They are refused with a #GP, as 64-bit mode does it: no system of
 * today switches tasks by them but for a double fault's sake, and that ends like one that nothing
 * handles. To do them here would take a walk of the guest's memory.
 */
static enum socle_exit_reason decode_task_switch(struct vcpu *vcpu)
{
	uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	uint64_t vectoring = vmcs_read(VMCS_IDT_VECTORING_INFO);
	uint32_t error_code = QUALIFICATION_TASK_SELECTOR(qualification) & ~3u;

	if (QUALIFICATION_TASK_SOURCE(qualification) == TASK_SOURCE_IDT) {
		uint64_t type = vectoring & INTERRUPTION_TYPE;

		if (type == INTERRUPTION_EXCEPTION) {
			vcpu->exit.information = SOCLE_SHUTDOWN_TASK_GATE;
			return SOCLE_EXIT_SHUTDOWN;
		}
		error_code = (uint32_t)(vectoring & INTERRUPTION_VECTOR) << 3 | ERROR_CODE_IDT;
		if (type == INTERRUPTION_EXTERNAL || type == INTERRUPTION_NMI)
			error_code |= ERROR_CODE_EXT;
	}
	vmx_vcpu_fault(vcpu, VECTOR_GP, error_code);
	return SOCLE_EXIT_CR_ACCESS;
}

void vmx_end_shadow(void)
{
	end_shadow();
}

/*
 * An NMI struck in the hypervisor, which in the service VM counts as a window; or a run ends; or
 * the guest's timer is due, and there may be an interrupt.
 */
static enum socle_exit_reason decode_timer(struct vcpu *vcpu)
{
	bool answered = vmx_nmis_answer(vcpu->cpu);

	if (vcpu->domain == NULL)
		return SOCLE_EXIT_NMI_WINDOW;
	if (answered)
		return SOCLE_EXIT_NMI;
	return rdtsc() >= vcpu->run_end ? SOCLE_EXIT_INTERRUPT : SOCLE_EXIT_TIMER;
}

/*
 * #AC and #DB are the guest's own: vmx_guest_leave() gives them to the next run. The #DB of an
 * ICEBP is raised at once, as the area has no word for it.
 */
static void decode_exception(struct vcpu *vcpu)
{
	uint64_t info = vcpu->exit.information;

	vcpu->exit.undone = (info & INTERRUPTION_TYPE) == INTERRUPTION_EXCEPTION;
	if (!vcpu->exit.undone) {
		vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
		vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO,
			   info & (INTERRUPTION_VALID | INTERRUPTION_TYPE | INTERRUPTION_VECTOR));
	} else if ((info & INTERRUPTION_VECTOR) == VECTOR_DB) {
		/* An exit leaves DR6 as it was (SDM volume 3, section 28.1). */
		write_dr6((read_dr6() & ~DR6_BREAKPOINTS) | vmcs_read(VMCS_EXIT_QUALIFICATION));
		/* Nor does it let the handler at the debug registers. */
		vmcs_write(VMCS_GUEST_DR7, vmcs_read(VMCS_GUEST_DR7) & ~DR7_GD);
	}
}

/* Of a guest's exceptions #AC, #DB and machine checks exit: vmx_guest_leave() passes the last on.
 */
static enum socle_exit_reason decode_exception_or_nmi(struct vcpu *vcpu)
{
	vcpu->exit.information = vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);
	if ((vcpu->exit.information & INTERRUPTION_TYPE) != INTERRUPTION_NMI) {
		if ((vcpu->exit.information & INTERRUPTION_VECTOR) == VECTOR_MC)
			return SOCLE_EXIT_INTERRUPT;
		decode_exception(vcpu);
		return SOCLE_EXIT_EXCEPTION;
	}
	__atomic_fetch_add(&vcpu->cpu->nmis_arrived, 1, __ATOMIC_RELAXED);
	vmx_nmis_answer(vcpu->cpu);
	vmx_unblock_nmis();
	return SOCLE_EXIT_NMI;
}

/* Exits other than by an instruction's design: nothing of it is done. */
static __attribute__((noinline)) enum socle_exit_reason decode_other(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;

	exit->rip = vmcs_read(VMCS_GUEST_RIP);
	exit->information = 0;
	exit->undone = false;
	switch (exit->code) {
	case EXIT_REASON_EPT_VIOLATION:
		return decode_violation(vcpu);
	case EXIT_REASON_EXCEPTION_OR_NMI:
		return decode_exception_or_nmi(vcpu);
	case EXIT_REASON_PREEMPTION_TIMER:
		return decode_timer(vcpu);
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		return SOCLE_EXIT_INTERRUPT;
	case EXIT_REASON_INTERRUPT_WINDOW:
		clear_processor_control(PROCESSOR_INTERRUPT_WINDOW);
		return SOCLE_EXIT_INTERRUPT_WINDOW;
	case EXIT_REASON_MOV_DR: /* the access is made again, to its own */
		guest_debug_begin(vcpu);
		clear_processor_control(PROCESSOR_MOV_DR_EXITING);
		return SOCLE_EXIT_CR_ACCESS;
	case EXIT_REASON_TASK_SWITCH:
		return decode_task_switch(vcpu);
	case EXIT_REASON_VIRTUALIZED_EOI: /* behind the instruction (section 30.1.4) */
		exit->information = vmcs_read(VMCS_EXIT_QUALIFICATION);
		return SOCLE_EXIT_EOI;
	case EXIT_REASON_NMI_WINDOW:
		open_nmi_window(vcpu);
		return SOCLE_EXIT_NMI_WINDOW;
	case EXIT_REASON_INIT:
		return SOCLE_EXIT_INIT;
	case EXIT_REASON_SIPI:
		return SOCLE_EXIT_SIPI;
	case EXIT_REASON_CR_ACCESS:
		handle_cr_access(vcpu);
		return SOCLE_EXIT_CR_ACCESS;
	case EXIT_REASON_GETSEC:
	case EXIT_REASON_RDPMC:
	case EXIT_REASON_RSM:
	case EXIT_REASON_MWAIT:
	case EXIT_REASON_MONITOR:
	case EXIT_REASON_VMCLEAR ... EXIT_REASON_VMXON:
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
		return SOCLE_EXIT_REFUSED;
	case EXIT_REASON_TRIPLE_FAULT: /* nothing but an NMI would end an entry in shutdown state */
		vmcs_write(VMCS_GUEST_ACTIVITY, 0);
		return SOCLE_EXIT_SHUTDOWN;
	default:
		exit->information = vmcs_read(VMCS_EXIT_QUALIFICATION);
		return exit->code & EXIT_REASON_ENTRY_FAILURE ? SOCLE_EXIT_ENTRY_FAILURE
							      : SOCLE_EXIT_OTHER;
	}
}

/* A port access; one that is not a string instruction's counts as done. */
static inline void decode_io(struct vcpu *vcpu)
{
	uint64_t q = vmcs_read(VMCS_EXIT_QUALIFICATION);

	vcpu->exit.information = QUALIFICATION_IO_PORT(q) | QUALIFICATION_IO_BYTES(q) << 16 |
				 (q & QUALIFICATION_IO_IN ? SOCLE_IO_IN : 0);
	if (__builtin_expect((q & QUALIFICATION_IO_STRING) != 0, false)) {
		vcpu->exit.information |=
			SOCLE_IO_STRING | (q & QUALIFICATION_IO_REP ? SOCLE_IO_REP : 0);
		vcpu->exit.rip = vmcs_read(VMCS_GUEST_RIP);
	} else {
		complete_instruction(vcpu);
	}
}

enum socle_exit_reason vmx_decode_exit(struct vcpu *vcpu)
{
	uint32_t code = (uint32_t)vmcs_read(VMCS_EXIT_REASON);

	vcpu->exit.code = code;
	if (code == EXIT_REASON_VMCALL) {
		complete_instruction(vcpu);
		vcpu->exit.cpl = ACCESS_RIGHTS_DPL(vmcs_read(VMCS_GUEST_SS_ACCESS_RIGHTS));
		return SOCLE_EXIT_HYPERCALL;
	}
	if (code == EXIT_REASON_CPUID) {
		complete_instruction(vcpu);
		return SOCLE_EXIT_CPUID;
	}
	if (code == EXIT_REASON_IO) {
		decode_io(vcpu);
		return SOCLE_EXIT_IO;
	}
	if (code == EXIT_REASON_HLT) {
		complete_instruction(vcpu);
		return SOCLE_EXIT_HLT;
	}
	if (code == EXIT_REASON_RDMSR || code == EXIT_REASON_WRMSR) {
		complete_instruction(vcpu);
		return code == EXIT_REASON_WRMSR ? SOCLE_EXIT_MSR_WRITE : SOCLE_EXIT_MSR_READ;
	}
	if (code == EXIT_REASON_XSETBV) {
		complete_instruction(vcpu);
		return SOCLE_EXIT_XSETBV;
	}
	if (code == EXIT_REASON_INVD || code == EXIT_REASON_WBINVD) {
		complete_instruction(vcpu);
		return SOCLE_EXIT_INVD;
	}
	return decode_other(vcpu);
}
