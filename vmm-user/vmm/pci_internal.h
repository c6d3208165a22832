/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the PCI core share: the bus and what it keeps of each device. */
#ifndef VMM_PCI_INTERNAL_H
#define VMM_PCI_INTERNAL_H

#include <string.h>

#include "vmm-user/vmm/pci.h"

#define PCI_SLOTS	 32
#define PCI_BARS	 6
#define PCI_CONFIG_BYTES 4096u

/* Configuration space (PCI 3.0, section 6.1 and appendix D). */
#define PCI_VENDOR_ID	       0x00
#define PCI_DEVICE_ID	       0x02
#define PCI_COMMAND	       0x04
#define PCI_COMMAND_IO	       (1u << 0)
#define PCI_COMMAND_MEMORY     (1u << 1)
#define PCI_COMMAND_MASTER     (1u << 2)
#define PCI_COMMAND_NO_INTX    (1u << 10)
#define PCI_STATUS	       0x06
#define PCI_STATUS_INTX	       (1u << 3)
#define PCI_STATUS_CAPABILITY  (1u << 4)
#define PCI_REVISION	       0x08
#define PCI_CLASS	       0x09
#define PCI_CACHE_LINE	       0x0c
#define PCI_HEADER_TYPE	       0x0e
#define PCI_BAR(n)	       (0x10u + 4u * (n))
#define PCI_SUBSYSTEM_VENDOR   0x2c
#define PCI_SUBSYSTEM	       0x2e
#define PCI_CAPABILITY	       0x34
#define PCI_INTERRUPT_LINE     0x3c
#define PCI_INTERRUPT_PIN      0x3d
#define PCI_CAPABILITIES_FIRST 0x40
#define PCI_CAPABILITIES_END   0x100

#define PCI_CAPABILITY_MSI    0x05
#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_CAPABILITY_MSIX   0x11

/* Memory-space BARs below 4 GiB end here: the I/O APIC, HPET, local APICs and flash follow. */
#define PCI_MEMORY_END 0xfec00000ull
/* Nor are ports below this one for BARs: the PC's own devices are there. */
#define PCI_PORT_BASE 0x1000ull

/* MSI-X in the state region: the table, then the pending bits. */
struct pci_msix {
	unsigned vectors, bar, capability; /* capability 0: none */
	uint32_t table, pending;	   /* offsets in the BAR */
	uint32_t (*entry)[4];		   /* address low, high, data, control: bit 0 masks */
	uint64_t *bits;
};

/* A device, as this process knows it; nothing here is the guest's. */
struct pci_function {
	struct pci_device *device;
	bool fresh;		 /* configuration space was made, not found */
	uint8_t *mask;		 /* bits of config[] that the guest can write: PCI_CONFIG_BYTES */
	unsigned capability_end; /* where the next capability goes */
	unsigned capability_link;
	bool mapped[PCI_BARS];
	uint64_t base[PCI_BARS]; /* where, if mapped */
	struct pci_msix msix;
	unsigned msi; /* offset of the MSI capability; 0: none */
};

struct pci_state;

struct pci_host {
	struct vmm *vmm;
	struct pci_state *state;
	struct pci_function *slot[PCI_SLOTS];
	uint64_t next_memory, next_wide, next_port; /* where BARs are put at first */
	bool ecam_mapped;
	uint64_t ecam_base, ecam_bytes;
};

static inline uint32_t pci_get(const uint8_t *config, unsigned offset, unsigned bytes)
{
	uint32_t value = 0;

	memcpy(&value, config + offset, bytes);
	return value;
}

static inline void pci_set(uint8_t *config, unsigned offset, unsigned bytes, uint32_t value)
{
	memcpy(config + offset, &value, bytes);
}

/* True if [offset, offset + bytes) and [at, at + size) have a byte in common. */
static inline bool pci_touches(unsigned offset, unsigned bytes, unsigned at, unsigned size)
{
	return offset < at + size && at < offset + bytes;
}

/* pci.c: what is behind a device. */
struct pci_host *pci_host(void);
struct pci_function *pci_function(const struct pci_device *device);
/* The same as pci_add(), but for devices of the platform: no interrupt pin, any slot. */
bool pci_add_platform(struct vmm *vmm, struct pci_device *device, uint32_t id, uint32_t class);
uint64_t pci_ecam_read(void *host, uint64_t offset, unsigned bytes);
void pci_ecam_write(void *host, uint64_t offset, unsigned bytes, uint64_t value);

/* pci_bar.c: write masks and first addresses, and what decodes where after any change. */
bool pci_bars_create(struct pci_host *host, struct pci_function *function);
void pci_decode(struct pci_host *host);

/* pci_bridge.c */
bool pci_bridges_create(struct vmm *vmm);
/* The ECAM window that the host bridge asks for; false: none. */
bool pci_bridge_ecam(uint64_t *base, uint64_t *bytes);

/* pci_msix.c, pci_msi.c: after a write to configuration space. */
void pci_msix_written(struct pci_function *function, unsigned offset, unsigned bytes);
void pci_msi_written(struct pci_function *function, unsigned offset, unsigned bytes);
/* pci_msi.c: the level of the GSI that the device shares. */
void pci_intx_update(struct pci_host *host, const struct pci_function *function);

#endif
