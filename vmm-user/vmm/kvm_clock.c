/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's clock for guests (Linux, Documentation/virt/kvm/x86/msr.rst; the layouts are those of
 * asm/pvclock-abi.h). It tells the guest how many nanoseconds a tick of its time-stamp counter is.
 * Without it Linux measures that against the PIT and the HPET, and takes the counter for unusable
 * when it was held up meanwhile, as vCPUs are.
 *
 * The clock has run since the host's counter was 0, so nothing about it has to be kept or agreed
 * on by vCPUs, and a VMM that takes over tells the same.
 */
#include <x86intrin.h>

#include "vmm-user/vmm/vcpu.h"

#define NANOSECONDS 1000000000ull
#define ENABLED	    1ull
#define ALIGNMENT   3ull
#define TSC_STABLE  1u /* all vCPUs' clocks tell the same */

struct vcpu_time_info {
	uint32_t version, reserved0; /* odd while it is being changed */
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, reserved1[2];
};
_Static_assert(sizeof(struct vcpu_time_info) == 32, "vcpu_time_info");

struct wall_clock {
	uint32_t version, seconds, nanoseconds;
};
_Static_assert(sizeof(struct wall_clock) == 12, "wall_clock");

bool kvm_clock_is_there(const struct vmm *vmm)
{
	return vmm->config.tsc_hz != 0;
}

/*
 * Nanoseconds are (ticks * 2^shift) * mul / 2^32, where mul has its highest bit set. hz is what
 * config.c lets through.
 */
static uint32_t scale(uint64_t hz, int *shift)
{
	unsigned __int128 numerator = (unsigned __int128)NANOSECONDS << 32;
	unsigned up = 0, down = 0;

	while (hz > 2 * NANOSECONDS << down)
		down++;
	while (hz << up <= NANOSECONDS)
		up++;
	*shift = (int)up - (int)down;
	return (uint32_t)((numerator << down) / (hz << up));
}

/* The guest's memory at the address that a register holds; NULL: there is none, or not so. */
static void *place(struct vmm *vmm, uint64_t address, uint64_t bytes)
{
	return (address & ALIGNMENT) == 0 ? guest_memory(vmm, address, bytes) : NULL;
}

/* The guest's other vCPUs may read while it is written: they try again until the version stands. */
static void begin(uint32_t *version)
{
	__atomic_store_n(version, (*version + 1) | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end(uint32_t *version)
{
	__atomic_store_n(version, *version + 1, __ATOMIC_RELEASE);
}

bool kvm_clock_set_time(struct vcpu *vcpu, uint64_t value)
{
	struct vmm *vmm = vcpu->vmm;
	uint64_t address = value & ~ENABLED;
	struct vcpu_time_info *info;
	int shift;

	if (!kvm_clock_is_there(vmm))
		return false;
	vcpu->state->kvm_time = value;
	if (!(value & ENABLED))
		return true;
	info = place(vmm, address, sizeof(*info));
	if (info == NULL)
		return false;
	begin(&info->version);
	info->tsc_timestamp = vcpu->area->system.tsc_offset; /* the host's counter was 0 then */
	info->system_time = 0;
	info->tsc_to_system_mul = scale(vmm->config.tsc_hz, &shift);
	info->tsc_shift = (int8_t)shift;
	info->flags = TSC_STABLE;
	end(&info->version);
	guest_memory_dirty(vmm, address, sizeof(*info));
	return true;
}

bool kvm_clock_set_wall(struct vcpu *vcpu, uint64_t value)
{
	struct vmm *vmm = vcpu->vmm;
	struct wall_clock *wall;
	uint64_t ticks, now, start;

	if (!kvm_clock_is_there(vmm))
		return false;
	wall = place(vmm, value, sizeof(*wall));
	if (wall == NULL)
		return false;
	ticks = __rdtsc();
	now = (uint64_t)((unsigned __int128)ticks * NANOSECONDS / vmm->config.tsc_hz);
	start = (uint64_t)vmm_wall_clock(vmm) - now;
	begin(&wall->version);
	wall->seconds = (uint32_t)(start / NANOSECONDS);
	wall->nanoseconds = (uint32_t)(start % NANOSECONDS);
	end(&wall->version);
	guest_memory_dirty(vmm, value, sizeof(*wall));
	return true;
}
