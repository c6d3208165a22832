/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueues (virtio 1.2, section 2.7), the device's side.
 *
 * The rings are the guest's and change under the reader: every index, descriptor and indirect table
 * entry is read once, checked, and used from the copy. Anything that no driver may do makes the
 * device ask for a reset (virtio_broken()); from then on its queues are empty.
 *
 * What was taken from a queue and not yet given back is marked in the state region. A process that
 * takes over gets those buffers again first (virtq_resume()), so a request is carried out at least
 * once.
 */
#ifndef VMM_VIRTQUEUE_H
#define VMM_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VIRTQ_SIZE_MAX	512u
#define VIRTQ_CHAIN_MAX 1024u /* buffers in a chain; what preadv(2) takes at once */

struct virtio_device;

/* In the state region. */
struct virtq_state {
	uint64_t descriptors, driver, device; /* guest-physical addresses of the three parts */
	uint16_t size;			      /* a power of two */
	uint16_t vector;		      /* MSI-X vector */
	uint16_t enabled;
	uint16_t next;	    /* index in the available ring of what comes next */
	uint16_t used;	    /* the used ring's index */
	uint16_t signalled; /* what `used` was when the driver was last told or not told */
	uint16_t reserved[2];
	uint8_t taken[VIRTQ_SIZE_MAX]; /* by head: with the device */
};

struct virtq {
	struct virtio_device *owner;
	unsigned index;
	uint16_t size_max;
	struct virtq_state *state;
	uint8_t *descriptors, *driver, *device; /* the guest's memory; NULL: not enabled */
	unsigned agains;			/* heads to be given out before new ones */
	uint16_t again[VIRTQ_SIZE_MAX];
	uint16_t put[VIRTQ_SIZE_MAX]; /* heads put into the used ring and not published yet */
};

/* The buffers of one chain: iov[0 .. outs - 1] are to be read, iov[outs .. outs + ins - 1] written.
 */
struct virtq_chain {
	uint16_t head;
	unsigned outs, ins;
	uint64_t out_bytes, in_bytes;
	struct iovec iov[VIRTQ_CHAIN_MAX];
};

/*
 * Takes the next chain. False: there is none, and the driver will notify when there is, or the
 * device needs a reset.
 */
bool virtq_take(struct virtq *queue, struct virtq_chain *chain);
/* Gives the chain back untouched: it is what virtq_take() gives next. */
void virtq_untake(struct virtq *queue, uint16_t head);
/*
 * Puts a chain into the used ring, `ahead` places behind its end, with `bytes` written to it;
 * virtq_publish() then shows the driver `count` of them at once.
 */
void virtq_put(struct virtq *queue, unsigned ahead, uint16_t head, uint32_t bytes);
void virtq_publish(struct virtq *queue, unsigned count);
/* The two for one chain. */
void virtq_give(struct virtq *queue, uint16_t head, uint32_t bytes);
/* Interrupts the driver if something was published that it wants to hear of. */
void virtq_signal(struct virtq *queue);

/* Finds the rings by the addresses in the state; false: they are not aligned or not all in RAM. */
bool virtq_enable(struct virtq *queue);
/* As virtq_enable(), for a queue that another process has used. */
bool virtq_resume(struct virtq *queue);
void virtq_reset(struct virtq *queue);

/*
 * Copies up to `bytes` from byte `offset` on of the buffers to be read, or to those to be written;
 * how many it were. Writing tells the dirty log.
 */
size_t virtq_read(const struct virtq_chain *chain, uint64_t offset, void *to, size_t bytes);
size_t virtq_write(struct virtq *queue, const struct virtq_chain *chain, uint64_t offset,
		   const void *from, size_t bytes);
/*
 * The part [offset, offset + bytes) of a list of buffers: to[] has room for `count`, as many as
 * from[]. How many it takes.
 */
unsigned iov_part(struct iovec *to, const struct iovec *from, unsigned count, uint64_t offset,
		  uint64_t bytes);
/* Tells the dirty log of the first `bytes` of buffers. */
void virtq_dirty(struct virtq *queue, const struct iovec *iov, unsigned count, uint64_t bytes);

#endif
