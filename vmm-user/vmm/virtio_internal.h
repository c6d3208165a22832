/* SPDX-License-Identifier: BSD-2-Clause */
/* What virtio.c has for the transport. */
#ifndef VMM_VIRTIO_INTERNAL_H
#define VMM_VIRTIO_INTERNAL_H

#include "vmm-user/vmm/virtio.h"

/* All features offered, the core's too. */
uint64_t virtio_offered(const struct virtio_device *device);
/* The device as it is before a driver comes. */
void virtio_forget(struct virtio_device *device);
/* The driver writes the status (section 3.1.1): 0 resets the device. */
void virtio_status_write(struct virtio_device *device, uint8_t value);
/* The device's timer: a takeover, and queues that virtio_later() named. */
void virtio_expired(void *device);

#endif
