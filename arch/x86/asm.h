/* SPDX-License-Identifier: BSD-2-Clause */
/* Single instructions. */
#ifndef ARCH_X86_ASM_H
#define ARCH_X86_ASM_H

#include <stdint.h>

static inline void outb(int port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"((uint16_t)port));
}

static inline uint8_t inb(int port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"((uint16_t)port));
	return v;
}

static inline void outl(int port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"((uint16_t)port));
}

static inline uint32_t inl(int port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((uint16_t)port));
	return v;
}

/* RDTSC clears the upper halves of both registers. */
static inline uint64_t rdtsc(void)
{
	uint64_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return high << 32 | low;
}

/* Its low half: enough to measure what takes less than 2^32 ticks. */
static inline uint32_t rdtsc_low(void)
{
	uint32_t low;

	__asm__ volatile("rdtsc" : "=a"(low) : : "rdx");
	return low;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
}

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

#define CONTROL_REGISTER(name)                                                                     \
	static inline uint64_t read_##name(void)                                                   \
	{                                                                                          \
		uint64_t v;                                                                        \
                                                                                                   \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");                    \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_##name(uint64_t v)                                                \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory");                        \
	}
CONTROL_REGISTER(cr0)
CONTROL_REGISTER(cr2)
CONTROL_REGISTER(cr3)
CONTROL_REGISTER(cr4)
CONTROL_REGISTER(dr0)
CONTROL_REGISTER(dr1)
CONTROL_REGISTER(dr2)
CONTROL_REGISTER(dr3)
CONTROL_REGISTER(dr6)

static inline uint64_t read_rsp(void)
{
	uint64_t v;

	__asm__("mov %%rsp, %0" : "=r"(v));
	return v;
}

/* The lower half of XCR0. */
static inline uint32_t read_xcr0(void)
{
	uint32_t low;

	__asm__ volatile("xgetbv" : "=a"(low) : "c"(0) : "rdx");
	return low;
}

static inline void xsetbv(uint32_t index, uint64_t v)
{
	__asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

static inline void cpu_pause(void)
{
	__builtin_ia32_pause();
}

/* Stops this CPU for good. */
static inline _Noreturn void cpu_stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

struct __attribute__((packed)) descriptor_table {
	uint16_t limit;
	uint64_t base;
};

/* An exception that no IDT takes: the processor shuts down, and the machine is reset. */
static inline void triple_fault(void)
{
	__asm__ volatile("lidt %0; int3" : : "m"((struct descriptor_table){0, 0}));
}

#endif
