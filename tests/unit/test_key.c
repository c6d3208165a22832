/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening: the ACPI table with the key, whole and damaged in every way. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "socle.h"
#include "unit.h"

#define UID_NOBODY  65534
#define TABLE_BYTES (SOCLE_ACPI_HEADER_BYTES + sizeof(struct socle_acpi_body))

static char directory[64];
static char path[128];

static uint8_t table[8192];
static size_t table_bytes;

static struct socle_handle handle;
static struct socle_open_error error;

static void set32(size_t offset, uint32_t value)
{
	memcpy(table + offset, &value, sizeof(value));
}

static void set_checksum(void)
{
	uint8_t sum = 0;

	table[9] = 0;
	for (size_t i = 0; i < table_bytes; i++)
		sum = (uint8_t)(sum + table[i]);
	table[9] = (uint8_t)-sum;
}

static void start(void)
{
	struct socle_acpi_body body = {SOCLE_ABI_VERSION, SOCLE_VENDOR_VMX, {{0xfeed, 0xbeef}}};

	strcpy(directory, "/tmp/socle-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chmod(directory, 0755), 0);
	snprintf(path, sizeof(path), "%s/SOCL", directory);
	memset(table, 0, sizeof(table));
	memcpy(table, "SOCL", 4);
	table[8] = SOCLE_ACPI_REVISION;
	memcpy(table + SOCLE_ACPI_HEADER_BYTES, &body, sizeof(body));
	table_bytes = TABLE_BYTES;
	set32(4, (uint32_t)table_bytes);
	set_checksum();
	memset(&handle, 0x77, sizeof(handle));
}

static void stop(void)
{
	unlink(path);
	rmdir(directory);
}

static enum socle_open_status open_table(void)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(table, 1, table_bytes, file), table_bytes);
	fclose(file);
	return socle_open(path, &handle, &error);
}

/* The handle has to stay as it was. */
static void expect_damaged(const char *text)
{
	struct socle_handle untouched;

	memset(&untouched, 0x77, sizeof(untouched));
	ck_assert_int_eq(open_table(), SOCLE_OPEN_DAMAGED);
	ck_assert_int_eq(error.status, SOCLE_OPEN_DAMAGED);
	ck_assert_msg(strstr(error.message, text) != NULL, "'%s' is not in: %s", text,
		      error.message);
	ck_assert_ptr_nonnull(strstr(error.message, path));
	ck_assert_mem_eq(&handle, &untouched, sizeof(handle));
}

START_TEST(whole)
{
	ck_assert_int_eq(open_table(), SOCLE_OPEN_OK);
	ck_assert_int_eq(handle.vendor, SOCLE_VENDOR_VMX);
	ck_assert_ptr_eq(handle.raw, socle_raw_vmcall);
	ck_assert_uint_eq(handle.key.word[0], 0xfeed);
	ck_assert_uint_eq(handle.key.word[1], 0xbeef);
	set32(SOCLE_ACPI_HEADER_BYTES + 4, SOCLE_VENDOR_SVM);
	set_checksum();
	ck_assert_int_eq(open_table(), SOCLE_OPEN_OK);
	ck_assert_ptr_eq(handle.raw, socle_raw_vmmcall);
}
END_TEST

START_TEST(absent)
{
	ck_assert_int_eq(socle_open(path, &handle, &error), SOCLE_OPEN_ABSENT);
	ck_assert_int_eq(error.system_error, ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "not running on Socle"));
	ck_assert_ptr_nonnull(strstr(error.message, path));
	ck_assert_int_eq(socle_open(path, &handle, NULL), SOCLE_OPEN_ABSENT);
}
END_TEST

START_TEST(permission)
{
	ck_assert_int_eq(open_table(), SOCLE_OPEN_OK);
	ck_assert_int_eq(chmod(path, 0400), 0);
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(UID_NOBODY), 0);
	else
		ck_assert_int_eq(chmod(path, 0), 0);
	ck_assert_int_eq(socle_open(path, &handle, &error), SOCLE_OPEN_PERMISSION);
	ck_assert_int_eq(error.system_error, EACCES);
	ck_assert_ptr_nonnull(strstr(error.message, "run as root"));
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(unreadable)
{
	ck_assert_int_eq(socle_open(directory, &handle, &error), SOCLE_OPEN_IO);
	ck_assert_int_eq(error.system_error, EISDIR);
}
END_TEST

START_TEST(wrong_signature)
{
	table[0] = 'X';
	set_checksum();
	expect_damaged("58 4f 43 4c");
}
END_TEST

START_TEST(wrong_length)
{
	set32(4, 61);
	set_checksum();
	expect_damaged("61 bytes");
}
END_TEST

START_TEST(wrong_checksum)
{
	table[50] ^= 1;
	expect_damaged("add up to 0");
}
END_TEST

START_TEST(wrong_vendor)
{
	set32(SOCLE_ACPI_HEADER_BYTES + 4, 3);
	set_checksum();
	expect_damaged("found 3");
}
END_TEST

/* Every length but the right one, cut off and as a table that calls itself so long. */
START_TEST(every_short_length)
{
	for (size_t bytes = 0; bytes < TABLE_BYTES; bytes++) {
		start();
		table_bytes = bytes;
		expect_damaged("damaged");
		set32(4, (uint32_t)bytes);
		set_checksum();
		expect_damaged("damaged");
		stop();
	}
}
END_TEST

START_TEST(too_long)
{
	table_bytes = sizeof(table);
	set32(4, (uint32_t)table_bytes);
	set_checksum();
	expect_damaged("or more");
}
END_TEST

START_TEST(other_abi)
{
	char versions[64];

	set32(SOCLE_ACPI_HEADER_BYTES, SOCLE_ABI_VERSION + 6);
	set_checksum();
	ck_assert_int_eq(open_table(), SOCLE_OPEN_ABI);
	ck_assert_uint_eq(error.abi_version, SOCLE_ABI_VERSION + 6);
	snprintf(versions, sizeof(versions), "version %u, this program was built for version %u",
		 SOCLE_ABI_VERSION + 6, SOCLE_ABI_VERSION);
	ck_assert_ptr_nonnull(strstr(error.message, versions));
	/* A later version may be of any length. */
	table_bytes = SOCLE_ACPI_HEADER_BYTES + 4;
	set32(4, (uint32_t)table_bytes);
	set_checksum();
	ck_assert_int_eq(open_table(), SOCLE_OPEN_ABI);
	ck_assert_int_eq(socle_open(path, &handle, NULL), SOCLE_OPEN_ABI);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("key");
	TCase *opening = tcase_create("opening");

	tcase_add_checked_fixture(opening, start, stop);
	tcase_add_test(opening, whole);
	tcase_add_test(opening, absent);
	tcase_add_test(opening, permission);
	tcase_add_test(opening, unreadable);
	tcase_add_test(opening, wrong_signature);
	tcase_add_test(opening, wrong_length);
	tcase_add_test(opening, wrong_checksum);
	tcase_add_test(opening, wrong_vendor);
	tcase_add_test(opening, too_long);
	tcase_add_test(opening, other_abi);
	suite_add_tcase(suite, opening);

	opening = tcase_create("lengths");
	tcase_add_test(opening, every_short_length);
	suite_add_tcase(suite, opening);
	return suite;
}
