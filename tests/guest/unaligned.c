/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raises one alignment check behind the other, for ever: at CPL 3, where they are handled, too, and
 * where their own frames are not aligned (CVE-2015-5307). Like `endless`, for 32-bit guests: in
 * 64-bit mode a delivery aligns its stack.
 */
#include "lib32/guest.h"

const char guest_name[] = "unaligned";

#define EFLAGS_AC 0x40000u
#define GATE_USER 0xee /* 32 bits, DPL 3 */

static uint8_t stack[256] __attribute__((aligned(16)));

static void user_pop(void)
{
	__asm__ volatile("popl %%eax; int $0x80" : : : "eax");
}

void guest_test(void)
{
	gate_set(VECTOR_AC, SELECTOR_USER_CODE, (uint32_t)user_pop, GATE_USER);
	set_cr0(get_cr0() | CR0_AM);
	say("begun\n");
	enter(SELECTOR_USER_CODE, (uint32_t)user_pop, SELECTOR_USER_DATA, (uint32_t)stack + 127,
	      EFLAGS_AC | 2);
	say("over\n");
}
