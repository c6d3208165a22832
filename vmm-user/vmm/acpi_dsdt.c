/* SPDX-License-Identifier: BSD-2-Clause */
/* The DSDT: the PCI root with its windows and interrupts, ISA devices, processors, S5. */
#include "vmm-user/vmm/acpi_dsdt.h"

#include <stdio.h>

#include "vmm-user/vmm/devices/acpi_pm.h"
#include "vmm-user/vmm/fw_cfg.h"
#include "vmm-user/vmm/pci.h"

#define VGA_BASE	0xa0000u
#define VGA_LAST	0xbffffu
#define HPET_BASE	0xfed00000u
#define ECAM_BYTES	0x10000000u
#define PCI_SLOTS	32u
#define PCI_PINS	4u
#define STA_HIDDEN	0x0bu
#define OSC_UUID_MISSES 4u    /* bit 2 of the first word: unknown UUID */
#define OSC_MASKED	0x10u /* bit 4: control was not granted as asked */
#define OSC_GRANTED	0x10u /* of the third word: the PCIe capability structure */

/* Opcodes that only _OSC needs. */
#define AML_ARG0   0x68
#define AML_LOCAL0 0x60
#define AML_STORE  0x70
#define AML_AND	   0x7b
#define AML_OR	   0x7d
#define AML_CREATE 0x8a /* CreateDWordField */
#define AML_NOT	   0x92
#define AML_EQUAL  0x93
#define AML_RETURN 0xa4

struct isa_device {
	const char *name, *id;
	uint16_t port[3];
	uint8_t bytes[3]; /* 0: no such range */
	uint8_t irq;	  /* 0: none (the timer's is the only one, and the PIC's own) */
	uint8_t unique;
};

static const struct isa_device pic = {"PIC_", "PNP0000", {0x20, 0xa0, 0x4d0}, {2, 2, 2}, 2, 0};
static const struct isa_device pit = {"TIMR", "PNP0100", {0x40, 0x61}, {4, 1}, 0, 0};
static const struct isa_device rtc = {"RTC_", "PNP0B00", {0x70}, {2}, 8, 0};
static const struct isa_device com[] = {
	{"COM1", "PNP0501", {0x3f8}, {8}, 4, 1},
	{"COM2", "PNP0501", {0x2f8}, {8}, 3, 2},
};
static const struct isa_device keyboard = {"KBD_", "PNP0303", {0x60, 0x64}, {1, 1}, 1, 0};
static const struct isa_device mouse = {"MOU_", "PNP0F13", {0}, {0}, 12, 0};

static void identity(struct aml *aml, const char *id, unsigned unique)
{
	aml_name(aml, "_HID");
	aml_eisa(aml, id);
	aml_name_integer(aml, "_UID", unique);
}

static void isa(struct aml *aml, const struct isa_device *device)
{
	aml_device(aml, device->name);
	identity(aml, device->id, device->unique);
	aml_crs(aml);
	for (unsigned i = 0; i < 3; i++)
		if (device->bytes[i] != 0)
			aml_crs_io(aml, device->port[i], device->bytes[i]);
	if (device->irq != 0 || device == &pit)
		aml_crs_irq(aml, device->irq);
	aml_crs_end(aml);
	aml_close(aml);
}

static void hpet(struct aml *aml)
{
	aml_device(aml, "HPET");
	identity(aml, "PNP0103", 0);
	aml_crs(aml);
	aml_crs_memory(aml, HPET_BASE, 0x400);
	aml_crs_end(aml);
	aml_close(aml);
}

/* The one device with an id of four letters, which is a string; present and working, but not shown.
 */
static void fw_cfg(struct aml *aml)
{
	aml_device(aml, "FWCF");
	aml_name(aml, "_HID");
	aml_string(aml, "QEMU0002");
	aml_name_integer(aml, "_STA", STA_HIDDEN);
	aml_crs(aml);
	aml_crs_io(aml, FW_CFG_PORT, FW_CFG_PORTS);
	aml_crs_end(aml);
	aml_close(aml);
}

/* What the chipset itself takes, so that nothing else is put there. */
static void motherboard(struct aml *aml)
{
	aml_device(aml, "MB00");
	identity(aml, "PNP0C02", 0);
	aml_crs(aml);
	aml_crs_memory(aml, PCI_ECAM_BASE, ECAM_BYTES);
	aml_crs_io(aml, ACPI_PM_BASE, (uint8_t)(ACPI_GPE0 + ACPI_GPE0_BYTES - ACPI_PM_BASE));
	aml_crs_io(aml, ACPI_SMI_CMD, 2);
	aml_crs_end(aml);
	aml_close(aml);
}

static void pci_windows(const struct acpi_config *config, struct aml *aml)
{
	aml_crs(aml);
	aml_crs_window(aml, 2, 2, 0, 255);
	aml_crs_io(aml, 0xcf8, 8);
	aml_crs_window(aml, 1, 2, 0, 0xcf7);
	aml_crs_window(aml, 1, 2, 0xd00, 0xffff);
	aml_crs_window(aml, 0, 4, VGA_BASE, VGA_LAST);
	aml_crs_window(aml, 0, 4, PCI_MEMORY_BASE, PCI_ECAM_BASE - 1);
	if (config->pci64_bytes != 0)
		aml_crs_window(aml, 0, 8, config->pci64_base,
			       config->pci64_base + config->pci64_bytes - 1);
	aml_crs_end(aml);
}

/* Every slot and pin has a line: {slot << 16 | any function, pin, 0, GSI}. */
static void pci_routes(struct aml *aml)
{
	aml_name(aml, "_PRT");
	aml_package(aml, PCI_SLOTS * PCI_PINS);
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			aml_package(aml, 4);
			aml_integer(aml, slot << 16 | 0xffff);
			aml_integer(aml, pin);
			aml_integer(aml, 0);
			aml_integer(aml, PCI_INTX_GSI(slot + pin));
			aml_close(aml);
		}
	aml_close(aml);
}

/* CreateDWordField (Arg3, offset, NAME) */
static void osc_field(struct aml *aml, unsigned offset, const char *name)
{
	aml_byte(aml, AML_CREATE);
	aml_byte(aml, AML_ARG0 + 3);
	aml_integer(aml, offset);
	aml_segment(aml, name);
}

/* NAME |= bits */
static void osc_set(struct aml *aml, const char *name, unsigned bits)
{
	aml_byte(aml, AML_OR);
	aml_segment(aml, name);
	aml_integer(aml, bits);
	aml_segment(aml, name);
}

/*
 * _OSC (PCI firmware specification 3.3, section 4.5): without it neither Linux nor Windows uses
 * PCI Express as such. Grants the capability structure; there is no hot plug, PME or AER.
 */
static void pci_osc(struct aml *aml)
{
	static const uint8_t uuid[16] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
					 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};

	aml_method(aml, "_OSC", 4);
	osc_field(aml, 0, "CDW1");
	aml_if(aml);
	aml_byte(aml, AML_EQUAL);
	aml_byte(aml, AML_ARG0);
	aml_buffer(aml, sizeof(uuid));
	aml_raw(aml, uuid, sizeof(uuid));
	aml_close(aml);
	osc_field(aml, 8, "CDW3");
	/* Local0 = CDW3; CDW3 &= granted; if something went, say so */
	aml_byte(aml, AML_STORE);
	aml_segment(aml, "CDW3");
	aml_byte(aml, AML_LOCAL0);
	aml_byte(aml, AML_AND);
	aml_segment(aml, "CDW3");
	aml_integer(aml, OSC_GRANTED);
	aml_segment(aml, "CDW3");
	aml_if(aml);
	aml_byte(aml, AML_NOT); /* LNotEqual is LNot of LEqual */
	aml_byte(aml, AML_EQUAL);
	aml_byte(aml, AML_LOCAL0);
	aml_segment(aml, "CDW3");
	osc_set(aml, "CDW1", OSC_MASKED);
	aml_close(aml);
	aml_close(aml);
	aml_else(aml);
	osc_set(aml, "CDW1", OSC_UUID_MISSES);
	aml_close(aml);
	aml_byte(aml, AML_RETURN);
	aml_byte(aml, AML_ARG0 + 3);
	aml_close(aml);
}

static void pci_root(const struct acpi_config *config, struct aml *aml)
{
	aml_device(aml, "PCI0");
	identity(aml, "PNP0A08", 0);
	aml_name(aml, "_CID");
	aml_eisa(aml, "PNP0A03");
	aml_name_integer(aml, "_SEG", 0);
	aml_name_integer(aml, "_BBN", 0);
	aml_name_integer(aml, "_CCA", 1);
	pci_windows(config, aml);
	pci_routes(aml);
	pci_osc(aml);
	isa(aml, &pic);
	isa(aml, &pit);
	isa(aml, &rtc);
	for (unsigned i = 0; i < 2; i++)
		if (config->com[i])
			isa(aml, &com[i]);
	if (config->i8042) {
		isa(aml, &keyboard);
		isa(aml, &mouse);
	}
	if (config->fw_cfg)
		fw_cfg(aml);
	aml_close(aml);
}

static void processors(const struct acpi_config *config, struct aml *aml)
{
	for (unsigned i = 0; i < config->vcpus; i++) {
		char name[5];

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		aml_device(aml, name);
		aml_name(aml, "_HID");
		aml_string(aml, "ACPI0007");
		aml_name_integer(aml, "_UID", i); /* as in the MADT */
		aml_close(aml);
	}
}

void acpi_dsdt(const struct acpi_config *config, struct aml *aml)
{
	aml_name(aml, "\\_S5_");
	aml_package(aml, 4);
	aml_integer(aml, ACPI_SLP_TYP_S5);
	for (unsigned i = 0; i < 3; i++)
		aml_integer(aml, 0);
	aml_close(aml);
	aml_scope(aml, "\\_SB_");
	pci_root(config, aml);
	motherboard(aml);
	if (config->hpet)
		hpet(aml);
	processors(config, aml);
	aml_close(aml);
}
