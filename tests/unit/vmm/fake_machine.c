/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "fake_machine.h"

#include <sanitizer/lsan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake_machine fake_machine;

static int64_t fake_call(uint64_t call, const struct socle_key *key, const uint64_t argument[4],
			 struct socle_reply *reply)
{
	(void)key;
	memset(reply, 0, sizeof(*reply));
	switch (call) {
	case SOCLE_CALL_MAP:
		fake_machine.maps++;
		fake_machine.mapped += argument[3];
		if (argument[1] < VMM_HOLE + VMM_HOLE_BYTES && argument[1] + argument[3] > VMM_HOLE)
			fake_machine.hole_mapped = true;
		return (int64_t)argument[3];
	case SOCLE_CALL_VCPU_CREATE:
		fake_machine.area[argument[1]] = argument[2];
		return SOCLE_OK;
	case SOCLE_CALL_VCPU_RUN:
		return fake_machine.guest(&fake_machine.vmm.vcpu[argument[1]]);
	case SOCLE_CALL_VCPU_KICK:
		__atomic_fetch_add(&fake_machine.kicks[argument[1]], 1, __ATOMIC_SEQ_CST);
		return SOCLE_OK;
	}
	return SOCLE_ERROR_CALL;
}

bool fake_machine_restart(unsigned vcpus)
{
	static struct vmm_extent extent[3] = {
		{0, 4ull << 20, 0x10000000},
		{4ull << 20, 4ull << 20, 0x30000000},
		{8ull << 20, 2ull << 20, 0x50000000}, /* for many vCPUs */
	};
	struct vmm *vmm = &fake_machine.vmm;
	bool done;

	bus_destroy(vmm);
	free(vmm->vcpu);
	memset(vmm, 0, sizeof(*vmm));
	vmm->config = (struct vmm_config){
		.domain = 1,
		.vcpus = vcpus,
		.vendor = SOCLE_VENDOR_SVM,
		.control_fd = -1,
		.serial_fd = {-1, -1},
		.memory_fd = fake_machine.memory,
		.kernel_fd = -1,
		.ramdisk_fd = -1,
		.extent = extent,
		.extents = 2 + vmm_control_frames(vcpus, 0),
		.memory_bytes = FAKE_RAM_BYTES,
	};
	vmm->handle.raw = fake_call;
	/* A machine is never taken apart: its process ends. */
	__lsan_disable();
	done = machine_create(vmm);
	__lsan_enable();
	return done;
}

struct vmm *fake_machine_start(unsigned vcpus)
{
	memset(&fake_machine, 0, sizeof(fake_machine));
	fake_machine.memory = memfd_create("guest", MFD_CLOEXEC);
	if (ftruncate(fake_machine.memory, 10 << 20) != 0 || !fake_machine_restart(vcpus))
		abort();
	return &fake_machine.vmm;
}

void fake_machine_stop(void)
{
	bus_destroy(&fake_machine.vmm);
	event_close(&fake_machine.vmm);
	free(fake_machine.vmm.vcpu);
	fake_machine.vmm.vcpu = NULL;
	close(fake_machine.memory);
}
