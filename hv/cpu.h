/* SPDX-License-Identifier: BSD-2-Clause */
/* A physical CPU. It lives in the CPU's area, above its stack. */
#ifndef HV_CPU_H
#define HV_CPU_H

#include "arch/x86/asm.h"
#include "arch/x86/vcpu.h"
#include "hv/layout.h"

#define CPU_GDT_ENTRIES 5
#define CPU_TSS_BYTES	104

struct cpu {
	uint64_t gdt[CPU_GDT_ENTRIES];
	uint8_t tss[CPU_TSS_BYTES] __attribute__((aligned(8)));
	uint32_t index;
	uint32_t apic_id;
	bool nmi_pending;      /* an NMI of the machine came while the hypervisor ran */
	bool nmi_expected;     /* one of ours is under way to this CPU: shootdown.c */
	bool nmi_spare;	       /* one of ours was sent twice: two may come */
	uint64_t nmi_sent;     /* when, in TSC ticks */
	uint32_t nmis_arrived; /* VT-x: while the hypervisor ran, and not answered yet */
	/* All components that this CPU has; guests' state is kept for all. The upper half of XCR0
	 * is 0: nothing but AMD's former LWP was ever there. */
	uint32_t all_xcr0;
	uint64_t service_dr[4]; /* the service VM's, while a guest that uses its own runs */
	bool has_pkru;		/* protection keys for user pages, CR4.PKE is set */
	uint32_t service_pkru;
	uint32_t service_xcr0; /* the service VM's, while a guest runs, if it lacks one; else 0 */
	uint64_t flushed;      /* generation of translations that this CPU has thrown away */
	void *root_page;       /* for arch_ops.cpu_enable() */

	struct vcpu *current; /* the vCPU that cpu_run() enters */
	struct vcpu service;  /* the service VM's vCPU of this CPU */
	struct vcpu_registers service_regs;
	struct vcpu *last_guest; /* whose translations the guests' ASID holds */

	/* Counters: written by this CPU only, read by any. */
	uint64_t hypervisor_cycles;
	uint32_t left; /* when the vCPU was left, in TSC ticks */
	uint64_t hypercalls_denied;

	/* Stack for double faults, NMIs and machine checks where the vendor reloads TR on an exit.
	 */
	uint8_t emergency_stack[4096] __attribute__((aligned(16)));
};

_Static_assert(sizeof(struct cpu) <= HV_CPU_AREA_BYTES - HV_CPU_STACK_END, "struct cpu");

/* The CPU that this runs on. */
static inline struct cpu *cpu_current(void)
{
	return (struct cpu *)(align_down(read_rsp(), HV_CPU_AREA_BYTES) + HV_CPU_STACK_END);
}

#endif
