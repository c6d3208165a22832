// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_fpu.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "arch/x86/xcr.h"
#include "hv/cpu.h"

#define ALL	    0xffffffffu
#define MXCSR_RESET 0x1f80
/* In the XSAVE area (SDM volume 1, sections 13.4.1 and 13.4.2). */
#define XMM_OFFSET 160
#define XSTATE_BV  512
#define XSTATE_SSE 2u

/*
 * XSAVE and XRSTOR run with all components: what a guest has switched off in XCR0 is still its own,
 * in the area and in the registers, and XRSTOR refuses an area that holds more than XCR0 allows.
 */
static void set_xcr0(uint64_t from, uint64_t to)
{
	if (from != to)
		xsetbv(0, to);
}

/* RDPKRU and WRPKRU: like the rest of an XSAVE state, but that a guest needs no XCR0 to change it.
 */
static uint32_t swap_pkru(uint32_t to)
{
	uint32_t old, high;

	__asm__ volatile("rdpkru" : "=a"(old), "=d"(high) : "c"(0));
	if (old != to)
		__asm__ volatile("wrpkru" : : "a"(to), "c"(0), "d"(0));
	return old;
}

/* What a function call keeps of a thread's state: control words as the ABI has them at a start. */
static void reset_control_words(void)
{
	static const uint32_t mxcsr = MXCSR_RESET;

	__asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

void guest_fpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (cpu->has_pkru)
		cpu->service_pkru = swap_pkru(vcpu->pkru);
	if (cpu->all_xcr0 == 0) {
		__asm__ volatile("fxrstor64 %0" : : "m"(*(const uint8_t(*)[512])vcpu->fpu));
		return;
	}
	cpu->service_xcr0 = xgetbv(0);
	set_xcr0(cpu->service_xcr0, cpu->all_xcr0);
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(*(const uint8_t(*)[4096])vcpu->fpu), "a"(ALL), "d"(ALL));
	set_xcr0(cpu->all_xcr0, vcpu->xcr0);
}

void guest_fpu_save(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (cpu->has_pkru)
		vcpu->pkru = swap_pkru(cpu->service_pkru);
	if (cpu->all_xcr0 == 0) {
		__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])vcpu->fpu));
		reset_control_words();
		return;
	}
	vcpu->xcr0 = xgetbv(0); /* QEMU 7.2: a guest's XSETBV does not exit */
	set_xcr0(vcpu->xcr0, cpu->all_xcr0);
	__asm__ volatile("xsave64 %0" : "+m"(*(uint8_t(*)[4096])vcpu->fpu) : "a"(ALL), "d"(ALL));
	reset_control_words();
	set_xcr0(cpu->all_xcr0, cpu->service_xcr0);
}

bool guest_fpu_set_xcr0(struct vcpu *vcpu, uint64_t value)
{
	if (value == vcpu->xcr0 || value == 0)
		return true;
	if (!xcr0_valid(value, vcpu->cpu->all_xcr0))
		return false;
	vcpu->xcr0 = value;
	xsetbv(0, value);
	return true;
}

uint64_t guest_fpu_xcr0(const struct vcpu *vcpu)
{
	return vcpu->cpu->all_xcr0 != 0 ? xgetbv(0) : vcpu->xcr0;
}

void guest_fpu_take_vectors(struct vcpu *vcpu)
{
	uint8_t *xmm = (uint8_t *)vcpu->fpu + XMM_OFFSET;

	__asm__ volatile("movdqu %%xmm0, (%0); movdqu %%xmm1, 16(%0)\n\t"
			 "movdqu %%xmm2, 32(%0); movdqu %%xmm3, 48(%0)\n\t"
			 "movdqu %%xmm4, 64(%0); movdqu %%xmm5, 80(%0)\n\t"
			 "movdqu %%xmm6, 96(%0); movdqu %%xmm7, 112(%0)\n\t"
			 "movdqu %%xmm8, 128(%0); movdqu %%xmm9, 144(%0)\n\t"
			 "movdqu %%xmm10, 160(%0); movdqu %%xmm11, 176(%0)\n\t"
			 "movdqu %%xmm12, 192(%0); movdqu %%xmm13, 208(%0)\n\t"
			 "movdqu %%xmm14, 224(%0); movdqu %%xmm15, 240(%0)"
			 :
			 : "r"(xmm)
			 : "memory");
	/* Else XRSTOR would give zeros: the state may have been the initial one. */
	((uint8_t *)vcpu->fpu)[XSTATE_BV] |= XSTATE_SSE;
}

bool guest_fpu_xsetbv(uint32_t index, uint64_t value)
{
	/* PKRU is switched by itself. */
	return !(value & XCR0_PKRU) && xcr_write(index, value);
}
