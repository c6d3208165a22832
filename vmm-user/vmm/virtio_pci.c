/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio over PCI, modern devices only (virtio 1.2, section 4.1). */
#include <stdlib.h>

#include "vmm-user/vmm/pci_internal.h"
#include "vmm-user/vmm/virtio_internal.h"

#define VIRTIO_VERSION	   1u
#define VIRTIO_VENDOR	   0x1af4
#define VIRTIO_DEVICE_BASE 0x1040
#define VIRTIO_SUBSYSTEM   0x1100

/* The one BAR. */
#define BAR_INDEX     0
#define BAR_BYTES     0x8000
#define COMMON_OFFSET 0x0000
#define ISR_OFFSET    0x1000
#define DEVICE_OFFSET 0x2000
#define NOTIFY_OFFSET 0x3000
#define MSIX_OFFSET   0x4000
#define PART_BYTES    0x1000
#define NOTIFY_EACH   4u

/* Section 4.1.4: capabilities. */
#define CAPABILITY_COMMON 1
#define CAPABILITY_NOTIFY 2
#define CAPABILITY_ISR	  3
#define CAPABILITY_DEVICE 4
#define CAPABILITY_PCI	  5
#define WINDOW_BAR	  4 /* in the PCI capability */
#define WINDOW_OFFSET	  8
#define WINDOW_LENGTH	  12
#define WINDOW_DATA	  16

/* Section 4.1.4.3: the common configuration. */
#define COMMON_FEATURE_SELECT	     0x00
#define COMMON_FEATURE		     0x04
#define COMMON_DRIVER_FEATURE_SELECT 0x08
#define COMMON_DRIVER_FEATURE	     0x0c
#define COMMON_CONFIG_VECTOR	     0x10
#define COMMON_QUEUES		     0x12
#define COMMON_STATUS		     0x14
#define COMMON_GENERATION	     0x15
#define COMMON_QUEUE_SELECT	     0x16
#define COMMON_QUEUE_SIZE	     0x18
#define COMMON_QUEUE_VECTOR	     0x1a
#define COMMON_QUEUE_ENABLE	     0x1c
#define COMMON_QUEUE_NOTIFY	     0x1e
#define COMMON_QUEUE_DESCRIPTORS     0x20
#define COMMON_QUEUE_DRIVER	     0x28
#define COMMON_QUEUE_DEVICE	     0x30
#define COMMON_BYTES		     0x38

/* The common configuration -----------------------------------------------------------------------
 */

static uint64_t common_read(struct virtio_device *device, uint64_t offset, unsigned bytes)
{
	const struct virtio_state *state = device->state;
	uint8_t registers[COMMON_BYTES] = {0};
	uint64_t value = 0;

	if (offset >= COMMON_BYTES || bytes > COMMON_BYTES - offset)
		return 0;
	pci_set(registers, COMMON_FEATURE_SELECT, 4, state->feature_select);
	if (state->feature_select < 2)
		pci_set(registers, COMMON_FEATURE, 4,
			(uint32_t)(virtio_offered(device) >> (32 * state->feature_select)));
	pci_set(registers, COMMON_DRIVER_FEATURE_SELECT, 4, state->driver_feature_select);
	if (state->driver_feature_select < 2)
		pci_set(registers, COMMON_DRIVER_FEATURE, 4,
			(uint32_t)(state->features >> (32 * state->driver_feature_select)));
	pci_set(registers, COMMON_CONFIG_VECTOR, 2, state->config_vector);
	pci_set(registers, COMMON_QUEUES, 2, device->queues);
	registers[COMMON_STATUS] = state->status;
	registers[COMMON_GENERATION] = state->generation;
	pci_set(registers, COMMON_QUEUE_SELECT, 2, state->queue_select);
	if (state->queue_select < device->queues) {
		const struct virtq_state *queue = &state->queue[state->queue_select];

		pci_set(registers, COMMON_QUEUE_SIZE, 2, queue->size);
		pci_set(registers, COMMON_QUEUE_VECTOR, 2, queue->vector);
		pci_set(registers, COMMON_QUEUE_ENABLE, 2, queue->enabled);
		pci_set(registers, COMMON_QUEUE_NOTIFY, 2, state->queue_select);
		memcpy(registers + COMMON_QUEUE_DESCRIPTORS, &queue->descriptors, 8);
		memcpy(registers + COMMON_QUEUE_DRIVER, &queue->driver, 8);
		memcpy(registers + COMMON_QUEUE_DEVICE, &queue->device, 8);
	}
	memcpy(&value, registers + offset, bytes);
	return value;
}

static void features_write(struct virtio_state *state, uint32_t value)
{
	unsigned shift = 32 * state->driver_feature_select;

	if (state->driver_feature_select < 2 && !(state->status & VIRTIO_STATUS_FEATURES_OK))
		state->features = (state->features & ~(0xffffffffull << shift)) | (uint64_t)value
											  << shift;
}

/* Half or all of a 64-bit register, by offset in it. */
static void address_write(uint64_t *address, uint64_t offset, unsigned bytes, uint64_t value)
{
	if ((bytes == 4 && offset % 4 == 0) || (bytes == 8 && offset == 0))
		memcpy((uint8_t *)address + offset, &value, bytes);
}

static void enable(struct virtio_device *device, struct virtq *queue)
{
	if (virtio_stopped(device) && device->state->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	if (virtq_enable(queue))
		queue->state->enabled = 1;
	else
		virtio_broken(device, "queue %u: its rings are not in memory", queue->index);
}

static uint16_t vector(const struct virtio_device *device, uint64_t value)
{
	return value <= device->queues ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void queue_write(struct virtio_device *device, struct virtq *queue, uint64_t offset,
			unsigned bytes, uint64_t value)
{
	struct virtq_state *state = queue->state;

	if (offset == COMMON_QUEUE_VECTOR && bytes == 2)
		state->vector = vector(device, value);
	/* The rest stays as it is while the queue is in use. */
	if (state->enabled)
		return;
	if (offset == COMMON_QUEUE_SIZE && bytes == 2) {
		if (value != 0 && value <= queue->size_max && (value & (value - 1)) == 0)
			state->size = (uint16_t)value;
	} else if (offset == COMMON_QUEUE_ENABLE && bytes == 2) {
		if (value == 1)
			enable(device, queue);
	} else if (offset >= COMMON_QUEUE_DEVICE) {
		address_write(&state->device, offset - COMMON_QUEUE_DEVICE, bytes, value);
	} else if (offset >= COMMON_QUEUE_DRIVER) {
		address_write(&state->driver, offset - COMMON_QUEUE_DRIVER, bytes, value);
	} else if (offset >= COMMON_QUEUE_DESCRIPTORS) {
		address_write(&state->descriptors, offset - COMMON_QUEUE_DESCRIPTORS, bytes, value);
	}
}

/* Registers are written whole; only addresses may be written in halves (section 4.1.3.1). */
static void common_write(struct virtio_device *device, uint64_t offset, unsigned bytes,
			 uint64_t value)
{
	struct virtio_state *state = device->state;

	if (offset == COMMON_STATUS && bytes == 1)
		virtio_status_write(device, (uint8_t)value);
	else if (offset >= COMMON_BYTES || state->resetting)
		return;
	else if (offset == COMMON_FEATURE_SELECT && bytes == 4)
		state->feature_select = (uint32_t)value;
	else if (offset == COMMON_DRIVER_FEATURE_SELECT && bytes == 4)
		state->driver_feature_select = (uint32_t)value;
	else if (offset == COMMON_DRIVER_FEATURE && bytes == 4)
		features_write(state, (uint32_t)value);
	else if (offset == COMMON_CONFIG_VECTOR && bytes == 2)
		state->config_vector = vector(device, value);
	else if (offset == COMMON_QUEUE_SELECT && bytes == 2)
		state->queue_select = (uint16_t)value;
	else if (offset >= COMMON_QUEUE_SIZE && state->queue_select < device->queues)
		queue_write(device, &device->queue[state->queue_select], offset, bytes, value);
}

/* The BAR ----------------------------------------------------------------------------------------
 */

static uint64_t isr_read(struct virtio_device *device, uint64_t offset)
{
	uint8_t isr = device->state->isr;

	if (offset != 0)
		return 0;
	device->state->isr = 0;
	pci_intx_set(&device->pci, false);
	return isr;
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned bytes)
{
	struct virtio_device *device = opaque;
	uint64_t at = offset % PART_BYTES, value = 0;

	if (pci_msix_read(&device->pci, BAR_INDEX, offset, bytes, &value))
		return value;
	switch (offset - at) {
	case COMMON_OFFSET:
		return common_read(device, at, bytes);
	case ISR_OFFSET:
		return isr_read(device, at);
	case DEVICE_OFFSET:
		if (at < device->config_bytes && bytes <= device->config_bytes - at)
			memcpy(&value, device->config + at, bytes);
		return value;
	default:
		return 0;
	}
}

static void bar_write(void *opaque, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct virtio_device *device = opaque;
	uint64_t at = offset % PART_BYTES;

	switch (offset - at) {
	case NOTIFY_OFFSET:
		if (at / NOTIFY_EACH < device->queues && !virtio_stopped(device))
			device->notify(device->device, (unsigned)(at / NOTIFY_EACH));
		return;
	case COMMON_OFFSET:
		common_write(device, at, bytes, value);
		return;
	case DEVICE_OFFSET:
		if (device->config_write != NULL && at < device->config_bytes &&
		    bytes <= device->config_bytes - at)
			device->config_write(device->device, (unsigned)at, bytes, value);
		return;
	default:
		pci_msix_write(&device->pci, BAR_INDEX, offset, bytes, value);
	}
}

/* The window in configuration space (section 4.1.4.9) --------------------------------------------
 */

/* What the window is at; false: nothing. */
static bool window(const struct virtio_device *device, uint32_t *offset, uint32_t *bytes)
{
	const uint8_t *capability = device->pci.config + device->window;

	*offset = pci_get(capability, WINDOW_OFFSET, 4);
	*bytes = pci_get(capability, WINDOW_LENGTH, 4);
	return capability[WINDOW_BAR] == BAR_INDEX && (*bytes == 1 || *bytes == 2 || *bytes == 4) &&
	       *offset % *bytes == 0 && *offset < BAR_BYTES;
}

static void config_reading(void *opaque, unsigned offset, unsigned bytes)
{
	struct virtio_device *device = opaque;
	uint32_t at, width;

	if (device->window != 0 && pci_touches(offset, bytes, device->window + WINDOW_DATA, 4) &&
	    window(device, &at, &width))
		pci_set(device->pci.config, device->window + WINDOW_DATA, width,
			(uint32_t)bar_read(device, at, width));
}

static void config_written(void *opaque, unsigned offset, unsigned bytes)
{
	struct virtio_device *device = opaque;
	uint32_t at, width;

	if (device->window != 0 && pci_touches(offset, bytes, device->window + WINDOW_DATA, 4) &&
	    window(device, &at, &width))
		bar_write(device, at, width,
			  pci_get(device->pci.config, device->window + WINDOW_DATA, width));
}

/* Making -----------------------------------------------------------------------------------------
 */

/* Adds a virtio capability of `bytes`; its offset, 0 if there is no room. */
static unsigned capability(struct virtio_device *device, uint8_t type, uint32_t offset,
			   uint32_t length, unsigned bytes)
{
	unsigned at = pci_add_capability(&device->pci, PCI_CAPABILITY_VENDOR, bytes);
	uint8_t *config = device->pci.config + at;

	if (at == 0 || !pci_function(&device->pci)->fresh)
		return at;
	config[2] = (uint8_t)bytes;
	config[3] = type;
	config[4] = BAR_INDEX;
	pci_set(config, 8, 4, offset);
	pci_set(config, 12, 4, length);
	return at;
}

static bool capabilities(struct virtio_device *device)
{
	uint8_t *mask = pci_function(&device->pci)->mask;
	unsigned notify;

	if (capability(device, CAPABILITY_COMMON, COMMON_OFFSET, COMMON_BYTES, 16) == 0 ||
	    capability(device, CAPABILITY_ISR, ISR_OFFSET, 1, 16) == 0)
		return false;
	if (device->config_bytes != 0 &&
	    capability(device, CAPABILITY_DEVICE, DEVICE_OFFSET, device->config_bytes, 16) == 0)
		return false;
	notify = capability(device, CAPABILITY_NOTIFY, NOTIFY_OFFSET, NOTIFY_EACH * device->queues,
			    20);
	device->window = capability(device, CAPABILITY_PCI, 0, 0, 20);
	if (notify == 0 || device->window == 0)
		return false;
	pci_set(device->pci.config, notify + 16, 4, NOTIFY_EACH);
	mask[device->window + WINDOW_BAR] = 0xff;
	memset(mask + device->window + WINDOW_OFFSET, 0xff, 12);
	return pci_add_msix(&device->pci, device->queues + 1, BAR_INDEX, MSIX_OFFSET);
}

static bool add_pci(struct virtio_device *device)
{
	device->pci.name = device->name;
	device->pci.device = device;
	device->pci.config_reading = config_reading;
	device->pci.config_written = config_written;
	device->pci.bar[BAR_INDEX] = (struct pci_bar){
		.bytes = BAR_BYTES, .wide = true, .read = bar_read, .write = bar_write};
	if (!pci_add(device->vmm, &device->pci, VIRTIO_VENDOR,
		     (uint16_t)(VIRTIO_DEVICE_BASE + device->type), device->class, VIRTIO_VENDOR,
		     VIRTIO_SUBSYSTEM))
		return false;
	if (pci_function(&device->pci)->fresh)
		device->pci.config[PCI_REVISION] = 1;
	return capabilities(device);
}

bool virtio_add(struct virtio_device *device)
{
	size_t bytes = sizeof(*device->state) + device->queues * sizeof(struct virtq_state);

	device->timer = (struct vmm_timer){.expired = virtio_expired, .device = device};
	device->queue = calloc(device->queues, sizeof(*device->queue));
	if (device->queue == NULL || !add_pci(device))
		return false;
	device->state = state_section(device->vmm, "virtio", device->pci.slot, VIRTIO_VERSION,
				      bytes + device->own_bytes, &device->fresh);
	if (device->state == NULL)
		return false;
	for (unsigned i = 0; i < device->queues; i++)
		device->queue[i] = (struct virtq){.owner = device,
						  .index = i,
						  .size_max = device->queue_size[i],
						  .state = &device->state->queue[i]};
	device->own = (uint8_t *)device->state + bytes;
	if (device->fresh) {
		virtio_forget(device);
		return true;
	}
	device->resume = true;
	timer_set(device->vmm, &device->timer, vmm_now(device->vmm));
	return true;
}
