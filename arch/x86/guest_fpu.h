/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's FPU, vector and other XSAVE state. It is the processor's while the guest runs. The
 * service VM's thread that runs a guest has it in its registers afterwards, as if it had called a
 * function that clobbers them: they are its domain's, and its kernel keeps them from other
 * processes.
 */
#ifndef ARCH_X86_GUEST_FPU_H
#define ARCH_X86_GUEST_FPU_H

#include "arch/x86/vcpu.h"

/* Before and after a run, on the CPU that runs the vCPU. */
void guest_fpu_load(struct vcpu *vcpu);
void guest_fpu_save(struct vcpu *vcpu);

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
