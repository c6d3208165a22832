/* SPDX-License-Identifier: BSD-2-Clause */
/* The network device with a socket pair in place of its back end. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "unit.h"
#include "vmm-user/vmm/virtio.h"

#define RECEIVE	  0
#define TRANSMIT  1
#define CONTROL	  2
#define HEADER	  12u
#define MERGEABLE (1ull << 15)
#define FEATURES  (FEATURE_VERSION_1 | 1ull << 5 | 1ull << 16 | 1ull << 17 | 1ull << 18)

static struct driver driver;
static int peer;
static uint64_t area;

static void make(struct vmm *vmm)
{
	struct virtio_net_options options = {
		.backend = VIRTIO_NET_STREAM, .mac = {2, 0, 0, 0, 0, 7}, .mtu = 65520};
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	peer = pair[0];
	options.fd = pair[1];
	fcntl(peer, F_SETFL, O_NONBLOCK);
	ck_assert(pci_create(vmm));
	ck_assert_ptr_nonnull(virtio_net_create(vmm, &options));
}

static void setup(void)
{
	make(fake_vmm_start());
	driver_find(&driver, 1);
	area = guest_take(1 << 20, 4096);
}

static void teardown(void)
{
	fake_vmm_stop();
}

static void start(uint64_t features)
{
	ck_assert(driver_start(&driver, FEATURES | features, 3, 64));
}

static void settle(void)
{
	for (unsigned i = 0; i < 20; i++) {
		fake_vmm_pass(1000);
		fake_vmm_poll();
	}
}

static uint8_t byte(unsigned seed, unsigned i)
{
	return (uint8_t)(seed * 31 + i * 7 + i / 256);
}

/* Gives the guest a frame, from the other side. */
static void from_peer(unsigned seed, uint32_t bytes)
{
	static uint8_t frame[70000];
	uint32_t length = htonl(bytes);

	memcpy(frame, &length, 4);
	for (unsigned i = 0; i < bytes; i++)
		frame[4 + i] = byte(seed, i);
	ck_assert_int_eq(write(peer, frame, bytes + 4), bytes + 4);
}

static void read_whole(void *to, size_t bytes)
{
	for (size_t at = 0, tries = 0; at < bytes && tries < 1000; tries++) {
		ssize_t part = read(peer, (uint8_t *)to + at, bytes - at);

		if (part > 0)
			at += (size_t)part;
		else
			settle();
		ck_assert_uint_lt(tries, 999);
	}
}

static void to_peer(unsigned seed, uint32_t bytes)
{
	static uint8_t frame[70000];
	uint32_t length;

	read_whole(&length, 4);
	ck_assert_uint_eq(ntohl(length), bytes);
	read_whole(frame, bytes);
	for (unsigned i = 0; i < bytes; i++)
		unit_assert(frame[i] == byte(seed, i), "byte %u is %u", i, frame[i]);
}

/* Sends a frame from the guest, header and frame in one buffer or cut at `cut`. */
static void transmit(unsigned seed, uint32_t bytes, uint32_t cut)
{
	uint64_t at = area + 0x20000;
	struct buffer buffer[2] = {{at, HEADER + cut, 0}, {at + HEADER + cut, bytes - cut, 0}};

	memset(guest(at), 0, HEADER);
	for (unsigned i = 0; i < bytes; i++)
		*(uint8_t *)guest(at + HEADER + i) = byte(seed, i);
	driver_add(&driver, TRANSMIT, buffer, cut < bytes ? 2 : 1, false);
	driver_kick(&driver, TRANSMIT);
}

static void give_buffers(unsigned count, uint32_t bytes)
{
	for (unsigned i = 0; i < count; i++) {
		struct buffer buffer = {area + i * bytes, bytes, DRIVER_WRITE};

		driver_add(&driver, RECEIVE, &buffer, 1, false);
	}
	driver_kick(&driver, RECEIVE);
}

/* The guest gets that frame in buffers of `room` bytes, the first at area + first * room. */
static void received(unsigned seed, uint32_t bytes, uint32_t room, unsigned first)
{
	unsigned count = (HEADER + bytes + room - 1) / room;
	uint64_t at = area + (uint64_t)first * room;
	uint32_t head, used, left = HEADER + bytes;
	uint16_t buffers;

	for (unsigned i = 0; i < count; i++) {
		ck_assert(driver_wait(&driver, RECEIVE, &head, &used));
		ck_assert_uint_eq(used, left < room ? left : room);
		left -= used;
	}
	memcpy(&buffers, guest(at + 10), 2);
	ck_assert_uint_eq(buffers, count);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(*(uint8_t *)guest(at + i), 0);
	for (unsigned i = 0; i < bytes; i++)
		unit_assert(*(uint8_t *)guest(at + HEADER + i) == byte(seed, i), "byte %u", i);
}

START_TEST(configuration)
{
	ck_assert_uint_eq(config_get(1, 0, 4), 0x10411af4);
	ck_assert_uint_eq(mmio_read(driver.device, 4), 2);
	ck_assert_uint_eq(mmio_read(driver.device + 4, 2), 0x700);
	ck_assert_uint_eq(mmio_read(driver.device + 6, 2), 1);
	ck_assert_uint_eq(mmio_read(driver.device + 10, 2), 65520);
	/* No offloads without a back end that has them. */
	ck_assert_uint_eq(driver_features(&driver) & 3, 0);
}
END_TEST

START_TEST(sending)
{
	uint32_t head, used;

	start(0);
	for (unsigned i = 0; i < 100; i++) {
		transmit(i, 60 + i * 14, i % 3 == 0 ? 60 + i * 14 : i % 50);
		to_peer(i, 60 + i * 14);
		ck_assert(driver_used(&driver, TRANSMIT, &head, &used));
		ck_assert_uint_eq(used, 0);
	}
	transmit(1, 65534, 100);
	to_peer(1, 65534);
	/* Too short and too long ones are lost, and given back. */
	transmit(1, 13, 13);
	transmit(1, 69000, 10);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(driver_used(&driver, TRANSMIT, &head, &used));
	settle();
	ck_assert_int_lt(read(peer, &head, 1), 0);
}
END_TEST

/* The other side does not read for a while. */
START_TEST(pressure)
{
	unsigned sent = 0, back = 0;
	uint32_t head, used;

	start(0);
	for (; sent < 40; sent++) {
		uint32_t bytes = 14000;
		uint64_t at = area + sent * 16384;
		struct buffer buffer = {at, HEADER + bytes, 0};

		memset(guest(at), 0, HEADER);
		for (unsigned i = 0; i < bytes; i++)
			*(uint8_t *)guest(at + HEADER + i) = byte(sent, i);
		driver_add(&driver, TRANSMIT, &buffer, 1, false);
		driver_kick(&driver, TRANSMIT);
	}
	while (driver_used(&driver, TRANSMIT, &head, &used))
		back++;
	ck_assert_uint_lt(back, sent);
	for (unsigned i = 0; i < sent; i++)
		to_peer(i, 14000);
	for (; back < sent; back++)
		ck_assert(driver_wait(&driver, TRANSMIT, &head, &used));
}
END_TEST

START_TEST(receive)
{
	start(0);
	give_buffers(8, 2048);
	for (unsigned i = 0; i < 8; i++) {
		from_peer(i, 60 + 150 * i);
		received(i, 60 + 150 * i, 2048, i);
	}
	ck_assert_uint_ge(fake_vmm.messages, 8);
}
END_TEST

START_TEST(merge)
{
	start(MERGEABLE);
	give_buffers(60, 1024);
	from_peer(1, 1000);
	received(1, 1000, 1024, 0);
	from_peer(2, 1013);
	received(2, 1013, 1024, 1);
	from_peer(3, 50000);
	received(3, 50000, 1024, 3);
}
END_TEST

/* The header is in pieces, too. */
START_TEST(merge_small)
{
	struct buffer buffer[3] = {{area, 5, DRIVER_WRITE},
				   {area + 5, 6, DRIVER_WRITE},
				   {area + 11, 89, DRIVER_WRITE}};
	uint32_t head, used;

	start(MERGEABLE);
	driver_add(&driver, RECEIVE, buffer, 3, false);
	buffer[0] = (struct buffer){area + 100, 100, DRIVER_WRITE};
	driver_add(&driver, RECEIVE, buffer, 1, false);
	driver_kick(&driver, RECEIVE);
	from_peer(4, 150);
	ck_assert(driver_wait(&driver, RECEIVE, &head, &used));
	ck_assert_uint_eq(used, 100);
	ck_assert(driver_wait(&driver, RECEIVE, &head, &used));
	ck_assert_uint_eq(used, 62);
	ck_assert_uint_eq(*(uint8_t *)guest(area + 10), 2);
	ck_assert_uint_eq(*(uint8_t *)guest(area + 11), 0);
	for (unsigned i = 0; i < 150; i++)
		ck_assert_uint_eq(*(uint8_t *)guest(area + HEADER + i), byte(4, i));
}
END_TEST

START_TEST(no_buffers)
{
	uint32_t head, used;

	start(MERGEABLE);
	for (unsigned i = 0; i < 10; i++)
		from_peer(i, 1000);
	settle();
	ck_assert(!driver_used(&driver, RECEIVE, &head, &used));
	/* Half a frame's worth is not enough. */
	give_buffers(1, 512);
	settle();
	ck_assert(!driver_used(&driver, RECEIVE, &head, &used));
	for (unsigned i = 1; i < 20; i++) {
		struct buffer buffer = {area + i * 512, 512, DRIVER_WRITE};

		driver_add(&driver, RECEIVE, &buffer, 1, false);
	}
	driver_kick(&driver, RECEIVE);
	for (unsigned i = 0; i < 6; i++)
		received(i, 1000, 512, 2 * i);
}
END_TEST

START_TEST(too_long)
{
	uint32_t head, used;

	start(0);
	give_buffers(1, 256);
	from_peer(1, 1000);
	from_peer(2, 100);
	received(2, 100, 256, 0);
	ck_assert(!driver_used(&driver, RECEIVE, &head, &used));
}
END_TEST

START_TEST(dribble)
{
	uint8_t frame[104] = {0, 0, 0, 100};

	for (unsigned i = 0; i < 100; i++)
		frame[4 + i] = byte(9, i);
	start(0);
	give_buffers(2, 2048);
	for (unsigned i = 0; i < sizeof(frame); i++) {
		ck_assert_int_eq(write(peer, &frame[i], 1), 1);
		settle();
	}
	received(9, 100, 2048, 0);
}
END_TEST

START_TEST(nonsense)
{
	uint32_t head, used;

	start(0);
	give_buffers(2, 2048);
	ck_assert_int_eq(write(peer, "\xff\xff\xff\xff rest", 9), 9);
	settle();
	ck_assert(!driver_used(&driver, RECEIVE, &head, &used));
	ck_assert_ptr_nonnull(strstr(fake_vmm.text, "longer"));
	ck_assert_uint_eq(fake_vmm_poll(), 0);
	/* Frames to nowhere are given back. */
	transmit(1, 100, 100);
	ck_assert(driver_used(&driver, TRANSMIT, &head, &used));
}
END_TEST

START_TEST(hang_up)
{
	uint32_t head, used;

	if (_i == 0)
		start(0);
	close(peer);
	if (_i == 1)
		start(0);
	give_buffers(1, 2048);
	settle();
	ck_assert_uint_eq(fake_vmm_poll(), 0);
	transmit(1, 100, 100);
	ck_assert(driver_used(&driver, TRANSMIT, &head, &used));
	ck_assert_ptr_nonnull(strstr(fake_vmm.text, "gone"));
}
END_TEST

static int command(uint8_t class, uint8_t number, uint32_t bytes)
{
	struct buffer buffer[2] = {{area, 2 + bytes, 0}, {area + 0x1000, 1, DRIVER_WRITE}};
	uint32_t head, used;

	*(uint8_t *)guest(area) = class;
	*(uint8_t *)guest(area + 1) = number;
	memset(guest(area + 2), 0x42, bytes);
	*(uint8_t *)guest(area + 0x1000) = 0xee;
	driver_add(&driver, CONTROL, buffer, 2, false);
	driver_kick(&driver, CONTROL);
	ck_assert(driver_used(&driver, CONTROL, &head, &used));
	ck_assert_uint_eq(used, 1);
	return *(uint8_t *)guest(area + 0x1000);
}

START_TEST(control)
{
	struct buffer buffer = {area, 3, 0};

	start(0);
	ck_assert_int_eq(command(0, 0, 1), 0);
	ck_assert_int_eq(command(0, 1, 1), 0);
	ck_assert_int_eq(command(1, 0, 8), 0);
	ck_assert_int_eq(command(1, 1, 5), 1);
	ck_assert_int_eq(command(1, 1, 6), 0);
	ck_assert_uint_eq(mmio_read(driver.device, 4), 0x42424242);
	ck_assert_int_eq(command(4, 0, 2), 1);
	/* The address is the guest's even for another process. */
	make(take_over());
	fake_vmm_pass(1000);
	ck_assert_uint_eq(mmio_read(driver.device, 4), 0x42424242);
	transmit(3, 80, 20);
	to_peer(3, 80);
	driver_add(&driver, CONTROL, &buffer, 1, false);
	driver_kick(&driver, CONTROL);
	ck_assert_uint_eq(driver_status(&driver) & 0x40, 0x40);
}
END_TEST

START_TEST(malformed)
{
	struct buffer buffer = {area, 8, _i == 0 ? 0 : DRIVER_WRITE};

	start(MERGEABLE);
	driver_add(&driver, _i == 0 ? TRANSMIT : RECEIVE, &buffer, 1, false);
	driver_kick(&driver, _i == 0 ? TRANSMIT : RECEIVE);
	from_peer(1, 100);
	settle();
	ck_assert_uint_eq(driver_status(&driver) & 0x40, 0x40);
	start(0);
	give_buffers(1, 2048);
	if (_i == 0)
		received(1, 100, 2048, 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("net");
	TCase *tests = tcase_create("net");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, configuration);
	tcase_add_test(tests, sending);
	tcase_add_test(tests, pressure);
	tcase_add_test(tests, receive);
	tcase_add_test(tests, merge);
	tcase_add_test(tests, merge_small);
	tcase_add_test(tests, no_buffers);
	tcase_add_test(tests, too_long);
	tcase_add_test(tests, dribble);
	tcase_add_test(tests, nonsense);
	tcase_add_loop_test(tests, hang_up, 0, 2);
	tcase_add_test(tests, control);
	tcase_add_loop_test(tests, malformed, 0, 2);
	suite_add_tcase(suite, tests);
	return suite;
}
