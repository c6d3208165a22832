/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "vmm-user/vmm/virtio.h"

/* virtio 1.2, sections 2.7.5, 2.7.6, 2.7.8. */
#define DESCRIPTOR_NEXT	    1u
#define DESCRIPTOR_WRITE    2u
#define DESCRIPTOR_INDIRECT 4u
#define DRIVER_NO_INTERRUPT 1u
#define RING_FLAGS	    0
#define RING_INDEX	    2
#define RING_ENTRIES	    4
#define USED_BYTES	    8u

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

/* Where descriptors come from: the ring's table or an indirect one. */
struct table {
	const uint8_t *base;
	uint32_t entries;
};

static uint16_t load16(const uint8_t *from)
{
	return __atomic_load_n((const uint16_t *)(const void *)from, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *to, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)to, value, __ATOMIC_RELEASE);
}

static uint8_t *used_event(const struct virtq *queue)
{
	return queue->driver + RING_ENTRIES + 2u * queue->state->size;
}

static uint8_t *available_event(const struct virtq *queue)
{
	return queue->device + RING_ENTRIES + USED_BYTES * queue->state->size;
}

static void ring_dirty(struct virtq *queue, uint64_t offset, uint64_t bytes)
{
	guest_memory_dirty(queue->owner->vmm, queue->state->device + offset, bytes);
}

/* The copy is the only read: the barrier keeps the compiler from reading the guest's again. */
static struct descriptor get(const struct table *table, uint32_t index)
{
	struct descriptor descriptor;

	memcpy(&descriptor, table->base + 16ull * index, sizeof(descriptor));
	__asm__ volatile("" ::: "memory");
	return descriptor;
}

static bool broken(struct virtq *queue, const char *why)
{
	virtio_broken(queue->owner, "queue %u: %s", queue->index, why);
	return false;
}

/* Adds the buffer of a descriptor to the chain. */
static bool add(struct virtq *queue, struct virtq_chain *chain, const struct descriptor *descriptor)
{
	struct iovec *iov = &chain->iov[chain->outs + chain->ins];
	bool in = descriptor->flags & DESCRIPTOR_WRITE;

	if (!in && chain->ins != 0)
		return broken(queue, "a buffer to read behind one to write");
	if (descriptor->bytes == 0)
		return true;
	if (chain->outs + chain->ins == VIRTQ_CHAIN_MAX)
		return broken(queue, "a chain of too many buffers");
	iov->iov_base = guest_memory(queue->owner->vmm, descriptor->address, descriptor->bytes);
	iov->iov_len = descriptor->bytes;
	if (iov->iov_base == NULL)
		return broken(queue, "a buffer outside memory");
	if (in) {
		chain->ins++;
		chain->in_bytes += descriptor->bytes;
	} else {
		chain->outs++;
		chain->out_bytes += descriptor->bytes;
	}
	return true;
}

/* Goes on to the indirect table that a descriptor names (virtio 1.2, section 2.7.5.3). */
static bool enter(struct virtq *queue, const struct descriptor *descriptor, struct table *table)
{
	if (!(queue->owner->state->features & VIRTIO_F_INDIRECT_DESC))
		return broken(queue, "an indirect descriptor, which was not negotiated");
	if (descriptor->flags & DESCRIPTOR_NEXT)
		return broken(queue, "an indirect descriptor with a next one");
	if (descriptor->bytes == 0 || descriptor->bytes % 16 != 0)
		return broken(queue, "an indirect table of a wrong size");
	table->base = guest_memory(queue->owner->vmm, descriptor->address, descriptor->bytes);
	table->entries = descriptor->bytes / 16;
	return table->base != NULL || broken(queue, "an indirect table outside memory");
}

static bool collect(struct virtq *queue, struct virtq_chain *chain)
{
	struct table table = {queue->descriptors, queue->state->size};
	uint32_t index = chain->head, steps = 0;
	bool indirect = false;

	chain->outs = chain->ins = 0;
	chain->out_bytes = chain->in_bytes = 0;
	for (;;) {
		struct descriptor descriptor = get(&table, index);

		/* A chain is no longer than its table, or it comes round. */
		if (++steps > table.entries || steps > 2 * VIRTQ_CHAIN_MAX)
			return broken(queue, "descriptors in a loop");
		if (descriptor.flags & DESCRIPTOR_INDIRECT) {
			if (indirect)
				return broken(queue, "an indirect table in another");
			if (!enter(queue, &descriptor, &table))
				return false;
			indirect = true;
			index = steps = 0;
			continue;
		}
		if (!add(queue, chain, &descriptor))
			return false;
		if (!(descriptor.flags & DESCRIPTOR_NEXT))
			return true;
		index = descriptor.next;
		if (index >= table.entries)
			return broken(queue, "a next descriptor outside its table");
	}
}

/* True if the available ring has something; else asks for a notification (section 2.7.10). */
static bool available(struct virtq *queue)
{
	struct virtq_state *state = queue->state;

	if (load16(queue->driver + RING_INDEX) != state->next)
		return true;
	if (!(queue->owner->state->features & VIRTIO_F_EVENT_IDX))
		return false;
	store16(available_event(queue), state->next);
	ring_dirty(queue, RING_ENTRIES + (uint64_t)USED_BYTES * state->size, 2);
	/* What the driver adds from here on it notifies of; what it added before is seen here. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(queue->driver + RING_INDEX) != state->next;
}

bool virtq_take(struct virtq *queue, struct virtq_chain *chain)
{
	struct virtq_state *state = queue->state;
	unsigned slot;

	if (queue->descriptors == NULL || virtio_stopped(queue->owner))
		return false;
	if (queue->agains != 0) {
		chain->head = queue->again[--queue->agains];
		return collect(queue, chain);
	}
	if (!available(queue))
		return false;
	slot = state->next & (state->size - 1u);
	if ((uint16_t)(load16(queue->driver + RING_INDEX) - state->next) > state->size)
		return broken(queue, "more available than the ring holds");
	chain->head = load16(queue->driver + RING_ENTRIES + 2u * slot);
	if (chain->head >= state->size)
		return broken(queue, "a head outside the table");
	if (state->taken[chain->head])
		return broken(queue, "a buffer made available twice");
	state->taken[chain->head] = 1;
	state->next++;
	return collect(queue, chain);
}

void virtq_untake(struct virtq *queue, uint16_t head)
{
	if (queue->agains < queue->state->size)
		queue->again[queue->agains++] = head;
}

void virtq_put(struct virtq *queue, unsigned ahead, uint16_t head, uint32_t bytes)
{
	struct virtq_state *state = queue->state;
	unsigned slot = (state->used + ahead) & (state->size - 1u);
	uint64_t offset = RING_ENTRIES + (uint64_t)USED_BYTES * slot;
	uint32_t entry[2] = {head, bytes};

	if (queue->device == NULL || ahead >= state->size)
		return;
	memcpy(queue->device + offset, entry, sizeof(entry));
	ring_dirty(queue, offset, sizeof(entry));
	queue->put[ahead] = head;
}

/*
 * The order matters to whoever takes over: the driver sees the entries, then the state counts
 * them, then they are no longer marked. virtq_resume() makes good what is missing.
 */
void virtq_publish(struct virtq *queue, unsigned count)
{
	struct virtq_state *state = queue->state;

	if (queue->device == NULL || count == 0)
		return;
	store16(queue->device + RING_INDEX, (uint16_t)(state->used + count));
	ring_dirty(queue, RING_INDEX, 2);
	for (unsigned i = 0; i < count; i++)
		__atomic_store_n(&state->taken[queue->put[i]], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&state->used, (uint16_t)(state->used + count), __ATOMIC_RELEASE);
}

void virtq_give(struct virtq *queue, uint16_t head, uint32_t bytes)
{
	virtq_put(queue, 0, head, bytes);
	virtq_publish(queue, 1);
}

/* virtio 1.2, section 2.7.7.2. */
void virtq_signal(struct virtq *queue)
{
	struct virtq_state *state = queue->state;
	uint16_t old = state->signalled;

	if (queue->device == NULL || state->used == old || virtio_stopped(queue->owner))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	state->signalled = state->used;
	if (queue->owner->state->features & VIRTIO_F_EVENT_IDX) {
		uint16_t event = load16(used_event(queue));

		if ((uint16_t)(state->used - event - 1) >= (uint16_t)(state->used - old))
			return;
	} else if (load16(queue->driver + RING_FLAGS) & DRIVER_NO_INTERRUPT) {
		return;
	}
	virtio_interrupt(queue->owner, queue);
}

/* Rings -----------------------------------------------------------------------------------------
 */

bool virtq_enable(struct virtq *queue)
{
	struct virtq_state *state = queue->state;
	struct vmm *vmm = queue->owner->vmm;
	uint64_t size = state->size;

	queue->agains = 0;
	if (size == 0 || state->descriptors % 16 != 0 || state->driver % 2 != 0 ||
	    state->device % 4 != 0)
		return false;
	queue->driver = guest_memory(vmm, state->driver, RING_ENTRIES + 2 * size + 2);
	queue->device = guest_memory(vmm, state->device, RING_ENTRIES + USED_BYTES * size + 2);
	queue->descriptors = guest_memory(vmm, state->descriptors, 16 * size);
	if (queue->driver == NULL || queue->device == NULL)
		queue->descriptors = NULL;
	if (queue->descriptors == NULL)
		queue->driver = queue->device = NULL;
	return queue->descriptors != NULL;
}

bool virtq_resume(struct virtq *queue)
{
	struct virtq_state *state = queue->state;
	uint16_t published;

	if (!virtq_enable(queue))
		return false;
	/* What was published but not counted any more is with the driver. */
	published = load16(queue->device + RING_INDEX);
	if ((uint16_t)(published - state->used) > state->size)
		return false;
	while (state->used != published) {
		unsigned slot = state->used & (state->size - 1u);
		uint32_t head;

		memcpy(&head, queue->device + RING_ENTRIES + (size_t)USED_BYTES * slot, 4);
		if (head < state->size)
			state->taken[head] = 0;
		state->used++;
	}
	/* Taken, but the index not yet moved on. */
	if (load16(queue->driver + RING_INDEX) != state->next) {
		unsigned slot = state->next & (state->size - 1u);
		uint16_t head = load16(queue->driver + RING_ENTRIES + 2u * slot);

		if (head < state->size && state->taken[head])
			state->next++;
	}
	for (unsigned head = state->size; head-- > 0;)
		if (state->taken[head])
			queue->again[queue->agains++] = (uint16_t)head;
	return true;
}

void virtq_reset(struct virtq *queue)
{
	memset(queue->state, 0, sizeof(*queue->state));
	queue->state->size = queue->size_max;
	queue->state->vector = VIRTIO_NO_VECTOR;
	queue->descriptors = queue->driver = queue->device = NULL;
	queue->agains = 0;
}

/* Buffers ---------------------------------------------------------------------------------------
 */

void virtq_dirty(struct virtq *queue, const struct iovec *iov, unsigned count, uint64_t bytes)
{
	struct vmm *vmm = queue->owner->vmm;

	for (unsigned i = 0; i < count && bytes != 0; i++) {
		uint64_t part = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;

		guest_memory_dirty(vmm, guest_memory_address(vmm, iov[i].iov_base), part);
		bytes -= part;
	}
}

unsigned iov_part(struct iovec *to, const struct iovec *from, unsigned count, uint64_t offset,
		  uint64_t bytes)
{
	unsigned parts = 0;

	for (unsigned i = 0; i < count && bytes != 0; i++) {
		uint64_t part;

		if (offset >= from[i].iov_len) {
			offset -= from[i].iov_len;
			continue;
		}
		part = from[i].iov_len - offset;
		if (part > bytes)
			part = bytes;
		to[parts].iov_base = (uint8_t *)from[i].iov_base + offset;
		to[parts++].iov_len = part;
		bytes -= part;
		offset = 0;
	}
	return parts;
}

size_t virtq_read(const struct virtq_chain *chain, uint64_t offset, void *to, size_t bytes)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->outs && done < bytes; i++) {
		const struct iovec *iov = &chain->iov[i];
		size_t part;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		part = iov->iov_len - offset < bytes - done ? iov->iov_len - offset : bytes - done;
		memcpy((uint8_t *)to + done, (const uint8_t *)iov->iov_base + offset, part);
		done += part;
		offset = 0;
	}
	__asm__ volatile("" ::: "memory");
	return done;
}

size_t virtq_write(struct virtq *queue, const struct virtq_chain *chain, uint64_t offset,
		   const void *from, size_t bytes)
{
	const struct iovec *in = &chain->iov[chain->outs];
	size_t done = 0;

	for (unsigned i = 0; i < chain->ins && done < bytes; i++) {
		struct iovec part;

		if (iov_part(&part, &in[i], 1, offset, bytes - done) == 0) {
			offset -= in[i].iov_len;
			continue;
		}
		memcpy(part.iov_base, (const uint8_t *)from + done, part.iov_len);
		virtq_dirty(queue, &part, 1, part.iov_len);
		done += part.iov_len;
		offset = 0;
	}
	return done;
}
