/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio transport and its queues, with a device that writes back what it reads: the way a
 * driver should go, and all the ways it should not.
 */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "unit.h"
#include "vmm-user/vmm/virtio.h"

#define SIZE	    16
#define NEEDS_RESET 0x40
#define WHOLE	    FAKE_RAM_BYTES

static struct virtio_device echo;
static struct driver driver;
static struct virtq_chain chain;
static uint8_t config[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static uint64_t config_written;
static unsigned starts, hold, resets;
static uint16_t held[SIZE];
static bool busy;

static void serve(void *device, unsigned index)
{
	struct virtq *queue = &echo.queue[index];
	static uint8_t text[65536];

	(void)device;
	while (virtq_take(queue, &chain)) {
		size_t bytes = virtq_read(&chain, 0, text, sizeof(text));

		if (hold != 0) {
			held[--hold] = chain.head;
			continue;
		}
		bytes = virtq_write(queue, &chain, 0, text, bytes);
		virtq_give(queue, chain.head, (uint32_t)bytes);
	}
	virtq_signal(queue);
}

static void write_config(void *device, unsigned offset, unsigned bytes, uint64_t value)
{
	(void)device;
	config_written = offset << 16 | bytes << 8 | value;
}

static void started(void *device)
{
	(void)device;
	starts++;
}

static bool reset(void *device)
{
	(void)device;
	resets++;
	return !busy;
}

static void make(struct vmm *vmm)
{
	free(echo.queue); /* the device of the process before a takeover */
	echo = (struct virtio_device){.vmm = vmm,
				      .name = "echo",
				      .type = VIRTIO_TYPE_ENTROPY,
				      .class = 0x00ff00,
				      .features = 1,
				      .queues = 2,
				      .queue_size = {SIZE, SIZE},
				      .config = config,
				      .config_bytes = sizeof(config),
				      .device = &echo,
				      .notify = serve,
				      .config_write = write_config,
				      .started = started,
				      .reset = reset};
	ck_assert(pci_create(vmm));
	ck_assert(virtio_add(&echo));
}

static void setup(void)
{
	make(fake_vmm_start());
	driver_find(&driver, 1);
}

static void teardown(void)
{
	fake_vmm_stop();
}

static void start(uint64_t features)
{
	ck_assert(driver_start(&driver, features | FEATURE_VERSION_1, 2, SIZE));
}

/* Sends text through the device in pieces of `piece` bytes; what comes back is the same. */
static void round_trip(unsigned bytes, unsigned piece, bool indirect)
{
	uint64_t from = guest_take(bytes, 1), to = guest_take(bytes, 1);
	struct buffer buffer[SIZE];
	unsigned count = 0;
	uint32_t head, used;
	uint16_t added;

	for (unsigned i = 0; i < bytes; i++)
		*(uint8_t *)guest(from + i) = (uint8_t)(i * 7 + bytes);
	for (unsigned at = 0; at < bytes; at += piece)
		buffer[count++] =
			(struct buffer){from + at, bytes - at < piece ? bytes - at : piece, 0};
	for (unsigned at = 0; at < bytes; at += piece)
		buffer[count++] = (struct buffer){to + at, bytes - at < piece ? bytes - at : piece,
						  DRIVER_WRITE};
	added = driver_add(&driver, 1, buffer, count, indirect);
	driver_kick(&driver, 1);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_uint_eq(head, added);
	ck_assert_uint_eq(used, bytes);
	ck_assert_mem_eq(guest(from), guest(to), bytes);
}

START_TEST(transport)
{
	ck_assert_uint_eq(config_get(1, 0, 4), 0x10441af4);
	ck_assert_uint_eq(config_get(1, 8, 1), 1);
	ck_assert_uint_eq(driver_features(&driver),
			  FEATURE_VERSION_1 | FEATURE_EVENT_IDX | FEATURE_INDIRECT | 1);
	mmio_write(driver.common, 4, 2);
	ck_assert_uint_eq(mmio_read(driver.common + 4, 4), 0);
	ck_assert_uint_eq(mmio_read(driver.common + 0x12, 2), 2);
	ck_assert_uint_eq(mmio_read(driver.common + 0x10, 2), 0xffff);
	mmio_write(driver.common + 0x10, 2, 3);
	ck_assert_uint_eq(mmio_read(driver.common + 0x10, 2), 0xffff);
	mmio_write(driver.common + 0x10, 2, 2);
	ck_assert_uint_eq(mmio_read(driver.common + 0x10, 2), 2);
	mmio_write(driver.common + 0x16, 2, 1);
	ck_assert_uint_eq(mmio_read(driver.common + 0x18, 2), SIZE);
	mmio_write(driver.common + 0x18, 2, 12);
	ck_assert_uint_eq(mmio_read(driver.common + 0x18, 2), SIZE);
	mmio_write(driver.common + 0x18, 2, 2 * SIZE);
	ck_assert_uint_eq(mmio_read(driver.common + 0x18, 2), SIZE);
	mmio_write(driver.common + 0x18, 2, 8);
	ck_assert_uint_eq(mmio_read(driver.common + 0x18, 2), 8);
	mmio_write(driver.common + 0x16, 2, 2);
	ck_assert_uint_eq(mmio_read(driver.common + 0x18, 2), 0);
	ck_assert_uint_eq(mmio_read(driver.device + 2, 4), 0x06050403);
	ck_assert_uint_eq(mmio_read(driver.device + 8, 4), 0);
	mmio_write(driver.device + 4, 2, 0x99);
	ck_assert_uint_eq(config_written, 4 << 16 | 2 << 8 | 0x99);
}
END_TEST

START_TEST(negotiation)
{
	/* Not without VERSION_1, nor with what was not offered. */
	ck_assert(!driver_start(&driver, 1, 2, SIZE));
	ck_assert(!driver_start(&driver, FEATURE_VERSION_1 | 2, 2, SIZE));
	ck_assert_uint_eq(starts, 0);
	start(1);
	ck_assert_uint_eq(starts, 1);
	ck_assert_uint_eq(driver_status(&driver), 0xf);
	/* Features do not change afterwards. */
	mmio_write(driver.common + 8, 4, 0);
	mmio_write(driver.common + 0xc, 4, 0);
	ck_assert_uint_eq(mmio_read(driver.common + 0xc, 4), 1);
}
END_TEST

START_TEST(window)
{
	unsigned at = 0;

	for (at = config_capability(1, 0, 9); at != 0 && config_get(1, at + 3, 1) != 5;)
		at = config_capability(1, at, 9);
	ck_assert_uint_ne(at, 0);
	config_set(1, at + 4, 1, 0);
	config_set(1, at + 8, 4, 0x12);
	config_set(1, at + 12, 4, 2);
	ck_assert_uint_eq(config_get(1, at + 16, 2), 2);
	config_set(1, at + 8, 4, 0x14);
	config_set(1, at + 12, 4, 1);
	config_set(1, at + 16, 1, 1);
	ck_assert_uint_eq(driver_status(&driver), 1);
	/* Nowhere. */
	config_set(1, at + 8, 4, 0xfffffff0);
	config_set(1, at + 16, 4, 1);
	config_get(1, at + 16, 4);
	config_set(1, at + 12, 4, 0xffff);
	config_get(1, at + 16, 4);
}
END_TEST

START_TEST(chains)
{
	start(FEATURE_INDIRECT);
	for (unsigned i = 0; i < 100; i++) {
		round_trip(1 + i, 64, false);
		round_trip(7 * i + 1, 100, true);
	}
	ck_assert_uint_eq(fake_vmm.messages, 200);
	ck_assert_uint_eq(fake_vmm.message[0].vector, 0x42);
}
END_TEST

START_TEST(interrupts)
{
	uint16_t none = 1;

	start(0);
	memcpy(guest(driver.queue[1].available), &none, 2);
	round_trip(10, 10, false);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	none = 0;
	memcpy(guest(driver.queue[1].available), &none, 2);
	round_trip(10, 10, false);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	/* By pin. */
	config_set(1, config_capability(1, 0, 0x11) + 2, 2, 0);
	round_trip(10, 10, false);
	ck_assert(fake_vmm.level[PCI_INTX_GSI(1)]);
	ck_assert_uint_eq(mmio_read(driver.isr, 1), 1);
	ck_assert(!fake_vmm.level[PCI_INTX_GSI(1)]);
	ck_assert_uint_eq(mmio_read(driver.isr, 1), 0);
	virtio_config_changed(&echo);
	ck_assert_uint_eq(mmio_read(driver.isr, 1), 2);
	ck_assert_uint_eq(mmio_read(driver.common + 0x15, 1), 1);
}
END_TEST

START_TEST(event_index)
{
	uint16_t event = 2, device;

	start(FEATURE_EVENT_IDX);
	memcpy(guest(driver.queue[1].available + 4 + 2 * SIZE), &event, 2);
	round_trip(10, 10, false);
	round_trip(10, 10, false);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	round_trip(10, 10, false);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	round_trip(10, 10, false);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	memcpy(&device, guest(driver.queue[1].used + 4 + 8 * SIZE), 2);
	ck_assert_uint_eq(device, 4);
}
END_TEST

/* What a driver must not do, one at a time; each is followed by a reset and a round trip. */
static void loop(void)
{
	set_descriptor(&driver, 1, 0, 0x1000, 16, 1, 1);
	set_descriptor(&driver, 1, 1, 0x1000, 16, 1, 0);
}

static void outside(void)
{
	set_descriptor(&driver, 1, 0, WHOLE - 8, 16, 0, 0);
}

static void far_outside(void)
{
	set_descriptor(&driver, 1, 0, ~0ull - 4, 16, 0, 0);
}

static void huge(void)
{
	set_descriptor(&driver, 1, 0, 0x1000, 0xffffffff, DRIVER_WRITE, 0);
}

static void wrong_next(void)
{
	set_descriptor(&driver, 1, 0, 0x1000, 16, 1, SIZE);
}

static void wrong_order(void)
{
	set_descriptor(&driver, 1, 0, 0x1000, 16, 1 | DRIVER_WRITE, 1);
	set_descriptor(&driver, 1, 1, 0x1000, 16, 0, 0);
}

static uint64_t table(uint64_t at, uint16_t flags, uint16_t next)
{
	uint64_t table = guest_take(32, 16);
	uint32_t bytes = 16;

	for (unsigned i = 0; i < 2; i++) {
		memcpy(guest(table + 16 * i), &at, 8);
		memcpy(guest(table + 16 * i + 8), &bytes, 4);
		memcpy(guest(table + 16 * i + 12), &flags, 2);
		memcpy(guest(table + 16 * i + 14), &next, 2);
	}
	return table;
}

static void indirect_nested(void)
{
	set_descriptor(&driver, 1, 0, table(0x1000, 4, 0), 32, 4, 0);
}

static void indirect_loop(void)
{
	set_descriptor(&driver, 1, 0, table(0x1000, 1, 0), 32, 4, 0);
}

static void indirect_next(void)
{
	set_descriptor(&driver, 1, 0, table(0x1000, 1, 2), 32, 4, 0);
}

static void indirect_and_next(void)
{
	set_descriptor(&driver, 1, 0, table(0x1000, 0, 0), 32, 5, 1);
}

static void indirect_size(void)
{
	set_descriptor(&driver, 1, 0, table(0x1000, 0, 0), 31, 4, 0);
}

static void indirect_empty(void)
{
	set_descriptor(&driver, 1, 0, table(0x1000, 0, 0), 0, 4, 0);
}

static void indirect_outside(void)
{
	set_descriptor(&driver, 1, 0, WHOLE - 16, 32, 4, 0);
}

static void wrong_head(void)
{
	driver.queue[1].added = 0;
	driver_publish(&driver, 1, SIZE);
	driver.queue[1].added = 0;
}

static void wrong_index(void)
{
	driver.queue[1].added = SIZE;
}

static void (*const crimes[])(void) = {
	loop,	       outside,		far_outside,	  huge,		 wrong_next,
	wrong_order,   indirect_nested, indirect_loop,	  indirect_next, indirect_and_next,
	indirect_size, indirect_empty,	indirect_outside, wrong_index,
};

static void is_broken(void)
{
	unsigned messages = fake_vmm.messages;
	uint32_t head, used;

	driver_kick(&driver, 1);
	ck_assert_uint_eq(driver_status(&driver), 0xf | NEEDS_RESET);
	ck_assert(!driver_used(&driver, 1, &head, &used));
	/* The configuration vector says so, once. */
	ck_assert_uint_eq(fake_vmm.messages, messages + 1);
	ck_assert_uint_eq(fake_vmm.message[messages % FAKE_MESSAGES].vector, 0x40);
	driver_kick(&driver, 1);
	ck_assert_uint_eq(fake_vmm.messages, messages + 1);
	start(FEATURE_INDIRECT);
	round_trip(100, 30, false);
	round_trip(100, 30, true);
}

START_TEST(hostile)
{
	start(FEATURE_INDIRECT);
	crimes[_i]();
	driver_publish(&driver, 1, 0);
	is_broken();
}
END_TEST

START_TEST(hostile_head)
{
	start(0);
	wrong_head();
	driver_kick(&driver, 1);
	ck_assert_uint_eq(driver_status(&driver), 0xf | NEEDS_RESET);
}
END_TEST

START_TEST(hostile_twice)
{
	start(FEATURE_INDIRECT);
	hold = 1;
	set_descriptor(&driver, 1, 0, 0x1000, 16, 0, 0);
	driver_publish(&driver, 1, 0);
	driver_kick(&driver, 1);
	driver_publish(&driver, 1, 0);
	is_broken();
}
END_TEST

START_TEST(indirect_not_negotiated)
{
	start(0);
	set_descriptor(&driver, 1, 0, table(0x1000, 0, 0), 16, 4, 0);
	driver_publish(&driver, 1, 0);
	is_broken();
}
END_TEST

START_TEST(rings_outside)
{
	static const uint64_t at[][3] = {
		{WHOLE - 16, 0x1000, 0x2000}, {0x1000, WHOLE - 4, 0x2000}, {0x1000, 0x2000, WHOLE},
		{0x1008, 0x2000, 0x3000},     {0x1000, 0x2001, 0x3000},	   {0x1000, 0x2000, 0x3002},
		{~0ull << 4, 0x2000, 0x3000}, {0x1000, ~1ull, 0x3000},
	};

	mmio_write(driver.common + 0x14, 1, 3);
	mmio_write(driver.common + 8, 4, 1);
	mmio_write(driver.common + 0xc, 4, 1);
	mmio_write(driver.common + 0x14, 1, 0xb);
	mmio_write(driver.common + 0x16, 2, 0);
	mmio_write(driver.common + 0x20, 8, at[_i][0]);
	mmio_write(driver.common + 0x28, 8, at[_i][1]);
	mmio_write(driver.common + 0x30, 8, at[_i][2]);
	mmio_write(driver.common + 0x1c, 2, 1);
	ck_assert_uint_eq(driver_status(&driver), 0xb | NEEDS_RESET);
	ck_assert_uint_eq(mmio_read(driver.common + 0x1c, 2), 0);
	driver_kick(&driver, 0);
	start(0);
	round_trip(5, 5, false);
}
END_TEST

START_TEST(early)
{
	/* Notified, but not started. */
	driver_kick(&driver, 0);
	driver_kick(&driver, 1);
	mmio_write(driver.notify + 100, 2, 0);
	ck_assert_uint_eq(driver_status(&driver), 0);
}
END_TEST

START_TEST(slow_reset)
{
	struct buffer buffer = {0x1000, 16, 0};

	start(0);
	hold = 1;
	busy = true;
	driver_add(&driver, 1, &buffer, 1, false);
	driver_kick(&driver, 1);
	driver_reset(&driver);
	ck_assert_uint_eq(driver_status(&driver), 0xf);
	driver_reset(&driver);
	ck_assert_uint_eq(resets, 2); /* one was by the start */
	mmio_write(driver.common + 0x14, 1, 1);
	/* What comes back now goes nowhere. */
	virtq_give(&echo.queue[1], held[0], 0);
	virtq_signal(&echo.queue[1]);
	ck_assert_uint_eq(*(uint16_t *)guest(driver.queue[1].used + 2), 0);
	busy = false;
	virtio_quiet(&echo);
	ck_assert_uint_eq(driver_status(&driver), 0);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	start(0);
	round_trip(10, 10, false);
}
END_TEST

/* Another process answers what the first one had taken, and what it never saw. */
START_TEST(takeover)
{
	struct buffer buffer[2] = {{0x1000, 4, 0}, {0x2000, 4, DRIVER_WRITE}};
	uint32_t head, used;
	uint16_t first, second, third;

	start(FEATURE_EVENT_IDX);
	round_trip(10, 10, false);
	hold = 2;
	first = driver_add(&driver, 1, buffer, 2, false);
	second = driver_add(&driver, 1, buffer, 2, false);
	driver_kick(&driver, 1);
	third = driver_add(&driver, 1, buffer, 2, false);
	ck_assert(!driver_used(&driver, 1, &head, &used));
	fake_vmm.messages = 0;
	make(take_over());
	ck_assert_uint_eq(driver_status(&driver), 0xf);
	fake_vmm_pass(1000);
	ck_assert_uint_eq(starts, 2);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_uint_eq(head, first);
	ck_assert_uint_eq(used, 4);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_uint_eq(head, second);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_uint_eq(head, third);
	ck_assert(!driver_used(&driver, 1, &head, &used));
	ck_assert_uint_ge(fake_vmm.messages, 1);
	round_trip(10, 10, false);
}
END_TEST

/* The first process stops between showing an answer to the driver and writing that down. */
START_TEST(takeover_half_published)
{
	struct buffer buffer[2] = {{0x1000, 4, 0}, {0x2000, 4, DRIVER_WRITE}};
	struct virtq_state *state = &echo.state->queue[1];
	uint32_t head, used;
	uint16_t index;

	start(0);
	round_trip(10, 10, false);
	driver_add(&driver, 1, buffer, 2, false);
	driver_kick(&driver, 1);
	ck_assert(driver_used(&driver, 1, &head, &used));
	state->used--;
	state->taken[head] = 1;
	/* And another between marking a chain and counting it. */
	index = driver_add(&driver, 1, buffer, 2, false);
	state->taken[index] = 1;
	make(take_over());
	fake_vmm_pass(1000);
	ck_assert(driver_used(&driver, 1, &head, &used));
	ck_assert_uint_eq(head, index);
	ck_assert(!driver_used(&driver, 1, &head, &used));
	round_trip(10, 10, false);
}
END_TEST

/* Rings full of noise. */
START_TEST(noise)
{
	uint64_t seed = 1234567 + (uint64_t)_i;

	for (unsigned turn = 0; turn < 300; turn++) {
		start(turn & 1 ? FEATURE_INDIRECT | FEATURE_EVENT_IDX : 0);
		for (unsigned i = 0; i < 16u * SIZE + 6 + 2 * SIZE; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			/* Mostly addresses and lengths that could be. */
			*(uint8_t *)guest(driver.queue[1].descriptors + i) =
				i < 16u * SIZE && (i % 16 >= 3 && i % 16 < 8)
					? 0
					: (uint8_t)(seed >> 56);
		}
		for (unsigned i = 0; i < 4; i++)
			driver_kick(&driver, 1);
		/* Small rings of small numbers get further. */
		start(FEATURE_INDIRECT);
		for (unsigned i = 0; i < SIZE; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			set_descriptor(
				&driver, 1, i, seed >> 40 & 0x3fffff, seed >> 32 & 0xff,
				(uint16_t)(seed >> 62 | (turn % 4 == 0 ? seed >> 61 & 4 : 0)),
				seed >> 20 & 0x1f);
		}
		for (unsigned i = 0; i < SIZE; i++)
			driver_publish(&driver, 1, (uint16_t)i);
		driver_kick(&driver, 1);
		if (guest_take(0, 1) > FAKE_RAM_BYTES / 2)
			break;
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("virtqueue");
	TCase *tests = tcase_create("virtqueue");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, transport);
	tcase_add_test(tests, negotiation);
	tcase_add_test(tests, window);
	tcase_add_test(tests, chains);
	tcase_add_test(tests, interrupts);
	tcase_add_test(tests, event_index);
	tcase_add_loop_test(tests, hostile, 0, sizeof(crimes) / sizeof(crimes[0]));
	tcase_add_test(tests, hostile_head);
	tcase_add_test(tests, hostile_twice);
	tcase_add_test(tests, indirect_not_negotiated);
	tcase_add_loop_test(tests, rings_outside, 0, 8);
	tcase_add_test(tests, early);
	tcase_add_test(tests, slow_reset);
	tcase_add_test(tests, takeover);
	tcase_add_test(tests, takeover_half_published);
	tcase_add_loop_test(tests, noise, 0, 4);
	suite_add_tcase(suite, tests);
	return suite;
}
