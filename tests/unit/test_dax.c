/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is written to sysfs for dax devices. Ordinary files play the attributes: what was written to
 * one is what is read from it, so the device that "create" makes is called "1".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dax.h"
#include "unit.h"

static char root[64], bus[80];

static void make(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (text == NULL) {
		ck_assert_int_eq(mkdir(path, 0700), 0);
		return;
	}
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void expect_content(const char *name, const char *text)
{
	char path[256], found[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_eq(fgets(found, sizeof(found), file) == NULL ? NULL : found,
			 text[0] != 0 ? found : NULL);
	ck_assert_str_eq(found, text);
	fclose(file);
}

static void start(void)
{
	static const char *const names[] = {"platform",
					    "platform/hmem.0",
					    "platform/hmem.0/dax_region",
					    "platform/hmem.0/dax0.0",
					    "platform/hmem.0/1",
					    "bus",
					    "bus/devices",
					    "bus/drivers",
					    "bus/drivers/device_dax"};
	char from[128];

	strcpy(root, "/tmp/socle-dax-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(bus, sizeof(bus), "%s/bus", root);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make(names[i], NULL);
	snprintf(from, sizeof(from), "%s/bus/devices/dax0.0", root);
	ck_assert_int_eq(symlink("../../platform/hmem.0/dax0.0", from), 0);
	snprintf(from, sizeof(from), "%s/bus/devices/1", root);
	ck_assert_int_eq(symlink("../../platform/hmem.0/1", from), 0);
	make("platform/hmem.0/dax0.0/size", "1073741824\n");
	make("platform/hmem.0/dax0.0/resource", "0x240000000\n");
	make("platform/hmem.0/1/size", "");
	make("platform/hmem.0/1/mapping", "");
	make("platform/hmem.0/1/resource", "0x240200000\n");
	make("platform/hmem.0/dax_region/create", "");
	make("platform/hmem.0/dax_region/delete", "");
	make("bus/drivers/device_dax/bind", "");
	make("bus/drivers/device_dax/unbind", "");
}

static void stop(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", root);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(reads)
{
	uint64_t value;
	char region[256];

	ck_assert(dax_read(bus, "dax0.0", "size", &value) && value == 1 << 30);
	ck_assert(dax_read(bus, "dax0.0", "resource", &value) && value == 0x240000000);
	ck_assert(!dax_read(bus, "dax0.1", "size", &value));
	ck_assert(!dax_read(bus, "1", "mapping", &value));
	make("platform/hmem.0/1/resource", "0xzz\n");
	ck_assert(!dax_read(bus, "1", "resource", &value));
	ck_assert(dax_region(bus, "dax0.0", region, sizeof(region)));
	ck_assert_ptr_nonnull(strstr(region, "/platform/hmem.0/dax_region"));
	ck_assert(!dax_region(bus, "dax0.0", region, 10));
	ck_assert_int_eq(errno, ENAMETOOLONG);
	ck_assert(!dax_region(bus, "dax0.1", region, sizeof(region)));
}
END_TEST

START_TEST(creates)
{
	const struct dax_range range = {0x240200000, 0x600000};
	char region[256], device[32];

	ck_assert(dax_region(bus, "dax0.0", region, sizeof(region)));
	ck_assert(dax_create(bus, region, &range, 1, device, sizeof(device)));
	ck_assert_str_eq(device, "1");
	expect_content("platform/hmem.0/1/mapping", "240200000-2407fffff");
	expect_content("bus/drivers/device_dax/bind", "1");
	expect_content("platform/hmem.0/dax_region/delete", "");
	ck_assert(dax_empty(bus, device));
	expect_content("bus/drivers/device_dax/unbind", "1");
	expect_content("platform/hmem.0/1/size", "0");
	ck_assert(dax_delete(region, device));
	expect_content("platform/hmem.0/dax_region/delete", "1");
}
END_TEST

/* Memory at another place than was asked for is no memory for a domain. */
START_TEST(refuses_another_place)
{
	const struct dax_range range = {0x240400000, 0x200000};
	char region[256], device[32];

	ck_assert(dax_region(bus, "dax0.0", region, sizeof(region)));
	ck_assert(!dax_create(bus, region, &range, 1, device, sizeof(device)));
	ck_assert_int_eq(errno, ERANGE);
	expect_content("platform/hmem.0/dax_region/delete", "1");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("dax");
	TCase *all = tcase_create("dax");

	tcase_add_checked_fixture(all, start, stop);
	tcase_add_test(all, reads);
	tcase_add_test(all, creates);
	tcase_add_test(all, refuses_another_place);
	suite_add_tcase(suite, all);
	return suite;
}
