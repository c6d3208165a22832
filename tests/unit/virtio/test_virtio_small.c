/* SPDX-License-Identifier: BSD-2-Clause */
/* The small virtio devices: entropy, console, balloon. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "unit.h"
#include "vmm-user/vmm/virtio.h"

static struct driver driver;
static uint64_t area;

static void setup(void)
{
	ck_assert(pci_create(fake_vmm_start()));
	area = guest_take(1 << 20, 4096);
}

static void teardown(void)
{
	fake_vmm_stop();
}

static void start(unsigned queues)
{
	driver_find(&driver, 1);
	ck_assert(driver_start(&driver, driver_features(&driver), queues, 16));
}

static void settle(void)
{
	for (unsigned i = 0; i < 20; i++) {
		fake_vmm_pass(1000);
		fake_vmm_poll();
	}
}

/* Entropy ----------------------------------------------------------------------------------------
 */

START_TEST(rng)
{
	struct buffer buffer[2] = {{area, 64, DRIVER_WRITE}, {area + 100, 1000, DRIVER_WRITE}};
	struct buffer huge = {area, 1 << 20, DRIVER_WRITE}, none = {area, 16, 0};
	uint32_t head, used;
	unsigned zeros = 0;

	ck_assert_ptr_nonnull(virtio_rng_create(&fake_vmm.vmm));
	start(1);
	ck_assert_uint_eq(config_get(1, 0, 4), 0x10441af4);
	driver_add(&driver, 0, buffer, 2, false);
	driver_kick(&driver, 0);
	ck_assert(driver_used(&driver, 0, &head, &used));
	ck_assert_uint_eq(used, 1064);
	for (unsigned i = 0; i < 1000; i++)
		zeros += *(uint8_t *)guest(area + 100 + i) == 0;
	ck_assert_uint_lt(zeros, 40);
	for (unsigned i = 64; i < 100; i++)
		ck_assert_uint_eq(*(uint8_t *)guest(area + i), 0);
	/* Of what is too much there is some; of nothing, nothing. */
	driver_add(&driver, 0, &huge, 1, false);
	driver_add(&driver, 0, &none, 1, false);
	driver_kick(&driver, 0);
	ck_assert(driver_used(&driver, 0, &head, &used));
	ck_assert_uint_eq(used, 4096);
	ck_assert(driver_used(&driver, 0, &head, &used));
	ck_assert_uint_eq(used, 0);
}
END_TEST

/* A queue that never gets empty does not keep the machine to itself. */
START_TEST(rng_full)
{
	struct buffer buffer = {area, 16, DRIVER_WRITE};
	uint32_t head, used;

	ck_assert_ptr_nonnull(virtio_rng_create(&fake_vmm.vmm));
	start(1);
	for (unsigned i = 0; i < 16; i++)
		driver_add(&driver, 0, &buffer, 1, false);
	driver_kick(&driver, 0);
	for (unsigned i = 0; i < 16; i++)
		ck_assert(driver_used(&driver, 0, &head, &used));
	driver_add(&driver, 0, &buffer, 1, false);
	settle();
	ck_assert(driver_used(&driver, 0, &head, &used));
}
END_TEST

/* Console ----------------------------------------------------------------------------------------
 */

static int peer;

static void console(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	peer = pair[0];
	fcntl(peer, F_SETFL, O_NONBLOCK);
	ck_assert_ptr_nonnull(virtio_console_create(&fake_vmm.vmm, pair[1], pair[1]));
	start(2);
}

START_TEST(console_output)
{
	struct buffer buffer[2] = {{area, 6, 0}, {area + 50, 6, 0}};
	char text[32] = {0};
	uint32_t head, used;

	console();
	memcpy(guest(area), "hello ", 6);
	memcpy(guest(area + 50), "world\n", 6);
	driver_add(&driver, 1, buffer, 2, false);
	driver_kick(&driver, 1);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_int_eq(read(peer, text, sizeof(text)), 12);
	ck_assert_str_eq(text, "hello world\n");
}
END_TEST

START_TEST(console_pressure)
{
	static uint8_t text[8 * 100000];
	struct buffer buffer;
	uint32_t head, used;
	size_t at = 0;

	console();
	for (unsigned i = 0; i < 8; i++) {
		buffer = (struct buffer){area + 100000 * i, 100000, 0};
		for (unsigned j = 0; j < 100000; j++)
			*(uint8_t *)guest(buffer.at + j) = (uint8_t)(i * 100000 + j) * 7 & 0xff;
		driver_add(&driver, 1, &buffer, 1, false);
	}
	driver_kick(&driver, 1);
	for (unsigned tries = 0; at < sizeof(text) && tries < 10000; tries++) {
		ssize_t bytes = read(peer, text + at, 5000);

		if (bytes > 0)
			at += (size_t)bytes;
		fake_vmm_poll();
	}
	ck_assert_uint_eq(at, sizeof(text));
	ck_assert_mem_eq(text, guest(area), sizeof(text));
	for (unsigned i = 0; i < 8; i++)
		ck_assert(driver_used(&driver, 1, &head, &used));
}
END_TEST

START_TEST(console_input)
{
	struct buffer buffer = {area, 4, DRIVER_WRITE};
	uint32_t head, used;

	console();
	ck_assert_int_eq(write(peer, "abcdef", 6), 6);
	settle();
	/* Nobody reads: it stays where it is, and costs nothing. */
	ck_assert_uint_eq(fake_vmm_poll(), 0);
	driver_add(&driver, 0, &buffer, 1, false);
	driver_kick(&driver, 0);
	ck_assert(driver_used(&driver, 0, &head, &used));
	ck_assert_uint_eq(used, 4);
	ck_assert_mem_eq(guest(area), "abcd", 4);
	driver_add(&driver, 0, &buffer, 1, false);
	driver_add(&driver, 0, &buffer, 1, false);
	driver_kick(&driver, 0);
	ck_assert(driver_used(&driver, 0, &head, &used));
	ck_assert_uint_eq(used, 2);
	ck_assert(!driver_used(&driver, 0, &head, &used));
	ck_assert_int_eq(write(peer, "x", 1), 1);
	ck_assert(driver_wait(&driver, 0, &head, &used));
	ck_assert_uint_eq(used, 1);
	ck_assert_mem_eq(guest(area), "x", 1);
}
END_TEST

START_TEST(console_hang_up)
{
	struct buffer in = {area, 4, DRIVER_WRITE}, out = {area, 4, 0};
	uint32_t head, used;

	console();
	driver_add(&driver, 0, &in, 1, false);
	driver_kick(&driver, 0);
	close(peer);
	settle();
	ck_assert_uint_eq(fake_vmm_poll(), 0);
	driver_add(&driver, 1, &out, 1, false);
	driver_kick(&driver, 1);
	ck_assert(driver_used(&driver, 1, &head, &used));
}
END_TEST

/* Balloon ----------------------------------------------------------------------------------------
 */

static struct {
	uint64_t at, bytes;
	bool inflated;
} call[8];
static unsigned calls;

static void hook(void *context, uint64_t at, uint64_t bytes, bool inflated)
{
	ck_assert_ptr_eq(context, &calls);
	call[calls % 8].at = at;
	call[calls % 8].bytes = bytes;
	call[calls++ % 8].inflated = inflated;
}

static unsigned told;

static void count_told(void *context)
{
	ck_assert_ptr_eq(context, &calls);
	told++;
}

static const struct virtio_balloon_hooks hooks = {hook, count_told};

START_TEST(balloon)
{
	struct virtio_balloon *balloon = virtio_balloon_create(&fake_vmm.vmm, &hooks, &calls);
	uint32_t pages[] = {0x100, 0x101, 0x102, 0x200, 0x400, 0xffffffff, 0x3ff};
	struct buffer buffer = {area, sizeof(pages), 0};
	uint32_t head, used;

	ck_assert_ptr_nonnull(balloon);
	start(3);
	ck_assert_uint_eq(config_get(1, 0, 4), 0x10451af4);
	virtio_balloon_target(balloon, 5 * 4096 + 100);
	ck_assert_uint_eq(mmio_read(driver.device, 4), 5);
	ck_assert_uint_eq(fake_vmm.message[0].vector, 0x40);
	memcpy(guest(area), pages, sizeof(pages));
	driver_add(&driver, 0, &buffer, 1, false);
	driver_kick(&driver, 0);
	ck_assert(driver_used(&driver, 0, &head, &used));
	/* Neighbours at once, and only what is memory. */
	ck_assert_uint_eq(calls, 3);
	ck_assert_uint_eq(call[0].at, 0x100000);
	ck_assert_uint_eq(call[0].bytes, 0x3000);
	ck_assert(call[0].inflated);
	ck_assert_uint_eq(call[1].at, 0x200000);
	ck_assert_uint_eq(call[2].at, 0x3ff000);
	mmio_write(driver.device + 4, 4, 5);
	ck_assert_uint_eq(virtio_balloon_actual(balloon), 5 * 4096);
	ck_assert_uint_eq(told, 1);
	driver_add(&driver, 1, &(struct buffer){area, 4, 0}, 1, false);
	driver_kick(&driver, 1);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_uint_eq(calls, 4);
	ck_assert(!call[3].inflated);
	mmio_write(driver.device, 4, 77);
	ck_assert_uint_eq(mmio_read(driver.device, 4), 5);
	driver_add(&driver, 0, &(struct buffer){area, 8192, 0}, 1, false);
	driver_kick(&driver, 0);
	ck_assert_uint_eq(driver_status(&driver) & 0x40, 0x40);
}
END_TEST

static void statistic(unsigned index, uint16_t tag, uint64_t value)
{
	memcpy(guest(area + 10 * index), &tag, 2);
	memcpy(guest(area + 10 * index + 2), &value, 8);
}

START_TEST(balloon_statistics)
{
	struct virtio_balloon *balloon = virtio_balloon_create(&fake_vmm.vmm, &hooks, &calls);
	struct buffer buffer = {area, 30, 0};
	uint32_t head, used;
	uint64_t value;

	start(3);
	ck_assert(!virtio_balloon_statistic(balloon, 4, &value));
	statistic(0, 4, 1000);
	statistic(1, 5, 2000);
	statistic(2, 99, 1);
	driver_add(&driver, 2, &buffer, 1, false);
	driver_kick(&driver, 2);
	ck_assert(!driver_used(&driver, 2, &head, &used));
	ck_assert(virtio_balloon_statistic(balloon, 4, &value));
	ck_assert_uint_eq(value, 1000);
	ck_assert_uint_eq(told, 1);
	ck_assert(!virtio_balloon_statistic(balloon, 99, &value));
	virtio_balloon_ask(balloon);
	ck_assert(driver_used(&driver, 2, &head, &used));
	statistic(0, 4, 1001);
	driver_add(&driver, 2, &buffer, 1, false);
	driver_kick(&driver, 2);
	ck_assert(!driver_used(&driver, 2, &head, &used));
	ck_assert(virtio_balloon_statistic(balloon, 4, &value));
	ck_assert_uint_eq(value, 1001);
	driver_reset(&driver);
	ck_assert(!virtio_balloon_statistic(balloon, 4, &value));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("virtio_small");
	TCase *tests = tcase_create("virtio_small");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, rng);
	tcase_add_test(tests, rng_full);
	tcase_add_test(tests, console_output);
	tcase_add_test(tests, console_pressure);
	tcase_add_test(tests, console_input);
	tcase_add_test(tests, console_hang_up);
	tcase_add_test(tests, balloon);
	tcase_add_test(tests, balloon_statistics);
	suite_add_tcase(suite, tests);
	return suite;
}
