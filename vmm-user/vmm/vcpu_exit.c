/* SPDX-License-Identifier: BSD-2-Clause */
/* What the VMM does about each reason for which a guest was left. */
#include "vmm-user/vmm/insn.h"
#include "vmm-user/vmm/vcpu.h"

#define VECTOR_GP 13

typedef void exit_handler(struct vcpu *vcpu);

void vcpu_exception(struct vcpu *vcpu, uint8_t vector, bool has_code, uint32_t code)
{
	vcpu->area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_EXCEPTION | vector;
	if (has_code)
		vcpu->area->event |= SOCLE_EVENT_ERROR_CODE | (uint64_t)code << 32;
}

static __attribute__((noinline)) void unsupported(struct vcpu *vcpu)
{
	char text[INSN_TEXT_BYTES];

	vmm_end(vcpu->vmm, VMM_CRASH, "vCPU %u: cannot do the access to %#llx of %s", vcpu->index,
		(unsigned long long)vcpu->area->info[0],
		insn_describe(vcpu->vmm, vcpu->area, text));
}

static __attribute__((noinline)) void exit_io_string(struct vcpu *vcpu)
{
	if (insn_string_io(vcpu->vmm, vcpu->area, vcpu->area->info[0]) == INSN_UNSUPPORTED)
		unsupported(vcpu);
}

/* As insn_set_register(): four bytes clear the upper half. */
static inline void set_rax(struct socle_vcpu_area *area, unsigned bytes, uint64_t value)
{
	if (bytes == 1)
		area->rax = (area->rax & ~0xffull) | (value & 0xff);
	else if (bytes == 2)
		area->rax = (area->rax & ~0xffffull) | (value & 0xffff);
	else
		area->rax = (uint32_t)value;
}

/* What is not a read that was made before. */
static __attribute__((noinline)) void exit_io_other(struct vcpu *vcpu)
{
	struct vmm *vmm = vcpu->vmm;
	struct socle_vcpu_area *area = vcpu->area;
	uint64_t info = area->info[0];
	unsigned bytes = SOCLE_IO_BYTES(info);

	if (info & SOCLE_IO_STRING)
		exit_io_string(vcpu);
	else if (info & SOCLE_IO_IN)
		set_rax(area, bytes, bus_port_read(vmm, info));
	else
		bus_do_write(vmm, BUS_PORT, SOCLE_IO_PORT(info), bytes, area->rax);
}

void vcpu_exit_io(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;
	uint64_t info = area->info[0];
	unsigned bytes = SOCLE_IO_BYTES(info);
	const struct port_hit *hit = port_hit_of(vcpu->vmm, info);

	vcpu->exits[SOCLE_EXIT_IO]++;
	if (__builtin_expect(hit->what == info, true))
		set_rax(area, bytes, hit->read(hit->device, hit->offset, bytes));
	else
		exit_io_other(vcpu);
}

static void exit_second_level(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;

	if (insn_execute(vcpu->vmm, area, area->info[0], area->info[1]) == INSN_UNSUPPORTED)
		unsupported(vcpu);
}

static void exit_hlt(struct vcpu *vcpu)
{
	vcpu->state->run = VCPU_HALTED;
}

/* The exit left rip behind the instruction. */
static void msr_fault(struct vcpu *vcpu)
{
	vcpu->area->rip = vcpu->area->info[1];
	vcpu->area->load |= SOCLE_LOAD_RUN;
	vcpu_exception(vcpu, VECTOR_GP, true, 0);
}

static void exit_msr_read(struct vcpu *vcpu)
{
	uint64_t value;

	if (!msr_read(vcpu, (uint32_t)vcpu->area->info[0], &value)) {
		msr_fault(vcpu);
		return;
	}
	vcpu->area->rax = (uint32_t)value;
	vcpu->area->rdx = value >> 32;
}

static void exit_msr_write(struct vcpu *vcpu)
{
	uint64_t value = (uint32_t)vcpu->area->rax | vcpu->area->rdx << 32;

	if (!msr_write(vcpu, (uint32_t)vcpu->area->info[0], value))
		msr_fault(vcpu);
}

static void exit_eoi(struct vcpu *vcpu)
{
	irq_eoi(vcpu->vmm, (uint8_t)vcpu->area->info[0]);
}

static void exit_ipi(struct vcpu *vcpu)
{
	apic_command(vcpu, vcpu->area->info[0]);
}

static void exit_wake(struct vcpu *vcpu)
{
	uint64_t mask = vcpu->area->info[0];

	for (unsigned i = 0; i < vcpu->vmm->config.vcpus; i++)
		if (mask >> i & 1)
			vcpu_notify(&vcpu->vmm->vcpu[i]);
}

static void exit_window(struct vcpu *vcpu)
{
	vcpu->window = true;
}

/* AMD-V where it does not tell the register of a MOV to CR8. */
static void exit_cr_access(struct vcpu *vcpu)
{
	uint64_t value;

	switch (insn_write_cr8(vcpu->vmm, vcpu->area, &value)) {
	case INSN_DONE:
		apic_set_priority(vcpu, (uint8_t)(value << 4));
		break;
	case INSN_FAULT:
		break;
	case INSN_UNSUPPORTED:
		unsupported(vcpu);
		break;
	}
}

static void exit_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
}

static void exit_shutdown(struct vcpu *vcpu)
{
	const struct socle_vcpu_area *area = vcpu->area;
	const char *what = area->info[0] == SOCLE_SHUTDOWN_TASK_GATE
				   ? "an exception through a task gate"
				   : "triple fault";

	vmm_end(vcpu->vmm, VMM_CRASH, "vCPU %u: %s at %04x:%#llx, CR0 %#llx, CR3 %#llx",
		vcpu->index, what, area->system.cs.selector, (unsigned long long)area->rip,
		(unsigned long long)area->system.cr0, (unsigned long long)area->system.cr3);
}

static void exit_entry_failure(struct vcpu *vcpu)
{
	vmm_end(vcpu->vmm, VMM_CRASH,
		"vCPU %u: its state is not one to run in: code %#llx, rip %#llx", vcpu->index,
		(unsigned long long)vcpu->area->info[0], (unsigned long long)vcpu->area->rip);
}

static exit_handler *const handlers[SOCLE_EXIT_COUNT] = {
	[SOCLE_EXIT_CR_ACCESS] = exit_cr_access,
	[SOCLE_EXIT_SECOND_LEVEL] = exit_second_level,
	[SOCLE_EXIT_HLT] = exit_hlt,
	[SOCLE_EXIT_MSR_READ] = exit_msr_read,
	[SOCLE_EXIT_MSR_WRITE] = exit_msr_write,
	[SOCLE_EXIT_EOI] = exit_eoi,
	[SOCLE_EXIT_IPI] = exit_ipi,
	[SOCLE_EXIT_WAKE] = exit_wake,
	[SOCLE_EXIT_INTERRUPT] = exit_nothing,
	[SOCLE_EXIT_INTERRUPT_WINDOW] = exit_window,
	[SOCLE_EXIT_SHUTDOWN] = exit_shutdown,
	[SOCLE_EXIT_ENTRY_FAILURE] = exit_entry_failure,
};

void vcpu_exit(struct vcpu *vcpu, unsigned reason)
{
	if (reason == SOCLE_EXIT_IO) {
		vcpu_exit_io(vcpu);
		return;
	}
	if (reason >= SOCLE_EXIT_COUNT || handlers[reason] == NULL) {
		vmm_end(vcpu->vmm, VMM_CRASH,
			"vCPU %u: exit %u at %#llx is not one to be seen here", vcpu->index, reason,
			(unsigned long long)vcpu->area->rip);
		return;
	}
	vcpu->exits[reason]++;
	handlers[reason](vcpu);
}
