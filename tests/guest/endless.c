/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raises one debug exception behind the other ("how=N"), for ever: the delivery of each meets the
 * breakpoint of the next. Its processor comes to no instruction any more (CVE-2015-8104), and
 * whoever shares it with the guest is to have it all the same.
 */
#include "lib/guest.h"

const char guest_name[] = "endless";

#define IST_DEBUG     2
#define DR7_EXECUTE_0 0x402u
#define DR7_WRITE_0   0x90402u /* eight bytes */

static uint64_t stack[512] __attribute__((aligned(16)));

void guest_test(void)
{
	uint64_t *pushed = &stack[ARRAY_COUNT(stack) - 1]; /* SS, which a delivery pushes first */
	struct gate gate = guest_idt[VECTOR_DB];

	this_cpu()->tss.ist[IST_DEBUG - 1] = (uint64_t)(stack + ARRAY_COUNT(stack));
	guest_idt[VECTOR_DB].ist = IST_DEBUG;
	say("begun\n");
	if (guest_number("how", 0) == 0) {
		set_dr0((uint64_t)pushed);
		set_dr7(DR7_WRITE_0);
		*(volatile uint64_t *)pushed = 0;
	} else {
		set_dr0(gate.offset0 | (uint64_t)gate.offset1 << 16 | (uint64_t)gate.offset2 << 32);
		set_dr7(DR7_EXECUTE_0);
		__asm__ volatile(".byte 0xf1"); /* INT1 */
	}
	say("over\n");
}
