/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID of the service VM: the processor's own, less what it must not see. */
#ifndef ARCH_X86_GUEST_CPUID_H
#define ARCH_X86_GUEST_CPUID_H

#include "arch/x86/vcpu.h"

/* Answers a CPUID exit in the vCPU's registers: the handler of SOCLE_EXIT_CPUID. */
void guest_cpuid(struct vcpu *vcpu);

/* Answers a guest's CPUID exit from the table in its area. */
void guest_cpuid_table(struct vcpu *vcpu);

#endif
