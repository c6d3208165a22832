/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm-user/vmm/smbios_tables.h"

#include <stdio.h>
#include <string.h>

/* Structure types (DSP0134, section 7). */
#define TYPE_BIOS      0
#define TYPE_SYSTEM    1
#define TYPE_CHASSIS   3
#define TYPE_PROCESSOR 4
#define TYPE_ARRAY     16
#define TYPE_DEVICE    17
#define TYPE_MAPPED    19
#define TYPE_BOOT      32
#define TYPE_END       127

#define HANDLE(type)	  ((type) << 8)
#define MADE_BY		  "Socle"
#define BIOS_DATE	  "01/01/2026" /* Windows wants a valid one */
#define BIOS_VIRTUAL	  0x10u	       /* characteristics extension 2: a virtual machine */
#define BIOS_NO_FEATURES  0x08u	       /* "characteristics are not supported" */
#define TEXT_ROOM	  64u
#define MEMORY_UNKNOWN_32 0x80000000u
#define SIZE_EXTENDED	  0x7fffu

/* A structure being written; its strings follow its fields. */
struct writer {
	struct smbios_tables *tables;
	uint32_t start;
	unsigned strings;
	char text[8][TEXT_ROOM];
	bool full;
};

static void put(struct writer *writer, uint64_t value, unsigned bytes)
{
	struct smbios_tables *tables = writer->tables;

	if (bytes > SMBIOS_TABLE_BYTES - tables->bytes) {
		writer->full = true;
		return;
	}
	memcpy(tables->table + tables->bytes, &value, bytes);
	tables->bytes += bytes;
}

static void begin(struct writer *writer, unsigned type)
{
	writer->start = writer->tables->bytes;
	writer->strings = 0;
	put(writer, type, 1);
	put(writer, 0, 1);
	put(writer, HANDLE(type), 2);
}

/* A string's number goes among the fields, the string behind them; none is 0. */
static void put_string(struct writer *writer, const char *text)
{
	if (text == NULL || *text == '\0') {
		put(writer, 0, 1);
		return;
	}
	snprintf(writer->text[writer->strings], TEXT_ROOM, "%s", text);
	put(writer, ++writer->strings, 1);
}

static void end(struct writer *writer)
{
	struct smbios_tables *tables = writer->tables;

	if (writer->full)
		return;
	tables->table[writer->start + 1] = (uint8_t)(tables->bytes - writer->start);
	for (unsigned i = 0; i < writer->strings; i++)
		for (const char *at = writer->text[i];; at++) {
			put(writer, (uint8_t)*at, 1);
			if (*at == '\0')
				break;
		}
	if (writer->strings == 0)
		put(writer, 0, 1);
	put(writer, 0, 1);
}

static void bios(struct writer *writer, const struct smbios_config *config)
{
	begin(writer, TYPE_BIOS);
	put_string(writer, MADE_BY);
	put_string(writer, config->version);
	put(writer, 0xe000, 2); /* segment */
	put_string(writer, BIOS_DATE);
	put(writer, 1, 1); /* 128 KiB of ROM */
	put(writer, BIOS_NO_FEATURES, 8);
	put(writer, 0, 1);
	put(writer, BIOS_VIRTUAL, 1);
	put(writer, 0xffff, 2); /* no release number of the BIOS */
	put(writer, 0xffff, 2); /* nor of an embedded controller */
	put(writer, 0, 2);
	end(writer);
}

static void system_information(struct writer *writer, const struct smbios_config *config)
{
	/* The first three fields of a UUID are little endian (section 7.2.1). */
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	begin(writer, TYPE_SYSTEM);
	put_string(writer, MADE_BY);
	put_string(writer, "Socle domain");
	put_string(writer, config->version);
	put_string(writer, config->serial);
	for (unsigned i = 0; i < 16; i++)
		put(writer, config->uuid[order[i]], 1);
	put(writer, 6, 1); /* woken by the power switch */
	put_string(writer, NULL);
	put_string(writer, "Virtual machine");
	end(writer);
}

static void chassis(struct writer *writer)
{
	begin(writer, TYPE_CHASSIS);
	put_string(writer, MADE_BY);
	put(writer, 1, 1); /* other */
	put_string(writer, NULL);
	put_string(writer, NULL);
	put_string(writer, NULL);
	put(writer, 0x030303, 3); /* boot, power, thermal state: safe */
	put(writer, 3, 1);	  /* no security */
	put(writer, 0, 4);
	put(writer, 0, 1);	  /* height */
	put(writer, 1, 1);	  /* power cords */
	put(writer, 0, 2);	  /* no contained elements */
	put_string(writer, NULL); /* SKU */
	end(writer);
}

static void processor(struct writer *writer, const struct smbios_config *config)
{
	unsigned few = config->vcpus < 0xff ? config->vcpus : 0xff;

	begin(writer, TYPE_PROCESSOR);
	put_string(writer, "CPU 0");
	put(writer, 3, 1); /* a central processor */
	put(writer, 1, 1); /* family: other */
	put_string(writer, MADE_BY);
	put(writer, 0, 8);
	put_string(writer, NULL);
	put(writer, 0, 1);     /* voltage */
	put(writer, 0, 6);     /* clocks: unknown */
	put(writer, 0x41, 1);  /* populated, enabled */
	put(writer, 1, 1);     /* upgrade: other */
	put(writer, ~0ull, 6); /* no cache structures */
	put(writer, 0, 3);     /* no serial number, asset tag, part number */
	put(writer, few, 1);   /* cores */
	put(writer, few, 1);   /* enabled */
	put(writer, few, 1);   /* threads */
	put(writer, 0x04, 2);  /* 64-bit */
	put(writer, 1, 2);     /* family 2: other */
	for (unsigned i = 0; i < 3; i++)
		put(writer, config->vcpus, 2);
	end(writer);
}

/* One array with one device, mapped as a whole. */
static void memory(struct writer *writer, const struct smbios_config *config)
{
	uint64_t kib = config->memory >> 10, mib = config->memory >> 20;

	begin(writer, TYPE_ARRAY);
	put(writer, 1, 1); /* location: other */
	put(writer, 3, 1); /* system memory */
	put(writer, 6, 1); /* multi-bit ECC */
	put(writer, kib < MEMORY_UNKNOWN_32 ? kib : MEMORY_UNKNOWN_32, 4);
	put(writer, 0xfffe, 2); /* no error information */
	put(writer, 1, 2);	/* devices */
	put(writer, kib < MEMORY_UNKNOWN_32 ? 0 : config->memory, 8);
	end(writer);

	begin(writer, TYPE_DEVICE);
	put(writer, HANDLE(TYPE_ARRAY), 2);
	put(writer, 0xfffe, 2);
	put(writer, 64, 2); /* bits */
	put(writer, 64, 2);
	put(writer, mib < SIZE_EXTENDED ? mib : SIZE_EXTENDED, 2);
	put(writer, 9, 1); /* DIMM */
	put(writer, 0, 1);
	put_string(writer, "DIMM 0");
	put_string(writer, NULL);
	put(writer, 7, 1); /* RAM */
	put(writer, 2, 2); /* detail: other */
	put(writer, 0, 2); /* speed unknown */
	put_string(writer, MADE_BY);
	put(writer, 0, 3);
	put(writer, 0, 1); /* rank unknown */
	put(writer, mib < SIZE_EXTENDED ? 0 : mib & 0x7fffffff, 4);
	put(writer, 0, 2);
	put(writer, 0, 6); /* voltages unknown */
	end(writer);

	begin(writer, TYPE_MAPPED);
	put(writer, kib <= 0xffffffff ? 0 : 0xffffffff, 4);
	put(writer, kib <= 0xffffffff ? kib - 1 : 0xffffffff, 4);
	put(writer, HANDLE(TYPE_ARRAY), 2);
	put(writer, 1, 1);
	put(writer, 0, 8);
	put(writer, kib <= 0xffffffff ? 0 : config->memory - 1, 8);
	end(writer);
}

bool smbios_build(const struct smbios_config *config, struct smbios_tables *tables)
{
	struct writer writer = {.tables = tables};

	memset(tables, 0, sizeof(*tables));
	bios(&writer, config);
	system_information(&writer, config);
	chassis(&writer);
	processor(&writer, config);
	memory(&writer, config);
	begin(&writer, TYPE_BOOT);
	put(&writer, 0, 6);
	put(&writer, 0, 1); /* no errors */
	end(&writer);
	begin(&writer, TYPE_END);
	end(&writer);
	/* Section 5.2.2. */
	memcpy(tables->entry, "_SM3_", 5);
	tables->entry[6] = SMBIOS_ENTRY_BYTES;
	tables->entry[7] = 3;
	tables->entry[8] = 4;
	tables->entry[10] = 1;
	memcpy(tables->entry + 12, &tables->bytes, 4);
	return !writer.full;
}

uint32_t smbios_place(struct vmm *vmm, struct smbios_tables *tables, uint32_t at, uint32_t room)
{
	uint32_t first = (SMBIOS_ENTRY_BYTES + 15) & ~15u, bytes = first + tables->bytes;
	uint8_t *to = guest_memory(vmm, at, bytes), sum = 0;
	uint64_t table = at + first;

	if (to == NULL || bytes > room || at % 16 != 0)
		return 0;
	memcpy(tables->entry + 16, &table, 8);
	tables->entry[5] = 0;
	for (unsigned i = 0; i < SMBIOS_ENTRY_BYTES; i++)
		sum = (uint8_t)(sum + tables->entry[i]);
	tables->entry[5] = (uint8_t)(0 - sum);
	memset(to, 0, first);
	memcpy(to, tables->entry, SMBIOS_ENTRY_BYTES);
	memcpy(to + first, tables->table, tables->bytes);
	guest_memory_dirty(vmm, at, bytes);
	return bytes;
}
