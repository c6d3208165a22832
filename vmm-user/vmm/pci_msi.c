/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI (PCI 3.0, section 6.8.1) with one vector, and the interrupt pin (section 2.2.6). */
#include "vmm-user/vmm/pci_internal.h"

#define MSI_BYTES	24
#define MSI_CONTROL	2
#define MSI_CONTROL_ON	(1u << 0)
#define MSI_CONTROL_64	(1u << 7)
#define MSI_CONTROL_PVM (1u << 8) /* per-vector masking */
#define MSI_ADDRESS	4
#define MSI_DATA	12
#define MSI_MASK	16
#define MSI_PENDING	20

/* Adds MSI. False, reported: there is no room for the capability. */
bool pci_add_msi(struct pci_device *device)
{
	struct pci_function *function = pci_function(device);
	unsigned at = pci_add_capability(device, PCI_CAPABILITY_MSI, MSI_BYTES);

	if (at == 0)
		return false;
	function->msi = at;
	if (function->fresh)
		pci_set(device->config, at + MSI_CONTROL, 2, MSI_CONTROL_64 | MSI_CONTROL_PVM);
	/* The multiple-message field can be written; there is one message all the same. */
	pci_set(function->mask, at + MSI_CONTROL, 2, MSI_CONTROL_ON | 0x70u);
	pci_set(function->mask, at + MSI_ADDRESS, 4, 0xfffffffcu);
	pci_set(function->mask, at + MSI_ADDRESS + 4, 4, 0xffffffffu);
	pci_set(function->mask, at + MSI_DATA, 2, 0xffffu);
	pci_set(function->mask, at + MSI_MASK, 4, 1u);
	return true;
}

bool pci_msi_enabled(const struct pci_device *device)
{
	unsigned at = pci_function(device)->msi;

	return at != 0 && pci_get(device->config, at + MSI_CONTROL, 2) & MSI_CONTROL_ON;
}

static void deliver(struct pci_device *device, unsigned at)
{
	uint64_t address;

	if (!pci_msi_enabled(device) || !device->config[at + MSI_PENDING] ||
	    device->config[at + MSI_MASK] & 1)
		return;
	device->config[at + MSI_PENDING] = 0;
	memcpy(&address, device->config + at + MSI_ADDRESS, 8);
	msi_send(device->vmm, address, pci_get(device->config, at + MSI_DATA, 2));
}

/* Sends the message now, or when it is not masked any more. Lost while MSI is off. */
void pci_msi_raise(struct pci_device *device)
{
	unsigned at = pci_function(device)->msi;

	if (!pci_msi_enabled(device))
		return;
	device->config[at + MSI_PENDING] = 1;
	deliver(device, at);
}

void pci_msi_written(struct pci_function *function, unsigned offset, unsigned bytes)
{
	if (pci_touches(offset, bytes, PCI_COMMAND, 2))
		pci_intx_update(pci_host(), function);
	if (function->msi == 0 || !pci_touches(offset, bytes, function->msi, MSI_BYTES))
		return;
	pci_intx_update(pci_host(), function);
	deliver(function->device, function->msi);
}

static bool asserted(const struct pci_function *function)
{
	const struct pci_device *device = function->device;

	return pci_get(device->config, PCI_STATUS, 2) & PCI_STATUS_INTX &&
	       !(pci_get(device->config, PCI_COMMAND, 2) & PCI_COMMAND_NO_INTX) &&
	       !pci_msi_enabled(device) && !pci_msix_enabled(device);
}

/* The line is the OR of the devices that share it. */
void pci_intx_update(struct pci_host *host, const struct pci_function *function)
{
	unsigned slot = function->device->slot;
	bool level = false;

	if (function->device->config[PCI_INTERRUPT_PIN] == 0)
		return;
	for (unsigned i = slot % 4; i < PCI_SLOTS; i += 4)
		level |= host->slot[i] != NULL && asserted(host->slot[i]);
	irq_set(host->vmm, PCI_INTX_GSI(slot), level);
}

void pci_intx_set(struct pci_device *device, bool level)
{
	uint32_t status = pci_get(device->config, PCI_STATUS, 2);

	status = level ? status | PCI_STATUS_INTX : status & ~PCI_STATUS_INTX;
	pci_set(device->config, PCI_STATUS, 2, status);
	pci_intx_update(pci_host(), pci_function(device));
}
