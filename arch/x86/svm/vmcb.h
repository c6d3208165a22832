/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control block (APM volume 2, appendix B) and SVM's registers (chapter 15). */
#ifndef ARCH_X86_SVM_VMCB_H
#define ARCH_X86_SVM_VMCB_H

#include "hv/types.h"

/* Intercepts of debug registers: all reads and writes. */
#define INTERCEPT_DR_ALL 0xffffffffu

/* Intercept words 3, 4 (offsets 0x00c, 0x010). */
#define INTERCEPT_INTR	      (1u << 0)
#define INTERCEPT_NMI	      (1u << 1)
#define INTERCEPT_SMI	      (1u << 2)
#define INTERCEPT_INIT	      (1u << 3)
#define INTERCEPT_VINTR	      (1u << 4)
#define INTERCEPT_RDPMC	      (1u << 15)
#define INTERCEPT_CPUID	      (1u << 18)
#define INTERCEPT_IRET	      (1u << 20)
#define INTERCEPT_RSM	      (1u << 19)
#define INTERCEPT_INVD	      (1u << 22)
#define INTERCEPT_HLT	      (1u << 24)
#define INTERCEPT_INVLPGA     (1u << 26)
#define INTERCEPT_IO	      (1u << 27)
#define INTERCEPT_MSR	      (1u << 28)
#define INTERCEPT_TASK_SWITCH (1u << 29)
#define INTERCEPT_FERR_FREEZE (1u << 30)
#define INTERCEPT_SHUTDOWN    (1u << 31)

#define INTERCEPT_VMRUN	  (1u << 0)
#define INTERCEPT_VMMCALL (1u << 1)
#define INTERCEPT_VMLOAD  (1u << 2)
#define INTERCEPT_VMSAVE  (1u << 3)
#define INTERCEPT_STGI	  (1u << 4)
#define INTERCEPT_CLGI	  (1u << 5)
#define INTERCEPT_SKINIT  (1u << 6)
#define INTERCEPT_WBINVD  (1u << 9)
#define INTERCEPT_MONITOR (1u << 10)
#define INTERCEPT_MWAIT	  (3u << 11)
#define INTERCEPT_XSETBV  (1u << 13)

#define INTERCEPT_CR8_WRITE (1u << 24) /* intercept_cr */

#define TLB_CONTROL_NONE  0
#define TLB_CONTROL_FLUSH 1 /* all entries of all ASIDs */

#define NP_ENABLE (1ull << 0)

/* v_intr */
#define V_TPR	       0xfull
#define V_IRQ	       (1ull << 8)
#define V_INTR_PRIO(p) ((uint64_t)(p) << 16)
#define V_IGN_TPR      (1ull << 20)
#define V_INTR_MASKING (1ull << 24)

#define EVENT_VALID	 (1ull << 31)
#define EVENT_VECTOR	 0xffull
#define EVENT_ERROR_CODE (1ull << 11)
#define EVENT_TYPE	 (7ull << 8)
#define EVENT_NMI	 (2ull << 8)
#define EVENT_EXCEPTION	 (3ull << 8)
#define EVENT_SOFTWARE	 (4ull << 8)

/* VMCB clean bits (section 15.15.3): set, the processor may use what it has cached. */
#define CLEAN_ALL	0x00000fffu
#define CLEAN_INTERCEPT (1u << 0)
#define CLEAN_TPR	(1u << 3) /* and the rest of v_intr */
#define CLEAN_NESTED	(1u << 4) /* and g_pat */
#define CLEAN_CR_EFER	(1u << 5)
#define CLEAN_DR	(1u << 6)

#define VMEXIT_WRITE_CR8   0x018
#define VMEXIT_READ_DR0	   0x020
#define VMEXIT_WRITE_DR15  0x03f
#define VMEXIT_EXCEPTION   0x040 /* + vector */
#define VMEXIT_INTR	   0x060
#define VMEXIT_NMI	   0x061
#define VMEXIT_SMI	   0x062
#define VMEXIT_INIT	   0x063
#define VMEXIT_VINTR	   0x064
#define VMEXIT_RDPMC	   0x06f
#define VMEXIT_CPUID	   0x072
#define VMEXIT_RSM	   0x073
#define VMEXIT_IRET	   0x074
#define VMEXIT_INVD	   0x076
#define VMEXIT_INVLPGA	   0x07a
#define VMEXIT_HLT	   0x078
#define VMEXIT_IOIO	   0x07b
#define VMEXIT_MSR	   0x07c
#define VMEXIT_TASK_SWITCH 0x07d
#define VMEXIT_SHUTDOWN	   0x07f
#define VMEXIT_VMRUN	   0x080
#define VMEXIT_VMMCALL	   0x081
#define VMEXIT_VMLOAD	   0x082
#define VMEXIT_SKINIT	   0x086
#define VMEXIT_WBINVD	   0x089
#define VMEXIT_MONITOR	   0x08a
#define VMEXIT_MWAIT	   0x08b
#define VMEXIT_MWAIT_ARMED 0x08c
#define VMEXIT_XSETBV	   0x08d
#define VMEXIT_NPF	   0x400
#define VMEXIT_INVALID	   0xffffffffu /* compare the low 32 bits */

#define NPF_WRITE (1ull << 1)

/* Lengths without prefixes, for processors that do not save the next RIP. */
#define LENGTH_CPUID  2
#define LENGTH_MSR    2
#define LENGTH_INVD   2
#define LENGTH_HLT    1
#define LENGTH_XSETBV 3

/* EXITINFO1 of VMEXIT_IOIO (section 15.10.2). */
#define IOIO_IN		 (1u << 0)
#define IOIO_STRING	 (1u << 2)
#define IOIO_REP	 (1u << 3)
#define IOIO_BYTES(info) ((info) >> 4 & 7)
#define IOIO_PORT(info)	 ((info) >> 16 & 0xffff)
#define LENGTH_VMMCALL	 3

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes; /* type and S 3:0+4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	uint32_t intercept_cr, intercept_dr, intercept_exceptions;
	uint32_t intercept3, intercept4, intercept5;
	uint8_t reserved018[0x3c - 0x18];
	uint16_t pause_threshold, pause_count;
	uint64_t iopm_base_pa;
	uint64_t msrpm_base_pa;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved05d[3];
	uint64_t v_intr;
	uint64_t interrupt_shadow;
	uint64_t exitcode;
	uint64_t exitinfo1, exitinfo2;
	uint64_t exitintinfo;
	uint64_t np_control;
	uint8_t reserved098[0x10];
	uint64_t eventinj;
	uint64_t n_cr3;
	uint64_t lbr_control;
	uint32_t clean, reserved0c4;
	uint64_t next_rip;
	uint8_t reserved0d0[0x400 - 0xd0];

	/* The state save area, at 0x400. */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved4cc;
	uint64_t efer;
	uint8_t reserved4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0;
	uint64_t dr7, dr6;
	uint64_t rflags, rip;
	uint8_t reserved580[0x5d8 - 0x580];
	uint64_t rsp;
	uint64_t s_cet, ssp, isst_addr;
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask;
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved648[0x20];
	uint64_t g_pat;
	uint64_t dbgctl;
	uint64_t br_from, br_to, last_excp_from, last_excp_to;
	uint8_t reserved698[0x1000 - 0x698];
};

_Static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x040, "vmcb");
_Static_assert(offsetof(struct vmcb, exitcode) == 0x070, "vmcb");
_Static_assert(offsetof(struct vmcb, np_control) == 0x090, "vmcb");
_Static_assert(offsetof(struct vmcb, eventinj) == 0x0a8, "vmcb");
_Static_assert(offsetof(struct vmcb, clean) == 0x0c0, "vmcb");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "vmcb");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "vmcb");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "vmcb");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "vmcb");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "vmcb");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "vmcb");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "vmcb");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "vmcb");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "vmcb");
_Static_assert(sizeof(struct vmcb) == 0x1000, "vmcb");

#define MSR_SYSCFG	  0xc0010010
#define MSR_IORR_FIRST	  0xc0010016
#define MSR_IORR_LAST	  0xc0010019
#define MSR_TOP_MEM	  0xc001001a
#define MSR_TOP_MEM2	  0xc001001d
#define MSR_MMIO_CFG_BASE 0xc0010058
#define MSR_SMM_BASE	  0xc0010111
#define MSR_SMM_ADDR	  0xc0010112
#define MSR_SMM_MASK	  0xc0010113
#define MSR_VM_CR	  0xc0010114
#define MSR_IGNNE	  0xc0010115
#define MSR_SMM_CTL	  0xc0010116
#define MSR_VM_HSAVE_PA	  0xc0010117

#define VM_CR_R_INIT (1ull << 1) /* INIT becomes #SX */
#define VM_CR_LOCK   (1ull << 3)
#define VM_CR_SVMDIS (1ull << 4)

/* CPUID leaf 0x8000000a. */
#define SVM_FEATURE_NP		   (1u << 0)
#define SVM_FEATURE_NRIP_SAVE	   (1u << 3)
#define SVM_FEATURE_FLUSH_ASID	   (1u << 6)
#define SVM_FEATURE_DECODE_ASSISTS (1u << 7)
#define SVM_FEATURE_AVIC	   (1u << 13)

#endif
