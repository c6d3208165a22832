/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI: one bus, configuration by 0xcf8/0xcfc and ECAM, BARs, MSI and MSI-X. */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include "vmm-user/vmm/vmm.h"

#define PCI_ECAM_BASE	     0xe0000000ull /* 256 MiB */
#define PCI_MEMORY_BASE	     0xc0000000ull /* 32-bit BARs, up to the ECAM */
#define PCI_MEMORY64_BASE    0x8000000000ull
#define PCI_INTX_GSI(device) (16 + (device) % 4) /* _PRT says the same */

struct pci_bar {
	uint64_t bytes;	 /* a power of two; 0: none */
	bool port, wide; /* an I/O BAR; a 64-bit memory BAR */
	bus_read read;
	bus_write write;
};

struct pci_device {
	struct vmm *vmm;
	const char *name;
	unsigned slot;	 /* device number on bus 0, function 0 */
	uint8_t *config; /* 4 KiB, in the state region */
	struct pci_bar bar[6];
	void *device; /* given to the BARs' functions */
	/* After a write to configuration space that the core has carried out; may be NULL. */
	void (*config_written)(void *device, unsigned offset, unsigned bytes);
	/* Before a read of configuration space, to bring it up to date; may be NULL. */
	void (*config_reading)(void *device, unsigned offset, unsigned bytes);
};

bool pci_create(struct vmm *vmm); /* the host bridge and the two ways of access */
/* Adds a device whose ids, class, BAR sizes are set in *device; slot 0 means the next free one. */
bool pci_add(struct vmm *vmm, struct pci_device *device, uint16_t vendor, uint16_t id,
	     uint32_t class, uint16_t subsystem_vendor, uint16_t subsystem);
/* Appends a capability of `bytes` (header included); its offset. */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned bytes);
/* MSI-X with `vectors` vectors; table and pending bits in the given BAR at the given offset. */
bool pci_add_msix(struct pci_device *device, unsigned vectors, unsigned bar, uint32_t offset);
/* True if an access to the MSI-X BAR was the table's and has been dealt with. */
bool pci_msix_read(struct pci_device *device, unsigned bar, uint64_t offset, unsigned bytes,
		   uint64_t *value);
bool pci_msix_write(struct pci_device *device, unsigned bar, uint64_t offset, unsigned bytes,
		    uint64_t value);
void pci_msix_raise(struct pci_device *device, unsigned vector);
bool pci_msix_enabled(const struct pci_device *device);
/* MSI with one vector: 64-bit address, masking. */
bool pci_add_msi(struct pci_device *device);
void pci_msi_raise(struct pci_device *device);
bool pci_msi_enabled(const struct pci_device *device);
/* The pin INTA#: heard only while neither MSI nor MSI-X is enabled. */
void pci_intx_set(struct pci_device *device, bool level);

#endif
