/* SPDX-License-Identifier: BSD-2-Clause */
/* String I/O: INS and OUTS with and without REP, across pages, downwards, and into faults. */
#include "lib/guest.h"

const char guest_name[] = "strings";

#define PIC_MASK 0x21 /* a port that reads back what was written */
#define PAGE	 4096u

static uint8_t frames[2][PAGE] __attribute__((aligned(4096)));

static void outs(uint16_t port, const void *from, uint64_t count)
{
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static void test_simple(void)
{
	static const uint8_t bytes[] = {1, 2, 0x5a};
	uint8_t found[4] = {0, 0, 0, 0};
	uint8_t *to = found;
	uint64_t count = 3;

	outs(PIC_MASK, bytes, sizeof(bytes));
	check_equal("REP OUTSB: the last byte stays", 0x5a, in8(PIC_MASK));
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)PIC_MASK) : "memory");
	check_equal("REP INSB: bytes", 0x5a5a5a, *(const uint32_t *)found);
	check_equal("REP INSB: RCX", 0, count);
	check_equal("REP INSB: RDI", (uint64_t)found + 3, (uint64_t)to);
	to = found + 3;
	__asm__ volatile("std; insb; cld" : "+D"(to) : "d"((uint16_t)PIC_MASK) : "memory");
	check_equal("INSB downwards", (uint64_t)found + 2, (uint64_t)to);
	check_equal("INSB writes one byte", 0x5a, found[3]);
	count = 0;
	to = found;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)PIC_MASK) : "memory");
	check_equal("REP INSB of nothing", (uint64_t)found, (uint64_t)to);
}

/* Two pages that are not neighbours in physical memory. */
static void test_pages(void)
{
	uint8_t *low = window_map(8, (uint64_t)frames[1] | PAGE_PRESENT | PAGE_WRITE);
	uint8_t *to = low + PAGE - 3;
	uint64_t count = 6;
	struct trap trap;

	window_map(9, (uint64_t)frames[0] | PAGE_PRESENT | PAGE_WRITE);
	out8(PIC_MASK, 0xa5);
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)PIC_MASK) : "memory");
	check_equal("REP INSB over two pages: the first", 0xa5a5a5,
		    *(const uint32_t *)(frames[1] + PAGE - 4) >> 8);
	check_equal("REP INSB over two pages: the second", 0xa5a5a5,
		    *(const uint32_t *)frames[0] & 0xffffff);
	window_map(9, 0);
	to = low + PAGE - 2;
	count = 6;
	trap = TRY("rep insb", : "+D"(to), "+c"(count) : "d"((uint16_t)PIC_MASK) : "memory");
	check_trap("REP INSB into a page that is not there", trap, VECTOR_PF, 2);
	check_equal("its CR2", (uint64_t)low + PAGE, trap.cr2);
	check_equal("what was done stays done: RCX", 4, count);
	check_equal("what was done stays done: RDI", (uint64_t)low + PAGE, (uint64_t)to);
}

/* Wider elements, by the PCI address register. */
static void test_wide(void)
{
	static const uint32_t address[] = {0x80000000, 0x80000808};
	const uint32_t *from = address;
	uint32_t found[2] = {0, 0}, *to = found;
	uint64_t count = 2;

	__asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"((uint16_t)0xcf8) : "memory");
	check_equal("REP OUTSD", 0x80000808, in32(0xcf8));
	count = 2;
	__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"((uint16_t)0xcf8) : "memory");
	check_equal("REP INSD, first", 0x80000808, found[0]);
	check_equal("REP INSD, second", 0x80000808, found[1]);
}

void guest_test(void)
{
	test_simple();
	test_pages();
	test_wide();
}
