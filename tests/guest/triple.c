/* SPDX-License-Identifier: BSD-2-Clause */
/* A triple fault: ends the domain as crashed. */
#include "lib/guest.h"

const char guest_name[] = "triple";

void guest_test(void)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		const void *base;
	} none = {0, NULL};

	say("no vector table\n");
	__asm__ volatile("lidt %0; ud2" : : "m"(none));
	check_true("not reached", false);
}
