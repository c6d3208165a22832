/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration that socled writes: whole, and with every member missing or wrong. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"
#include "vmm-user/vmm/config.h"

static const char *const members[] = {
	"\"name\": \"web\"",
	"\"uuid\": \"00000000-0000-0000-0000-000000000000\"",
	"\"domain\": 5",
	"\"key\": [\"0x0123456789abcdef\", \"0xfedcba9876543210\"]",
	"\"vendor\": \"svm\"",
	"\"control_fd\": 3",
	"\"serial_fd\": 4",
	"\"memory_fd\": 5",
	"\"memory\": [{\"offset\": 0, \"bytes\": 4194304, \"physical\": \"0x100000000\"},"
	" {\"offset\": 8388608, \"bytes\": 2097152, \"physical\": \"0x200000000\"}]",
	"\"memory_mib\": 6",
	"\"vcpus\": 2",
	"\"kernel\": \"/boot/vmlinuz\"",
	"\"kernel_fd\": 6",
	"\"cmdline\": \"console=ttyS0\"",
	"\"disks\": [{\"target\": \"/d.img\", \"vdev\": \"xvda\", \"format\": \"raw\", "
	"\"readonly\": true, \"cdrom\": false, \"snapshot\": false, \"fd\": 7}]",
	"\"nets\": [{\"mac\": \"00:16:3e:00:00:01\", \"mode\": \"tap\", \"bridge\": \"br0\", "
	"\"fd\": 8}, {\"mac\": \"00:16:3e:00:00:02\", \"mode\": \"user\", \"fd\": 9}]",
	"\"tsc_hz\": 50000000",
	"\"serial2_fd\": 10",
	"\"channels\": [{\"name\": \"agent\", \"fd\": 11}, {\"fd\": 12}]",
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static struct vmm_config config;
static char message[CONFIG_MESSAGE_BYTES_MAX];

/* With one member replaced; NULL leaves it out. */
static bool parse(unsigned which, const char *replacement)
{
	static char text[8192];
	size_t at = 0;

	text[at++] = '{';
	for (unsigned i = 0; i < MEMBERS; i++) {
		const char *member = i == which ? replacement : members[i];

		if (member != NULL)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
					       at == 1 ? "" : ", ", member);
	}
	text[at++] = '}';
	return vmm_config_parse(&config, text, at, message);
}

static void refused(unsigned which, const char *replacement)
{
	ck_assert_msg(!parse(which, replacement), "accepted: %s", replacement);
	ck_assert_str_ne(message, "");
	ck_assert_ptr_null(config.name);
}

START_TEST(whole)
{
	ck_assert_msg(parse(MEMBERS, NULL), "%s", message);
	ck_assert_str_eq(config.name, "web");
	ck_assert_uint_eq(config.domain, 5);
	ck_assert_uint_eq(config.key.word[0], 0x0123456789abcdef);
	ck_assert_uint_eq(config.key.word[1], 0xfedcba9876543210);
	ck_assert_int_eq(config.vendor, SOCLE_VENDOR_SVM);
	ck_assert_uint_eq(config.memory_bytes, 6 << 20);
	ck_assert_uint_eq(config.extents, 2);
	ck_assert_uint_eq(config.extent[1].offset, 8 << 20);
	ck_assert_uint_eq(config.extent[1].physical, 0x200000000);
	ck_assert_uint_eq(config.vcpus, 2);
	ck_assert_uint_eq(config.tsc_hz, 50000000);
	ck_assert_int_eq(config.kernel_fd, 6);
	ck_assert_int_eq(config.serial_fd[0], 4);
	ck_assert_int_eq(config.serial_fd[1], 10);
	ck_assert_uint_eq(config.channels, 2);
	ck_assert_int_eq(config.channel_fd[1], 12);
	ck_assert_int_eq(config.ramdisk_fd, -1);
	ck_assert_ptr_null(config.ramdisk);
	ck_assert_uint_eq(config.disks, 1);
	ck_assert(config.disk[0].readonly);
	ck_assert_int_eq(config.disk[0].fd, 7);
	ck_assert_uint_eq(config.nets, 2);
	ck_assert(config.net[0].tap);
	ck_assert_uint_eq(config.net[0].mac[5], 1);
	ck_assert(!config.net[1].tap);
	ck_assert_int_eq(config.net[1].fd, 9);
	vmm_config_free(&config);
}
END_TEST

START_TEST(missing)
{
	static const unsigned needed[] = {0, 2, 3, 4, 5, 7, 8, 9, 10};

	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		refused(needed[i], NULL);
	for (unsigned i = 11; i < MEMBERS; i++) {
		ck_assert(parse(i, NULL));
		vmm_config_free(&config);
	}
}
END_TEST

START_TEST(wrong)
{
	refused(0, "\"name\": 5");
	refused(2, "\"domain\": 0");
	refused(2, "\"domain\": 1024");
	refused(2, "\"domain\": \"5\"");
	refused(3, "\"key\": [\"0x1\"]");
	refused(3, "\"key\": [1, 2]");
	refused(3, "\"key\": [\"0x1\", \"0x10000000000000000\"]");
	refused(3, "\"key\": [\"0x1\", \"0x\"]");
	refused(3, "\"key\": [\"0x1\", \"0x1g\"]");
	refused(4, "\"vendor\": \"arm\"");
	refused(5, "\"control_fd\": -1");
	refused(9, "\"memory_mib\": 4");
	refused(9, "\"memory_mib\": 8");
	refused(9, "\"memory_mib\": 3");
	refused(9, "\"memory_mib\": 9223372036854775807");
	refused(8, "\"memory\": []");
	refused(8, "\"memory\": [{\"offset\": 0, \"bytes\": 6291457, \"physical\": \"0x0\"}]");
	refused(8, "\"memory\": [{\"offset\": -2097152, \"bytes\": 6291456, \"physical\": "
		   "\"0x0\"}]");
	refused(8, "\"memory\": [{\"offset\": 0, \"bytes\": 6291456, \"physical\": \"0x1000\"}]");
	refused(10, "\"vcpus\": 65");
	refused(14, "\"disks\": [{}]");
	refused(14, "\"disks\": {}");
	refused(14, "\"disks\": [{\"target\": \"/d\", \"vdev\": \"xvda\", \"format\": \"qcow2\", "
		    "\"fd\": 7}]");
	refused(15, "\"nets\": [{\"mac\": \"00:16:3e:00:00\", \"mode\": \"user\"}]");
	refused(15, "\"nets\": [{\"mac\": \"00:16:3e:00:00:01:02\", \"mode\": \"user\"}]");
	refused(15, "\"nets\": [{\"mac\": \"00:16:3e:00:00:01\", \"mode\": \"tap\"}]");
	refused(15, "\"nets\": [{\"mac\": \"00:16:3e:00:00:01\", \"mode\": \"user\"}]");
	refused(15, "\"nets\": [{\"mac\": \"00:16:3e:00:00:01\", \"mode\": \"wire\"}]");
	refused(16, "\"tsc_hz\": 1000");
	refused(16, "\"tsc_hz\": \"fast\"");
	refused(1, "\"name\": \"twice\"");
	ck_assert(!vmm_config_parse(&config, "[]", 2, message));
	ck_assert(!vmm_config_parse(&config, "{", 1, message));
	ck_assert(!vmm_config_parse(&config, "", 0, message));
}
END_TEST

START_TEST(from_descriptor)
{
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(write(pipes[1], "{\"name\": 1}", 11), 11);
	close(pipes[1]);
	ck_assert(!vmm_config_read(&config, pipes[0], message));
	ck_assert_ptr_nonnull(strstr(message, "\"name\""));
	close(pipes[0]);
	ck_assert(!vmm_config_read(&config, pipes[0], message));
	ck_assert_ptr_nonnull(strstr(message, "Bad file descriptor"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("vmm_config");
	TCase *tests = tcase_create("all");

	tcase_add_test(tests, whole);
	tcase_add_test(tests, missing);
	tcase_add_test(tests, wrong);
	tcase_add_test(tests, from_descriptor);
	suite_add_tcase(suite, tests);
	return suite;
}
