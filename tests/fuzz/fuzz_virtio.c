// SPDX-License-Identifier: BSD-2-Clause
/*
 * Every virtio device and PCI: rings and requests in a small guest memory, registers, configuration
 * space by ports and ECAM, resets, and peers that talk meanwhile. Where memory is short, rings lie
 * half outside it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "fuzz.h"
#include "vmm-user/vmm/pci.h"
#include "vmm-user/vmm/virtio.h"

#define DEVICES	   5u
#define STEPS	   300
#define QUEUES	   3u
#define SIZE	   16u
#define RING_BYTES 0x1000u
#define RINGS	   0x10000u
#define REQUESTS   0x100000u
#define SHORT	   (RINGS + 5 * RING_BYTES + 0x104) /* memory that ends within a ring */

static struct driver drivers[DEVICES];
static uint32_t bars[DEVICES][2];
static int peer[2];
static uint8_t *memory;

static void hook(void *context, uint64_t at, uint64_t bytes, bool inflated)
{
	(void)context;
	(void)inflated;
	if (guest_memory(&fake_vmm.vmm, at, bytes) == NULL)
		abort();
}

static const struct virtio_balloon_hooks hooks = {.pages = hook};

/* A disk without a name: nothing is left of it. */
static int make_disk(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, 1 << 20) != 0)
		abort();
	return fd;
}

/* The devices have no end, as a VMM has none of its own: they are made once. */
static void make_devices(void)
{
	struct vmm *vmm = fake_vmm_start();
	struct virtio_blk_options disk = {.fd = make_disk(), .queues = 2, .snapshot = true};
	struct virtio_net_options net = {.backend = VIRTIO_NET_STREAM};
	int pair[2];

	if (!pci_create(vmm))
		abort();
	for (unsigned i = 0; i < 2; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
			abort();
		peer[i] = pair[0];
		net.fd = pair[1];
		if (i == 0 ? virtio_net_create(vmm, &net) == NULL
			   : virtio_console_create(vmm, pair[1], pair[1]) == NULL)
			abort();
	}
	if (virtio_blk_create(vmm, &disk) == NULL || virtio_rng_create(vmm) == NULL ||
	    virtio_balloon_create(vmm, &hooks, NULL) == NULL)
		abort();
	memory = vmm->ram.base;
	for (unsigned i = 0; i < DEVICES; i++) {
		bars[i][0] = config_get(i + 1, 0x10, 4);
		bars[i][1] = config_get(i + 1, 0x14, 4);
	}
}

/* Whatever an input did, the devices can be found and reset. */
static void recover(void)
{
	fake_vmm.vmm.ram.low = FAKE_RAM_BYTES;
	for (unsigned i = 0; i < DEVICES; i++) {
		unsigned turns = 0;

		config_set(i + 1, 4, 2, 0);
		config_set(i + 1, 0x10, 4, bars[i][0]);
		config_set(i + 1, 0x14, 4, bars[i][1]);
		driver_find(&drivers[i], i + 1);
		driver_reset(&drivers[i]);
		while (driver_status(&drivers[i]) != 0 && turns++ < 5000) {
			if (fake_vmm_poll() == 0)
				usleep(200);
			fake_vmm_pass(1000);
			driver_reset(&drivers[i]);
		}
		if (turns >= 5000)
			abort();
	}
}

static uint64_t ring_of(unsigned device, unsigned queue)
{
	return RINGS + (device * QUEUES + queue) * RING_BYTES;
}

/* Features, queues and DRIVER_OK as a driver does it, but for the sizes and places. */
static void start_device(struct input *input, unsigned device)
{
	const struct driver *driver = &drivers[device];
	uint64_t features = ~input_number(input), common = driver->common;

	mmio_write(common + 0x14, 1, 0);
	mmio_write(common + 0x14, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		mmio_write(common + 8, 4, i);
		mmio_write(common + 4, 4, 0);
		mmio_write(common, 4, i);
		mmio_write(common + 0xc, 4,
			   mmio_read(common + 4, 4) & (uint32_t)(features >> 32 * i));
	}
	mmio_write(common + 0x14, 1, 11);
	for (unsigned q = 0; q < QUEUES; q++) {
		uint64_t at = ring_of(device, q);

		mmio_write(common + 0x16, 2, q);
		mmio_write(common + 0x18, 2, SIZE);
		mmio_write(common + 0x1a, 2, q + 1);
		mmio_write(common + 0x20, 8, at);
		mmio_write(common + 0x28, 8, at + 0x400);
		mmio_write(common + 0x30, 8, at + 0x800);
		mmio_write(common + 0x1c, 2, 1);
		memset(memory + at, 0, RING_BYTES);
	}
	mmio_write(common + 0x14, 1, 15);
}

static void put(uint64_t at, uint64_t value, unsigned bytes)
{
	memcpy(memory + at % (FAKE_RAM_BYTES - 8), &value, bytes);
}

static void make_available(unsigned device, unsigned queue, uint16_t head)
{
	uint64_t at = ring_of(device, queue) + 0x400;
	uint16_t index;

	memcpy(&index, memory + at + 2, 2);
	put(at + 4 + 2 * (index % SIZE), head, 2);
	put(at + 2, (uint16_t)(index + 1), 2);
}

/* A chain of up to four, the first of which holds a request. */
static void add_chain(struct input *input, unsigned device, unsigned queue)
{
	uint64_t ring = ring_of(device, queue), choice = input_take(input, 1);
	unsigned count = 1 + choice % 4, head = choice / 4 % SIZE;
	uint64_t at = REQUESTS + input_below(input, 256) * 64;

	for (unsigned i = 0; i < 16; i += 8)
		put(at + i, input_take(input, choice & 0x40 ? 8 : 2), 8);
	for (unsigned i = 0; i < count; i++) {
		uint64_t entry = ring + 16 * ((head + i) % SIZE);
		uint64_t kind = input_take(input, 1);

		put(entry, i == 0 ? at : REQUESTS + 0x10000 + kind / 8 * 512, 8);
		put(entry + 8, i == 0 ? 16 : i + 1 == count ? 1 + kind % 2 : 512 * (kind % 5), 4);
		put(entry + 12, (i + 1 < count ? 1 : 0) | (kind & 2), 2);
		put(entry + 14, (head + i + 1) % SIZE, 2);
	}
	make_available(device, queue, (uint16_t)head);
}

static void change_descriptor(struct input *input, unsigned device, unsigned queue)
{
	uint64_t entry = ring_of(device, queue) + 16 * input_below(input, SIZE);

	put(entry, input_number(input), 8);
	put(entry + 8, input_number(input), 4);
	put(entry + 12, input_take(input, 2), 2);
	put(entry + 14, input_take(input, 1), 2);
}

static void access_config(struct input *input, unsigned slot)
{
	uint64_t choice = input_take(input, 1),
		 offset = input_below(input, choice & 1 ? 4096 : 256);
	unsigned bytes = 1u << choice / 2 % 3;

	if (choice & 8) {
		mmio_write(PCI_ECAM_BASE + (slot << 15) + offset, bytes, input_take(input, bytes));
	} else if (choice & 16) {
		out(0xcf8, 4, 0x80000000u | slot << 11 | ((unsigned)offset & 0xfc));
		out(0xcfc + offset % 4, bytes, input_take(input, bytes));
	} else {
		mmio_read(PCI_ECAM_BASE + (slot << 15) + offset, bytes);
	}
}

/* Something comes from outside, and what the guest sent is taken. */
static void chatter(struct input *input)
{
	uint8_t text[64] = {0};
	size_t bytes = input_below(input, sizeof(text));

	for (size_t i = 0; i < bytes; i++)
		text[i] = (uint8_t)input_take(input, 1);
	if (write(peer[bytes & 1], text, bytes) < 0)
		text[0] = 0;
	for (unsigned i = 0; i < 2; i++)
		while (read(peer[i], text, sizeof(text)) > 0)
			;
	fake_vmm_pass(1000000);
	fake_vmm_poll();
}

static void step(struct input *input)
{
	uint64_t choice = input_take(input, 1);
	unsigned device = choice / 16 % DEVICES, queue = choice / 16 % QUEUES;
	const struct driver *driver = &drivers[device];
	unsigned bytes = input_size(input);

	switch (choice % 16) {
	case 0:
		start_device(input, device);
		break;
	case 1:
		mmio_write(driver->common + input_below(input, 0x40), bytes,
			   input_take(input, bytes));
		break;
	case 2:
		mmio_write(driver->device + input_below(input, 0x100), bytes,
			   input_take(input, bytes));
		break;
	case 3:
		mmio_read(driver->common + input_below(input, 0x4000), bytes);
		break;
	case 4:
		mmio_write(driver->msix + input_below(input, 0x80), bytes,
			   input_take(input, bytes));
		break;
	case 5:
	case 6:
	case 7:
		add_chain(input, device, queue);
		break;
	case 8:
		change_descriptor(input, device, queue);
		break;
	case 9:
		make_available(device, queue, (uint16_t)input_take(input, 1));
		break;
	case 10:
		put(RINGS + input_below(input, DEVICES * QUEUES * RING_BYTES), input_number(input),
		    bytes);
		break;
	case 11:
		access_config(input, (unsigned)input_below(input, DEVICES + 2));
		break;
	case 12:
		fake_vmm.vmm.ram.low = choice & 16 ? SHORT : FAKE_RAM_BYTES;
		break;
	case 13:
		chatter(input);
		break;
	default:
		mmio_write(driver->notify + queue * driver->notify_each, 2, queue);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {data, bytes};

	if (memory == NULL)
		make_devices();
	recover();
	memset(memory + RINGS, 0, REQUESTS + 0x20000 - RINGS);
	for (int i = 0; i < STEPS && input.left != 0; i++)
		step(&input);
	return 0;
}
