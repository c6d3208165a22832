/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own memset, memcpy and memcmp, under other names: the sanitizers have these. */
#define memset hv_memset
#define memcpy hv_memcpy
#define memcmp hv_memcmp
#include "hv/string.c" /* NOLINT(bugprone-suspicious-include) */
#undef memset
#undef memcpy
#undef memcmp

#include <string.h>

#include "unit.h"

#define BYTES 64

/* Every start and length: these bytes and no others. */
START_TEST(set_and_copy)
{
	unsigned char from[BYTES], to[BYTES];

	for (size_t at = 0; at < BYTES; at++)
		for (size_t bytes = 0; at + bytes <= BYTES; bytes++) {
			for (size_t i = 0; i < BYTES; i++) {
				from[i] = (unsigned char)(i + 1);
				to[i] = 0xee;
			}
			ck_assert_ptr_eq(hv_memcpy(to + at, from + at, bytes), to + at);
			for (size_t i = 0; i < BYTES; i++)
				ck_assert_uint_eq(to[i], i >= at && i < at + bytes ? i + 1 : 0xee);
			ck_assert_ptr_eq(hv_memset(to + at, 0x155, bytes), to + at);
			for (size_t i = 0; i < BYTES; i++)
				ck_assert_uint_eq(to[i], i >= at && i < at + bytes ? 0x55 : 0xee);
		}
}
END_TEST

START_TEST(compare)
{
	unsigned char a[BYTES] = {0}, b[BYTES] = {0};

	ck_assert_int_eq(hv_memcmp(a, b, BYTES), 0);
	for (size_t i = 0; i < BYTES; i++) {
		b[i] = 0x80;
		ck_assert_int_eq(hv_memcmp(a, b, i), 0);
		ck_assert_int_lt(hv_memcmp(a, b, BYTES), 0);
		ck_assert_int_gt(hv_memcmp(b, a, BYTES), 0);
		b[i] = 0;
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("string");
	TCase *tests = tcase_create("string");

	tcase_add_test(tests, set_and_copy);
	tcase_add_test(tests, compare);
	suite_add_tcase(suite, tests);
	return suite;
}
