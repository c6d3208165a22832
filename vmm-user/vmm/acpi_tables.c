/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm-user/vmm/acpi_tables.h"

#include <string.h>

#include "vmm-user/vmm/acpi_dsdt.h"
#include "vmm-user/vmm/devices/acpi_pm.h"
#include "vmm-user/vmm/pci.h"

/* The header that all tables but RSDP and FACS have (ACPI 6.4, section 5.2.6). */
#define HEADER_BYTES	36u
#define HEADER_LENGTH	4u
#define HEADER_REVISION 8u
#define HEADER_CHECKSUM 9u
#define OEM_ID		"SOCLE "
#define OEM_TABLE	"SOCLEVM "
#define CREATOR		"SOCL"

#define LAPIC_BASE  0xfee00000u
#define IOAPIC_BASE 0xfec00000u
#define HPET_BASE   0xfed00000u
#define HPET_ID	    0x8086a201u /* Intel, 64-bit counter as hardware has it, 3 timers */

/* Generic address structure (section 5.2.3.2). */
#define SPACE_MEMORY 0
#define SPACE_PORT   1
#define ACCESS_BYTE  1
#define ACCESS_WORD  2
#define ACCESS_DWORD 3

/* FADT flags (table 5.10). */
#define FADT_WBINVD	    (1u << 0)
#define FADT_PROC_C1	    (1u << 2)
#define FADT_SLP_BUTTON	    (1u << 5) /* no fixed sleep button */
#define FADT_RESET_REG_SUP  (1u << 10)
#define FADT_PLATFORM_CLOCK (1u << 15)
#define BOOT_LEGACY	    (1u << 0)
#define BOOT_8042	    (1u << 1)
#define RESET_VALUE	    6u /* the chipset's 0xcf9: reset the system and the CPUs */
#define CMOS_CENTURY	    0x32u
#define DESKTOP		    1u

/* A table being written at the end of the tables. */
struct writer {
	struct acpi_tables *tables;
	uint32_t start;
	bool full;
};

static void put(struct writer *writer, uint64_t value, unsigned bytes)
{
	struct acpi_tables *tables = writer->tables;

	if (bytes > ACPI_TABLES_BYTES - tables->bytes) {
		writer->full = true;
		return;
	}
	memcpy(tables->table + tables->bytes, &value, bytes);
	tables->bytes += bytes;
}

static void put_text(struct writer *writer, const char *text)
{
	while (*text != '\0')
		put(writer, (uint8_t)*text++, 1);
}

static void put_zeros(struct writer *writer, unsigned bytes)
{
	while (bytes-- > 0)
		put(writer, 0, 1);
}

static void align(struct writer *writer, unsigned to)
{
	while (writer->tables->bytes % to != 0 && !writer->full)
		put(writer, 0, 1);
}

/* A pointer to an offset of the tables. */
static void put_pointer(struct writer *writer, uint32_t to, unsigned bytes)
{
	struct acpi_tables *tables = writer->tables;

	tables->pointer[tables->pointers++] =
		(struct acpi_pointer){ACPI_PIECE_TABLES, tables->bytes, bytes};
	put(writer, to, bytes);
}

static void put_address(struct writer *writer, unsigned space, unsigned bits, unsigned access,
			uint64_t address)
{
	put(writer, space, 1);
	put(writer, bits, 1);
	put(writer, 0, 1);
	put(writer, access, 1);
	put(writer, address, 8);
}

static uint32_t begin(struct writer *writer, const char *signature, unsigned revision)
{
	align(writer, 16);
	writer->start = writer->tables->bytes;
	put_text(writer, signature);
	put(writer, 0, 4);
	put(writer, revision, 1);
	put(writer, 0, 1);
	put_text(writer, OEM_ID OEM_TABLE);
	put(writer, 1, 4);
	put_text(writer, CREATOR);
	put(writer, 1, 4);
	return writer->start;
}

static void end(struct writer *writer)
{
	struct acpi_tables *tables = writer->tables;
	uint32_t bytes = tables->bytes - writer->start;

	if (writer->full)
		return;
	memcpy(tables->table + writer->start + HEADER_LENGTH, &bytes, sizeof(bytes));
	tables->checksum[tables->checksums++] = (struct acpi_checksum){
		ACPI_PIECE_TABLES, writer->start + HEADER_CHECKSUM, writer->start, bytes};
}

/* Section 5.2.10. */
static uint32_t facs(struct writer *writer)
{
	uint32_t start;

	align(writer, ACPI_ALIGNMENT);
	start = writer->tables->bytes;
	put_text(writer, "FACS");
	put(writer, 64, 4);
	put_zeros(writer, 24);
	put(writer, 2, 1); /* version */
	put_zeros(writer, 31);
	return start;
}

static uint32_t dsdt(struct writer *writer, const struct acpi_config *config)
{
	struct acpi_tables *tables = writer->tables;
	uint32_t start = begin(writer, "DSDT", 2);
	struct aml aml = {.at = tables->table + tables->bytes,
			  .room = ACPI_TABLES_BYTES - tables->bytes};

	acpi_dsdt(config, &aml);
	if (!aml_good(&aml))
		writer->full = true;
	tables->bytes += (uint32_t)aml.bytes;
	end(writer);
	return start;
}

/* The fields of revision 1, up to and with the flags (section 5.2.9). */
static void fadt_legacy(struct writer *writer, const struct acpi_config *config, uint32_t at_facs,
			uint32_t at_dsdt)
{
	put_pointer(writer, at_facs, 4);
	put_pointer(writer, at_dsdt, 4);
	put(writer, 0, 1);
	put(writer, DESKTOP, 1);
	put(writer, ACPI_SCI_GSI, 2);
	put(writer, ACPI_SMI_CMD, 4);
	put(writer, ACPI_ENABLE, 1);
	put(writer, ACPI_DISABLE, 1);
	put_zeros(writer, 2); /* no S4BIOS, no processor performance state control */
	put(writer, ACPI_PM1A_EVT, 4);
	put(writer, 0, 4);
	put(writer, ACPI_PM1A_CNT, 4);
	put_zeros(writer, 8); /* no PM1b, no PM2 */
	put(writer, ACPI_PM_TMR, 4);
	put(writer, ACPI_GPE0, 4);
	put(writer, 0, 4);
	put(writer, 4, 1); /* PM1_EVT_LEN */
	put(writer, 2, 1); /* PM1_CNT_LEN */
	put(writer, 0, 1);
	put(writer, 4, 1); /* PM_TMR_LEN */
	put(writer, ACPI_GPE0_BYTES, 1);
	put_zeros(writer, 3);
	put(writer, 0xfff, 2); /* no C2 */
	put(writer, 0xfff, 2); /* no C3 */
	put_zeros(writer, 8);  /* WBINVD works; no duty cycle, no day or month alarm */
	put(writer, CMOS_CENTURY, 1);
	put(writer, BOOT_LEGACY | (config->i8042 ? BOOT_8042 : 0), 2);
	put(writer, 0, 1);
	put(writer,
	    FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_RESET_REG_SUP | FADT_PLATFORM_CLOCK,
	    4);
}

static uint32_t fadt(struct writer *writer, const struct acpi_config *config, uint32_t at_facs,
		     uint32_t at_dsdt)
{
	uint32_t start = begin(writer, "FACP", 6);

	fadt_legacy(writer, config, at_facs, at_dsdt);
	put_address(writer, SPACE_PORT, 8, ACCESS_BYTE, ACPI_RESET_REG);
	put(writer, RESET_VALUE, 1);
	put_zeros(writer, 2);
	put(writer, 3, 1); /* minor version */
	put_pointer(writer, at_facs, 8);
	put_pointer(writer, at_dsdt, 8);
	put_address(writer, SPACE_PORT, 32, ACCESS_WORD, ACPI_PM1A_EVT);
	put_zeros(writer, 12);
	put_address(writer, SPACE_PORT, 16, ACCESS_WORD, ACPI_PM1A_CNT);
	put_zeros(writer, 24); /* PM1b, PM2 */
	put_address(writer, SPACE_PORT, 32, ACCESS_DWORD, ACPI_PM_TMR);
	put_address(writer, SPACE_PORT, 8 * ACPI_GPE0_BYTES, ACCESS_BYTE, ACPI_GPE0);
	put_zeros(writer, 36); /* GPE1, sleep control and status */
	put_text(writer, "Socle");
	put_zeros(writer, 3); /* hypervisor vendor identity */
	end(writer);
	return start;
}

/* Section 5.2.12. */
static uint32_t madt(struct writer *writer, const struct acpi_config *config)
{
	uint32_t start = begin(writer, "APIC", 5);

	put(writer, LAPIC_BASE, 4);
	put(writer, 1, 4); /* there is a PIC pair, too */
	for (unsigned i = 0; i < config->vcpus; i++) {
		put(writer, 0x0800, 2); /* local APIC: type 0, 8 bytes */
		put(writer, i, 1);	/* processor UID */
		put(writer, i, 1);	/* APIC id */
		put(writer, 1, 4);	/* enabled */
	}
	put(writer, 0x0c01, 2);
	put(writer, 0, 2); /* I/O APIC 0 */
	put(writer, IOAPIC_BASE, 4);
	put(writer, 0, 4); /* its first GSI */
	/* The timer is on GSI 2; the SCI is level-triggered, active high. */
	put(writer, 0x0a02, 2);
	put(writer, 0, 2);
	put(writer, 2, 4);
	put(writer, 0, 2);
	put(writer, 0x0a02, 2);
	put(writer, ACPI_SCI_GSI << 8, 2);
	put(writer, ACPI_SCI_GSI, 4);
	put(writer, 0x0d, 2);
	/* NMI is LINT1 of every processor. */
	put(writer, 0x0604, 2);
	put(writer, 0xff, 1);
	put(writer, 0, 2);
	put(writer, 1, 1);
	end(writer);
	return start;
}

static uint32_t hpet(struct writer *writer)
{
	uint32_t start = begin(writer, "HPET", 1);

	put(writer, HPET_ID, 4);
	put_address(writer, SPACE_MEMORY, 0, 0, HPET_BASE);
	put(writer, 0, 1);
	put(writer, 100, 2); /* shortest period, in ticks */
	put(writer, 0, 1);
	end(writer);
	return start;
}

static uint32_t mcfg(struct writer *writer)
{
	uint32_t start = begin(writer, "MCFG", 1);

	put_zeros(writer, 8);
	put(writer, PCI_ECAM_BASE, 8);
	put(writer, 0, 2);	/* segment */
	put(writer, 0xff00, 2); /* buses 0 to 255 */
	put_zeros(writer, 4);
	end(writer);
	return start;
}

/* The RTC needs no acknowledge, the PM timer is read well at once ("WAET", Microsoft 2009). */
static uint32_t waet(struct writer *writer)
{
	uint32_t start = begin(writer, "WAET", 1);

	put(writer, 3, 4);
	end(writer);
	return start;
}

/* Section 5.2.5.3: revision 2, with the checksum of revision 1 over the first 20 bytes. */
static void rsdp(struct acpi_tables *tables)
{
	uint32_t bytes = ACPI_RSDP_BYTES;
	uint64_t xsdt = tables->xsdt;

	memset(tables->rsdp, 0, sizeof(tables->rsdp));
	memcpy(tables->rsdp, "RSD PTR ", 8);
	memcpy(tables->rsdp + 9, OEM_ID, 6);
	tables->rsdp[15] = 2;
	memcpy(tables->rsdp + 20, &bytes, 4);
	memcpy(tables->rsdp + 24, &xsdt, 8);
	tables->pointer[tables->pointers++] = (struct acpi_pointer){ACPI_PIECE_RSDP, 24, 8};
	tables->checksum[tables->checksums++] = (struct acpi_checksum){ACPI_PIECE_RSDP, 8, 0, 20};
	tables->checksum[tables->checksums++] =
		(struct acpi_checksum){ACPI_PIECE_RSDP, 32, 0, ACPI_RSDP_BYTES};
}

bool acpi_build(const struct acpi_config *config, struct acpi_tables *tables)
{
	struct writer writer = {.tables = tables};
	uint32_t at[5], at_facs;
	unsigned count = 0;

	memset(tables, 0, sizeof(*tables));
	at_facs = facs(&writer);
	tables->dsdt = dsdt(&writer, config);
	at[count++] = fadt(&writer, config, at_facs, tables->dsdt);
	at[count++] = madt(&writer, config);
	if (config->hpet)
		at[count++] = hpet(&writer);
	at[count++] = mcfg(&writer);
	at[count++] = waet(&writer);
	tables->xsdt = begin(&writer, "XSDT", 1);
	for (unsigned i = 0; i < count; i++)
		put_pointer(&writer, at[i], 8);
	end(&writer);
	rsdp(tables);
	return !writer.full;
}

void acpi_fix(struct acpi_tables *tables, uint32_t at)
{
	for (unsigned i = 0; i < tables->pointers; i++) {
		const struct acpi_pointer *pointer = &tables->pointer[i];
		uint8_t *piece = pointer->piece == ACPI_PIECE_RSDP ? tables->rsdp : tables->table;
		uint64_t value = 0;

		memcpy(&value, piece + pointer->offset, pointer->bytes);
		value += at;
		memcpy(piece + pointer->offset, &value, pointer->bytes);
	}
	for (unsigned i = 0; i < tables->checksums; i++) {
		const struct acpi_checksum *checksum = &tables->checksum[i];
		uint8_t *piece = checksum->piece == ACPI_PIECE_RSDP ? tables->rsdp : tables->table;
		uint8_t sum = 0;

		piece[checksum->offset] = 0;
		for (uint32_t j = 0; j < checksum->bytes; j++)
			sum = (uint8_t)(sum + piece[checksum->start + j]);
		piece[checksum->offset] = (uint8_t)(0 - sum);
	}
}

uint32_t acpi_place(struct vmm *vmm, struct acpi_tables *tables, uint32_t at, uint32_t room)
{
	uint32_t bytes = ACPI_ALIGNMENT + tables->bytes;
	uint8_t *memory = guest_memory(vmm, at, bytes);

	if (memory == NULL || bytes > room || at % ACPI_ALIGNMENT != 0)
		return 0;
	acpi_fix(tables, at + ACPI_ALIGNMENT);
	memset(memory, 0, ACPI_ALIGNMENT);
	memcpy(memory, tables->rsdp, sizeof(tables->rsdp));
	memcpy(memory + ACPI_ALIGNMENT, tables->table, tables->bytes);
	guest_memory_dirty(vmm, at, bytes);
	return bytes;
}
