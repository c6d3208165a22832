/* SPDX-License-Identifier: BSD-2-Clause */
/* A domain with three vCPUs on the fake machine of domain_calls.h; vCPU n runs on CPU n. */
#ifndef GUEST_RIG_H
#define GUEST_RIG_H

#include "domain_calls.h"

#define RIG_VCPUS 3

void rig_start(void);

/* The vCPU's area, as its VMM sees it; and the hypervisor's vCPU while it runs. */
struct socle_vcpu_area *rig_area(unsigned vcpu);
struct vcpu *rig_guest(unsigned vcpu);

/* The VMM runs it: it has to be inside afterwards. */
void rig_run(unsigned vcpu);

/* It exits. It goes on, or has been left for that reason. */
void rig_exit(unsigned vcpu, enum socle_exit_reason reason);
void rig_check_running(unsigned vcpu);
void rig_check_left(unsigned vcpu, enum socle_exit_reason reason);

/* RDMSR and WRMSR that exit. */
uint64_t rig_rdmsr(unsigned vcpu, uint32_t msr);
void rig_wrmsr(unsigned vcpu, uint32_t msr, uint64_t value);

/* One call of domain_destroy, by the other CPU. */
int64_t rig_destroy(void);
int64_t rig_kick(unsigned vcpu);

#endif
