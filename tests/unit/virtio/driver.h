/* SPDX-License-Identifier: BSD-2-Clause */
/* A small virtio driver, written as the specification tells a guest to: for the tests. */
#ifndef UNIT_DRIVER_H
#define UNIT_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_vmm.h"

#define DRIVER_QUEUES 4
#define DRIVER_WRITE  2u /* a buffer for the device to write */

#define FEATURE_INDIRECT  (1ull << 28)
#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)

struct driver_queue {
	uint64_t descriptors, available, used; /* guest-physical */
	uint16_t size, free, added, seen;      /* free: the next descriptor, round and round */
};

struct driver {
	unsigned slot;
	uint64_t common, isr, device, notify, msix;
	uint32_t notify_each;
	struct driver_queue queue[DRIVER_QUEUES];
};

struct buffer {
	uint64_t at;
	uint32_t bytes;
	uint16_t flags;
};

/* Another process: the devices are to be made again. What the old one had is not freed. */
struct vmm *take_over(void);

/* Configuration space by ports. */
uint32_t config_get(unsigned slot, unsigned offset, unsigned bytes);
void config_set(unsigned slot, unsigned offset, unsigned bytes, uint32_t value);
/* The offset of the first capability with that id from `from` on (0: the first), or 0. */
unsigned config_capability(unsigned slot, unsigned from, uint8_t id);

/* Memory of the guest: never given back. */
uint64_t guest_take(uint64_t bytes, uint64_t align);
void *guest(uint64_t at);

/* Finds the device's parts and switches its BAR and MSI-X (vector n: data 0x40 + n) on. */
void driver_find(struct driver *driver, unsigned slot);
/* Negotiates features and sets up `queues` queues; false: the device refused the features. */
bool driver_start(struct driver *driver, uint64_t features, unsigned queues, uint16_t size);
uint64_t driver_features(struct driver *driver);
uint8_t driver_status(struct driver *driver);
void driver_reset(struct driver *driver);

/* Makes a chain available (indirect: behind one descriptor); its head. */
uint16_t driver_add(struct driver *driver, unsigned queue, const struct buffer *buffer,
		    unsigned count, bool indirect);
void driver_publish(struct driver *driver, unsigned queue, uint16_t head);
void driver_kick(struct driver *driver, unsigned queue);
/* The next used chain; false: none yet. */
bool driver_used(struct driver *driver, unsigned queue, uint32_t *head, uint32_t *bytes);
/* The same after letting the event loop work, for up to some seconds. */
bool driver_wait(struct driver *driver, unsigned queue, uint32_t *head, uint32_t *bytes);
void set_descriptor(struct driver *driver, unsigned queue, unsigned index, uint64_t at,
		    uint32_t bytes, uint16_t flags, uint16_t next);

#endif
