/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's image: a raw file or a block device, and for a snapshot an overlay that takes what is
 * written. Requests are carried out by io_uring, without waiting; their parts one after the other.
 */
#ifndef VMM_BLK_IMAGE_H
#define VMM_BLK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLK_SECTOR 512u

struct vmm;
struct blk_image;

enum blk_operation { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZERO };

struct blk_image_options {
	const char *name; /* for messages */
	const char *path; /* NULL: fd */
	int fd;
	const char *directory; /* of the overlay; NULL: in memory */
	bool readonly, snapshot;
};

/*
 * A request. The caller sets the upper part, and keeps it until done() is called, from the event
 * loop or from blk_image_submit(), with 0 or a negative error number.
 */
struct blk_job {
	enum blk_operation operation;
	bool durable;		 /* a write is on the medium when it is done */
	bool unmap;		 /* zeroing may give up the storage */
	uint64_t offset, bytes;	 /* in the image, whole sectors, checked by the caller */
	const struct iovec *iov; /* of the guest's memory, together `bytes`: for reads and writes */
	struct iovec *part;	 /* room for as many */
	unsigned count;
	void (*done)(struct blk_job *job, int error);

	/* The image's. */
	uint64_t position, step; /* bytes that are done, and in the part under way */
	bool plain;		 /* zeroing by writing zeros */
	void *bounce;
	struct blk_job *next;
	struct blk_image *image;
};

/* NULL: reported. */
struct blk_image *blk_image_open(struct vmm *vmm, const struct blk_image_options *options);
uint64_t blk_image_bytes(const struct blk_image *image);
uint32_t blk_image_block(const struct blk_image *image); /* smallest unit of I/O, bytes */
bool blk_image_readonly(const struct blk_image *image);

/* Starts a request; blk_image_submit() sends what was started to the kernel. */
void blk_image_start(struct blk_image *image, struct blk_job *job);
void blk_image_submit(struct blk_image *image);
/* Waits until what was written is on the medium; false, reported: it cannot be. */
bool blk_image_sync(struct blk_image *image);

/*
 * The part [offset, offset + bytes) of a list of buffers: to[] has room for `count`, as many as
 * from[]. How many it takes. (virtqueue.c)
 */
unsigned iov_part(struct iovec *to, const struct iovec *from, unsigned count, uint64_t offset,
		  uint64_t bytes);

/* blk_overlay.c: which sectors of a snapshot were written, and where they are. */
struct blk_overlay {
	int fd; /* sector n is at the same place as in the image; the bits follow the last one */
	uint64_t sectors;
	uint8_t *bits;
};
bool blk_overlay_create(struct vmm *vmm, struct blk_overlay *overlay, const char *directory,
			uint64_t bytes);
/* Bytes from `offset` on, at most `bytes`, that are all in the overlay (*there true) or all not. */
uint64_t blk_overlay_run(const struct blk_overlay *overlay, uint64_t offset, uint64_t bytes,
			 bool *there);
void blk_overlay_set(struct blk_overlay *overlay, uint64_t offset, uint64_t bytes);

#endif
