// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/guest_fpu.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "arch/x86/xcr.h"
#include "hv/cpu.h"

/* In the XSAVE area (SDM volume 1, sections 13.4.1 and 13.4.2). */
#define XMM_OFFSET 160
#define XSTATE_BV  512
#define XSTATE_SSE 2u

bool guest_fpu_set_xcr0(struct vcpu *vcpu, uint64_t value)
{
	if (value == vcpu->xcr0 || value == 0)
		return true;
	if (!xcr0_valid(value, vcpu->cpu->all_xcr0 & ~XCR0_PKRU))
		return false;
	vcpu->xcr0 = (uint32_t)value;
	xsetbv(0, value);
	return true;
}

uint64_t guest_fpu_xcr0(const struct vcpu *vcpu)
{
	return vcpu->cpu->all_xcr0 != 0 ? read_xcr0() : vcpu->xcr0;
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
	return !(value & XCR0_PKRU) && value >> 32 == 0 && xcr_write(index, value);
}
