/* SPDX-License-Identifier: BSD-2-Clause */
/* Block device (virtio 1.2, section 5.2). The image itself is blk_image.c's. */
#include <stdlib.h>
#include <string.h>

#include "vmm-user/vmm/blk_image.h"
#include "vmm-user/vmm/virtio.h"

#define BLK_CLASS     0x010000u
#define BLK_QUEUE     512u /* so that 256 segments fit without indirect descriptors too */
#define BLK_SEGMENTS  256u
#define BLK_REQUESTS  256u /* at once: bounds the memory that a guest can make us use */
#define BLK_RANGES    32u
#define BLK_RANGE_MAX 0x200000u /* sectors */
#define BLK_ID_BYTES  20u

/* Section 5.2.3. */
#define BLK_F_SEG_MAX	   (1ull << 2)
#define BLK_F_RO	   (1ull << 5)
#define BLK_F_BLK_SIZE	   (1ull << 6)
#define BLK_F_FLUSH	   (1ull << 9)
#define BLK_F_MQ	   (1ull << 12)
#define BLK_F_DISCARD	   (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/* Section 5.2.6. */
#define BLK_T_IN	   0u
#define BLK_T_OUT	   1u
#define BLK_T_FLUSH	   4u
#define BLK_T_GET_ID	   8u
#define BLK_T_DISCARD	   11u
#define BLK_T_WRITE_ZEROES 13u
#define BLK_S_OK	   0u
#define BLK_S_IOERR	   1u
#define BLK_S_UNSUPP	   2u
#define BLK_RANGE_UNMAP	   1u

/* Section 5.2.4. */
struct blk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t blk_size;
	uint8_t physical_exponent, alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback, unused0;
	uint16_t queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct blk_config) == 64, "blk_config");
#define BLK_CONFIG_BYTES 60

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};

struct virtio_blk {
	struct virtio_device virtio;
	struct blk_config config;
	struct blk_image *image;
	char id[BLK_ID_BYTES];
	struct virtio_blk *next; /* of all disks */
	unsigned requests;	 /* under way */
	uint32_t throttled;	 /* queues that wait for one of them to end */
	struct virtq_chain chain;
};

/* One process is one domain. */
static struct virtio_blk *disks;

struct blk_request {
	struct blk_job job;
	struct virtio_blk *blk;
	struct virtq *queue;
	struct iovec status; /* of one byte */
	uint16_t head;
	unsigned ranges, range; /* discard, write zeroes: how many, and the next one */
	struct blk_range *list;
	struct iovec iov[]; /* the buffers, then room for a part of them */
};

/* Gives a request back with its status and `bytes` of data written before that. */
static void answer(struct virtq *queue, uint16_t head, struct iovec *status, uint8_t value,
		   uint64_t bytes)
{
	*(uint8_t *)status->iov_base = value;
	virtq_dirty(queue, status, 1, 1);
	virtq_give(queue, head, (uint32_t)bytes + 1);
	virtq_signal(queue);
}

static bool in_image(const struct virtio_blk *blk, uint64_t sector, uint64_t bytes)
{
	uint64_t end = blk_image_bytes(blk->image);

	return bytes % BLK_SECTOR == 0 && bytes <= end && sector <= (end - bytes) / BLK_SECTOR;
}

static void done(struct blk_job *job, int error);

/* Starts the request's next range; false: there is none, or it is not one. */
static bool start_range(struct blk_request *request, uint8_t *status)
{
	struct blk_job *job = &request->job;
	struct blk_range *range = &request->list[request->range];

	*status = BLK_S_OK;
	if (request->range == request->ranges)
		return false;
	request->range++;
	*status = BLK_S_UNSUPP;
	if (range->flags & (job->operation == BLK_DISCARD ? ~0u : ~BLK_RANGE_UNMAP))
		return false;
	*status = BLK_S_IOERR;
	if (!in_image(request->blk, range->sector, (uint64_t)range->sectors * BLK_SECTOR))
		return false;
	job->offset = range->sector * BLK_SECTOR;
	job->bytes = (uint64_t)range->sectors * BLK_SECTOR;
	job->unmap = range->flags & BLK_RANGE_UNMAP;
	blk_image_start(request->blk->image, job);
	return true;
}

static void end(struct blk_request *request, uint8_t status)
{
	struct virtio_blk *blk = request->blk;
	struct blk_job *job = &request->job;
	uint64_t bytes = 0;

	if (job->operation == BLK_READ && status == BLK_S_OK) {
		bytes = job->bytes;
		virtq_dirty(request->queue, job->iov, job->count, bytes);
	}
	answer(request->queue, request->head, &request->status, status, bytes);
	free(request->list);
	free(request);
	if (--blk->requests == 0)
		virtio_quiet(&blk->virtio);
	for (unsigned i = 0; blk->throttled != 0 && i < blk->virtio.queues; i++)
		if (blk->throttled & 1u << i)
			virtio_later(&blk->virtio, i);
	blk->throttled = 0;
}

static void done(struct blk_job *job, int error)
{
	struct blk_request *request = (struct blk_request *)(void *)job;
	uint8_t status = (uint8_t)(error == 0 ? BLK_S_OK : BLK_S_IOERR);

	if (status == BLK_S_OK && request->list != NULL && start_range(request, &status))
		return;
	end(request, status);
}

/* The chain's status byte: the last one to be written. */
static struct iovec status_of(const struct virtq_chain *chain)
{
	struct iovec last = chain->iov[chain->outs + chain->ins - 1];

	last.iov_base = (uint8_t *)last.iov_base + last.iov_len - 1;
	last.iov_len = 1;
	return last;
}

static struct blk_request *make(struct virtio_blk *blk, struct virtq *queue, unsigned buffers)
{
	const struct virtq_chain *chain = &blk->chain;
	struct blk_request *request =
		malloc(sizeof(*request) + 2 * (size_t)buffers * sizeof(struct iovec));

	if (request == NULL)
		return NULL;
	*request = (struct blk_request){
		.blk = blk, .queue = queue, .head = chain->head, .status = status_of(chain)};
	request->job.done = done;
	request->job.iov = request->iov;
	request->job.part = request->iov + buffers;
	request->job.durable = !(blk->virtio.state->features & BLK_F_FLUSH);
	blk->requests++;
	return request;
}

/* Starts a read, write or flush; its status if that is known at once, else -1. */
static int transfer(struct virtio_blk *blk, struct virtq *queue, const struct blk_header *header)
{
	const struct virtq_chain *chain = &blk->chain;
	bool read = header->type == BLK_T_IN, flush = header->type == BLK_T_FLUSH;
	uint64_t bytes = read ? chain->in_bytes - 1 : chain->out_bytes - sizeof(*header);
	struct blk_request *request;

	if (flush)
		bytes = 0;
	if (!flush && !in_image(blk, header->sector, bytes))
		return BLK_S_IOERR;
	if (header->type == BLK_T_OUT && blk_image_readonly(blk->image))
		return BLK_S_IOERR;
	request = make(blk, queue, flush ? 0 : read ? chain->ins : chain->outs);
	if (request == NULL)
		return BLK_S_IOERR;
	request->job.operation = flush ? BLK_FLUSH : read ? BLK_READ : BLK_WRITE;
	request->job.offset = flush ? 0 : header->sector * BLK_SECTOR;
	request->job.bytes = bytes;
	if (read)
		request->job.count =
			iov_part(request->iov, chain->iov + chain->outs, chain->ins, 0, bytes);
	else if (!flush)
		request->job.count =
			iov_part(request->iov, chain->iov, chain->outs, sizeof(*header), bytes);
	blk_image_start(blk->image, &request->job);
	return -1;
}

/*
 * Starts a discard or zeroing. What lies behind the last whole range is ignored: Windows' driver
 * has been seen to send too much.
 */
static int ranges(struct virtio_blk *blk, struct virtq *queue, uint32_t type)
{
	const struct virtq_chain *chain = &blk->chain;
	uint64_t count = (chain->out_bytes - sizeof(struct blk_header)) / sizeof(struct blk_range);
	struct blk_request *request;
	uint8_t status;

	if (blk_image_readonly(blk->image))
		return BLK_S_UNSUPP;
	if (count > BLK_RANGES)
		return BLK_S_IOERR;
	request = make(blk, queue, 0);
	if (request == NULL)
		return BLK_S_IOERR;
	request->job.operation = type == BLK_T_DISCARD ? BLK_DISCARD : BLK_ZERO;
	request->ranges = (unsigned)count;
	request->list = malloc((count + 1) * sizeof(*request->list));
	if (request->list == NULL) {
		end(request, BLK_S_IOERR);
		return -1;
	}
	virtq_read(chain, sizeof(struct blk_header), request->list, count * sizeof(*request->list));
	if (!start_range(request, &status))
		end(request, status);
	return -1;
}

/* One request from the chain. */
static void begin(struct virtio_blk *blk, struct virtq *queue)
{
	struct virtq_chain *chain = &blk->chain;
	struct blk_header header;
	struct iovec byte;
	uint64_t bytes = 0;
	int status = BLK_S_UNSUPP;

	if (chain->in_bytes == 0 ||
	    virtq_read(chain, 0, &header, sizeof(header)) != sizeof(header)) {
		virtio_broken(&blk->virtio, "a request without a header or a status byte");
		return;
	}
	switch (header.type) {
	case BLK_T_IN:
	case BLK_T_OUT:
	case BLK_T_FLUSH:
		status = transfer(blk, queue, &header);
		break;
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		status = ranges(blk, queue, header.type);
		break;
	case BLK_T_GET_ID:
		bytes = chain->in_bytes - 1 < BLK_ID_BYTES ? chain->in_bytes - 1 : BLK_ID_BYTES;
		virtq_write(queue, chain, 0, blk->id, bytes);
		status = BLK_S_OK;
	}
	byte = status_of(chain);
	if (status >= 0)
		answer(queue, chain->head, &byte, (uint8_t)status, bytes);
}

static void notify(void *device, unsigned index)
{
	struct virtio_blk *blk = device;
	struct virtq *queue = &blk->virtio.queue[index];
	unsigned budget = BLK_QUEUE;

	while (budget != 0 && blk->requests < BLK_REQUESTS && virtq_take(queue, &blk->chain)) {
		begin(blk, queue);
		budget--;
	}
	blk_image_submit(blk->image);
	if (budget == 0)
		virtio_later(&blk->virtio, index);
	else if (blk->requests >= BLK_REQUESTS)
		blk->throttled |= 1u << index;
}

static bool reset(void *device)
{
	struct virtio_blk *blk = device;

	blk->throttled = 0;
	return blk->requests == 0;
}

static void configure(struct virtio_blk *blk, unsigned queues)
{
	struct blk_config *config = &blk->config;
	struct virtio_device *virtio = &blk->virtio;

	config->capacity = blk_image_bytes(blk->image) / BLK_SECTOR;
	config->seg_max = BLK_SEGMENTS;
	config->blk_size = blk_image_block(blk->image);
	config->queues = (uint16_t)queues;
	virtio->features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_MQ;
	if (blk_image_readonly(blk->image)) {
		virtio->features |= BLK_F_RO;
		return;
	}
	/* Drivers take zeros here for their word: every one of these is set. */
	config->max_discard_sectors = config->max_write_zeroes_sectors = BLK_RANGE_MAX;
	config->max_discard_seg = config->max_write_zeroes_seg = BLK_RANGES;
	config->discard_sector_alignment = 4096 / BLK_SECTOR;
	config->write_zeroes_may_unmap = 1;
	virtio->features |= BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
}

/*
 * Makes a disk. NULL, reported: the image cannot be opened or is shorter than a sector, io_uring is
 * not to be had, or no slot is free.
 */
struct virtio_blk *virtio_blk_create(struct vmm *vmm, const struct virtio_blk_options *options)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	unsigned queues = options->queues < 1 ? 1 : options->queues;
	const char *name = options->name;

	if (blk == NULL)
		return NULL;
	if (name == NULL)
		name = options->path != NULL ? options->path : options->id;
	if (name == NULL)
		name = "without a name";
	if (queues > VIRTIO_QUEUES)
		queues = VIRTIO_QUEUES;
	blk->image =
		blk_image_open(vmm, &(struct blk_image_options){.name = name,
								.path = options->path,
								.fd = options->fd,
								.directory = options->directory,
								.readonly = options->readonly,
								.snapshot = options->snapshot});
	if (blk->image == NULL) {
		free(blk);
		return NULL;
	}
	if (options->id != NULL)
		memcpy(blk->id, options->id, strnlen(options->id, BLK_ID_BYTES));
	configure(blk, queues);
	blk->virtio.vmm = vmm;
	blk->virtio.name = "virtio-blk";
	blk->virtio.type = VIRTIO_TYPE_BLOCK;
	blk->virtio.class = BLK_CLASS;
	blk->virtio.queues = queues;
	for (unsigned i = 0; i < queues; i++)
		blk->virtio.queue_size[i] = BLK_QUEUE;
	blk->virtio.config = (uint8_t *)&blk->config;
	blk->virtio.config_bytes = BLK_CONFIG_BYTES;
	blk->virtio.device = blk;
	blk->virtio.notify = notify;
	blk->virtio.reset = reset;
	/* What a failure leaves behind goes with the process, which cannot start without a disk. */
	if (!virtio_add(&blk->virtio))
		return NULL;
	blk->next = disks;
	disks = blk;
	return blk;
}

void virtio_blk_flush_all(struct vmm *vmm)
{
	for (struct virtio_blk *blk = disks; blk != NULL; blk = blk->next)
		if (blk->virtio.vmm == vmm)
			blk_image_sync(blk->image);
}
