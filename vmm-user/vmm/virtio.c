/* SPDX-License-Identifier: BSD-2-Clause */
/* What virtio devices have in common but for how a driver reaches them (virtio 1.2, sections 2, 3).
 */
#include <stdarg.h>
#include <stdio.h>

#include "vmm-user/vmm/virtio_internal.h"

#define VIRTIO_CORE_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC)

/* Section 4.1.4.5. */
#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

uint64_t virtio_offered(const struct virtio_device *device)
{
	return device->features | VIRTIO_CORE_FEATURES;
}

bool virtio_stopped(const struct virtio_device *device)
{
	return !(device->state->status & VIRTIO_STATUS_DRIVER_OK) ||
	       device->state->status & VIRTIO_STATUS_NEEDS_RESET || device->state->resetting;
}

/* Interrupts -------------------------------------------------------------------------------------
 */

static void interrupt(struct virtio_device *device, uint16_t vector, uint8_t isr)
{
	if (pci_msix_enabled(&device->pci)) {
		pci_msix_raise(&device->pci, vector);
		return;
	}
	device->state->isr |= isr;
	pci_intx_set(&device->pci, true);
}

void virtio_interrupt(struct virtio_device *device, struct virtq *queue)
{
	interrupt(device, queue->state->vector, ISR_QUEUE);
}

void virtio_config_changed(struct virtio_device *device)
{
	device->state->generation++;
	if (device->state->status & VIRTIO_STATUS_DRIVER_OK)
		interrupt(device, device->state->config_vector, ISR_CONFIG);
}

void virtio_broken(struct virtio_device *device, const char *format, ...)
{
	char text[160];
	va_list list;

	if (device->state->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	vmm_log(device->vmm, "%s: the driver broke the protocol: %s", device->name, text);
	device->state->status |= VIRTIO_STATUS_NEEDS_RESET;
	virtio_config_changed(device);
}

/* Reset ------------------------------------------------------------------------------------------
 */

void virtio_forget(struct virtio_device *device)
{
	struct virtio_state *state = device->state;

	state->features = 0;
	state->feature_select = state->driver_feature_select = 0;
	state->config_vector = VIRTIO_NO_VECTOR;
	state->queue_select = 0;
	state->isr = 0;
	state->resetting = 0;
	for (unsigned i = 0; i < device->queues; i++)
		virtq_reset(&device->queue[i]);
	timer_clear(device->vmm, &device->timer);
	device->later = 0;
	device->resume = false;
	pci_intx_set(&device->pci, false);
	/* Last: what the driver waits for. */
	state->status = 0;
}

static void reset(struct virtio_device *device)
{
	if (device->state->resetting)
		return;
	if (device->reset == NULL || device->reset(device->device)) {
		virtio_forget(device);
		return;
	}
	/* What is given back from here on reaches no ring. The status reads as before meanwhile. */
	device->state->resetting = 1;
	for (unsigned i = 0; i < device->queues; i++) {
		struct virtq *queue = &device->queue[i];

		queue->descriptors = queue->driver = queue->device = NULL;
	}
}

void virtio_quiet(struct virtio_device *device)
{
	if (device->state->resetting)
		virtio_forget(device);
}

/* The event loop's part --------------------------------------------------------------------------
 */

void virtio_later(struct virtio_device *device, unsigned queue)
{
	device->later |= 1u << queue;
	timer_set(device->vmm, &device->timer, vmm_now(device->vmm));
}

static void resume(struct virtio_device *device)
{
	struct virtio_state *state = device->state;

	device->resume = false;
	if (state->resetting) {
		virtio_forget(device);
		return;
	}
	for (unsigned i = 0; i < device->queues; i++)
		if (state->queue[i].enabled && !virtq_resume(&device->queue[i]))
			virtio_broken(device, "queue %u: its rings are damaged", i);
	if (virtio_stopped(device))
		return;
	if (device->started != NULL)
		device->started(device->device);
	/* The other process may have stopped between publishing and interrupting. */
	interrupt(device, state->config_vector, ISR_CONFIG);
	for (unsigned i = 0; i < device->queues; i++) {
		if (!state->queue[i].enabled)
			continue;
		virtio_interrupt(device, &device->queue[i]);
		device->later |= 1u << i;
	}
}

void virtio_expired(void *opaque)
{
	struct virtio_device *device = opaque;
	uint32_t later;

	if (device->resume)
		resume(device);
	later = device->later;
	device->later = 0;
	for (unsigned i = 0; i < device->queues; i++)
		if (later & 1u << i && !virtio_stopped(device))
			device->notify(device->device, i);
}

/* Status -----------------------------------------------------------------------------------------
 */

static void notify_all(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->queues; i++)
		if (device->state->queue[i].enabled && !virtio_stopped(device))
			device->notify(device->device, i);
}

/* Section 3.1.1: bits are only ever added, but by a reset. */
void virtio_status_write(struct virtio_device *device, uint8_t value)
{
	struct virtio_state *state = device->state;
	uint8_t added = value & (uint8_t)~state->status & (uint8_t)~VIRTIO_STATUS_NEEDS_RESET;

	if (value == 0)
		reset(device);
	if (value == 0 || state->resetting)
		return;
	if (added & VIRTIO_STATUS_FEATURES_OK &&
	    (state->features & ~virtio_offered(device) || !(state->features & VIRTIO_F_VERSION_1)))
		added &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	if (!((state->status | added) & VIRTIO_STATUS_FEATURES_OK))
		added &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	state->status |= added;
	if (!(added & VIRTIO_STATUS_DRIVER_OK) || virtio_stopped(device))
		return;
	if (device->started != NULL)
		device->started(device->device);
	notify_all(device);
}
