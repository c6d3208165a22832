/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver gone mad at every virtio device at once: rings and registers full of noise that is
 * almost right. Whatever it does, the devices work after a reset; the sanitizers watch the rest.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "unit.h"
#include "vmm-user/vmm/virtio.h"

#define DEVICES 5u
#define SIZE	16u
#define TURNS	60u

static struct driver driver[DEVICES];
static uint64_t seed;
static int peer[2];
static char path[] = "noise-XXXXXX";

static uint32_t any(uint32_t limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % limit;
}

static void hook(void *context, uint64_t at, uint64_t bytes, bool inflated)
{
	(void)context;
	(void)inflated;
	ck_assert_ptr_nonnull(guest_memory(&fake_vmm.vmm, at, bytes));
}

static const struct virtio_balloon_hooks hooks = {.pages = hook};

static void setup(void)
{
	struct vmm *vmm = fake_vmm_start();
	struct virtio_blk_options disk = {.path = path, .queues = 3, .snapshot = true};
	struct virtio_net_options net = {.backend = VIRTIO_NET_STREAM};
	int pair[2], fd = mkstemp(path);

	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	ck_assert(pci_create(vmm));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		peer[i] = pair[0];
		net.fd = pair[1];
		if (i == 0)
			ck_assert_ptr_nonnull(virtio_net_create(vmm, &net));
		else
			ck_assert_ptr_nonnull(virtio_console_create(vmm, pair[1], pair[1]));
	}
	ck_assert_ptr_nonnull(virtio_blk_create(vmm, &disk));
	ck_assert_ptr_nonnull(virtio_rng_create(vmm));
	ck_assert_ptr_nonnull(virtio_balloon_create(vmm, &hooks, NULL));
}

static void teardown(void)
{
	fake_vmm_stop();
	unlink(path);
}

/* Both ends of the sockets stay busy. */
static void chatter(void)
{
	static uint8_t text[4096];
	uint8_t frame[64] = {0, 0, 0, 60};

	for (unsigned i = 0; i < 2; i++)
		while (read(peer[i], text, sizeof(text)) > 0)
			;
	/* There is no room while the guest does not read. */
	for (unsigned i = 0; i < 2; i++)
		ck_assert(write(peer[i], frame, sizeof(frame)) == sizeof(frame) || errno == EAGAIN);
}

/* Chains of four that a disk could take: a header, two buffers, a status byte; now and then not. */
static void fill_neat(struct driver *guest_driver, unsigned queue)
{
	static const uint32_t types[] = {0, 1, 4, 8, 11, 13};

	for (unsigned i = 0; i < SIZE; i++) {
		uint64_t at = 0x300000 + any(0x3000) * 32ull;
		uint32_t header[4] = {types[any(6)], 0, any(2100), any(50) == 0};
		uint32_t bytes = i % 4 == 0 ? 16 : i % 4 == 3 ? 1 : any(8) * 512;
		uint16_t next = (uint16_t)(any(30) == 0 ? any(SIZE) : i + 1);
		bool in = i % 4 == 3 || (i % 4 == 2 && any(2)) || (i % 4 == 1 && any(6) == 0);

		if (i % 4 == 0)
			memcpy(guest(at), header, 16);
		set_descriptor(guest_driver, queue, i, at, bytes,
			       (uint16_t)((i % 4 != 3) | (in ? 2 : 0)), next);
		if (i % 4 == 0)
			driver_publish(guest_driver, queue, (uint16_t)i);
	}
}

static void fill_ring(struct driver *guest_driver, unsigned queue)
{
	for (unsigned i = 0; i < SIZE; i++) {
		uint64_t at =
			any(40) == 0 ? (uint64_t)any(~0u) << any(32) : 0x300000 + any(0xf0000);
		uint32_t bytes = any(40) == 0 ? any(~0u) : any(4) == 0 ? 16 : any(600);
		uint16_t flags = (uint16_t)any(any(8) == 0 ? 8 : 4);

		set_descriptor(guest_driver, queue, i, at, bytes, flags,
			       (uint16_t)(any(30) == 0 ? any(70000) : i + 1));
	}
	/* Buffers hold what could be requests, page numbers, small integers. */
	for (unsigned i = 0; i < 200; i++) {
		uint32_t word = any(3) == 0 ? any(16) : any(0x3ff);

		memcpy(guest(0x300000 + any(0xf0000 - 4)), &word, 4);
	}
	for (unsigned i = any(SIZE); i > 0; i--)
		driver_publish(guest_driver, queue, (uint16_t)any(any(30) == 0 ? 70000 : SIZE));
}

START_TEST(noise)
{
	uint64_t kept;

	seed = 987654321u + (uint64_t)_i;
	kept = guest_take(0, 1);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		for (unsigned slot = 1; slot <= DEVICES; slot++) {
			struct driver *one = &driver[slot - 1];
			unsigned queues;

			driver_find(one, slot);
			queues = (unsigned)mmio_read(one->common + 0x12, 2);
			for (unsigned i = 0; i < 1000 && driver_status(one) != 0; i++) {
				driver_reset(one);
				if (fake_vmm_poll() == 0)
					usleep(1000);
			}
			ck_assert_uint_eq(driver_status(one), 0);
			ck_assert(driver_start(one, driver_features(one) & ~(uint64_t)any(~0u),
					       queues, SIZE) ||
				  driver_start(one, driver_features(one), queues, SIZE));
			for (unsigned i = 0; i < 4; i++) {
				unsigned queue = any(queues);

				if (any(2))
					fill_ring(one, queue);
				else
					fill_neat(one, queue);
				driver_kick(one, queue);
				chatter();
				fake_vmm_pass(1000);
				fake_vmm_poll();
			}
			for (unsigned i = 0; i < 20; i++)
				mmio_write((any(2) ? one->common : one->device) + any(64),
					   1u << any(4), (uint64_t)any(~0u) << any(32));
		}
		if (guest_take(0, 1) > kept + 0x200000)
			break;
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("virtio_noise");
	TCase *tests = tcase_create("virtio_noise");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, noise, 0, 8);
	suite_add_tcase(suite, tests);
	return suite;
}
