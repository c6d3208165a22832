/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X (PCI 3.0, section 6.8.2): the table, masks and pending bits. */
#include "vmm-user/vmm/pci_internal.h"

#define MSIX_VERSION	   1u
#define MSIX_CONTROL	   2
#define MSIX_CONTROL_ON	   (1u << 15)
#define MSIX_CONTROL_MASK  (1u << 14)
#define MSIX_VECTORS_MAX   2048u
#define MSIX_ENTRY_BYTES   16u
#define MSIX_ENTRY_CONTROL 3
#define MSIX_ENTRY_MASK	   1u

static uint32_t control(const struct pci_function *function)
{
	return pci_get(function->device->config, function->msix.capability + MSIX_CONTROL, 2);
}

/*
 * Adds MSI-X with 1 .. 2048 vectors; the table is at `offset` (a multiple of 8 bytes) of that BAR,
 * and the pending bits directly behind it. False, reported: there is no room.
 */
bool pci_add_msix(struct pci_device *device, unsigned vectors, unsigned bar, uint32_t offset)
{
	struct pci_function *function = pci_function(device);
	struct pci_msix *msix = &function->msix;
	size_t table = (size_t)vectors * MSIX_ENTRY_BYTES, pending = (vectors + 63) / 64 * 8;
	unsigned at;
	bool fresh;

	if (vectors == 0 || vectors > MSIX_VECTORS_MAX || bar >= PCI_BARS || offset % 8 != 0 ||
	    offset + table + pending > device->bar[bar].bytes) {
		vmm_log(device->vmm, "pci: %s: no room for MSI-X", device->name);
		return false;
	}
	msix->entry = state_section(device->vmm, "pci-msix", device->slot, MSIX_VERSION,
				    table + pending, &fresh);
	at = pci_add_capability(device, PCI_CAPABILITY_MSIX, 12);
	if (msix->entry == NULL || at == 0)
		return false;
	msix->vectors = vectors;
	msix->bar = bar;
	msix->table = offset;
	msix->pending = offset + (uint32_t)table;
	msix->bits = (uint64_t *)(msix->entry + vectors);
	msix->capability = at;
	for (unsigned i = 0; fresh && i < vectors; i++)
		msix->entry[i][MSIX_ENTRY_CONTROL] = MSIX_ENTRY_MASK;
	if (function->fresh) {
		pci_set(device->config, at + MSIX_CONTROL, 2, vectors - 1);
		pci_set(device->config, at + 4, 4, msix->table | bar);
		pci_set(device->config, at + 8, 4, msix->pending | bar);
	}
	pci_set(function->mask, at + MSIX_CONTROL, 2, MSIX_CONTROL_ON | MSIX_CONTROL_MASK);
	return true;
}

/* Sends the vector if it is pending and nothing masks it. */
static void deliver(struct pci_function *function, unsigned vector)
{
	struct pci_msix *msix = &function->msix;
	const uint32_t *entry = msix->entry[vector];
	uint64_t bit = 1ull << vector % 64;

	if (!(msix->bits[vector / 64] & bit) || entry[MSIX_ENTRY_CONTROL] & MSIX_ENTRY_MASK ||
	    (control(function) & (MSIX_CONTROL_ON | MSIX_CONTROL_MASK)) != MSIX_CONTROL_ON)
		return;
	msix->bits[vector / 64] &= ~bit;
	msi_send(function->device->vmm, (uint64_t)entry[1] << 32 | entry[0], entry[2]);
}

void pci_msix_written(struct pci_function *function, unsigned offset, unsigned bytes)
{
	const struct pci_msix *msix = &function->msix;

	if (msix->capability == 0 ||
	    !pci_touches(offset, bytes, msix->capability + MSIX_CONTROL, 2))
		return;
	pci_intx_update(pci_host(), function);
	for (unsigned i = 0; i < msix->vectors; i++)
		deliver(function, i);
}

/*
 * A read of `bytes` at `offset` in that BAR. True: it was of the table or the pending bits, and
 * *value is what is there.
 */
bool pci_msix_read(struct pci_device *device, unsigned bar, uint64_t offset, unsigned bytes,
		   uint64_t *value)
{
	const struct pci_msix *msix = &pci_function(device)->msix;
	uint64_t end = msix->pending + (msix->vectors + 63) / 64 * 8;

	if (msix->capability == 0 || bar != msix->bar || offset < msix->table || offset >= end ||
	    bytes > end - offset)
		return false;
	*value = 0;
	memcpy(value, (const uint8_t *)msix->entry + (offset - msix->table), bytes);
	return true;
}

/*
 * A write. True: it was to the table, which only whole aligned registers change, or to the pending
 * bits, which nothing does.
 */
bool pci_msix_write(struct pci_device *device, unsigned bar, uint64_t offset, unsigned bytes,
		    uint64_t value)
{
	struct pci_function *function = pci_function(device);
	struct pci_msix *msix = &function->msix;
	uint64_t at = offset - msix->table;

	if (msix->capability == 0 || bar != msix->bar || offset < msix->table ||
	    offset >= msix->pending + (msix->vectors + 63) / 64 * 8)
		return false;
	if (offset >= msix->pending || (bytes != 4 && bytes != 8) || at % bytes != 0)
		return true;
	for (unsigned i = 0; i < bytes / 4; i++) {
		unsigned word = (unsigned)(at % MSIX_ENTRY_BYTES) / 4 + i;
		uint32_t part = (uint32_t)(value >> (32 * i));

		msix->entry[at / MSIX_ENTRY_BYTES][word] =
			word == MSIX_ENTRY_CONTROL ? part & MSIX_ENTRY_MASK : part;
	}
	deliver(function, (unsigned)(at / MSIX_ENTRY_BYTES));
	return true;
}

/* Raises a vector: it is sent now, or when nothing masks it any more. Lost while MSI-X is off. */
void pci_msix_raise(struct pci_device *device, unsigned vector)
{
	struct pci_function *function = pci_function(device);
	struct pci_msix *msix = &function->msix;

	if (vector >= msix->vectors || !pci_msix_enabled(device))
		return;
	msix->bits[vector / 64] |= 1ull << vector % 64;
	deliver(function, vector);
}

bool pci_msix_enabled(const struct pci_device *device)
{
	const struct pci_function *function = pci_function(device);

	return function->msix.capability != 0 && control(function) & MSIX_CONTROL_ON;
}
