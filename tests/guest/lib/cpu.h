/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions and registers. */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define VECTOR_DE  0u
#define VECTOR_DB  1u
#define VECTOR_NMI 2u
#define VECTOR_BP  3u
#define VECTOR_OF  4u
#define VECTOR_UD  6u
#define VECTOR_NM  7u
#define VECTOR_DF  8u
#define VECTOR_TS  10u
#define VECTOR_NP  11u
#define VECTOR_SS  12u
#define VECTOR_GP  13u
#define VECTOR_PF  14u
#define VECTOR_MF  16u
#define VECTOR_AC  17u
#define VECTOR_XM  19u

#define CR0_PE	    (1ull << 0)
#define CR0_MP	    (1ull << 1)
#define CR0_EM	    (1ull << 2)
#define CR0_TS	    (1ull << 3)
#define CR0_NE	    (1ull << 5)
#define CR0_WP	    (1ull << 16)
#define CR0_AM	    (1ull << 18)
#define CR0_PG	    (1ull << 31)
#define CR4_TSD	    (1ull << 2)
#define CR4_DE	    (1ull << 3)
#define CR4_OSXSAVE (1ull << 18)
#define RFLAGS_CF   (1ull << 0)
#define RFLAGS_TF   (1ull << 8)
#define RFLAGS_IF   (1ull << 9)
#define RFLAGS_AC   (1ull << 18)

#define MSR_TSC		   0x10
#define MSR_APIC_BASE	   0x1b
#define MSR_SYSENTER_CS	   0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_PAT		   0x277
#define MSR_TSC_DEADLINE   0x6e0
#define MSR_X2APIC	   0x800
#define MSR_EFER	   0xc0000080
#define MSR_STAR	   0xc0000081
#define MSR_LSTAR	   0xc0000082
#define MSR_CSTAR	   0xc0000083
#define MSR_SFMASK	   0xc0000084
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
}

struct cpuid_words {
	uint32_t a, b, c, d;
};

static inline struct cpuid_words cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_words r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline bool is_amd(void)
{
	return cpuid(0, 0).c == 0x444d4163; /* "cAMD" */
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

#define GUEST_PORT(type, suffix, width)                                                            \
	static inline type in##width(uint16_t port)                                                \
	{                                                                                          \
		type value;                                                                        \
                                                                                                   \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(value) : "Nd"(port) : "memory");    \
		return value;                                                                      \
	}                                                                                          \
	static inline void out##width(uint16_t port, type value)                                   \
	{                                                                                          \
		__asm__ volatile("out" #suffix " %0, %1" : : "a"(value), "Nd"(port) : "memory");   \
	}
GUEST_PORT(uint8_t, b, 8)
GUEST_PORT(uint16_t, w, 16)
GUEST_PORT(uint32_t, l, 32)

#define GUEST_REGISTER(name)                                                                       \
	static inline uint64_t get_##name(void)                                                    \
	{                                                                                          \
		unsigned long v;                                                                   \
                                                                                                   \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");                    \
		return v;                                                                          \
	}                                                                                          \
	static inline void set_##name(uint64_t v)                                                  \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name : : "r"((unsigned long)v) : "memory");         \
	}
GUEST_REGISTER(cr0)
GUEST_REGISTER(cr2)
GUEST_REGISTER(cr3)
GUEST_REGISTER(cr4)
GUEST_REGISTER(cr8)
GUEST_REGISTER(dr0)
GUEST_REGISTER(dr6)
GUEST_REGISTER(dr7)

static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* Halts with interrupts on, and gives with interrupts off. */
static inline void halt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline void pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* What a loop that looks at the TSC does meanwhile: far less than a microsecond's work, but an
 * emulator takes longer for RDTSC and PAUSE than for all of it. */
static inline void dwell(void)
{
	for (unsigned i = 0; i < 50; i++)
		__asm__ volatile("" : : : "memory");
}

static inline void flush_page(const volatile void *page)
{
	__asm__ volatile("invlpg (%0)" : : "r"(page) : "memory");
}

/* Memory-mapped registers, one instruction each. */
static inline uint32_t mmio_read(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"((uintptr_t)address) : "memory");
	return value;
}

static inline void mmio_write(uint64_t address, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"((uintptr_t)address) : "memory");
}

static inline uint64_t mmio_read64(uint64_t address)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"((uintptr_t)address) : "memory");
	return value;
}

static inline void mmio_write64(uint64_t address, uint64_t value)
{
	__asm__ volatile("movq %0, (%1)" : : "r"(value), "r"((uintptr_t)address) : "memory");
}

#endif
