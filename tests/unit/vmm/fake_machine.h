/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole machine in ordinary memory, whose vCPUs are run by a function of the test. */
#ifndef UNIT_FAKE_MACHINE_H
#define UNIT_FAKE_MACHINE_H

#include "vmm-user/vmm/control.h"
#include "vmm-user/vmm/vcpu.h"

#define FAKE_RAM_BYTES (8ull << 20)

/* Stands for the guest and the hypervisor: gives enum socle_exit_reason or enum socle_error. */
typedef int64_t fake_guest(struct vcpu *vcpu);

struct fake_machine {
	struct vmm vmm;
	fake_guest *guest;
	unsigned kicks[SOCLE_MAX_VCPUS]; /* atomic */
	unsigned maps;
	uint64_t mapped; /* bytes */
	bool hole_mapped;
	uint64_t area[SOCLE_MAX_VCPUS]; /* host-physical */
	int memory;			/* file descriptor */
};

extern struct fake_machine fake_machine;

struct vmm *fake_machine_start(unsigned vcpus);
/* Another VMM takes over the same memory. False if the machine cannot be made. */
bool fake_machine_restart(unsigned vcpus);
void fake_machine_stop(void);

#endif
