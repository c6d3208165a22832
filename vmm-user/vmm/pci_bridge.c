/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The platform's own PCI devices, as far as firmware and systems look at them: the host bridge of
 * Intel's Q35 (its datasheet, section 5.1) at 00:00.0 and the LPC bridge of the ICH9 (its
 * datasheet, section 13.1) at 00:1f.0. Of their registers only PCIEXBAR does anything; the others
 * keep what is written.
 */
#include <stdlib.h>

#include "vmm-user/vmm/pci_internal.h"

#define MCH_ID	  0x29c08086u
#define MCH_CLASS 0x060000u
#define LPC_ID	  0x29188086u
#define LPC_CLASS 0x060100u
#define LPC_SLOT  31

/* Host bridge. */
#define MCH_PCIEXBAR		 0x60 /* 64 bits */
#define MCH_PCIEXBAR_ENABLE	 1u
#define MCH_PCIEXBAR_LENGTH(low) ((low) >> 1 & 3) /* 256, 128, 64 MiB */
#define MCH_PAM			 0x90		  /* 7 bytes */
#define MCH_SMRAM		 0x9d
#define MCH_ESMRAMC		 0x9e

/* LPC bridge. */
#define LPC_PMBASE    0x40
#define LPC_ACPI_CNTL 0x44
#define LPC_GPIOBASE  0x48
#define LPC_GC	      0x4c
#define LPC_PIRQ_A    0x60 /* 4 bytes; E to H are at 0x68 */
#define LPC_PIRQ_E    0x68
#define LPC_IO_DEC    0x80
#define LPC_LPC_EN    0x82
#define LPC_GEN1_DEC  0x84 /* 4 of 4 bytes */
#define LPC_GEN_PMCON 0xa0
#define LPC_RCBA      0xf0
#define PIRQ_OFF      0x80
#define LPC_PM_PORT   0x600u
#define ACPI_EN	      0x80

struct bridges {
	struct pci_device mch, lpc;
};

static struct bridges *bridges;

bool pci_bridge_ecam(uint64_t *base, uint64_t *bytes)
{
	uint32_t low = pci_get(bridges->mch.config, MCH_PCIEXBAR, 4);
	uint32_t high = pci_get(bridges->mch.config, MCH_PCIEXBAR + 4, 4);
	unsigned length = MCH_PCIEXBAR_LENGTH(low);

	if (!(low & MCH_PCIEXBAR_ENABLE) || length == 3)
		return false;
	*bytes = (256ull << 20) >> length;
	*base = ((uint64_t)high << 32 | low) & ~(*bytes - 1);
	return true;
}

static void mch_written(void *device, unsigned offset, unsigned bytes)
{
	(void)device;
	if (pci_touches(offset, bytes, MCH_PCIEXBAR, 8))
		pci_decode(pci_host());
}

static bool mch_create(struct vmm *vmm, struct pci_device *mch)
{
	struct pci_function *function;

	mch->name = "host bridge";
	mch->device = mch;
	mch->config_written = mch_written;
	if (!pci_add_platform(vmm, mch, MCH_ID, MCH_CLASS))
		return false;
	function = pci_function(mch);
	if (function->fresh)
		pci_set(mch->config, MCH_PCIEXBAR, 4,
			(uint32_t)PCI_ECAM_BASE | MCH_PCIEXBAR_ENABLE);
	pci_set(function->mask, MCH_PCIEXBAR, 4, 0xfc000007u);
	pci_set(function->mask, MCH_PCIEXBAR + 4, 4, 0xfu);
	memset(function->mask + MCH_PAM, 0x33, 7);
	function->mask[MCH_SMRAM] = 0x78;
	function->mask[MCH_ESMRAMC] = 0xff;
	return true;
}

static bool lpc_create(struct vmm *vmm, struct pci_device *lpc)
{
	struct pci_function *function;
	uint8_t *mask;

	lpc->name = "LPC bridge";
	lpc->slot = LPC_SLOT;
	if (!pci_add_platform(vmm, lpc, LPC_ID, LPC_CLASS))
		return false;
	function = pci_function(lpc);
	if (function->fresh) {
		lpc->config[PCI_REVISION] = 2;
		lpc->config[PCI_HEADER_TYPE] = 0x80;
		pci_set(lpc->config, LPC_PMBASE, 4, LPC_PM_PORT | 1);
		lpc->config[LPC_ACPI_CNTL] = ACPI_EN;
		pci_set(lpc->config, LPC_GPIOBASE, 4, 1);
		memset(lpc->config + LPC_PIRQ_A, PIRQ_OFF, 4);
		memset(lpc->config + LPC_PIRQ_E, PIRQ_OFF, 4);
	}
	mask = function->mask;
	pci_set(mask, LPC_PMBASE, 4, 0xff80u);
	mask[LPC_ACPI_CNTL] = 0x87;
	pci_set(mask, LPC_GPIOBASE, 4, 0xff80u);
	mask[LPC_GC] = 0x11;
	memset(mask + LPC_PIRQ_A, 0x8f, 4);
	memset(mask + LPC_PIRQ_E, 0x8f, 4);
	pci_set(mask, LPC_IO_DEC, 2, 0x1377);
	pci_set(mask, LPC_LPC_EN, 2, 0x3f0f);
	for (unsigned i = 0; i < 4; i++)
		pci_set(mask, LPC_GEN1_DEC + 4 * i, 4, 0x00fcfffdu);
	pci_set(mask, LPC_GEN_PMCON, 4, 0xffffffffu);
	pci_set(mask, LPC_RCBA, 4, 0xffffc001u);
	return true;
}

bool pci_bridges_create(struct vmm *vmm)
{
	bridges = calloc(1, sizeof(*bridges));
	if (bridges == NULL || !mch_create(vmm, &bridges->mch) || !lpc_create(vmm, &bridges->lpc))
		return false;
	pci_decode(pci_host());
	return true;
}
