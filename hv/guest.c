// SPDX-License-Identifier: BSD-2-Clause
#include "hv/guest.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/guest_cpuid.h"
#include "arch/x86/guest_fpu.h"
#include "hv/apic.h"
#include "hv/cpu.h"
#include "hv/domain.h"
#include "hv/shootdown.h"
#include "hv/timer.h"

/*
 * Running and leaving: a vCPU is out, entering, inside or leaving, as tests/model/run.pml has it,
 * which shows that no order of what CPUs do here runs a vCPU twice, loses a kick or outlives a
 * domain.
 */

/* Has the guest left in time for its timer, where the processor has none of its own for that. */
static inline void bound(struct vcpu *vcpu)
{
	uint64_t deadline = vcpu->area->timer_deadline;

	if (deadline != 0)
		vcpu->timer_bound = timer_bound(deadline - vcpu->timer_early);
}

/* Takes what the VMM changed that has to be there before the state is switched. */
static __attribute__((noinline)) void begin_load(struct vcpu *vcpu, uint64_t load)
{
	vcpu->area->load = 0;
	vcpu->area->event = 0;
	if (load & SOCLE_LOAD_APIC)
		vcpu->requests = true;
	if (load & SOCLE_LOAD_VECTORS)
		guest_fpu_take_vectors(vcpu);
}

/* The rest of it, with the guest's state on this CPU. False: there can be no such state or event.
 */
static __attribute__((noinline)) bool end_load(struct vcpu *vcpu, uint64_t load, uint64_t event)
{
	if ((load & SOCLE_LOAD_SYSTEM) && !guest_fpu_set_xcr0(vcpu, vcpu->area->system.xcr0))
		return false;
	if ((event & SOCLE_EVENT_VALID) && !arch->guest_event(vcpu, event))
		return false;
	if (load & SOCLE_LOAD_WINDOW) {
		vcpu->window_wanted = true;
		arch->guest_interrupt(vcpu, 0);
	}
	return true;
}

/* Out again before it began. */
static __attribute__((noinline)) void turn_back(struct vcpu *vcpu, int64_t result)
{
	vcpu->cpu->service_regs.rax = (uint64_t)result;
	__atomic_fetch_sub(&vcpu->domain->users, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&vcpu->running, 0, __ATOMIC_RELEASE);
}

/* The guest was left for its timer. False: that is not due, and not in a moment either. */
static __attribute__((noinline)) bool meet_deadline(struct vcpu *vcpu)
{
	uint64_t deadline = *(volatile uint64_t *)&vcpu->area->timer_deadline;

	if (!timer_near(deadline, vcpu->timer_early, &vcpu->timer_ahead)) {
		vcpu->timer_ahead = 0;
		return false;
	}
	apic_deliver_now(vcpu);
	vcpu->timer_ahead = 0;
	vcpu->timer_bound = false;
	bound(vcpu);
	vcpu->timer_early = timer_wait(deadline, vcpu->timer_early);
	return true;
}

/* Its state is on this CPU: what has come for it, and then inside. */
static inline void enter(struct vcpu *vcpu)
{
	if (__builtin_expect(!vcpu->timer_bound, true) || !meet_deadline(vcpu)) {
		apic_deliver(vcpu);
		bound(vcpu);
	}
	vcpu->cpu->current = vcpu;
}

/* Loads what the VMM changed too. Both words are read once: the VMM may change them meanwhile. */
static __attribute__((noinline)) void load_and_enter(struct vcpu *vcpu)
{
	uint64_t load = *(volatile uint64_t *)&vcpu->area->load;
	uint64_t event = *(volatile uint64_t *)&vcpu->area->event;

	begin_load(vcpu, load);
	arch->guest_load(vcpu, load);
	if (((load & ~SOCLE_LOAD_RUN) | event) != 0 && !end_load(vcpu, load, event)) {
		arch->guest_leave(vcpu);
		vcpu->area->where = SOCLE_WHERE_VMM;
		turn_back(vcpu, SOCLE_ERROR_ARGUMENT);
		return;
	}
	enter(vcpu);
}

void guest_run(struct vcpu *service, struct domain *domain, uint64_t number)
{
	struct socle_vcpu_area *area;
	struct vcpu *vcpu = NULL;

	if (number < SOCLE_MAX_VCPUS)
		vcpu = __atomic_load_n(&domain->vcpu[number], __ATOMIC_ACQUIRE);
	if (vcpu == NULL) {
		service->regs->rax = (uint64_t)SOCLE_ERROR_ARGUMENT;
		return;
	}
	if (__atomic_exchange_n(&vcpu->running, 1, __ATOMIC_ACQUIRE) != 0) {
		service->regs->rax = (uint64_t)SOCLE_ERROR_BUSY;
		return;
	}
	/* Entering. Counted first, looked at second: destruction does it the other way round. */
	__atomic_fetch_add(&domain->users, 1, __ATOMIC_SEQ_CST);
	vcpu->cpu = service->cpu;
	if (__atomic_load_n(&domain->state, __ATOMIC_SEQ_CST) != DOMAIN_ALIVE ||
	    __atomic_exchange_n(&vcpu->kicked, 0, __ATOMIC_ACQ_REL) != 0) {
		turn_back(vcpu, SOCLE_EXIT_INTERRUPT);
		return;
	}
	area = vcpu->area;
	area->where = SOCLE_WHERE_GUEST;
	vcpu->window_wanted = false;
	if (__builtin_expect((area->load | area->event) != 0, false)) {
		load_and_enter(vcpu);
		return;
	}
	arch->guest_load(vcpu, 0);
	enter(vcpu);
}

/* Leaving, then out. Ends a run: the VMM's thread goes on behind its hypercall, with the reason as
 * its result. */
static inline void leave(struct vcpu *vcpu, enum socle_exit_reason reason)
{
	struct socle_vcpu_area *area = vcpu->area;
	struct domain *domain;
	struct cpu *cpu;

	area->exit_reason = reason;
	area->where = SOCLE_WHERE_VMM;
	arch->guest_leave(vcpu);
	domain = vcpu->domain;
	cpu = vcpu->cpu;
	cpu->current = &cpu->service;
	cpu->service_regs.rax = reason;
	__atomic_store_n(&vcpu->running, 0, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&domain->users, 1, __ATOMIC_RELEASE);
}

int64_t guest_kick(struct domain *domain, uint64_t number)
{
	struct vcpu *vcpu;

	if (number >= SOCLE_MAX_VCPUS)
		return SOCLE_ERROR_ARGUMENT;
	vcpu = __atomic_load_n(&domain->vcpu[number], __ATOMIC_ACQUIRE);
	if (vcpu == NULL)
		return SOCLE_ERROR_ARGUMENT;
	__atomic_store_n(&vcpu->kicked, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->running, __ATOMIC_SEQ_CST) != 0)
		shootdown_kick(vcpu->cpu);
	return SOCLE_OK;
}

/* Exits -------------------------------------------------------------------------------------------
 */

/*
 * The VMM does the access: port, bytes and direction are in info[0]. For a string instruction it
 * needs segments and paging too.
 */
static void handle_io(struct vcpu *vcpu)
{
	uint64_t information = vcpu->exit.information;

	vcpu->area->info[0] = information;
	if (__builtin_expect((information & SOCLE_IO_STRING) != 0, false))
		arch->guest_save_system(vcpu);
	leave(vcpu, SOCLE_EXIT_IO);
}

static void handle_second_level(struct vcpu *vcpu)
{
	vcpu->area->info[0] = vcpu->exit.address.v;
	vcpu->area->info[1] = vcpu->exit.write ? SOCLE_ACCESS_WRITE : SOCLE_ACCESS_READ;
	arch->guest_save_system(vcpu);
	leave(vcpu, SOCLE_EXIT_SECOND_LEVEL);
}

static void handle_hlt(struct vcpu *vcpu)
{
	vcpu->timer_bound = false; /* its VMM sleeps till then */
	if ((arch->vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_IF) && apic_has_interrupt(vcpu))
		apic_deliver(vcpu);
	else
		leave(vcpu, SOCLE_EXIT_HLT);
}

/* To the VMM, with the register and where the instruction is: what it knows of it, we need not. */
static void leave_with_msr(struct vcpu *vcpu, enum socle_exit_reason reason, uint32_t msr)
{
	vcpu->area->info[0] = msr;
	vcpu->area->info[1] = vcpu->exit.rip;
	leave(vcpu, reason);
}

static void handle_msr_read(struct vcpu *vcpu)
{
	uint32_t msr = (uint32_t)vcpu->regs->rcx;
	uint64_t value;
	enum apic_result result = apic_msr_read(vcpu, msr, &value);

	if (result == APIC_FAULT) {
		arch->vcpu_fault(vcpu, VECTOR_GP, 0);
		return;
	}
	if (result != APIC_DONE && !arch->msr_read(vcpu, msr, &value)) {
		leave_with_msr(vcpu, SOCLE_EXIT_MSR_READ, msr);
		return;
	}
	vcpu->regs->rax = (uint32_t)value;
	vcpu->regs->rdx = value >> 32;
}

static void handle_msr_write(struct vcpu *vcpu)
{
	uint32_t msr = (uint32_t)vcpu->regs->rcx;
	uint64_t value = (uint32_t)vcpu->regs->rax | vcpu->regs->rdx << 32;
	uint64_t detail = 0, deadline = vcpu->area->timer_deadline;

	switch (apic_msr_write(vcpu, msr, value, &detail)) {
	case APIC_FAULT:
		arch->vcpu_fault(vcpu, VECTOR_GP, 0);
		break;
	case APIC_OTHER:
		if (!arch->msr_write(vcpu, msr, value))
			leave_with_msr(vcpu, SOCLE_EXIT_MSR_WRITE, msr);
		break;
	case APIC_EOI:
		vcpu->area->info[0] = detail;
		leave(vcpu, SOCLE_EXIT_EOI);
		break;
	case APIC_IPI:
		vcpu->area->info[0] = detail;
		leave(vcpu, SOCLE_EXIT_IPI);
		break;
	case APIC_WAKE:
		vcpu->area->info[0] = detail;
		leave(vcpu, SOCLE_EXIT_WAKE);
		break;
	case APIC_DONE: /* the task priority or an EOI may let an interrupt through */
		apic_deliver(vcpu);
		if (vcpu->area->timer_deadline != deadline)
			bound(vcpu);
		break;
	}
}

/* A physical interrupt waits: the service VM takes over. */
static void handle_interrupt(struct vcpu *vcpu)
{
	leave(vcpu, SOCLE_EXIT_INTERRUPT);
}

/* The machine's NMI is the service VM's. Another CPU's says to leave, or that there is an
 * interrupt. */
static void handle_nmi(struct vcpu *vcpu)
{
	if (vcpu->cpu->service.nmi_pending ||
	    __atomic_load_n(&vcpu->domain->state, __ATOMIC_ACQUIRE) != DOMAIN_ALIVE ||
	    __atomic_exchange_n(&vcpu->kicked, 0, __ATOMIC_ACQ_REL) != 0)
		leave(vcpu, SOCLE_EXIT_INTERRUPT);
	else
		apic_deliver(vcpu);
}

/*
 * The guest's own exception: the next run raises it. This one is over, for the delivery may raise
 * the next, and so on (CVE-2015-5307, CVE-2015-8104): such a guest comes to no instruction, before
 * which alone an interrupt or an NMI ends an entry.
 */
static void handle_exception(struct vcpu *vcpu)
{
	if (vcpu->exit.undone)
		leave(vcpu, SOCLE_EXIT_INTERRUPT);
}

/* CR8 is the task priority. */
static void handle_cr_access(struct vcpu *vcpu)
{
	if (vcpu->exit.undone) {
		arch->guest_save_system(vcpu);
		leave(vcpu, SOCLE_EXIT_CR_ACCESS);
	} else {
		apic_deliver(vcpu);
	}
}

static void handle_window(struct vcpu *vcpu)
{
	if (vcpu->window_wanted)
		leave(vcpu, SOCLE_EXIT_INTERRUPT_WINDOW);
	else
		apic_deliver(vcpu);
}

/* A guest's timer is due. */
static void handle_timer(struct vcpu *vcpu)
{
	apic_deliver(vcpu);
}

/* The processor has acknowledged a level-triggered interrupt from the local APIC's image. */
static void handle_eoi(struct vcpu *vcpu)
{
	vcpu->area->info[0] = vcpu->exit.information;
	leave(vcpu, SOCLE_EXIT_EOI);
}

static void handle_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
}

static void handle_refused(struct vcpu *vcpu)
{
	arch->vcpu_fault(vcpu, VECTOR_UD, 0);
}

static void handle_xsetbv(struct vcpu *vcpu)
{
	uint64_t value = (uint32_t)vcpu->regs->rax | vcpu->regs->rdx << 32;

	if (!guest_fpu_xsetbv((uint32_t)vcpu->regs->rcx, value))
		arch->vcpu_fault(vcpu, VECTOR_GP, 0);
}

static void handle_shutdown(struct vcpu *vcpu)
{
	vcpu->area->info[0] = vcpu->exit.information;
	arch->guest_save_system(vcpu);
	leave(vcpu, SOCLE_EXIT_SHUTDOWN);
}

/* Also what no guest can cause: its VMM hears of it, nobody else does. */
static void handle_entry_failure(struct vcpu *vcpu)
{
	vcpu->area->info[0] = vcpu->exit.code;
	arch->guest_save_system(vcpu);
	leave(vcpu, SOCLE_EXIT_ENTRY_FAILURE);
}

const vcpu_handler guest_handlers[SOCLE_EXIT_COUNT] = {
	[SOCLE_EXIT_CPUID] = guest_cpuid_table,
	[SOCLE_EXIT_HYPERCALL] = handle_refused,
	[SOCLE_EXIT_XSETBV] = handle_xsetbv,
	[SOCLE_EXIT_MSR_READ] = handle_msr_read,
	[SOCLE_EXIT_MSR_WRITE] = handle_msr_write,
	[SOCLE_EXIT_SECOND_LEVEL] = handle_second_level,
	[SOCLE_EXIT_NMI] = handle_nmi,
	[SOCLE_EXIT_NMI_WINDOW] = handle_nothing,
	[SOCLE_EXIT_INIT] = handle_interrupt,
	[SOCLE_EXIT_SIPI] = handle_interrupt,
	[SOCLE_EXIT_CR_ACCESS] = handle_cr_access,
	[SOCLE_EXIT_INVD] = handle_nothing,
	[SOCLE_EXIT_REFUSED] = handle_refused,
	[SOCLE_EXIT_SHUTDOWN] = handle_shutdown,
	[SOCLE_EXIT_INTERRUPT] = handle_interrupt,
	[SOCLE_EXIT_EXCEPTION] = handle_exception,
	[SOCLE_EXIT_HLT] = handle_hlt,
	[SOCLE_EXIT_IO] = handle_io,
	[SOCLE_EXIT_ENTRY_FAILURE] = handle_entry_failure,
	[SOCLE_EXIT_OTHER] = handle_entry_failure,
	[SOCLE_EXIT_INTERRUPT_WINDOW] = handle_window,
	[SOCLE_EXIT_EOI] = handle_eoi,
	[SOCLE_EXIT_IPI] = handle_nothing,
	[SOCLE_EXIT_WAKE] = handle_nothing,
	[SOCLE_EXIT_TIMER] = handle_timer,
};
