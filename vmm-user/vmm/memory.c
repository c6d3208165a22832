/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory: one mapping, seen by the guest in pieces around the hole below 1 MiB
 * (control.h) and the one below 4 GiB.
 */
#include "vmm-user/vmm/control.h"
#include "vmm-user/vmm/machine.h"

#define PAGE_SHIFT 12

void memory_set(struct vmm *vmm, void *base, uint64_t bytes)
{
	uint64_t low = bytes < MEMORY_LOW_MAX ? bytes : MEMORY_LOW_MAX;

	vmm->ram = (struct guest_ram){.base = base, .low = low, .high = bytes - low};
}

/* What the VMM keeps in the hole (control.h) must not be reached with an address of the guest. */
static bool in_hole(uint64_t at, uint64_t bytes)
{
	return at < VMM_HOLE + VMM_HOLE_BYTES && bytes > 0 && at + (bytes - 1) >= VMM_HOLE;
}

void *guest_memory(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	const struct guest_ram *ram = &vmm->ram;

	if (at < ram->low)
		return bytes <= ram->low - at && !in_hole(at, bytes) ? ram->base + at : NULL;
	if (at < MEMORY_HIGH_BASE || at - MEMORY_HIGH_BASE >= ram->high)
		return NULL;
	at -= MEMORY_HIGH_BASE;
	return bytes <= ram->high - at ? ram->base + ram->low + at : NULL;
}

uint64_t guest_memory_address(const struct vmm *vmm, const void *pointer)
{
	uint64_t at = (uint64_t)((const uint8_t *)pointer - vmm->ram.base);

	return at < vmm->ram.low ? at : at - vmm->ram.low + MEMORY_HIGH_BASE;
}

uint64_t guest_memory_low(const struct vmm *vmm)
{
	return vmm->ram.low;
}

uint64_t guest_memory_high(const struct vmm *vmm)
{
	return vmm->ram.high;
}

void guest_memory_dirty(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	const uint8_t *start;
	uint64_t first, last;

	if (vmm->ram.dirty == NULL || bytes == 0)
		return;
	start = guest_memory(vmm, at, bytes);
	if (start == NULL)
		return;
	first = (uint64_t)(start - vmm->ram.base) >> PAGE_SHIFT;
	last = ((uint64_t)(start - vmm->ram.base) + bytes - 1) >> PAGE_SHIFT;
	for (uint64_t page = first; page <= last; page++)
		__atomic_fetch_or(&vmm->ram.dirty[page / 64], 1ull << (page % 64),
				  __ATOMIC_RELAXED);
}
