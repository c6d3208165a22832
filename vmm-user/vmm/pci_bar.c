/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Base address registers (PCI 3.0, section 6.2.5.1): which ranges decode. After every change all of
 * them are worked out again, so that it does not matter in which order the guest moves them: one
 * that would overlap another waits until its place is free, as does one whose register holds the
 * ones that ask for its size, or whose place belongs to RAM or to the platform's own devices.
 */
#include "vmm-user/vmm/pci_internal.h"

#define BAR_PORT       1u
#define BAR_WIDE       4u
#define BAR_FLAGS      0xfull
#define GUEST_BITS     52
#define SMALL_BAR      (64ull << 20) /* wide BARs up to here start below 4 GiB too */
#define FOUR_GIB       (1ull << 32)
#define ECAM_NAME      "pci ecam"
#define PORT_BAR_MIN   4ull
#define PORT_BAR_MAX   256ull
#define MEMORY_BAR_MIN 16ull

static bool apart(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a < b ? b - a >= a_bytes : a - b >= b_bytes;
}

/* Takes room for a BAR from *next, aligned to its size; 0 if `end` is reached. */
static uint64_t take(uint64_t *next, uint64_t bytes, uint64_t end)
{
	uint64_t at = (*next + bytes - 1) & ~(bytes - 1);

	if (at >= end || bytes > end - at)
		return 0;
	*next = at + bytes;
	return at;
}

/* Where a BAR is at first: guests started without firmware need not place it. */
static uint64_t first_address(struct pci_host *host, const struct pci_bar *bar)
{
	uint64_t at = 0;

	if (bar->port)
		return take(&host->next_port, bar->bytes, 0x10000);
	if (!bar->wide || bar->bytes <= SMALL_BAR)
		at = take(&host->next_memory, bar->bytes, PCI_ECAM_BASE);
	if (at == 0 && bar->wide)
		at = take(&host->next_wide, bar->bytes, 1ull << GUEST_BITS);
	return at;
}

static bool valid(const struct pci_bar *bar, unsigned index)
{
	if ((bar->bytes & (bar->bytes - 1)) != 0)
		return false;
	if (bar->port)
		return bar->bytes >= PORT_BAR_MIN && bar->bytes <= PORT_BAR_MAX && !bar->wide;
	return bar->bytes >= MEMORY_BAR_MIN &&
	       (bar->wide ? index + 1 < PCI_BARS && bar[1].bytes == 0 : bar->bytes < FOUR_GIB);
}

bool pci_bars_create(struct pci_host *host, struct pci_function *function)
{
	uint8_t *config = function->device->config;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &function->device->bar[i];
		uint64_t mask = ~(bar->bytes - 1);
		uint64_t at;

		if (bar->bytes == 0)
			continue;
		if (!valid(bar, i))
			return false;
		at = first_address(host, bar);
		at |= bar->port ? BAR_PORT : bar->wide ? BAR_WIDE : 0;
		mask &= bar->port ? ~3ull : ~BAR_FLAGS;
		pci_set(function->mask, PCI_BAR(i), 4, (uint32_t)mask);
		if (function->fresh)
			pci_set(config, PCI_BAR(i), 4, (uint32_t)at);
		if (!bar->wide)
			continue;
		pci_set(function->mask, PCI_BAR(i + 1), 4, (uint32_t)(mask >> 32));
		if (function->fresh)
			pci_set(config, PCI_BAR(i + 1), 4, (uint32_t)(at >> 32));
	}
	return true;
}

/* True if memory at [at, at + bytes) may be a BAR's or the ECAM's. */
static bool memory_free(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	if (at >= 1ull << GUEST_BITS || bytes > (1ull << GUEST_BITS) - at)
		return false;
	if (at < FOUR_GIB)
		return at >= guest_memory_low(vmm) && at < PCI_MEMORY_END &&
		       bytes <= PCI_MEMORY_END - at;
	return at - FOUR_GIB >= guest_memory_high(vmm);
}

/* Where BAR i decodes by its register and the command register; false: nowhere. */
static bool wanted(struct vmm *vmm, const struct pci_function *function, unsigned i, uint64_t *base)
{
	const struct pci_device *device = function->device;
	const struct pci_bar *bar = &device->bar[i];
	uint32_t command = pci_get(device->config, PCI_COMMAND, 2);
	uint32_t mask = pci_get(function->mask, PCI_BAR(i), 4);
	uint64_t at = pci_get(device->config, PCI_BAR(i), 4) & mask;

	if (bar->bytes == 0 || !(command & (bar->port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	if (bar->wide)
		at |= (uint64_t)pci_get(device->config, PCI_BAR(i + 1), 4) << 32;
	*base = at;
	if (at == mask) /* being sized */
		return false;
	if (bar->port)
		return at >= PCI_PORT_BASE && at <= 0x10000 - bar->bytes;
	return memory_free(vmm, at, bar->bytes);
}

/* True if nothing on the PCI bus decodes [at, at + bytes) now. */
static bool place_free(const struct pci_host *host, bool port, uint64_t at, uint64_t bytes)
{
	if (!port && host->ecam_mapped && !apart(at, bytes, host->ecam_base, host->ecam_bytes))
		return false;
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		const struct pci_function *function = host->slot[slot];

		for (unsigned i = 0; function != NULL && i < PCI_BARS; i++) {
			const struct pci_bar *bar = &function->device->bar[i];

			if (function->mapped[i] && bar->port == port &&
			    !apart(at, bytes, function->base[i], bar->bytes))
				return false;
		}
	}
	return true;
}

static void decode_ecam(struct pci_host *host)
{
	uint64_t base = 0, bytes = 0;
	bool on = pci_bridge_ecam(&base, &bytes) && memory_free(host->vmm, base, bytes);

	if (host->ecam_mapped && on && base == host->ecam_base && bytes == host->ecam_bytes)
		return;
	if (host->ecam_mapped)
		bus_remove(host->vmm, BUS_MEMORY, host->ecam_base);
	host->ecam_mapped = false;
	if (!on || !place_free(host, false, base, bytes))
		return;
	host->ecam_base = base;
	host->ecam_bytes = bytes;
	host->ecam_mapped = bus_add(host->vmm, BUS_MEMORY,
				    &(struct bus_range){.name = ECAM_NAME,
							.base = base,
							.bytes = bytes,
							.read = pci_ecam_read,
							.write = pci_ecam_write,
							.device = host});
}

static void unmap_bars(struct pci_host *host, struct pci_function *function)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		bool port = function->device->bar[i].port;
		uint64_t base;

		if (!function->mapped[i])
			continue;
		if (wanted(host->vmm, function, i, &base) && base == function->base[i])
			continue;
		bus_remove(host->vmm, port ? BUS_PORT : BUS_MEMORY, function->base[i]);
		function->mapped[i] = false;
	}
}

static void map_bars(struct pci_host *host, struct pci_function *function)
{
	struct pci_device *device = function->device;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &device->bar[i];
		uint64_t base;

		if (function->mapped[i] || !wanted(host->vmm, function, i, &base) ||
		    !place_free(host, bar->port, base, bar->bytes))
			continue;
		function->base[i] = base;
		function->mapped[i] = bus_add(host->vmm, bar->port ? BUS_PORT : BUS_MEMORY,
					      &(struct bus_range){.name = device->name,
								  .base = base,
								  .bytes = bar->bytes,
								  .read = bar->read,
								  .write = bar->write,
								  .device = device->device});
	}
}

/*
 * Makes the machine's buses agree with the registers. First everything that has moved goes, then
 * everything that has a place comes.
 */
void pci_decode(struct pci_host *host)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
		if (host->slot[slot] != NULL)
			unmap_bars(host, host->slot[slot]);
	decode_ecam(host);
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
		if (host->slot[slot] != NULL)
			map_bars(host, host->slot[slot]);
}
