/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fake CPU's instructions, in place of arch/x86/asm.h: this directory comes first on the
 * include path of the unit tests. fake_cpu.h sets what they find and shows what they did.
 */
#ifndef ARCH_X86_ASM_H
#define ARCH_X86_ASM_H

#include <stdint.h>

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};

uint64_t rdtsc(void);
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t v);
struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf);
void xsetbv(uint32_t index, uint64_t v);
uint64_t xgetbv(uint32_t index);
uint64_t read_cr4(void);
void wbinvd(void);

/* Without effects that a test could see. */
static inline void cpu_pause(void) {}

static inline uint64_t read_cr3(void)
{
	return 0;
}

static inline void write_cr3(uint64_t v)
{
	(void)v;
}

#endif
