/* SPDX-License-Identifier: BSD-2-Clause */
/* Entropy device (virtio 1.2, section 5.4), from getrandom(2). */
#include <stdlib.h>
#include <sys/random.h>

#include "vmm-user/vmm/virtio.h"

#define RNG_CLASS  0x00ff00u
#define RNG_QUEUE  16u
#define RNG_CHUNK  256u	 /* getrandom(2) gives as much without being interrupted */
#define RNG_ANSWER 4096u /* bytes for a request at most: one that is longer gets fewer */

struct virtio_rng {
	struct virtio_device virtio;
	struct virtq_chain chain;
};

static uint32_t answer(struct virtq *queue, const struct virtq_chain *chain)
{
	uint8_t chunk[RNG_CHUNK];
	uint32_t done = 0;

	while (done < RNG_ANSWER && done < chain->in_bytes) {
		ssize_t bytes = getrandom(chunk, sizeof(chunk), GRND_NONBLOCK);

		if (bytes <= 0)
			break;
		done += (uint32_t)virtq_write(queue, chain, done, chunk, (size_t)bytes);
	}
	return done;
}

static void notify(void *device, unsigned index)
{
	struct virtio_rng *rng = device;
	struct virtq *queue = &rng->virtio.queue[index];
	unsigned budget = RNG_QUEUE;

	for (; budget != 0 && virtq_take(queue, &rng->chain); budget--)
		virtq_give(queue, rng->chain.head, answer(queue, &rng->chain));
	virtq_signal(queue);
	if (budget == 0)
		virtio_later(&rng->virtio, index);
}

/* Makes an entropy device. NULL, reported: no slot is free. */
struct virtio_rng *virtio_rng_create(struct vmm *vmm)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));

	if (rng == NULL)
		return NULL;
	rng->virtio = (struct virtio_device){.vmm = vmm,
					     .name = "virtio-rng",
					     .type = VIRTIO_TYPE_ENTROPY,
					     .class = RNG_CLASS,
					     .queues = 1,
					     .queue_size = {RNG_QUEUE},
					     .device = rng,
					     .notify = notify};
	return virtio_add(&rng->virtio) ? rng : NULL;
}
