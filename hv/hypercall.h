/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypercalls of abi/socle_abi.h. */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include "arch/x86/vcpu.h"
#include "hv/boot_info.h"

/* Keeps what the calls report. Boot CPU, before the service VM runs. */
void hypercall_init(const struct boot_info *boot, uint64_t features);

/* Carries out the hypercall in the vCPU's registers: the handler of SOCLE_EXIT_HYPERCALL. */
void hypercall(struct vcpu *vcpu);

#endif
