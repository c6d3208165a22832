/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's FPU, vector and other XSAVE state. It is the processor's while the guest runs. The
 * service VM's thread that runs a guest has it in its registers afterwards, as if it had called a
 * function that clobbers them: they are its domain's, and its kernel keeps them from other
 * processes.
 */
#ifndef ARCH_X86_GUEST_FPU_H
#define ARCH_X86_GUEST_FPU_H

#include "arch/x86/asm.h"
#include "arch/x86/vcpu.h"
#include "hv/cpu.h"

/*
 * XSAVE and XRSTOR run with all components: what a guest has switched off in XCR0 is still its own,
 * in the area and in the registers, and XRSTOR refuses an area that holds more than XCR0 allows.
 * PKRU is among them, which a guest changes without XCR0's leave. The service VM's XCR0 usually has
 * all of them already, for XSETBV is slow.
 */
#define FPU_ALL "a"(0xffffffffu), "d"(0xffffffffu)

/* The service VM's PKRU has to be there again before its kernel saves it. */
static inline uint32_t read_pkru(void)
{
	uint32_t value;

	__asm__ volatile("rdpkru" : "=a"(value) : "c"(0) : "rdx");
	return value;
}

static inline void write_pkru(uint32_t value)
{
	__asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0));
}

/* What a function call keeps of a thread's state: control words as the ABI has them at a start. */
static inline void reset_control_words(void)
{
	static const uint32_t mxcsr = 0x1f80;

	__asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

/* Before and after a run, on the CPU that runs the vCPU. */
static inline void guest_fpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	uint32_t xcr0;

	if (__builtin_expect(cpu->has_pkru, true)) {
		cpu->service_pkru = read_pkru();
	} else if (__builtin_expect(cpu->all_xcr0 == 0, false)) {
		__asm__ volatile("fxrstor64 %0" : : "m"(*(const uint8_t(*)[512])vcpu->fpu));
		return;
	}
	xcr0 = read_xcr0();
	if (__builtin_expect(xcr0 != cpu->all_xcr0, false)) {
		cpu->service_xcr0 = xcr0;
		xcr0 = cpu->all_xcr0;
		xsetbv(0, xcr0);
	}
	__asm__ volatile("xrstor64 %0" : : "m"(*(const uint8_t(*)[4096])vcpu->fpu), FPU_ALL);
	if (vcpu->xcr0 != xcr0)
		xsetbv(0, vcpu->xcr0);
}

static inline void guest_fpu_save(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	uint32_t xcr0;
	bool has_pkru = cpu->has_pkru;

	if (__builtin_expect(!has_pkru && cpu->all_xcr0 == 0, false)) {
		__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])vcpu->fpu));
		reset_control_words();
		return;
	}
	xcr0 = read_xcr0(); /* QEMU 7.2: a guest's XSETBV does not exit */
	vcpu->xcr0 = xcr0;
	if (xcr0 != cpu->all_xcr0)
		xsetbv(0, cpu->all_xcr0);
	__asm__ volatile("xsave64 %0" : "+m"(*(uint8_t(*)[4096])vcpu->fpu) : FPU_ALL);
	reset_control_words();
	if (has_pkru)
		write_pkru(cpu->service_pkru);
	if (__builtin_expect(cpu->service_xcr0 != 0, false)) {
		xsetbv(0, cpu->service_xcr0);
		cpu->service_xcr0 = 0;
	}
}

/*
 * Takes XCR0 from the VMM, while the guest's state is in this CPU's registers; 0 leaves it. False:
 * no processor takes that value.
 */
bool guest_fpu_set_xcr0(struct vcpu *vcpu, uint64_t value);

/* XCR0 of the guest that runs on this CPU. */
uint64_t guest_fpu_xcr0(const struct vcpu *vcpu);

/*
 * Makes the XMM registers that this CPU holds (the service VM's, of the thread that calls) the low
 * halves of the guest's vector registers. Before guest_fpu_load().
 */
void guest_fpu_take_vectors(struct vcpu *vcpu);

/* XSETBV of the guest that runs on this CPU. False: the processor would raise #GP. */
bool guest_fpu_xsetbv(uint32_t index, uint64_t value);

#endif
