/* SPDX-License-Identifier: BSD-2-Clause */
/* The service VM: what happens at its exits. */
#ifndef HV_SERVICE_H
#define HV_SERVICE_H

#include "arch/x86/vcpu.h"
#include "ept/ept.h"
#include "hv/boot_info.h"

/* What is done at each exit of the service VM, by reason. */
extern const vcpu_handler service_handlers[SOCLE_EXIT_COUNT];

/* The service VM's memory: frames come and go. The domains' lock is held. */
struct ept *service_ept(void);

/* Builds the service VM's memory: all of it, but the hypervisor's. Boot CPU only. */
void service_memory_init(const struct boot_info *boot, bool pages_1g);

/* Prepares the service VM's vCPU of the calling CPU. */
void service_vcpu_init(struct cpu *cpu, const struct boot_info *boot);

/* Runs the service VM on the calling CPU for ever. */
_Noreturn void service_run(struct cpu *cpu);

#endif
