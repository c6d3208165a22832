/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers and bits that both vendors share. Names and values: Intel SDM volume 3, chapters 2 and
 * 4 and volume 4 (MSRs); AMD APM volume 2, chapter 3 and appendix A.
 */
#ifndef ARCH_X86_X86_H
#define ARCH_X86_X86_H

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_PAE	       (1ull << 5)
#define CR4_MCE	       (1ull << 6)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_LA57       (1ull << 12)

#define CR4_VMXE    (1ull << 13)
#define CR4_SMXE    (1ull << 14)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_PKE	    (1ull << 22)

#define XCR0_X87  (1ull << 0)
#define XCR0_PKRU (1ull << 9)

#define EFER_SCE  (1ull << 0)
#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)
#define EFER_SVME (1ull << 12)

#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF    (1ull << 8)
#define RFLAGS_IF    (1ull << 9)
#define RFLAGS_RF    (1ull << 16)

#define MSR_TSC		    0x10
#define MSR_APIC_BASE	    0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_MTRRCAP	    0xfe
#define MSR_SYSENTER_CS	    0x174
#define MSR_SYSENTER_ESP    0x175
#define MSR_SYSENTER_EIP    0x176
#define MSR_DEBUGCTL	    0x1d9
#define MSR_MTRR_PHYSBASE0  0x200
#define MSR_MTRR_PHYSMASK0  0x201
#define MSR_MTRR_FIX64K	    0x250
#define MSR_MTRR_FIX16K	    0x258 /* and 0x259 */
#define MSR_MTRR_FIX4K	    0x268 /* to 0x26f */
#define MSR_PAT		    0x277
#define MSR_MTRR_DEF_TYPE   0x2ff
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_X2APIC_FIRST    0x800
#define MSR_X2APIC_ICR	    0x830
#define MSR_XSS		    0xda0
#define MSR_EFER	    0xc0000080
#define MSR_STAR	    0xc0000081
#define MSR_LSTAR	    0xc0000082
#define MSR_CSTAR	    0xc0000083
#define MSR_SFMASK	    0xc0000084
#define MSR_FS_BASE	    0xc0000100
#define MSR_GS_BASE	    0xc0000101
#define MSR_KERNEL_GS_BASE  0xc0000102

#define APIC_BASE_BSP	  (1ull << 8)
#define APIC_BASE_X2APIC  (1ull << 10)
#define APIC_BASE_ENABLE  (1ull << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

/* Memory types (SDM volume 3, table 11-2). */
enum memory_type {
	MEMORY_UC = 0,
	MEMORY_WC = 1,
	MEMORY_WT = 4,
	MEMORY_WP = 5,
	MEMORY_WB = 6,
};

/* PAT of a CPU after reset (SDM volume 3, table 11-12; APM volume 2, section 7.8.2). */
#define PAT_RESET 0x0007040600070406ull

/* The hypervisor's selectors: interrupts.c writes the descriptors. */
#define HV_SELECTOR_CODE 0x08
#define HV_SELECTOR_DATA 0x10
#define HV_SELECTOR_TSS	 0x18

/* The service VM's first selectors (Linux' __BOOT_CS and __BOOT_DS). */
#define BOOT_SELECTOR_CODE 0x10
#define BOOT_SELECTOR_DATA 0x18

#define DR6_BREAKPOINTS 0xfull
#define DR7_GD		(1ull << 13)
#define DR6_BS		(1ull << 14)

/* Error codes that name a descriptor (SDM volume 3, section 6.13). */
#define ERROR_CODE_EXT (1u << 0)
#define ERROR_CODE_IDT (1u << 1)

#define VECTOR_DB  1
#define VECTOR_BP  3
#define VECTOR_OF  4
#define VECTOR_UD  6
#define VECTOR_DF  8
#define VECTOR_AC  17
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_MC  18
#define VECTOR_NMI 2
#define VECTOR_SX  30

#endif
