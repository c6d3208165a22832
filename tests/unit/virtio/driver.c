/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver.h"

#include <string.h>
#include <time.h>

#include "vmm-user/vmm/pci_internal.h"

#define COMMON(driver, offset) ((driver)->common + (offset))

static uint64_t next_free = 0x10000;

/* Keeps the leak checker from seeing what a process leaves behind. */
static void *left[8];

struct vmm *take_over(void)
{
	static unsigned count;

	left[count++ % 8] = pci_host();
	return fake_vmm_restart();
}

uint32_t config_get(unsigned slot, unsigned offset, unsigned bytes)
{
	out(0xcf8, 4, 0x80000000u | slot << 11 | (offset & 0xfc));
	return (uint32_t)in(0xcfc + offset % 4, bytes);
}

void config_set(unsigned slot, unsigned offset, unsigned bytes, uint32_t value)
{
	out(0xcf8, 4, 0x80000000u | slot << 11 | (offset & 0xfc));
	out(0xcfc + offset % 4, bytes, value);
}

unsigned config_capability(unsigned slot, unsigned from, uint8_t id)
{
	unsigned at = from == 0 ? config_get(slot, 0x34, 1) : config_get(slot, from + 1, 1);

	for (unsigned i = 0; at != 0 && i < 48; i++) {
		if (config_get(slot, at, 1) == id)
			return at;
		at = config_get(slot, at + 1, 1);
	}
	return 0;
}

uint64_t guest_take(uint64_t bytes, uint64_t align)
{
	uint64_t at = (next_free + align - 1) / align * align;

	next_free = at + bytes;
	return at;
}

void *guest(uint64_t at)
{
	return guest_memory(&fake_vmm.vmm, at, 1);
}

static uint64_t bar_base(unsigned slot)
{
	return (config_get(slot, 0x10, 4) & ~0xfu) | (uint64_t)config_get(slot, 0x14, 4) << 32;
}

void driver_find(struct driver *driver, unsigned slot)
{
	uint64_t base = bar_base(slot);
	unsigned msix;

	memset(driver, 0, sizeof(*driver));
	driver->slot = slot;
	config_set(slot, 4, 2, 6);
	for (unsigned at = config_capability(slot, 0, 9); at != 0;
	     at = config_capability(slot, at, 9)) {
		uint64_t part = base + config_get(slot, at + 8, 4);

		switch (config_get(slot, at + 3, 1)) {
		case 1:
			driver->common = part;
			break;
		case 2:
			driver->notify = part;
			driver->notify_each = config_get(slot, at + 16, 4);
			break;
		case 3:
			driver->isr = part;
			break;
		case 4:
			driver->device = part;
		}
	}
	msix = config_capability(slot, 0, 0x11);
	driver->msix = base + (config_get(slot, msix + 4, 4) & ~7u);
	for (unsigned i = 0; i <= (config_get(slot, msix + 2, 2) & 0x7ff); i++) {
		mmio_write(driver->msix + 16 * i, 4, 0xfee00000);
		mmio_write(driver->msix + 16 * i + 8, 4, 0x40 + i);
		mmio_write(driver->msix + 16 * i + 12, 4, 0);
	}
	config_set(slot, msix + 2, 2, 0x8000);
}

uint8_t driver_status(struct driver *driver)
{
	return (uint8_t)mmio_read(COMMON(driver, 0x14), 1);
}

void driver_reset(struct driver *driver)
{
	mmio_write(COMMON(driver, 0x14), 1, 0);
}

uint64_t driver_features(struct driver *driver)
{
	uint64_t features;

	mmio_write(COMMON(driver, 0), 4, 1);
	features = mmio_read(COMMON(driver, 4), 4) << 32;
	mmio_write(COMMON(driver, 0), 4, 0);
	return features | mmio_read(COMMON(driver, 4), 4);
}

static void start_queue(struct driver *driver, unsigned index, uint16_t size)
{
	struct driver_queue *queue = &driver->queue[index];

	*queue = (struct driver_queue){.descriptors = guest_take(16u * size, 16),
				       .available = guest_take(6 + 2u * size, 2),
				       .used = guest_take(6 + 8u * size, 4),
				       .size = size};
	memset(guest(queue->available), 0, 6 + 2u * size);
	memset(guest(queue->used), 0, 6 + 8u * size);
	mmio_write(COMMON(driver, 0x16), 2, index);
	mmio_write(COMMON(driver, 0x18), 2, size);
	mmio_write(COMMON(driver, 0x1a), 2, index + 1);
	mmio_write(COMMON(driver, 0x20), 8, queue->descriptors);
	mmio_write(COMMON(driver, 0x28), 4, (uint32_t)queue->available);
	mmio_write(COMMON(driver, 0x2c), 4, queue->available >> 32);
	mmio_write(COMMON(driver, 0x30), 8, queue->used);
	mmio_write(COMMON(driver, 0x1c), 2, 1);
}

bool driver_start(struct driver *driver, uint64_t features, unsigned queues, uint16_t size)
{
	mmio_write(COMMON(driver, 0x14), 1, 0);
	mmio_write(COMMON(driver, 0x14), 1, 1);
	mmio_write(COMMON(driver, 0x14), 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		mmio_write(COMMON(driver, 8), 4, i);
		mmio_write(COMMON(driver, 0xc), 4, (uint32_t)(features >> (32 * i)));
	}
	mmio_write(COMMON(driver, 0x14), 1, 0xb);
	if (!(driver_status(driver) & 8))
		return false;
	mmio_write(COMMON(driver, 0x10), 2, 0);
	for (unsigned i = 0; i < queues; i++)
		start_queue(driver, i, size);
	mmio_write(COMMON(driver, 0x14), 1, 0xf);
	return driver_status(driver) == 0xf;
}

void set_descriptor(struct driver *driver, unsigned queue, unsigned index, uint64_t at,
		    uint32_t bytes, uint16_t flags, uint16_t next)
{
	uint8_t *descriptor = guest(driver->queue[queue].descriptors + 16ull * index);

	memcpy(descriptor, &at, 8);
	memcpy(descriptor + 8, &bytes, 4);
	memcpy(descriptor + 12, &flags, 2);
	memcpy(descriptor + 14, &next, 2);
}

uint16_t driver_add(struct driver *driver, unsigned index, const struct buffer *buffer,
		    unsigned count, bool indirect)
{
	struct driver_queue *queue = &driver->queue[index];
	uint16_t head = queue->free;

	if (indirect) {
		uint64_t table = guest_take(16ull * count, 16);

		for (unsigned i = 0; i < count; i++) {
			uint16_t flags = buffer[i].flags | (i + 1 < count ? 1 : 0);
			uint16_t next = (uint16_t)(i + 1);

			memcpy(guest(table + 16ull * i), &buffer[i].at, 8);
			memcpy(guest(table + 16ull * i + 8), &buffer[i].bytes, 4);
			memcpy(guest(table + 16ull * i + 12), &flags, 2);
			memcpy(guest(table + 16ull * i + 14), &next, 2);
		}
		set_descriptor(driver, index, head, table, 16 * count, 4, 0);
		queue->free = (uint16_t)((head + 1) % queue->size);
	} else {
		for (unsigned i = 0; i < count; i++) {
			uint16_t next = (uint16_t)((queue->free + 1) % queue->size);

			set_descriptor(driver, index, queue->free, buffer[i].at, buffer[i].bytes,
				       (uint16_t)(buffer[i].flags | (i + 1 < count ? 1 : 0)), next);
			queue->free = next;
		}
	}
	driver_publish(driver, index, head);
	return head;
}

void driver_publish(struct driver *driver, unsigned index, uint16_t head)
{
	struct driver_queue *queue = &driver->queue[index];

	memcpy(guest(queue->available + 4 + 2u * (queue->added % queue->size)), &head, 2);
	queue->added++;
	memcpy(guest(queue->available + 2), &queue->added, 2);
}

void driver_kick(struct driver *driver, unsigned queue)
{
	mmio_write(driver->notify + driver->notify_each * queue, 2, queue);
}

bool driver_used(struct driver *driver, unsigned index, uint32_t *head, uint32_t *bytes)
{
	struct driver_queue *queue = &driver->queue[index];
	uint64_t entry = queue->used + 4 + 8u * (queue->seen % queue->size);
	uint16_t end;

	memcpy(&end, guest(queue->used + 2), 2);
	if (queue->seen == end)
		return false;
	memcpy(head, guest(entry), 4);
	memcpy(bytes, guest(entry + 4), 4);
	queue->seen++;
	return true;
}

bool driver_wait(struct driver *driver, unsigned queue, uint32_t *head, uint32_t *bytes)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (driver_used(driver, queue, head, bytes))
			return true;
		fake_vmm_pass(1000);
		if (fake_vmm_poll() == 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}
