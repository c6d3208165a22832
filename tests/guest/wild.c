/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends its domain as crashed in a way that its command line chooses ("how=N"): tables, stacks and
 * code where no memory is, or only a device's registers. Nothing is to come back from there, and
 * nobody else is to be hurt.
 */
#include "lib/guest.h"

const char guest_name[] = "wild";

#define DEVICE	0xfed00000ull /* the HPET */
#define NOWHERE 0x30000000ull /* behind the guest's memory */
#define LARGE	0x80ull

static uint64_t table[512] __attribute__((aligned(4096)));

/* An address that the processor has and no machine here. */
static uint64_t far_away(void)
{
	return (1ull << ((cpuid(0x80000008, 0).a & 0xff) - 1)) + 0x1000001000;
}

static void load_idt(uint64_t base)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} idtr = {0xfff, base};

	__asm__ volatile("lidt %0" : : "m"(idtr));
}

static void load_gdt(uint64_t base)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} gdtr = {0xff, base};

	__asm__ volatile("lgdt %0; movw %w1, %%ds" : : "m"(gdtr), "r"(SELECTOR_DATA));
}

/* The window's table is somewhere else: a walk of it goes there. */
static void table_at(uint64_t physical)
{
	uint64_t *pml4 = (uint64_t *)(get_cr3() & ~0xfffull);
	uint64_t *pdpt = (uint64_t *)(pml4[0] & ~0xfffull);
	volatile uint64_t *directory = (uint64_t *)(pdpt[WINDOW >> 30] & ~0xfffull);

	directory[0] = physical | PAGE_PRESENT | PAGE_WRITE;
	set_cr3(get_cr3());
	*(volatile uint32_t *)(WINDOW + 0x3008) = 1;
}

static void stack_at(uint64_t address)
{
	__asm__ volatile("movq %0, %%rsp; pushq $1; int3" : : "r"(address));
}

void guest_test(void)
{
	switch (guest_number("how", 0)) {
	case 0:
		set_cr3(DEVICE);
		break;
	case 1:
		set_cr3(NOWHERE);
		break;
	case 2:
		set_cr3(far_away());
		break;
	case 3:
		((void (*)(void))DEVICE)();
		break;
	case 4:
		((void (*)(void))NOWHERE)();
		break;
	case 5:
		window_map(0, far_away() | PAGE_PRESENT | PAGE_WRITE);
		((void (*)(void))WINDOW)();
		break;
	case 6:
		table_at(DEVICE);
		break;
	case 7:
		table_at(far_away());
		break;
	case 8:
		load_idt(DEVICE);
		__asm__ volatile("int3");
		break;
	case 9:
		load_idt(NOWHERE);
		__asm__ volatile("ud2");
		break;
	case 10:
		stack_at(DEVICE + 0x100);
		break;
	case 11:
		stack_at(NOWHERE);
		break;
	case 12:
		load_gdt(DEVICE);
		break;
	case 13: /* the tables in themselves, then all gone */
		for (unsigned i = 0; i < ARRAY_COUNT(table); i++)
			table[i] = (uint64_t)table | PAGE_PRESENT | PAGE_WRITE | LARGE;
		set_cr3((uint64_t)table);
		break;
	}
	say("still here\n");
	__asm__ volatile("lidt (%0); ud2" : : "r"(table));
}
