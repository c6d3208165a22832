/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU, as both vendors and the common code see it. */
#ifndef ARCH_X86_VCPU_H
#define ARCH_X86_VCPU_H

#include "hv/types.h"
#include "socle_abi.h"

/* The general registers but RSP, which the control block holds. registers.inc has the same offsets.
 */
struct vcpu_registers {
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
};

_Static_assert(offsetof(struct vcpu_registers, rbp) == 32, "registers.inc");
_Static_assert(offsetof(struct vcpu_registers, rdi) == 48, "registers.inc");
_Static_assert(offsetof(struct vcpu_registers, r8) == 56, "registers.inc");
_Static_assert(offsetof(struct vcpu_registers, r15) == 112, "registers.inc");

struct vcpu;

/* Acts on an exit. vcpu is not NULL and has just been left by this CPU. */
typedef void (*vcpu_handler)(struct vcpu *vcpu);

/*
 * What happened, beside the reason, in words that both vendors share. A vendor's cpu_run() fills
 * what the reason needs; the handler acts on it.
 */
struct vcpu_exit {
	uint64_t rip;	      /* of the instruction that exited */
	uint32_t cpl;	      /* SOCLE_EXIT_HYPERCALL: the caller's privilege level */
	bool write;	      /* SOCLE_EXIT_SECOND_LEVEL: the access was a write */
	bool undone;	      /* SOCLE_EXIT_CR_ACCESS: a MOV to CR8 that its VMM is to do;
			       * SOCLE_EXIT_EXCEPTION: guest_leave() puts it into the area */
	uint64_t code;	      /* the vendor's own exit code, for messages */
	uint64_t information; /* the vendor's own detail (EXITINFO1, exit qualification) */
	gpa_t address;	      /* SOCLE_EXIT_SECOND_LEVEL: where */
};

struct vcpu {
	struct vcpu_registers *regs;  /* a guest's are in its area */
	const vcpu_handler *handlers; /* by enum socle_exit_reason */
	struct vcpu_exit exit;
	struct cpu *cpu; /* the physical CPU that it runs on */
	void *control;	 /* the VMCB or VMCS, and its host-physical address */
	hpa_t control_pa;
	bool launched; /* VT-x: VMRESUME, not VMLAUNCH */
	/* What the next entry has to see to; all of it is usually 0, which is one look. */
	union {
		struct {
			bool nmi_pending;   /* an NMI waits to be delivered */
			bool priority_open; /* the task priority or `waiting` has changed */
			bool shadow_open;   /* AMD-V: there may be an interrupt shadow */
		};
		uint32_t attention;
	};
	bool nmi_step;	   /* AMD-V: an NMI waits for the end of an IRET, which is single-stepped */
	bool nmi_step_own; /* and the guest's own RFLAGS.TF is set */
	uint64_t nmi_iret; /* AMD-V: RIP of the IRET that exited last, and may not be done yet */
	uint64_t exits[SOCLE_EXIT_COUNT];

	/* Guests' only. */
	struct domain *domain;
	struct socle_vcpu_area *area; /* shared with the VMM */
	void *fpu;		      /* XSAVE area */
	uint32_t xcr0;
	uint64_t tsc_offset;
	bool requests;	    /* the local APIC's image may hold interrupt requests */
	uint8_t waiting;    /* the vector that waits for a lower task priority alone, or 0 */
	uint8_t priority;   /* AMD-V: the task priority that the VMCB was given */
	bool window_wanted; /* its VMM is to hear of the next interrupt window */
	/*
	 * The processor delivers interrupts from the local APIC's image. It is told when the image
	 * has changed: what is in apic_status, RVI and SVI (SDM volume 3, section 25.4.2).
	 */
	bool virtual_interrupts, apic_stale;
	bool x2apic; /* VT-x: the VMCS is set for x2APIC mode */
	uint16_t apic_status;
	uint64_t dr[4];
	bool uses_debug;      /* of debug registers: guest_debug.h */
	struct cpu *last_cpu; /* on which it ran last */
	uint64_t cr2, dr6;    /* VT-x: what no VMCS holds, while it does not run */
	uint64_t switched[5]; /* enum vmx_switched; also the service VM's, while a guest runs */
	uint64_t run_end;     /* VT-x: when its run has to end, in the host's TSC */
	uint64_t timer_set;   /* VT-x: the deadline that the VMX-preemption timer was set by */
	/*
	 * Its timer: by how many ticks timer_bound() is to be early, as timer_wait() has
	 * learned; it is looked at as if it were so many ticks later; timer_bound() has been asked
	 * for its deadline.
	 */
	uint64_t timer_early, timer_ahead;
	bool timer_bound;
	uint32_t number;  /* in its domain */
	uint32_t running; /* atomic: a CPU runs it */
	uint32_t kicked;  /* atomic: its next run ends at once */
};

/* The task priority's place in the local APIC's image: CR8 is part of it. */
#define APIC_TPR 0x08

/* The state that common code asks a vendor for. */
enum vcpu_register {
	VCPU_RIP,
	VCPU_CR0,
	VCPU_CR3,
	VCPU_CR4,
	VCPU_EFER,
	VCPU_RSP,
	VCPU_RFLAGS,
	VCPU_CS_BASE
};

#endif
