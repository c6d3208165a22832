/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request is done in steps: what one call of the kernel can do of it (a short read, the part of a
 * snapshot that lies in one file, as much as a bounce buffer holds) is followed by the next.
 *
 * O_DIRECT wants buffers aligned; guests' mostly are, others go through a bounce buffer. Where
 * O_DIRECT itself is not to be had, or the file system wants offsets that are no 512-byte sectors,
 * the page cache is used.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-user/vmm/blk_image.h"
#include "vmm-user/vmm/vmm.h"

#define BOUNCE_BYTES (256u << 10)
#define RING_ENTRIES 256u
#define ALIGN_MAX    4096u
#define STATX_ALIGN  0x2000u /* STATX_DIOALIGN, Linux 6.1 */

struct blk_image {
	struct vmm *vmm;
	char *name;
	int fd;
	bool readonly, snapshot, direct, device;
	bool cut;	/* it was found shorter than it was, and that was reported */
	uint32_t align; /* of buffers; 1 without O_DIRECT */
	uint32_t block;
	uint64_t bytes;
	struct blk_overlay overlay;
	struct io_uring ring;
	struct blk_job *waiting; /* for a place in the ring */
	uint8_t *zeros;		 /* BOUNCE_BYTES of them */
};

uint64_t blk_image_bytes(const struct blk_image *image)
{
	return image->bytes;
}
uint32_t blk_image_block(const struct blk_image *image)
{
	return image->block;
}
bool blk_image_readonly(const struct blk_image *image)
{
	return image->readonly;
}

/* Opening ----------------------------------------------------------------------------------------
 */

/* What O_DIRECT wants of buffers and offsets; false: it is not known. */
static bool direct_limits(int fd, uint32_t *memory, uint32_t *offset)
{
	struct statx status = {0};

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_ALIGN, &status) != 0 ||
	    !(status.stx_mask & STATX_ALIGN) || status.stx_dio_offset_align == 0)
		return false;
	*memory = status.stx_dio_mem_align;
	*offset = status.stx_dio_offset_align;
	return true;
}

/* Decides how the image is accessed; *image has its fd, opened without O_DIRECT. */
static bool set_access(struct blk_image *image)
{
	uint32_t offset = BLK_SECTOR;
	int sector = (int)BLK_SECTOR, flags = fcntl(image->fd, F_GETFL) & ~O_NONBLOCK;

	image->align = 1;
	image->block = BLK_SECTOR;
	if (image->device) {
		if (ioctl(image->fd, BLKSSZGET, &sector) != 0)
			return false;
		image->block = (uint32_t)sector;
	}
	if (fcntl(image->fd, F_SETFL, flags | O_DIRECT) != 0)
		return fcntl(image->fd, F_SETFL, flags) == 0;
	image->direct = true;
	image->align = image->device ? image->block : BLK_SECTOR;
	direct_limits(image->fd, &image->align, &offset);
	if ((image->device || offset <= BLK_SECTOR) && image->align <= ALIGN_MAX)
		return true;
	image->direct = false;
	image->align = 1;
	return fcntl(image->fd, F_SETFL, flags) == 0;
}

static bool measure(struct blk_image *image)
{
	bool writes = !image->readonly && !image->snapshot;
	struct stat status;
	uint64_t bytes;
	int mode;

	if (fstat(image->fd, &status) != 0 || (mode = fcntl(image->fd, F_GETFL)) < 0)
		return false;
	if (writes && (mode & O_ACCMODE) != O_RDWR) {
		errno = EBADF;
		return false;
	}
	image->device = S_ISBLK(status.st_mode);
	if (!image->device && !S_ISREG(status.st_mode)) {
		errno = EINVAL;
		return false;
	}
	bytes = (uint64_t)status.st_size;
	if (image->device && ioctl(image->fd, BLKGETSIZE64, &bytes) != 0)
		return false;
	image->bytes = bytes / BLK_SECTOR * BLK_SECTOR;
	return true;
}

static void ready(void *device, uint32_t events);

/* io_uring comes last: what fails before it needs no more than a close(). */
static bool prepare(struct blk_image *image, const struct blk_image_options *options)
{
	int error;

	if (!measure(image) || !set_access(image)) {
		vmm_log(image->vmm, "disk %s: %s", image->name, strerror(errno));
		return false;
	}
	if (image->bytes == 0) {
		vmm_log(image->vmm, "disk %s: it has no sector", image->name);
		return false;
	}
	if (image->snapshot &&
	    !blk_overlay_create(image->vmm, &image->overlay, options->directory, image->bytes))
		return false;
	image->zeros = aligned_alloc(ALIGN_MAX, BOUNCE_BYTES);
	if (image->zeros == NULL)
		return false;
	memset(image->zeros, 0, BOUNCE_BYTES);
	error = io_uring_queue_init(RING_ENTRIES, &image->ring, 0);
	if (error < 0) {
		vmm_log(image->vmm, "disk %s: io_uring: %s", image->name, strerror(-error));
		return false;
	}
	return event_watch(image->vmm, image->ring.ring_fd, POLLIN, ready, image);
}

struct blk_image *blk_image_open(struct vmm *vmm, const struct blk_image_options *options)
{
	struct blk_image *image = calloc(1, sizeof(*image));
	bool writes = !options->readonly && !options->snapshot;

	if (image == NULL)
		return NULL;
	image->vmm = vmm;
	/* A copy: it is wanted for messages long after the options are gone. */
	image->name = strdup(options->name);
	if (image->name == NULL) {
		free(image);
		return NULL;
	}
	image->readonly = options->readonly;
	image->snapshot = options->snapshot && !options->readonly;
	image->fd = options->fd;
	/* Non-blocking: a FIFO in place of the image must not hold everything up. */
	if (options->path != NULL)
		image->fd =
			open(options->path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (image->fd < 0) {
		vmm_log(vmm, "disk %s: %s", image->name, strerror(errno));
		free(image->name);
		free(image);
		return NULL;
	}
	if (prepare(image, options))
		return image;
	close(image->fd);
	free(image->zeros);
	free(image->name);
	free(image);
	return NULL;
}

bool blk_image_sync(struct blk_image *image)
{
	if (image->readonly || image->snapshot || fdatasync(image->fd) == 0)
		return true;
	vmm_log(image->vmm, "disk %s: %s", image->name, strerror(errno));
	return false;
}

/* Steps ------------------------------------------------------------------------------------------
 */

static void report_cut(struct blk_image *image)
{
	if (!image->cut)
		vmm_log(image->vmm, "disk %s: it has become shorter than the %llu bytes it had",
			image->name, (unsigned long long)image->bytes);
	image->cut = true;
}

/*
 * True if a write would not meet the image that the guest had, but make a short file long again,
 * with zeros where there was data. A device's end refuses by itself, and the overlay is our own.
 */
static bool writes_to_cut(struct blk_image *image, const struct blk_job *job)
{
	bool writes = job->operation == BLK_WRITE || job->operation == BLK_ZERO;
	struct stat status;

	if (!writes || image->device || image->snapshot)
		return false;
	if (fstat(image->fd, &status) == 0 && (uint64_t)status.st_size >= image->bytes)
		return false;
	report_cut(image);
	return true;
}

static void finish(struct blk_job *job, int error)
{
	free(job->bounce);
	job->bounce = NULL;
	job->done(job, error);
}

static bool aligned(const struct blk_image *image, const struct iovec *iov, unsigned count)
{
	uintptr_t bits = 0;

	for (unsigned i = 0; i < count; i++)
		bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return (bits & (image->align - 1)) == 0;
}

static void copy_iov(const struct iovec *iov, unsigned count, uint8_t *buffer, bool to_iov)
{
	for (unsigned i = 0; i < count; i++) {
		if (to_iov)
			memcpy(iov[i].iov_base, buffer, iov[i].iov_len);
		else
			memcpy(buffer, iov[i].iov_base, iov[i].iov_len);
		buffer += iov[i].iov_len;
	}
}

/* The part of the job's buffers under way. */
static unsigned part(struct blk_job *job)
{
	return iov_part(job->part, job->iov, job->count, job->position, job->step);
}

static bool prepare_transfer(struct blk_image *image, struct blk_job *job, struct io_uring_sqe *sqe,
			     int fd)
{
	uint64_t at = job->offset + job->position;
	unsigned count = part(job);
	bool write = job->operation == BLK_WRITE;

	if (fd == image->fd && !aligned(image, job->part, count)) {
		if (job->step > BOUNCE_BYTES) {
			job->step = BOUNCE_BYTES;
			count = part(job);
		}
		if (job->bounce == NULL)
			job->bounce = aligned_alloc(ALIGN_MAX, BOUNCE_BYTES);
		if (job->bounce == NULL)
			return false;
		if (write)
			copy_iov(job->part, count, job->bounce, false);
		if (write)
			io_uring_prep_write(sqe, fd, job->bounce, (unsigned)job->step, at);
		else
			io_uring_prep_read(sqe, fd, job->bounce, (unsigned)job->step, at);
	} else {
		free(job->bounce);
		job->bounce = NULL;
		if (write)
			io_uring_prep_writev(sqe, fd, job->part, count, at);
		else
			io_uring_prep_readv(sqe, fd, job->part, count, at);
	}
	if (job->durable && write)
		sqe->rw_flags = RWF_DSYNC;
	return true;
}

static void prepare_zero(struct blk_image *image, struct blk_job *job, struct io_uring_sqe *sqe,
			 int fd)
{
	uint64_t at = job->offset + job->position;
	int mode = FALLOC_FL_KEEP_SIZE;

	if (job->operation == BLK_ZERO && job->plain) {
		if (job->step > BOUNCE_BYTES)
			job->step = BOUNCE_BYTES;
		io_uring_prep_write(sqe, fd, image->zeros, (unsigned)job->step, at);
		if (job->durable)
			sqe->rw_flags = RWF_DSYNC;
		return;
	}
	if (job->operation == BLK_DISCARD || job->unmap || image->snapshot)
		mode |= FALLOC_FL_PUNCH_HOLE;
	else
		mode |= FALLOC_FL_ZERO_RANGE;
	io_uring_prep_fallocate(sqe, fd, mode, (off_t)at, (off_t)job->step);
}

/* Fills in the next step of a job; false: there is no memory for it. */
static bool prepare_step(struct blk_image *image, struct blk_job *job, struct io_uring_sqe *sqe)
{
	int fd = image->snapshot ? image->overlay.fd : image->fd;
	bool there = true;

	job->step = job->bytes - job->position;
	switch (job->operation) {
	case BLK_READ:
		if (image->snapshot)
			job->step = blk_overlay_run(&image->overlay, job->offset + job->position,
						    job->step, &there);
		return prepare_transfer(image, job, sqe, there ? fd : image->fd);
	case BLK_WRITE:
		return prepare_transfer(image, job, sqe, fd);
	case BLK_DISCARD:
	case BLK_ZERO:
		prepare_zero(image, job, sqe, fd);
		return true;
	case BLK_FLUSH:
		break;
	}
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	return true;
}

/* Puts the job's next step into the ring, or the job into the queue for a place there. */
static void step(struct blk_image *image, struct blk_job *job)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&image->ring);

	if (sqe == NULL) {
		io_uring_submit(&image->ring);
		sqe = io_uring_get_sqe(&image->ring);
	}
	if (sqe == NULL) {
		job->next = image->waiting;
		image->waiting = job;
		return;
	}
	if (!prepare_step(image, job, sqe)) {
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, NULL);
		finish(job, -ENOMEM);
		return;
	}
	io_uring_sqe_set_data(sqe, job);
}

void blk_image_start(struct blk_image *image, struct blk_job *job)
{
	job->image = image;
	job->position = 0;
	job->bounce = NULL;
	job->plain = false;
	/* A snapshot is gone after a crash: nothing to flush. Discarding is a hint. */
	if (image->snapshot && (job->operation == BLK_FLUSH || job->operation == BLK_DISCARD))
		finish(job, 0);
	else if (job->bytes == 0 && job->operation != BLK_FLUSH)
		finish(job, 0);
	else if (writes_to_cut(image, job))
		finish(job, -EIO);
	else
		step(image, job);
}

void blk_image_submit(struct blk_image *image)
{
	/* What the kernel does not take now (no memory) is submitted with the next. */
	if (io_uring_sq_ready(&image->ring) != 0)
		io_uring_submit(&image->ring);
}

/* A step is done: the next, or the end. result: bytes or a negative error number. */
static void stepped(struct blk_image *image, struct blk_job *job, int result)
{
	bool transfer = job->operation == BLK_READ || job->operation == BLK_WRITE || job->plain;

	if (result == -EAGAIN || result == -EINTR) {
		step(image, job);
		return;
	}
	if (result < 0 && job->operation == BLK_ZERO && !job->plain &&
	    (result == -EOPNOTSUPP || result == -EINVAL)) {
		job->plain = true;
		step(image, job);
		return;
	}
	if (job->operation == BLK_DISCARD && (result == -EOPNOTSUPP || result == -EINVAL))
		result = 0;
	/* No sector read or written: the image became shorter than it was. */
	if (result >= 0 && result < (int)BLK_SECTOR && transfer) {
		report_cut(image);
		result = -EIO;
	}
	if (result < 0) {
		finish(job, result);
		return;
	}
	if (transfer && (uint64_t)result < job->step)
		job->step = (uint64_t)result / BLK_SECTOR * BLK_SECTOR;
	if (job->operation == BLK_READ && job->bounce != NULL)
		copy_iov(job->part, part(job), job->bounce, true);
	if (image->snapshot && job->operation != BLK_READ)
		blk_overlay_set(&image->overlay, job->offset + job->position, job->step);
	job->position += job->step;
	if (job->operation == BLK_FLUSH || job->position >= job->bytes)
		finish(job, 0);
	else
		step(image, job);
}

static void ready(void *device, uint32_t events)
{
	struct blk_image *image = device;
	struct io_uring_cqe *cqe;
	struct blk_job *job;

	(void)events;
	for (unsigned i = 0; i < 2 * RING_ENTRIES && io_uring_peek_cqe(&image->ring, &cqe) == 0;
	     i++) {
		int result = cqe->res;

		job = io_uring_cqe_get_data(cqe);
		io_uring_cqe_seen(&image->ring, cqe);
		if (job != NULL)
			stepped(image, job, result);
	}
	while ((job = image->waiting) != NULL && io_uring_sq_space_left(&image->ring) != 0) {
		image->waiting = job->next;
		step(image, job);
	}
	blk_image_submit(image);
}
