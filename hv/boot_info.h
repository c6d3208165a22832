/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot loader hands to the hypervisor, in the hypervisor's own memory. */
#ifndef HV_BOOT_INFO_H
#define HV_BOOT_INFO_H

#include "hv/layout.h"
#include "hv/types.h"
#include "socle_abi.h"

#define BOOT_INFO_MAGIC 0x3130454c434f53ull /* "SOCLE01" */

enum boot_cpu_state {
	BOOT_CPU_ABSENT = 0,
	BOOT_CPU_STARTING, /* INIT and SIPI are being sent */
	BOOT_CPU_ARRIVED,  /* it runs the hypervisor's entry code */
	BOOT_CPU_FAILED	   /* it did not answer in time, or could not enter root mode */
};

/* Failures on purpose, to see whether their message reaches this machine's serial port and screen.
 */
enum boot_selftest { SELFTEST_NONE = 0, SELFTEST_EXCEPTION, SELFTEST_PANIC };

/* 8 bytes: the entry code in assembly reads it. */
struct boot_cpu {
	uint32_t apic_id;
	uint32_t state; /* enum boot_cpu_state */
};

/* The console's character cells: UEFI's narrow glyphs, 8 by 19 (UEFI 2.9, section 33.2.6.2). */
#define GLYPH_FIRST  0x20
#define GLYPH_COUNT  95
#define GLYPH_HEIGHT 19
#define GLYPH_WIDTH  8

struct boot_framebuffer {
	uint64_t base; /* host-physical; 0: there is none */
	uint64_t bytes;
	uint32_t width, height; /* pixels */
	uint32_t stride;	/* pixels a line; a pixel has 4 bytes */
	uint32_t red_first;	/* red is the lowest byte of a pixel; else blue is */
	uint32_t have_glyphs;
	uint8_t glyph[GLYPH_COUNT][GLYPH_HEIGHT];
};

/* Where a CPU of the service VM begins: 64-bit mode, identity mapped, interrupts off. */
struct boot_service_entry {
	uint64_t rip, rsp, rsi;
};

struct boot_info {
	uint64_t magic;
	uint32_t vendor; /* enum socle_vendor */
	uint32_t log_level;
	/* Read by entry.asm: their offsets are checked there. */
	uint64_t cr3;	     /* root of the hypervisor's page tables */
	uint64_t cpu_areas;  /* virtual address of the first CPU's area */
	uint32_t cpu_count;  /* entries of cpu[] that are used; the first is the boot CPU */
	uint32_t cpus_found; /* what the firmware reported */
	struct boot_cpu cpu[HV_MAX_CPUS];

	uint64_t base, bytes;	   /* the hypervisor's memory, host-physical */
	uint64_t arena, arena_end; /* host-physical: unused pages for tables and control blocks */
	uint64_t pool_base, pool_bytes;
	uint64_t physical_limit;    /* the service VM sees [0, physical_limit) */
	uint64_t framebuffer_pdpte; /* links the framebuffer's mapping into the page tables */
	uint64_t framebuffer_link;  /* virtual address of the entry that it goes into */
	uint64_t tsc_hz;
	uint64_t boot_tsc;
	uint64_t acpi_reset;  /* 0, or port << 16 | value of the FADT's reset register */
	uint32_t serial_port; /* 0: none */
	uint32_t selftest;    /* enum boot_selftest */
	struct socle_key root_key;
	uint8_t seed[32]; /* for domains' keys */

	/* The service VM's first state. The tables are in memory that it owns. */
	uint64_t service_cr3;
	uint64_t service_gdt, service_gdt_limit;
	uint64_t service_mailbox;
	struct boot_service_entry service_boot_cpu;
	struct boot_service_entry service_other_cpu;

	struct boot_framebuffer framebuffer;

	uint32_t log_bytes; /* what the loader logged */
	char log[8188];
};

#define BOOT_INFO_CR3	    16
#define BOOT_INFO_CPU_AREAS 24
#define BOOT_INFO_CPU_COUNT 32
#define BOOT_INFO_CPU	    40
_Static_assert(offsetof(struct boot_info, cr3) == BOOT_INFO_CR3, "entry.asm");
_Static_assert(offsetof(struct boot_info, cpu_areas) == BOOT_INFO_CPU_AREAS, "entry.asm");
_Static_assert(offsetof(struct boot_info, cpu_count) == BOOT_INFO_CPU_COUNT, "entry.asm");
_Static_assert(offsetof(struct boot_info, cpu) == BOOT_INFO_CPU, "entry.asm");
_Static_assert(sizeof(struct boot_cpu) == 8, "entry.asm");

#endif
