// SPDX-License-Identifier: BSD-2-Clause
/*
 * The service VM's ACPI tables (ACPI 6.4, section 5.2). The root and the MADT are copies: this MADT
 * lists the CPUs that started and has them woken through the mailbox. All other tables are the
 * firmware's. Firmware without tables (OVMF on Bochs) gets the minimum.
 */
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "hv/string.h"

#define MAX_TABLES	  128
#define MADT_MAX_BYTES	  16384
#define MADT_LAPIC	  0
#define MADT_IOAPIC	  1
#define MADT_OVERRIDE	  2
#define MADT_X2APIC	  9
#define MADT_WAKEUP	  16
#define MADT_HEADER_BYTES 44
#define MADT_CPU_ENABLED  1u
#define MADT_PCAT_COMPAT  1u
#define IOAPIC_BASE	  0xfec00000u
#define LAPIC_BASE	  0xfee00000u

#define FADT_BYTES	    276
#define FADT_FLAGS	    112
#define FADT_FLAG_WBINVD    (1u << 0)
#define FADT_FLAG_PROC_C1   (1u << 2)
#define FADT_FLAG_RESET	    (1u << 10)
#define FADT_RESET_REGISTER 116
#define FADT_RESET_VALUE    128
#define GAS_SYSTEM_IO	    1

#define PCI_ADDRESS    0xcf8
#define PCI_DATA       0xcfc
#define PIIX4_PM_ID    0x71138086u
#define PIIX4_PMBA     0x40
#define PIIX4_PMCNTRL  4
#define PMCNTRL_SCI_EN 1u

struct __attribute__((packed)) table {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
};

struct __attribute__((packed)) rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
};

/* What prepare_acpi() lays out and finish_acpi() fills. */
struct layout {
	struct rsdp rsdp;
	uint8_t align0[28];
	struct table xsdt;
	uint64_t xsdt_entry[MAX_TABLES] __attribute__((packed));
	struct table socl;
	struct socle_acpi_body socl_body;
	uint8_t align1[4];
	uint8_t madt[MADT_MAX_BYTES] __attribute__((aligned(16)));
	uint8_t fadt[FADT_BYTES] __attribute__((aligned(16)));
	uint8_t dsdt[8192] __attribute__((aligned(16)));
};

extern const uint8_t minimal_dsdt[], minimal_dsdt_end[];

static uint8_t sum(const void *of, uint64_t bytes)
{
	const uint8_t *p = of;
	uint8_t s = 0;

	for (uint64_t i = 0; i < bytes; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static void set_checksum(struct table *table)
{
	table->checksum = 0;
	table->checksum = (uint8_t)-sum(table, table->length);
}

static void set_header(struct table *table, const char *signature, uint32_t length,
		       uint8_t revision)
{
	memcpy(table->signature, signature, 4);
	table->length = length;
	table->revision = revision;
	memcpy(table->oem_id, "SOCLE ", 6);
	memcpy(table->oem_table_id, "SOCLE   ", 8);
	table->oem_revision = 1;
	memcpy(table->creator_id, "SOCL", 4);
	table->creator_revision = 1;
}

static bool is_table(uint64_t at, const char *signature)
{
	return memcmp((const void *)at, signature, 4) == 0;
}

/* True if this APIC id belongs to a CPU that came up. */
static bool is_online(const struct boot_info *boot, uint32_t apic_id)
{
	for (uint32_t i = 0; i < boot->cpu_count; i++)
		if (boot->cpu[i].apic_id == apic_id)
			return i == 0 || boot->cpu[i].state == BOOT_CPU_ARRIVED;
	return false;
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Appends the wakeup structure to a MADT and completes it. */
static void end_madt(struct loader *loader, uint8_t *madt)
{
	struct table *header = (struct table *)madt;
	uint8_t *entry = madt + header->length;

	memset(entry, 0, 16);
	entry[0] = MADT_WAKEUP;
	entry[1] = 16;
	put64(entry + 8, loader->wakeup.at);
	header->length += 16;
	set_checksum(header);
}

/* Copies a MADT; CPUs that did not start are marked as not there. */
static void copy_madt(struct loader *loader, const uint8_t *from, uint8_t *to)
{
	uint32_t length = ((const struct table *)from)->length;
	uint32_t out = MADT_HEADER_BYTES;

	memcpy(to, from, MADT_HEADER_BYTES);
	for (uint32_t at = MADT_HEADER_BYTES; at + 2 <= length && from[at + 1] >= 2;
	     at += from[at + 1]) {
		const uint8_t *entry = from + at;
		uint32_t apic_id = entry[0] == MADT_LAPIC ? entry[3] : get32(entry + 4);

		if (entry[0] == MADT_WAKEUP || at + entry[1] > length)
			continue;
		memcpy(to + out, entry, entry[1]);
		if (entry[0] == MADT_LAPIC && !is_online(loader->boot, apic_id))
			put32(to + out + 4, 0);
		if (entry[0] == MADT_X2APIC && !is_online(loader->boot, apic_id))
			put32(to + out + 8, 0);
		out += entry[1];
	}
	((struct table *)to)->length = out;
	end_madt(loader, to);
}

/* Without firmware's tables
 * ------------------------------------------------------------------------- */

static void make_madt(struct loader *loader, uint8_t *madt)
{
	const struct boot_info *boot = loader->boot;
	uint32_t out = MADT_HEADER_BYTES;

	set_header((struct table *)madt, "APIC", 0, 5);
	put32(madt + 36, LAPIC_BASE);
	put32(madt + 40, MADT_PCAT_COMPAT);
	for (uint32_t i = 0; i < boot->cpu_count; i++) {
		uint8_t *entry = madt + out;

		if (!is_online(boot, boot->cpu[i].apic_id))
			continue;
		entry[0] = MADT_LAPIC;
		entry[1] = 8;
		entry[2] = (uint8_t)i;
		entry[3] = (uint8_t)boot->cpu[i].apic_id;
		put32(entry + 4, MADT_CPU_ENABLED);
		out += 8;
	}
	volatile uint32_t *ioapic = (volatile uint32_t *)(uint64_t)IOAPIC_BASE;

	ioapic[0] = 0; /* the id register */
	madt[out] = MADT_IOAPIC;
	madt[out + 1] = 12;
	madt[out + 2] = (uint8_t)(ioapic[4] >> 24 & 0xf);
	put32(madt + out + 4, IOAPIC_BASE);
	out += 12;
	/* ISA interrupt 0, the PIT, is at pin 2; 9, the SCI, is level-triggered, active high. */
	static const uint8_t overrides[2][10] = {{MADT_OVERRIDE, 10, 0, 0, 2},
						 {MADT_OVERRIDE, 10, 0, 9, 9, 0, 0, 0, 0x0d}};

	memcpy(madt + out, overrides, sizeof(overrides));
	out += sizeof(overrides);
	((struct table *)madt)->length = out;
	end_madt(loader, madt);
}

/* Base of the PIIX4's power management ports, or 0 if the machine has none. */
static uint32_t find_piix4(void)
{
	for (uint32_t device = 0; device < 32; device++)
		for (uint32_t function = 0; function < 8; function++) {
			uint32_t address = 0x80000000u | device << 11 | function << 8;

			outl(PCI_ADDRESS, (int)address);
			if (inl(PCI_DATA) != PIIX4_PM_ID)
				continue;
			outl(PCI_ADDRESS, (int)(address | PIIX4_PMBA));
			return inl(PCI_DATA) & 0xffc0;
		}
	return 0;
}

static void put_gas(uint8_t *at, uint8_t bits, uint32_t port)
{
	at[0] = GAS_SYSTEM_IO;
	at[1] = bits;
	at[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3;
	put64(at + 4, port);
}

static void make_fadt(struct layout *layout, uint32_t pm)
{
	uint8_t *fadt = layout->fadt;

	set_header((struct table *)fadt, "FACP", FADT_BYTES, 6);
	put32(fadt + 40, (uint32_t)(uint64_t)layout->dsdt);
	put64(fadt + 140, (uint64_t)layout->dsdt);
	fadt[46] = 9; /* SCI */
	put32(fadt + 56, pm);
	put32(fadt + 64, pm + 4);
	put32(fadt + 76, pm + 8);
	fadt[88] = 4; /* lengths of the event, control and timer blocks */
	fadt[89] = 2;
	fadt[91] = 4;
	put_gas(fadt + 148, 32, pm);
	put_gas(fadt + 172, 16, pm + 4);
	put_gas(fadt + 208, 32, pm + 8);
	put32(fadt + 96, 0xffff0fff); /* no C2, no C3 */
	fadt[108] = 0x32;	      /* century, in CMOS */
	fadt[109] = 3;		      /* IAPC_BOOT_ARCH: legacy devices, 8042 */
	put32(fadt + FADT_FLAGS, FADT_FLAG_WBINVD | FADT_FLAG_PROC_C1 | FADT_FLAG_RESET);
	put_gas(fadt + FADT_RESET_REGISTER, 8, 0xcf9);
	fadt[FADT_RESET_VALUE] = 6;
	set_checksum((struct table *)fadt);
}

/* Returns how many entries of the XSDT it filled. */
static uint32_t make_tables(struct loader *loader, struct layout *layout)
{
	uint32_t pm = find_piix4();

	if (pm == 0)
		fail("the firmware has no ACPI tables, and the machine no PIIX4 power management "
		     "to "
		     "make them for: expected an ACPI 2.0 root pointer among the firmware's "
		     "tables");
	outl((int)pm + PIIX4_PMCNTRL, PMCNTRL_SCI_EN);
	memcpy(layout->dsdt, minimal_dsdt, (size_t)(minimal_dsdt_end - minimal_dsdt));
	make_madt(loader, layout->madt);
	make_fadt(layout, pm);
	loader->boot->acpi_reset = 0xcf9u << 16 | 6;
	layout->xsdt_entry[0] = (uint64_t)layout->madt;
	layout->xsdt_entry[1] = (uint64_t)layout->fadt;
	return 2;
}

/* With firmware's tables
 * --------------------------------------------------------------------------- */

/* Remembers how the FADT says to reset the machine, if it is by an I/O port. */
static void note_reset(struct boot_info *boot, const uint8_t *fadt)
{
	const uint8_t *gas = fadt + FADT_RESET_REGISTER;

	if (((const struct table *)fadt)->length > FADT_RESET_VALUE &&
	    (get32(fadt + FADT_FLAGS) & FADT_FLAG_RESET) && gas[0] == GAS_SYSTEM_IO)
		boot->acpi_reset = get64(gas + 4) << 16 | fadt[FADT_RESET_VALUE];
}

static uint32_t copy_tables(struct loader *loader, struct layout *layout)
{
	const struct rsdp *rsdp = (const struct rsdp *)loader->rsdp;
	bool wide = rsdp->revision >= 2 && rsdp->xsdt != 0;
	const struct table *root = (const struct table *)(wide ? rsdp->xsdt : (uint64_t)rsdp->rsdt);
	const uint8_t *entries = (const uint8_t *)(root + 1);
	uint32_t step = wide ? 8 : 4;
	uint32_t count = (root->length - (uint32_t)sizeof(*root)) / step;
	uint32_t out = 0;

	for (uint32_t i = 0; i < count && out < MAX_TABLES - 1; i++) {
		uint64_t at = wide ? get64(entries + i * 8) : get32(entries + i * 4);

		if (at == 0)
			continue;
		if (is_table(at, "FACP"))
			note_reset(loader->boot, (const uint8_t *)at);
		if (is_table(at, "APIC")) {
			copy_madt(loader, (const uint8_t *)at, layout->madt);
			at = (uint64_t)layout->madt;
		}
		layout->xsdt_entry[out++] = at;
	}
	return out;
}

/* Before ExitBootServices: what would be an error must be one while the firmware can take over. */
static void check_firmware_tables(uint64_t at)
{
	const struct rsdp *rsdp = (const struct rsdp *)at;
	bool wide = rsdp->revision >= 2 && rsdp->xsdt != 0;
	const struct table *root = (const struct table *)(wide ? rsdp->xsdt : (uint64_t)rsdp->rsdt);
	const uint8_t *entries = (const uint8_t *)(root + 1);
	uint32_t step = wide ? 8 : 4;

	if (memcmp(rsdp->signature, "RSD PTR ", 8) != 0 || sum(rsdp, 20) != 0)
		fail("the firmware's ACPI root pointer at %llx is damaged: expected the signature "
		     "RSD "
		     "PTR and a checksum of 0",
		     (unsigned long long)at);
	if (root->length < sizeof(*root) || sum(root, root->length) != 0)
		fail("the firmware's ACPI root table at %llx is damaged: its checksum is not 0",
		     (unsigned long long)(uint64_t)root);
	for (uint32_t i = 0; i < (root->length - sizeof(*root)) / step; i++) {
		uint64_t table = wide ? get64(entries + i * 8) : get32(entries + i * 4);

		if (table == 0 || !is_table(table, "APIC"))
			continue;
		if (((const struct table *)table)->length + 16 > MADT_MAX_BYTES)
			fail("the firmware's MADT has %u bytes: expected at most %u",
			     ((const struct table *)table)->length, MADT_MAX_BYTES - 16);
		return;
	}
	fail("the firmware's ACPI tables have no MADT (signature APIC), so the CPUs are unknown");
}

void prepare_acpi(struct loader *loader)
{
	find_acpi(loader);
	if (loader->rsdp != 0)
		check_firmware_tables(loader->rsdp);
	else if (find_piix4() == 0)
		fail("the firmware has no ACPI tables, and the machine no PIIX4 power management "
		     "to "
		     "make them for: expected an ACPI 2.0 root pointer among the firmware's "
		     "tables");
	loader->acpi = allocate("ACPI tables", sizeof(struct layout), PAGE_BYTES, GIB(4) - 1,
				EfiACPIReclaimMemory);
	loader->acpi_new_rsdp = loader->acpi.at;
	report("ACPI: %s", loader->rsdp != 0 ? "the firmware's tables, with our MADT"
					     : "the firmware has none: the minimum is made");
}

void finish_acpi(struct loader *loader)
{
	struct layout *layout = (struct layout *)loader->acpi.at;
	struct socle_acpi_body body = {.abi_version = SOCLE_ABI_VERSION,
				       .vendor = loader->vendor,
				       .key = loader->boot->root_key};
	uint32_t count =
		loader->rsdp != 0 ? copy_tables(loader, layout) : make_tables(loader, layout);

	layout->xsdt_entry[count++] = (uint64_t)&layout->socl;
	set_header(&layout->xsdt, "XSDT",
		   (uint32_t)(sizeof(layout->xsdt) + count * sizeof(layout->xsdt_entry[0])), 1);
	set_checksum(&layout->xsdt);

	memcpy(&layout->socl_body, &body, sizeof(body));
	set_header(&layout->socl, SOCLE_ACPI_SIGNATURE, SOCLE_ACPI_HEADER_BYTES + sizeof(body),
		   SOCLE_ACPI_REVISION);
	set_checksum(&layout->socl);

	memcpy(layout->rsdp.signature, "RSD PTR ", 8);
	memcpy(layout->rsdp.oem_id, "SOCLE ", 6);
	layout->rsdp.revision = 2;
	layout->rsdp.length = sizeof(layout->rsdp);
	layout->rsdp.xsdt = (uint64_t)&layout->xsdt;
	layout->rsdp.checksum = (uint8_t)-sum(&layout->rsdp, 20);
	layout->rsdp.extended_checksum = (uint8_t)-sum(&layout->rsdp, sizeof(layout->rsdp));
}
