/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual-machine control structure: field encodings (SDM volume 3, appendix B), controls
 * (chapter 25), exit reasons (appendix C), and the MSRs that say what is offered (appendix A).
 */
#ifndef ARCH_X86_VMX_VMCS_H
#define ARCH_X86_VMX_VMCS_H

#include "hv/types.h"

/* 16-bit fields. The segment registers' fields stand in the order of enum vmcs_segment. */
#define VMCS_VPID		    0x0000
#define VMCS_GUEST_ES_SELECTOR	    0x0800
#define VMCS_GUEST_INTERRUPT_STATUS 0x0810
#define VMCS_HOST_ES_SELECTOR	    0x0c00
#define VMCS_HOST_CS_SELECTOR	    0x0c02
#define VMCS_HOST_SS_SELECTOR	    0x0c04
#define VMCS_HOST_DS_SELECTOR	    0x0c06
#define VMCS_HOST_FS_SELECTOR	    0x0c08
#define VMCS_HOST_GS_SELECTOR	    0x0c0a
#define VMCS_HOST_TR_SELECTOR	    0x0c0c

/* 64-bit fields. */
#define VMCS_MSR_BITMAP		    0x2004
#define VMCS_TSC_OFFSET		    0x2010
#define VMCS_VIRTUAL_APIC	    0x2012
#define VMCS_EPT_POINTER	    0x201a
#define VMCS_EOI_EXIT_BITMAP0	    0x201c /* to 0x2022 */
#define VMCS_XSS_EXITING_BITMAP	    0x202c
#define VMCS_GUEST_PHYSICAL_ADDRESS 0x2400
#define VMCS_LINK_POINTER	    0x2800
#define VMCS_GUEST_DEBUGCTL	    0x2802
#define VMCS_GUEST_PAT		    0x2804
#define VMCS_GUEST_EFER		    0x2806
#define VMCS_GUEST_PDPTE0	    0x280a /* to 0x2810 */
#define VMCS_HOST_PAT		    0x2c00
#define VMCS_HOST_EFER		    0x2c02

/* 32-bit fields. */
#define VMCS_PIN_CONTROLS	      0x4000
#define VMCS_PROCESSOR_CONTROLS	      0x4002
#define VMCS_EXCEPTION_BITMAP	      0x4004
#define VMCS_PAGE_FAULT_MASK	      0x4006
#define VMCS_PAGE_FAULT_MATCH	      0x4008
#define VMCS_CR3_TARGET_COUNT	      0x400a
#define VMCS_EXIT_CONTROLS	      0x400c
#define VMCS_EXIT_MSR_STORE_COUNT     0x400e
#define VMCS_EXIT_MSR_LOAD_COUNT      0x4010
#define VMCS_ENTRY_CONTROLS	      0x4012
#define VMCS_ENTRY_MSR_LOAD_COUNT     0x4014
#define VMCS_ENTRY_INTERRUPTION_INFO  0x4016
#define VMCS_ENTRY_ERROR_CODE	      0x4018
#define VMCS_ENTRY_INSTRUCTION_LENGTH 0x401a
#define VMCS_TPR_THRESHOLD	      0x401c
#define VMCS_SECONDARY_CONTROLS	      0x401e
#define VMCS_VM_INSTRUCTION_ERROR     0x4400
#define VMCS_EXIT_REASON	      0x4402
#define VMCS_EXIT_INTERRUPTION_ERROR  0x4406
#define VMCS_EXIT_INTERRUPTION_INFO   0x4404
#define VMCS_IDT_VECTORING_INFO	      0x4408
#define VMCS_IDT_VECTORING_ERROR_CODE 0x440a
#define VMCS_EXIT_INSTRUCTION_LENGTH  0x440c
#define VMCS_GUEST_ES_LIMIT	      0x4800
#define VMCS_GUEST_GDTR_LIMIT	      0x4810
#define VMCS_GUEST_IDTR_LIMIT	      0x4812
#define VMCS_GUEST_ES_ACCESS_RIGHTS   0x4814
#define VMCS_GUEST_CS_ACCESS_RIGHTS   0x4816
#define VMCS_GUEST_SS_ACCESS_RIGHTS   0x4818
#define VMCS_GUEST_INTERRUPTIBILITY   0x4824
#define VMCS_GUEST_ACTIVITY	      0x4826
#define VMCS_GUEST_SYSENTER_CS	      0x482a
#define VMCS_GUEST_PREEMPTION_TIMER   0x482e
#define VMCS_HOST_SYSENTER_CS	      0x4c00

/* Natural-width fields. */
#define VMCS_CR0_MASK			    0x6000
#define VMCS_CR4_MASK			    0x6002
#define VMCS_CR0_READ_SHADOW		    0x6004
#define VMCS_CR4_READ_SHADOW		    0x6006
#define VMCS_EXIT_QUALIFICATION		    0x6400
#define VMCS_GUEST_CR0			    0x6800
#define VMCS_GUEST_CR3			    0x6802
#define VMCS_GUEST_CR4			    0x6804
#define VMCS_GUEST_ES_BASE		    0x6806
#define VMCS_GUEST_CS_BASE		    0x6808
#define VMCS_GUEST_GDTR_BASE		    0x6816
#define VMCS_GUEST_IDTR_BASE		    0x6818
#define VMCS_GUEST_DR7			    0x681a
#define VMCS_GUEST_RSP			    0x681c
#define VMCS_GUEST_RIP			    0x681e
#define VMCS_GUEST_RFLAGS		    0x6820
#define VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS 0x6822
#define VMCS_GUEST_SYSENTER_ESP		    0x6824
#define VMCS_GUEST_SYSENTER_EIP		    0x6826
#define VMCS_HOST_CR0			    0x6c00
#define VMCS_HOST_CR3			    0x6c02
#define VMCS_HOST_CR4			    0x6c04
#define VMCS_HOST_FS_BASE		    0x6c06
#define VMCS_HOST_GS_BASE		    0x6c08
#define VMCS_HOST_TR_BASE		    0x6c0a
#define VMCS_HOST_GDTR_BASE		    0x6c0c
#define VMCS_HOST_IDTR_BASE		    0x6c0e
#define VMCS_HOST_SYSENTER_ESP		    0x6c10
#define VMCS_HOST_SYSENTER_EIP		    0x6c12
#define VMCS_HOST_RSP			    0x6c14 /* vmx_world.asm writes it */
#define VMCS_HOST_RIP			    0x6c16

/* A segment register's field is that of ES plus twice its number. */
enum vmcs_segment {
	SEGMENT_ES,
	SEGMENT_CS,
	SEGMENT_SS,
	SEGMENT_DS,
	SEGMENT_FS,
	SEGMENT_GS,
	SEGMENT_LDTR,
	SEGMENT_TR
};

/* Pin-based controls (section 25.6.1). */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI_EXITING	       (1u << 3)
#define PIN_VIRTUAL_NMIS       (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)

/* Primary and secondary processor-based controls (section 25.6.2). */
#define PROCESSOR_INTERRUPT_WINDOW   (1u << 2)
#define PROCESSOR_TSC_OFFSETTING     (1u << 3)
#define PROCESSOR_HLT_EXITING	     (1u << 7)
#define PROCESSOR_MWAIT_EXITING	     (1u << 10)
#define PROCESSOR_RDPMC_EXITING	     (1u << 11)
#define PROCESSOR_CR8_EXITING	     (3u << 19) /* loads and stores */
#define PROCESSOR_TPR_SHADOW	     (1u << 21)
#define PROCESSOR_NMI_WINDOW_EXITING (1u << 22)
#define PROCESSOR_MOV_DR_EXITING     (1u << 23)
#define PROCESSOR_IO_EXITING	     (1u << 24)
#define PROCESSOR_USE_MSR_BITMAPS    (1u << 28)
#define PROCESSOR_MONITOR_EXITING    (1u << 29)
#define PROCESSOR_SECONDARY_CONTROLS (1u << 31)
#define SECONDARY_ENABLE_EPT	     (1u << 1)
#define SECONDARY_ENABLE_RDTSCP	     (1u << 3)
#define SECONDARY_VIRTUAL_X2APIC     (1u << 4)
#define SECONDARY_ENABLE_VPID	     (1u << 5)
#define SECONDARY_WBINVD_EXITING     (1u << 6)
#define SECONDARY_UNRESTRICTED_GUEST (1u << 7)
#define SECONDARY_APIC_REGISTERS     (1u << 8)
#define SECONDARY_VIRTUAL_INTERRUPTS (1u << 9)
#define SECONDARY_ENABLE_INVPCID     (1u << 12)
#define SECONDARY_ENABLE_PML	     (1u << 17)
#define SECONDARY_ENABLE_XSAVES	     (1u << 20)
#define SECONDARY_ENABLE_USER_WAIT   (1u << 26)

/* Exit and entry controls (sections 25.7.1, 25.8.1). */
#define EXIT_SAVE_DEBUG_CONTROLS     (1u << 2)
#define EXIT_HOST_ADDRESS_SPACE_SIZE (1u << 9)
#define EXIT_SAVE_PAT		     (1u << 18)
#define EXIT_LOAD_PAT		     (1u << 19)
#define EXIT_SAVE_EFER		     (1u << 20)
#define EXIT_LOAD_EFER		     (1u << 21)
#define EXIT_SAVE_PREEMPTION_TIMER   (1u << 22)
#define ENTRY_LOAD_DEBUG_CONTROLS    (1u << 2)
#define ENTRY_IA32E_MODE_GUEST	     (1u << 9)
#define ENTRY_LOAD_PAT		     (1u << 14)
#define ENTRY_LOAD_EFER		     (1u << 15)

/* EPT pointer (section 25.6.11): write-back tables, four levels, accessed and dirty flags. */
#define EPT_POINTER_WB	    6ull
#define EPT_POINTER_LEVELS4 (3ull << 3)
#define EPT_POINTER_DIRTY   (1ull << 6)

/* Guest interruptibility state and pending debug exceptions (section 25.4.2). */
#define INTERRUPTIBILITY_STI	(1u << 0)
#define INTERRUPTIBILITY_MOV_SS (1u << 1)
#define INTERRUPTIBILITY_NMI	(1u << 3) /* with virtual NMIs: a virtual NMI is being handled */
#define PENDING_DEBUG_BS	(1ull << 14)

/* Interruption information of entries, exits and IDT vectoring (sections 25.8.3, 25.9.2). */
#define INTERRUPTION_VALID	(1u << 31)
#define INTERRUPTION_ERROR_CODE (1u << 11)
#define INTERRUPTION_VECTOR	0xffu
#define INTERRUPTION_TYPE	(7u << 8)
#define INTERRUPTION_EXTERNAL	(0u << 8)
#define INTERRUPTION_NMI	(2u << 8)
#define INTERRUPTION_EXCEPTION	(3u << 8)
#define INTERRUPTION_SOFTWARE	(4u << 8) /* this type and those above: with a length */

/* Segment access rights (table 25-2): the VMCB's bits 7:0, its bits 11:8 at 15:12, and one more. */
#define ACCESS_RIGHTS_CODE64   0xa09b
#define ACCESS_RIGHTS_DATA     0xc093
#define ACCESS_RIGHTS_TSS      0x008b
#define ACCESS_RIGHTS_L	       (1u << 13) /* of a code segment: 64-bit mode */
#define ACCESS_RIGHTS_UNUSABLE 0x10000
#define ACCESS_RIGHTS_DPL(a)   ((uint32_t)(a) >> 5 & 3)

/* Exit reasons (appendix C). */
#define EXIT_REASON_BASIC	       0xffffu
#define EXIT_REASON_ENTRY_FAILURE      (1u << 31)
#define EXIT_REASON_EXCEPTION_OR_NMI   0
#define EXIT_REASON_EXTERNAL_INTERRUPT 1
#define EXIT_REASON_TRIPLE_FAULT       2
#define EXIT_REASON_INIT	       3
#define EXIT_REASON_SIPI	       4
#define EXIT_REASON_INTERRUPT_WINDOW   7
#define EXIT_REASON_NMI_WINDOW	       8
#define EXIT_REASON_TASK_SWITCH	       9
#define EXIT_REASON_CPUID	       10
#define EXIT_REASON_GETSEC	       11
#define EXIT_REASON_HLT		       12
#define EXIT_REASON_INVD	       13
#define EXIT_REASON_RDPMC	       15
#define EXIT_REASON_RSM		       17
#define EXIT_REASON_VMCALL	       18
#define EXIT_REASON_VMCLEAR	       19
#define EXIT_REASON_VMXON	       27
#define EXIT_REASON_CR_ACCESS	       28
#define EXIT_REASON_MOV_DR	       29
#define EXIT_REASON_IO		       30
#define EXIT_REASON_RDMSR	       31
#define EXIT_REASON_WRMSR	       32
#define EXIT_REASON_MWAIT	       36
#define EXIT_REASON_MONITOR	       39
#define EXIT_REASON_VIRTUALIZED_EOI    45
#define EXIT_REASON_EPT_VIOLATION      48
#define EXIT_REASON_EPT_MISCONFIG      49
#define EXIT_REASON_INVEPT	       50
#define EXIT_REASON_PREEMPTION_TIMER   52
#define EXIT_REASON_INVVPID	       53
#define EXIT_REASON_WBINVD	       54
#define EXIT_REASON_XSETBV	       55

/*
 * Exit qualification for task switches (table 28-2), control-register accesses (28-3), I/O (28-5)
 * and EPT violations (28-7).
 */
#define QUALIFICATION_TASK_SELECTOR(q)	 ((uint16_t)(q))
#define QUALIFICATION_TASK_SOURCE(q)	 ((q) >> 30 & 3)
#define TASK_SOURCE_IDT			 3
#define QUALIFICATION_CR_NUMBER(q)	 ((q)&15)
#define QUALIFICATION_CR_TYPE(q)	 ((q) >> 4 & 3)
#define QUALIFICATION_CR_REGISTER(q)	 ((q) >> 8 & 15)
#define CR_TYPE_MOV_TO			 0
#define CR_TYPE_MOV_FROM		 1
#define QUALIFICATION_IO_BYTES(q)	 (((q)&7) + 1)
#define QUALIFICATION_IO_IN		 (1ull << 3)
#define QUALIFICATION_IO_STRING		 (1ull << 4)
#define QUALIFICATION_IO_REP		 (1ull << 5)
#define QUALIFICATION_IO_PORT(q)	 ((q) >> 16 & 0xffff)
#define QUALIFICATION_EPT_WRITE		 (1ull << 1)
#define QUALIFICATION_EPT_IRET_UNBLOCKED (1ull << 12) /* an IRET had ended NMI blocking */

/* What the CPU offers (appendix A). */
#define MSR_VMX_BASIC		    0x480
#define MSR_VMX_MISC		    0x485
#define MSR_VMX_CR0_FIXED0	    0x486
#define MSR_VMX_CR0_FIXED1	    0x487
#define MSR_VMX_CR4_FIXED0	    0x488
#define MSR_VMX_CR4_FIXED1	    0x489
#define MSR_VMX_PROCBASED_CTLS2	    0x48b
#define MSR_VMX_EPT_VPID_CAP	    0x48c
#define MSR_VMX_TRUE_PINBASED_CTLS  0x48d
#define MSR_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_VMX_TRUE_EXIT_CTLS	    0x48f
#define MSR_VMX_TRUE_ENTRY_CTLS	    0x490
#define MSR_VMX_LAST		    0x493

#define VMX_MISC_TIMER_SHIFT(v) ((v)&31) /* the VMX-preemption timer counts the TSC >> this */
#define VMX_BASIC_REVISION	0x7fffffffu
#define VMX_BASIC_TRUE_CTLS	(1ull << 55)
#define EPT_CAP_LEVELS4		(1ull << 6)
#define EPT_CAP_WB		(1ull << 14)
#define EPT_CAP_PAGE_2M		(1ull << 16)
#define EPT_CAP_PAGE_1G		(1ull << 17)
#define EPT_CAP_INVEPT		(1ull << 20)
#define EPT_CAP_ACCESSED_DIRTY	(1ull << 21)
#define EPT_CAP_INVEPT_ALL	(1ull << 26)
#define VPID_CAP_INVVPID	(1ull << 32)
#define VPID_CAP_INVVPID_SINGLE (1ull << 41)
#define VPID_CAP_INVVPID_ALL	(1ull << 42)

/* IA32_FEATURE_CONTROL (SDM volume 4, table 2-2). */
#define FEATURE_CONTROL_LOCK		  (1ull << 0)
#define FEATURE_CONTROL_VMXON_INSIDE_SMX  (1ull << 1)
#define FEATURE_CONTROL_VMXON_OUTSIDE_SMX (1ull << 2)

/* Types of INVEPT and INVVPID (SDM volume 3, section 31.3). */
#define INVALIDATE_SINGLE 1
#define INVALIDATE_ALL	  2

/* False: no VMCS is current, or the field does not exist. */
static inline bool vmcs_write(uint64_t field, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"(field), "r"(value) : "memory");
	return !failed;
}

static inline uint64_t vmcs_read(uint64_t field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc", "memory");
	return value;
}

#endif
