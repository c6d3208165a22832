/* SPDX-License-Identifier: BSD-2-Clause */
/* SMBIOS tables, walked in guest memory the way an operating system does it. */
#include <string.h>

#include "fake_guest.h"
#include "unit.h"
#include "vmm-user/vmm/smbios_tables.h"

static struct smbios_tables tables;
static const struct smbios_config config = {
	"0.1.0", "1234", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 3ull << 30, 4};
/* More than 32-bit fields of KiB can tell. */
static const struct smbios_config large = {"0.1.0", NULL, {0}, 6ull << 40, 64};

/* Lengths of the formatted parts (DSP0134 3.4, section 7). */
static const struct {
	uint8_t type, bytes;
} expected[] = {{0, 26},  {1, 27},  {3, 22},  {4, 48}, {16, 23},
		{17, 40}, {19, 31}, {32, 11}, {127, 4}};

static uint64_t load(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* The structure behind this one; checks its strings, and that every reference to one is good. */
static const uint8_t *next(const uint8_t *at, unsigned *strings)
{
	const uint8_t *text = at + at[1];

	*strings = 0;
	if (*text == 0)
		return text + 2;
	while (*text != 0) {
		text += strlen((const char *)text) + 1;
		*strings += 1;
	}
	return text + 1;
}

START_TEST(walked)
{
	const uint8_t *entry, *at, *end;
	unsigned sum = 0, strings, count = sizeof(expected) / sizeof(expected[0]);

	fake_guest_start();
	ck_assert(smbios_build(_i ? &large : &config, &tables));
	ck_assert_uint_ne(smbios_place(fake_vmm, &tables, SMBIOS_AT, 0x10000), 0);
	entry = guest.ram + SMBIOS_AT;
	ck_assert_int_eq(memcmp(entry, "_SM3_", 5), 0);
	for (unsigned i = 0; i < entry[6]; i++)
		sum += entry[i];
	ck_assert_uint_eq(sum & 0xff, 0);
	at = guest.ram + load(entry + 16, 8);
	end = at + load(entry + 12, 4);
	for (unsigned i = 0; i < count; i++) {
		ck_assert(at < end);
		ck_assert_uint_eq(at[0], expected[i].type);
		ck_assert_msg(at[1] == expected[i].bytes, "type %u has %u bytes, expected %u",
			      at[0], at[1], expected[i].bytes);
		if (at[0] == 1 && !_i) {
			ck_assert_uint_eq(load(at + 8, 8), 0x0607040500010203);
			ck_assert_uint_eq(load(at + 16, 8), 0x0f0e0d0c0b0a0908);
		}
		if (at[0] == 4)
			ck_assert_uint_eq(at[0x23], _i ? 64 : 4);
		if (at[0] == 17)
			ck_assert_uint_eq(load(at + 0x0c, 2), _i ? 0x7fff : 3072);
		if (at[0] == 17 && _i)
			ck_assert_uint_eq(load(at + 0x1c, 4), 6 << 20);
		if (at[0] == 19)
			ck_assert_uint_eq(load(at + (_i ? 0x17 : 8), _i ? 8 : 4),
					  _i ? (6ull << 40) - 1 : (3 << 20) - 1);
		if (at[0] == 0)
			ck_assert_uint_le(at[8], 3);
		at = next(at, &strings);
	}
	ck_assert_ptr_eq(at, end);
	ck_assert_uint_eq(smbios_place(fake_vmm, &tables, SMBIOS_AT, 64), 0);
	ck_assert_uint_eq(smbios_place(fake_vmm, &tables, SMBIOS_AT + 8, 0x10000), 0);
	fake_guest_stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("smbios");
	TCase *test = tcase_create("smbios");

	tcase_add_loop_test(test, walked, 0, 2);
	suite_add_tcase(suite, test);
	return suite;
}
