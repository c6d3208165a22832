/* SPDX-License-Identifier: BSD-2-Clause */
/* String instructions between memory and a device's registers. */
#include "mmio.h"

#define VALUE 0x1122334455667788ull

uint8_t ram_page[4096] __attribute__((aligned(4096)));

#define STRING(prefix, insn, to, from, count, rax)                                                 \
	__asm__ volatile("cld; " prefix " " insn                                                   \
			 : "+D"(to), "+S"(from), "+c"(count), "+a"(rax)                            \
			 :                                                                         \
			 : "memory", "cc")

static void test_moves(void)
{
	uint64_t to = (uint64_t)ram_page, from = HPET_COMPARATOR(0), count = 2, rax = 0;
	uint64_t *ram = (uint64_t *)ram_page;

	mmio_write64(HPET_COMPARATOR(0), VALUE);
	STRING("rep", "movsl", to, from, count, rax);
	check_equal("REP MOVSD from a device", VALUE, ram[0]);
	check_equal("REP MOVSD from a device: RCX", 0, count);
	check_equal("REP MOVSD from a device: RSI", HPET_COMPARATOR(0) + 8, from);
	check_equal("REP MOVSD from a device: RDI", (uint64_t)ram_page + 8, to);
	ram[1] = ~VALUE;
	to = HPET_COMPARATOR(1);
	from = (uint64_t)&ram[1];
	STRING("", "movsq", to, from, count, rax);
	check_equal("MOVSQ to a device", ~VALUE, mmio_read64(HPET_COMPARATOR(1)));
	to = HPET_COMPARATOR(1);
	from = HPET_COMPARATOR(0);
	count = 2;
	STRING("rep", "movsl", to, from, count, rax);
	check_equal("REP MOVSD from a device to a device", VALUE, mmio_read64(HPET_COMPARATOR(1)));
	from = HPET_COMPARATOR(0) + 4;
	to = (uint64_t)&ram[2] + 4;
	count = 2;
	__asm__ volatile("std; rep movsl; cld" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	check_equal("REP MOVSD downwards", VALUE, ram[2]);
	check_equal("REP MOVSD downwards: RSI", HPET_COMPARATOR(0) - 4, from);
}

static void test_others(void)
{
	uint64_t to = HPET_COMPARATOR(0), from = HPET_COMPARATOR(0), count = 2, rax = 0x5a5aa5a5;
	uint64_t flags;

	STRING("rep", "stosl", to, from, count, rax);
	check_equal("REP STOSD", 0x5a5aa5a55a5aa5a5, mmio_read64(HPET_COMPARATOR(0)));
	to = HPET_COMPARATOR(0);
	rax = VALUE;
	STRING("", "stosq", to, from, count, rax);
	check_equal("STOSQ", VALUE, mmio_read64(HPET_COMPARATOR(0)));
	STRING("", "lodsl", to, from, count, rax);
	check_equal("LODSD", (uint32_t)VALUE, rax);
	to = HPET_COMPARATOR(0);
	count = 9;
	rax = VALUE >> 32;
	__asm__ volatile("repne scasl; pushfq; popq %0"
			 : "=r"(flags), "+D"(to), "+c"(count)
			 : "a"(rax)
			 : "memory", "cc");
	check_equal("REPNE SCASD finds", HPET_COMPARATOR(0) + 8, to);
	check_equal("REPNE SCASD: RCX", 7, count);
	check_equal("REPNE SCASD: ZF", 1, flags >> 6 & 1);
	*(uint64_t *)ram_page = VALUE ^ 1ull << 40;
	to = (uint64_t)ram_page;
	from = HPET_COMPARATOR(0);
	count = 2;
	__asm__ volatile("repe cmpsl; pushfq; popq %0"
			 : "=r"(flags), "+D"(to), "+S"(from), "+c"(count)
			 :
			 : "memory", "cc");
	check_equal("REPE CMPSD finds a difference: RCX", 0, count);
	check_equal("REPE CMPSD finds a difference: ZF", 0, flags >> 6 & 1);
}

/* Into a page that is not there: what was done stays done, and the exception is at the rest. */
static void test_fault(void)
{
	uint8_t *page = window_map(12, (uint64_t)ram_page | PAGE_PRESENT | PAGE_WRITE);
	uint64_t to = (uint64_t)page + 4092, from = HPET_COMPARATOR(0), count = 2;
	struct trap trap;

	window_map(13, 0);
	mmio_write64(HPET_COMPARATOR(0), VALUE);
	trap = TRY("cld; rep movsl", : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	check_trap("REP MOVSD from a device into nothing", trap, VECTOR_PF, 2);
	check_equal("its RCX", 1, count);
	check_equal("its RDI", (uint64_t)page + 4096, to);
	check_equal("its RSI", HPET_COMPARATOR(0) + 4, from);
	check_equal("its first element", (uint32_t)VALUE, *(uint32_t *)(ram_page + 4092));
}

void mmio_test_strings(void)
{
	test_moves();
	test_others();
	test_fault();
}
