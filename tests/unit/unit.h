/* SPDX-License-Identifier: BSD-2-Clause */
/* A unit test defines one suite; unit_main.c runs it and prints the summary. */
#ifndef SOCLE_UNIT_H
#define SOCLE_UNIT_H

#include <check.h>

Suite *unit_suite(void);

/* ck_assert_msg() for loops of many thousands: Check writes a note for each assertion that holds.
 */
#define unit_assert(condition, ...)                                                                \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg(__VA_ARGS__);                                                 \
	} while (0)

#endif
