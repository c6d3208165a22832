/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vendors behind one table. arch/x86/svm and arch/x86/vmx hold the same functions in the same
 * order; which table is used is decided once, at boot.
 */
#ifndef ARCH_X86_ARCH_H
#define ARCH_X86_ARCH_H

#include "arch/x86/vcpu.h"
#include "ept/ept.h"
#include "hv/boot_info.h"

struct cpu;

struct arch_ops {
	const char *name; /* "svm", "vmx" */
	const struct ept_format *ept_format;

	/*
	 * Puts the CPU that it runs on into root mode. page is a zeroed page for the CPU's own use
	 * (the VMXON region, the host save area). Returns NULL, or what is missing.
	 */
	const char *(*cpu_enable)(struct cpu *cpu, void *page);

	/* SOCLE_FEATURE_* of this CPU. Called after cpu_enable(). */
	uint64_t (*cpu_features)(void);

	/*
	 * An NMI arrived while the hypervisor ran, or was held back: makes cpu_run() deliver it.
	 * Called from the NMI handler too.
	 */
	void (*cpu_nmi)(struct cpu *cpu);

	/* Throws away what this CPU has cached of VMs' second-level translations. */
	void (*cpu_flush)(struct cpu *cpu);

	/*
	 * Sets the control block of a service VM's vCPU: the machine as it is, with memory behind
	 * `memory`, beginning at entry in 64-bit mode. vcpu->control is a zeroed page.
	 */
	void (*service_init)(struct vcpu *vcpu, const struct boot_info *boot,
			     const struct boot_service_entry *entry, const struct ept *memory);

	/*
	 * Runs cpu->current until it exits, calls the handler of the exit's reason, and so on for
	 * ever. An instruction that exited by design (CPUID, a hypercall) counts as done when its
	 * handler is called: RIP is past it.
	 */
	void (*cpu_run)(struct cpu *cpu) __attribute__((noreturn));

	/*
	 * Makes the next entry raise a fault, at the instruction that exited, as if it had not been
	 * done. error_code is used where the vector has one.
	 */
	void (*vcpu_fault)(struct vcpu *vcpu, uint8_t vector, uint32_t error_code);

	/* Reads a register of the state that the control block holds. */
	uint64_t (*vcpu_read)(struct vcpu *vcpu, enum vcpu_register which);

	/*
	 * RDMSR and WRMSR of the registers that exit. False: the processor would raise #GP.
	 */
	bool (*msr_read)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
	bool (*msr_write)(struct vcpu *vcpu, uint32_t msr, uint64_t value);

	/* Sets a guest's vCPU: real mode, at the reset vector, behind `memory`. Pages are its
	 * domain's. */
	bool (*guest_init)(struct vcpu *vcpu, const struct ept *memory);

	/*
	 * Around a guest's run: takes the state that the area's load bits name, switches what
	 * cpu_run() does not; and the way back.
	 */
	void (*guest_load)(struct vcpu *vcpu, uint64_t load);
	void (*guest_leave)(struct vcpu *vcpu);

	/* Writes the system state into the area. */
	void (*guest_save_system)(struct vcpu *vcpu);

	/*
	 * Makes the next entry raise an interrupt. False: the guest cannot take it yet; as soon as
	 * it can, it exits with SOCLE_EXIT_INTERRUPT_WINDOW. Vector 0 raises nothing and asks for
	 * that exit alone.
	 */
	bool (*guest_interrupt)(struct vcpu *vcpu, uint8_t vector);

	/* Makes the next entry raise an event (the area's format); an NMI waits until the guest can
	 * take one. False: not a possible event. */
	bool (*guest_event)(struct vcpu *vcpu, uint64_t event);

	/* Logs the control block's state after a failed entry or a triple fault. */
	void (*vcpu_dump)(struct vcpu *vcpu);
};

extern const struct arch_ops svm_ops;
extern const struct arch_ops vmx_ops;

/* The table in use; set by hv_start() before any CPU is enabled. */
extern const struct arch_ops *arch;

#endif
