// SPDX-License-Identifier: BSD-2-Clause
#include "hv/service.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/guest_cpuid.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/xcr.h"
#include "hv/cpu.h"
#include "hv/hypercall.h"
#include "hv/log.h"
#include "hv/memory.h"
#include "hv/panic.h"

/* Refused accesses to memory are logged this often; all are counted. */
#define REFUSED_LOG_LIMIT 8

static struct ept service_memory;
static unsigned refused_logged;

struct ept *service_ept(void)
{
	return &service_memory;
}

void service_memory_init(const struct boot_info *boot, bool pages_1g)
{
	static struct mtrr_state mtrr;
	uint64_t at = 0, end;

	hv_assert(ept_init(&service_memory, arch->ept_format, memory_arena(), pages_1g) == EPT_OK);
	/* With nested paging the MTRRs keep their meaning; with EPT the leaf's type replaces them.
	 */
	if (boot->vendor == SOCLE_VENDOR_VMX)
		mtrr_read(&mtrr);
	for (; at < boot->physical_limit; at = end) {
		enum memory_type type = MEMORY_WB;

		end = boot->physical_limit;
		if (boot->vendor == SOCLE_VENDOR_VMX)
			type = mtrr_type(&mtrr, at, &end);
		end = min_u64(end, boot->physical_limit);
		if (ept_map(&service_memory, gpa(at), hpa(at), end - at, EPT_ALL, type) != EPT_OK)
			panic("no page left for the service VM's memory map at %llx",
			      (unsigned long long)at);
	}
	if (ept_hole(&service_memory, gpa(boot->base), boot->bytes) != EPT_OK)
		panic("no page left to hide the hypervisor's memory");
}

void service_vcpu_init(struct cpu *cpu, const struct boot_info *boot)
{
	struct vcpu *vcpu = &cpu->service;
	struct boot_service_entry entry = boot->service_boot_cpu;

	if (cpu->index != 0) {
		entry = boot->service_other_cpu;
		entry.rsi = cpu->apic_id; /* the mailbox loop compares it with the wake-up's */
	}
	vcpu->cpu = cpu;
	vcpu->regs = &cpu->service_regs;
	vcpu->handlers = service_handlers;
	arch->service_init(vcpu, boot, &entry, &service_memory);
}

/* An access to the hypervisor's memory, or to what is beyond all memory. */
static void handle_second_level(struct vcpu *vcpu)
{
	if (__atomic_load_n(&refused_logged, __ATOMIC_RELAXED) < REFUSED_LOG_LIMIT) {
		__atomic_fetch_add(&refused_logged, 1, __ATOMIC_RELAXED);
		log_warning("service VM: refused %s at %llx, rip %llx",
			    vcpu->exit.write ? "a write" : "an access",
			    (unsigned long long)vcpu->exit.address.v,
			    (unsigned long long)vcpu->exit.rip);
	}
	arch->vcpu_fault(vcpu, VECTOR_GP, 0);
}

static void handle_msr_read(struct vcpu *vcpu)
{
	uint64_t value;

	if (!arch->msr_read(vcpu, (uint32_t)vcpu->regs->rcx, &value)) {
		arch->vcpu_fault(vcpu, VECTOR_GP, 0);
		return;
	}
	vcpu->regs->rax = (uint32_t)value;
	vcpu->regs->rdx = value >> 32;
}

static void handle_msr_write(struct vcpu *vcpu)
{
	uint64_t value = (uint32_t)vcpu->regs->rax | vcpu->regs->rdx << 32;

	if (!arch->msr_write(vcpu, (uint32_t)vcpu->regs->rcx, value))
		arch->vcpu_fault(vcpu, VECTOR_GP, 0);
}

static void handle_xsetbv(struct vcpu *vcpu)
{
	uint64_t value = (uint32_t)vcpu->regs->rax | vcpu->regs->rdx << 32;

	if (!xcr_write((uint32_t)vcpu->regs->rcx, value))
		arch->vcpu_fault(vcpu, VECTOR_GP, 0);
}

/* The state of the service VM is beyond repair, and with it the machine's. */
static _Noreturn void stop_machine(struct vcpu *vcpu, const char *why)
{
	panic_console_open();
	log_error("service VM, CPU %u: %s", vcpu->cpu->index, why);
	arch->vcpu_dump(vcpu);
	log_error("resetting the machine");
	machine_reset();
}

/* Throwing away other CPUs' data, the hypervisor's too, is never what was meant. */
static void handle_invd(struct vcpu *vcpu)
{
	(void)vcpu;
	wbinvd();
}

static void handle_refused(struct vcpu *vcpu)
{
	arch->vcpu_fault(vcpu, VECTOR_UD, 0);
}

static void handle_init(struct vcpu *vcpu)
{
	log_warning("service VM, CPU %u: an INIT or SIPI was ignored", vcpu->cpu->index);
}

/* The vendor's code has done all there was to do. */
static void handle_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
}

static void handle_shutdown(struct vcpu *vcpu)
{
	stop_machine(vcpu, "triple fault");
}

static void handle_entry_failure(struct vcpu *vcpu)
{
	stop_machine(vcpu, "the processor refused its state");
}

static void handle_unexpected(struct vcpu *vcpu)
{
	stop_machine(vcpu, "an exit that nothing asked for");
}

const vcpu_handler service_handlers[SOCLE_EXIT_COUNT] = {
	[SOCLE_EXIT_CPUID] = guest_cpuid,
	[SOCLE_EXIT_HYPERCALL] = hypercall,
	[SOCLE_EXIT_XSETBV] = handle_xsetbv,
	[SOCLE_EXIT_MSR_READ] = handle_msr_read,
	[SOCLE_EXIT_MSR_WRITE] = handle_msr_write,
	[SOCLE_EXIT_SECOND_LEVEL] = handle_second_level,
	[SOCLE_EXIT_NMI] = handle_nothing,
	[SOCLE_EXIT_NMI_WINDOW] = handle_nothing,
	[SOCLE_EXIT_INIT] = handle_init,
	[SOCLE_EXIT_SIPI] = handle_init,
	[SOCLE_EXIT_CR_ACCESS] = handle_nothing,
	[SOCLE_EXIT_INVD] = handle_invd,
	[SOCLE_EXIT_REFUSED] = handle_refused,
	[SOCLE_EXIT_SHUTDOWN] = handle_shutdown,
	[SOCLE_EXIT_INTERRUPT] = handle_unexpected,
	[SOCLE_EXIT_EXCEPTION] = handle_unexpected,
	[SOCLE_EXIT_HLT] = handle_unexpected,
	[SOCLE_EXIT_IO] = handle_unexpected,
	[SOCLE_EXIT_ENTRY_FAILURE] = handle_entry_failure,
	[SOCLE_EXIT_OTHER] = handle_unexpected,
	[SOCLE_EXIT_INTERRUPT_WINDOW] = handle_unexpected,
	[SOCLE_EXIT_EOI] = handle_unexpected,
	[SOCLE_EXIT_IPI] = handle_unexpected,
	[SOCLE_EXIT_WAKE] = handle_unexpected,
	[SOCLE_EXIT_TIMER] = handle_unexpected,
};

_Noreturn void service_run(struct cpu *cpu)
{
	cpu->current = &cpu->service;
	arch->cpu_run(cpu);
}
