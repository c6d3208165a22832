/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys: the block function against RFC 8439, and that no two keys are alike. */
#include <stdlib.h>
#include <string.h>

#include "hv/random.h"
#include "hv/types.h"
#include "unit.h"

#define KEYS 100000

/* RFC 8439, section 2.3.2. */
START_TEST(block)
{
	static const uint32_t input[16] = {
		0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 0x03020100, 0x07060504,
		0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
		0x00000001, 0x09000000, 0x4a000000, 0x00000000,
	};
	static const uint32_t expected[16] = {
		0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
		0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
		0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
	};
	uint32_t output[16];

	chacha20_block(input, output);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(output[i], expected[i]);
}
END_TEST

/* RFC 8439, appendix A.1, test vectors 1 and 2: a key of zeros, counters 0 and 1. */
START_TEST(zero_seed)
{
	static const uint8_t seed[32];
	static const uint8_t expected[2][16] = {
		{0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
		 0xbd, 0x28},
		{0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a, 0x98, 0xba, 0x97, 0x7c, 0x73, 0x2d,
		 0x08, 0x0d},
	};

	random_init(seed);
	for (unsigned i = 0; i < 2; i++) {
		struct socle_key key = random_key();

		ck_assert_mem_eq(&key, expected[i], sizeof(key));
	}
}
END_TEST

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct socle_key));
}

/* None twice, under two seeds that differ by a bit; bits are set as often as not. */
START_TEST(keys_differ)
{
	struct socle_key *keys = calloc(2 * KEYS, sizeof(*keys));
	uint8_t seed[32] = "thirty-two bytes make up a seed";
	unsigned set[128] = {0};

	for (unsigned k = 0; k < 2; k++) {
		random_init(seed);
		for (unsigned i = 0; i < KEYS; i++)
			keys[k * KEYS + i] = random_key();
		seed[31] ^= 1;
	}
	for (unsigned i = 0; i < 2 * KEYS; i++)
		for (unsigned bit = 0; bit < 128; bit++)
			set[bit] += (unsigned)(keys[i].word[bit / 64] >> bit % 64) & 1;
	for (unsigned bit = 0; bit < 128; bit++)
		ck_assert_msg(set[bit] > KEYS * 98 / 100 && set[bit] < KEYS * 102 / 100,
			      "bit %u is set in %u of %u keys", bit, set[bit], 2 * KEYS);
	qsort(keys, 2 * KEYS, sizeof(*keys), compare);
	for (unsigned i = 1; i < 2 * KEYS; i++)
		ck_assert_int_ne(compare(&keys[i - 1], &keys[i]), 0);
	free(keys);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("keys");
	TCase *tests = tcase_create("keys");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, block);
	tcase_add_test(tests, zero_seed);
	tcase_add_test(tests, keys_differ);
	suite_add_tcase(suite, tests);
	return suite;
}
