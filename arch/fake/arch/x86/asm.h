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

struct __attribute__((packed)) descriptor_table {
	uint16_t limit;
	uint64_t base;
};

void outb(int port, uint8_t v);
uint8_t inb(int port);
uint64_t rdtsc(void);
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t v);
struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf);
void xsetbv(uint32_t index, uint64_t v);
uint32_t read_xcr0(void);
void wbinvd(void);
void cpu_pause(void);
_Noreturn void cpu_stop(void);
_Noreturn void triple_fault(void);
uint64_t read_rsp(void);

uint64_t read_cr2(void);
uint64_t read_cr3(void);
void write_cr3(uint64_t v);
uint64_t read_cr4(void);
void write_cr4(uint64_t v);
uint64_t read_dr0(void);
void write_dr0(uint64_t v);
uint64_t read_dr1(void);
void write_dr1(uint64_t v);
uint64_t read_dr2(void);
void write_dr2(uint64_t v);
uint64_t read_dr3(void);
void write_dr3(uint64_t v);

#endif
