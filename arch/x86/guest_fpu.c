// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_fpu.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "hv/cpu.h"

#define ALL 0xffffffffu

static bool have_xsave(void)
{
	return (read_cr4() & CR4_OSXSAVE) != 0;
}

void guest_fpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (!have_xsave()) {
		__asm__ volatile("fxrstor64 %0" : : "m"(*(const uint8_t(*)[512])vcpu->fpu));
		return;
	}
	cpu->service_xcr0 = xgetbv(0);
	if (cpu->service_xcr0 != cpu->all_xcr0)
		xsetbv(0, cpu->all_xcr0);
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(*(const uint8_t(*)[4096])vcpu->fpu), "a"(ALL), "d"(ALL));
	if (vcpu->xcr0 != cpu->all_xcr0)
		xsetbv(0, vcpu->xcr0);
}

void guest_fpu_save(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (!have_xsave()) {
		__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])vcpu->fpu));
		return;
	}
	vcpu->xcr0 = xgetbv(0); /* a guest's XSETBV need not exit */
	if (vcpu->xcr0 != cpu->all_xcr0)
		xsetbv(0, cpu->all_xcr0);
	__asm__ volatile("xsave64 %0" : "+m"(*(uint8_t(*)[4096])vcpu->fpu) : "a"(ALL), "d"(ALL));
	if (cpu->service_xcr0 != cpu->all_xcr0)
		xsetbv(0, cpu->service_xcr0);
}
