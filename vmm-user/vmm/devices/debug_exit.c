/* SPDX-License-Identifier: BSD-2-Clause */
/* Port 0xf4, for test guests: the value written ends the domain and becomes its status. */
#include "vmm-user/vmm/machine.h"

#define DEBUG_EXIT_PORT 0xf4

static uint64_t debug_exit_read(void *device, uint64_t offset, unsigned bytes)
{
	(void)device;
	(void)offset;
	(void)bytes;
	return 0;
}

static void debug_exit_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct vmm *vmm = device;

	(void)bytes;
	if (offset != 0 || vmm->ending)
		return;
	vmm->status = (uint32_t)value;
	vmm_end(vmm, value == 0 ? VMM_POWEROFF : VMM_CRASH, "debug exit with status %u",
		vmm->status);
}

bool debug_exit_create(struct vmm *vmm)
{
	const struct bus_range range = {"debug exit",	 DEBUG_EXIT_PORT,  4,
					debug_exit_read, debug_exit_write, vmm};

	return bus_add(vmm, BUS_PORT, &range);
}
