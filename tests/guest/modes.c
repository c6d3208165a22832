/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor's modes: what exits does so alike in each of them. The walk is modes.asm's. */
#include "lib/guest.h"

const char guest_name[] = "modes";

#define REAL_AT	     0x10000u
#define STOPS	     9
#define ENTRY_LARGE  0x83u
#define DESCRIPTOR16 0x00009b000000ffffull /* 16-bit code, 64 KiB, base 0 */
#define DESCRIPTOR32 0x00cf9b000000ffffull
#define GIB_ENTRIES  512
#define HPET	     0xfed00000ull

/* What a stop leaves. */
struct stop {
	uint32_t signature; /* CPUID leaf 0x40000000, EBX */
	uint32_t apic_base; /* RDMSR */
	uint32_t hpet;	    /* a memory-mapped register */
	uint32_t port;	    /* written and read: 0x50 + its number */
	uint32_t cr0;	    /* SMSW */
	uint32_t cs, counted, interrupt;
};

extern struct stop modes_stops[STOPS];
struct stop modes_stops[STOPS];
extern uint32_t modes_table32[1024];
uint32_t modes_table32[1024] __attribute__((aligned(4096)));
extern uint64_t modes_pae[4];
uint64_t modes_pae[4] __attribute__((aligned(32)));
static uint64_t pae_directories[4][GIB_ENTRIES] __attribute__((aligned(4096)));

void modes_walk(void);
extern const uint8_t modes_real[], modes_real_end[];

static void prepare(void)
{
	for (unsigned i = 0; i < 1024; i++)
		modes_table32[i] = i << 22 | ENTRY_LARGE;
	for (unsigned i = 0; i < 4; i++) {
		modes_pae[i] = (uint64_t)pae_directories[i] | 1;
		for (unsigned j = 0; j < GIB_ENTRIES; j++)
			pae_directories[i][j] = ((uint64_t)i * GIB_ENTRIES + j) << 21 | ENTRY_LARGE;
	}
	memory_copy((void *)(uintptr_t)REAL_AT, modes_real, (size_t)(modes_real_end - modes_real));
	gdt_set(SELECTOR_CODE16, DESCRIPTOR16 | (uint64_t)REAL_AT << 16);
}

void guest_test(void)
{
	static const struct {
		const char *name;
		uint32_t cs;
		bool protection;
	} expected[STOPS] = {
		{"64-bit mode", SELECTOR_CODE, true},
		{"compatibility mode, 32 bits", SELECTOR_CODE32, true},
		{"compatibility mode, 16 bits", SELECTOR_CODE16, true},
		{"protected mode, no paging, 32 bits", SELECTOR_CODE32, true},
		{"protected mode, no paging, 16 bits", SELECTOR_CODE16, true},
		{"protected mode, 32-bit paging", SELECTOR_CODE32, true},
		{"protected mode, PAE paging", SELECTOR_CODE32, true},
		{"real mode, flat data", REAL_AT >> 4, false},
		{"64-bit mode again", SELECTOR_CODE, true},
	};

	prepare();
	modes_walk();
	check_equal("interrupt in real mode", 0x60, modes_stops[7].interrupt);
	for (unsigned i = 0; i < STOPS; i++) {
		const struct stop *stop = &modes_stops[i];

		say("# %s\n", expected[i].name);
		check_equal("CPUID", cpuid(0x40000000, 0).b, stop->signature);
		check_equal("RDMSR", (uint32_t)rdmsr(MSR_APIC_BASE), stop->apic_base);
		check_equal("memory-mapped register", mmio_read(HPET), stop->hpet);
		check_equal("port", 0x50 + i, stop->port);
		check_equal("CR0.PE", expected[i].protection, stop->cr0 & CR0_PE);
		check_equal("CS", expected[i].cs, stop->cs);
		check_equal("memory", 1 + i, stop->counted);
	}
}
