/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's breakpoint addresses, DR0 to DR3: no control block holds them. Until a guest touches a
 * debug register for the first time they stay the service VM's, and the accesses exit; from then on
 * they are switched.
 */
#ifndef ARCH_X86_GUEST_DEBUG_H
#define ARCH_X86_GUEST_DEBUG_H

#include "arch/x86/vcpu.h"

/* The guest that runs on this CPU wants its debug registers. */
void guest_debug_begin(struct vcpu *vcpu);

/* Around a run of a vCPU that has begun to use them. */
void guest_debug_load(struct vcpu *vcpu);
void guest_debug_save(struct vcpu *vcpu);

/* Brings vcpu->dr up to date while the vCPU is on this CPU. */
void guest_debug_read(struct vcpu *vcpu);

#endif
