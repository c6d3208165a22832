// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_fpu.h"

#include "arch/x86/asm.h"
#include "arch/x86/xcr.h"
#include "hv/cpu.h"

#define ALL 0xffffffffu

/* An XSAVE area that says of all components: as after a reset. */
static const uint8_t reset_area[4096] __attribute__((aligned(64)));

void guest_fpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (cpu->all_xcr0 == 0) {
		__asm__ volatile("fxrstor64 %0" : : "m"(*(const uint8_t(*)[512])vcpu->fpu));
		return;
	}
	cpu->service_xcr0 = xgetbv(0);
	if (cpu->service_xcr0 != vcpu->xcr0)
		xsetbv(0, vcpu->xcr0);
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(*(const uint8_t(*)[4096])vcpu->fpu), "a"(ALL), "d"(ALL));
}

void guest_fpu_save(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (cpu->all_xcr0 == 0) {
		__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])vcpu->fpu));
		return;
	}
	vcpu->xcr0 = xgetbv(0); /* QEMU 7.2: a guest's XSETBV does not exit */
	__asm__ volatile("xsave64 %0" : "+m"(*(uint8_t(*)[4096])vcpu->fpu) : "a"(ALL), "d"(ALL));
	if (cpu->service_xcr0 != vcpu->xcr0)
		xsetbv(0, cpu->service_xcr0);
}

/* XRSTOR of SSE or AVX takes MXCSR from the area in any case; XSETBV leaves it alone. */
bool guest_fpu_xsetbv(uint32_t index, uint64_t value)
{
	uint64_t added = value & ~xgetbv(0);
	uint32_t mxcsr;

	if (!xcr_write(index, value))
		return false;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(reset_area), "a"((uint32_t)added), "d"((uint32_t)(added >> 32)));
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	return true;
}
