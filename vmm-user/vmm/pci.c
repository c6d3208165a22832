/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI bus: configuration mechanism 1 (PCI 3.0, section 3.2.2.3.2) and the memory-mapped one
 * (PCIe 4.0, section 7.2.2), and the devices of bus 0, one function each.
 *
 * A device's configuration space is in the state region; beside it there is a mask of what the
 * guest may write, made anew by every process from the calls that add the device.
 */
#include <stdlib.h>

#include "vmm-user/vmm/pci_internal.h"

#define PCI_VERSION    1u
#define PORT_ADDRESS   0xcf8u
#define PORT_DATA      0xcfcu
#define ADDRESS_ENABLE (1u << 31)

struct pci_state {
	uint32_t address; /* CONFIG_ADDRESS */
	uint32_t reserved;
};

/* One process is one domain, with one bus. */
static struct pci_host *the_host;

struct pci_host *pci_host(void)
{
	return the_host;
}

struct pci_function *pci_function(const struct pci_device *device)
{
	return the_host->slot[device->slot];
}

/* Configuration space ----------------------------------------------------------------------------
 */

static uint64_t config_read(struct pci_function *function, unsigned offset, unsigned bytes)
{
	struct pci_device *device = function->device;
	uint64_t value = 0;

	if (device->config_reading != NULL)
		device->config_reading(device->device, offset, bytes);
	for (unsigned i = 0; i < bytes; i++) {
		uint64_t byte = offset + i < PCI_CONFIG_BYTES ? device->config[offset + i] : 0xff;

		value |= byte << (8 * i);
	}
	return value;
}

static void config_write(struct pci_host *host, struct pci_function *function, unsigned offset,
			 unsigned bytes, uint64_t value)
{
	struct pci_device *device = function->device;

	for (unsigned i = 0; i < bytes && offset + i < PCI_CONFIG_BYTES; i++) {
		uint8_t mask = function->mask[offset + i];
		uint8_t *byte = &device->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | ((uint8_t)(value >> (8 * i)) & mask));
	}
	if (pci_touches(offset, bytes, PCI_COMMAND, 2) ||
	    pci_touches(offset, bytes, PCI_BAR(0), 24))
		pci_decode(host);
	pci_msix_written(function, offset, bytes);
	pci_msi_written(function, offset, bytes);
	if (device->config_written != NULL)
		device->config_written(device->device, offset, bytes);
}

/* The function at bus, device and function numbers, as in bits 15:0; NULL if there is none. */
static struct pci_function *find(const struct pci_host *host, unsigned number)
{
	return number < PCI_SLOTS * 8 && number % 8 == 0 ? host->slot[number / 8] : NULL;
}

uint64_t pci_ecam_read(void *device, uint64_t offset, unsigned bytes)
{
	struct pci_host *host = device;
	struct pci_function *function = find(host, (unsigned)(offset >> 12));

	return function == NULL ? ~0ull : config_read(function, offset & 0xfff, bytes);
}

void pci_ecam_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct pci_host *host = device;
	struct pci_function *function = find(host, (unsigned)(offset >> 12));

	if (function != NULL)
		config_write(host, function, offset & 0xfff, bytes, value);
}

/* Ports 0xcf8 .. 0xcff ---------------------------------------------------------------------------
 */

/* Whole accesses only: a byte at 0xcf9 is the reset control register's, and not for this bus. */
static uint64_t address_read(void *device, uint64_t offset, unsigned bytes)
{
	const struct pci_host *host = device;

	return offset == 0 && bytes == 4 ? host->state->address : ~0ull;
}

static void address_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct pci_host *host = device;

	if (offset == 0 && bytes == 4)
		host->state->address = (uint32_t)value & (ADDRESS_ENABLE | 0x00fffffcu);
}

static struct pci_function *addressed(const struct pci_host *host, uint64_t port, unsigned *offset)
{
	uint32_t address = host->state->address;

	*offset = (address & 0xfc) + (unsigned)port;
	return address & ADDRESS_ENABLE ? find(host, address >> 8 & 0xffff) : NULL;
}

static uint64_t data_read(void *device, uint64_t port, unsigned bytes)
{
	unsigned offset;
	struct pci_function *function = addressed(device, port, &offset);

	return function == NULL ? ~0ull : config_read(function, offset, bytes);
}

static void data_write(void *device, uint64_t port, unsigned bytes, uint64_t value)
{
	unsigned offset;
	struct pci_function *function = addressed(device, port, &offset);

	if (function != NULL)
		config_write(device, function, offset, bytes, value);
}

/* Making -----------------------------------------------------------------------------------------
 */

/*
 * Makes the bus, its host bridge and LPC bridge, and adds the two ways of access to the machine's
 * buses. Called once, before any pci_add(). False: reported.
 */
bool pci_create(struct vmm *vmm)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	bool fresh;

	if (host == NULL)
		return false;
	host->vmm = vmm;
	host->next_memory = PCI_MEMORY_BASE;
	host->next_wide = PCI_MEMORY64_BASE;
	host->next_port = 0xc000;
	the_host = host;
	host->state = state_section(vmm, "pci", 0, PCI_VERSION, sizeof(*host->state), &fresh);
	if (host->state == NULL)
		return false;
	if (!bus_add(vmm, BUS_PORT,
		     &(struct bus_range){.name = "pci address",
					 .base = PORT_ADDRESS,
					 .bytes = 4,
					 .read = address_read,
					 .write = address_write,
					 .device = host}))
		return false;
	if (!bus_add(vmm, BUS_PORT,
		     &(struct bus_range){.name = "pci data",
					 .base = PORT_DATA,
					 .bytes = 4,
					 .read = data_read,
					 .write = data_write,
					 .device = host}))
		return false;
	return pci_bridges_create(vmm);
}

/* The masks of a type-0 header (PCI 3.0, section 6.2) but for its BARs. */
static void header_mask(uint8_t *mask)
{
	pci_set(mask, PCI_COMMAND, 2,
		PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX |
			(1u << 6) | (1u << 8));
	mask[PCI_CACHE_LINE] = 0xff;
	mask[PCI_INTERRUPT_LINE] = 0xff;
}

static bool add(struct vmm *vmm, struct pci_device *device, uint32_t id, uint32_t class,
		uint32_t subsystem, uint8_t pin)
{
	struct pci_function *function = calloc(1, sizeof(*function));
	bool fresh;

	if (function == NULL)
		return false;
	function->mask = calloc(1, PCI_CONFIG_BYTES);
	device->config = state_section(vmm, "pci-config", device->slot, PCI_VERSION,
				       PCI_CONFIG_BYTES, &fresh);
	if (function->mask == NULL || device->config == NULL) {
		free(function->mask);
		free(function);
		return false;
	}
	device->vmm = vmm;
	function->device = device;
	function->fresh = fresh;
	function->capability_end = PCI_CAPABILITIES_FIRST;
	function->capability_link = PCI_CAPABILITY;
	header_mask(function->mask);
	the_host->slot[device->slot] = function;
	if (fresh) {
		pci_set(device->config, PCI_VENDOR_ID, 4, id);
		pci_set(device->config, PCI_REVISION, 4, class << 8);
		pci_set(device->config, PCI_SUBSYSTEM_VENDOR, 4, subsystem);
		device->config[PCI_INTERRUPT_PIN] = pin;
		device->config[PCI_INTERRUPT_LINE] = pin == 0 ? 0 : 0xff;
	}
	if (pci_bars_create(the_host, function))
		return true;
	the_host->slot[device->slot] = NULL;
	free(function->mask);
	free(function);
	return false;
}

bool pci_add_platform(struct vmm *vmm, struct pci_device *device, uint32_t id, uint32_t class)
{
	return add(vmm, device, id, class, 0, 0);
}

/*
 * Adds *device, whose name, BARs and callbacks are set, with the 24-bit class code; slot 0 means
 * the next free one, from 1 on. It must stay where it is. False, reported: no slot is free, or a
 * BAR's size is none.
 */
bool pci_add(struct vmm *vmm, struct pci_device *device, uint16_t vendor, uint16_t id,
	     uint32_t class, uint16_t subsystem_vendor, uint16_t subsystem)
{
	for (unsigned i = 1; device->slot == 0 && i < PCI_SLOTS; i++)
		if (the_host->slot[i] == NULL)
			device->slot = i;
	if (device->slot == 0 || device->slot >= PCI_SLOTS ||
	    the_host->slot[device->slot] != NULL) {
		vmm_log(vmm, "pci: no slot for %s", device->name);
		return false;
	}
	if (!add(vmm, device, (uint32_t)id << 16 | vendor, class,
		 (uint32_t)subsystem << 16 | subsystem_vendor, 1)) {
		vmm_log(vmm, "pci: cannot add %s", device->name);
		return false;
	}
	/* A process that takes over finds the BARs where the guest put them. */
	pci_decode(the_host);
	return true;
}

/*
 * Appends a capability of `bytes`, header included, with that id (PCI 3.0, section 6.7). Gives its
 * offset; the caller fills in the rest, as a fresh one is zeros and read-only. 0: no room is left.
 */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned bytes)
{
	struct pci_function *function = pci_function(device);
	unsigned at = function->capability_end;

	bytes = (bytes + 3) & ~3u;
	if (bytes > PCI_CAPABILITIES_END - at) {
		vmm_log(device->vmm, "pci: %s has too many capabilities", device->name);
		return 0;
	}
	function->capability_end += bytes;
	if (function->fresh) {
		device->config[at] = id;
		device->config[function->capability_link] = (uint8_t)at;
		device->config[PCI_STATUS] |= PCI_STATUS_CAPABILITY;
	}
	function->capability_link = at + 1;
	return at;
}
