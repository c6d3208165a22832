/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest pool as Linux shows it: a dax region of soft-reserved memory.
 *
 * UNUSED: nobody has asked for a part yet, it is not prepared, and the region's one device is as
 * Linux made it. PARTITIONED: each domain has a dax device of its own, of just its frames, and its
 * VMM gets that opened. WHOLE: the kernel cannot do that, or the pool is a file: all domains' VMMs
 * get the same one, and it is up to each to keep to its part; said once at the start and in the
 * pool's state.
 */
#ifndef SOCLED_POOL_H
#define SOCLED_POOL_H

#include <stddef.h>

#include "frames.h"
#include "socle.h"

#define POOL_DAX_PATH	 "/sys/bus/dax"
#define POOL_PATH_MAX	 256
#define POOL_ERROR_BYTES 256

enum pool_mode { POOL_UNUSED, POOL_PARTITIONED, POOL_WHOLE };

struct pool {
	enum pool_mode mode;
	struct frames frames;
	uint64_t base;		       /* host-physical address of frame 0 */
	char dax[POOL_PATH_MAX];       /* sysfs directory of the dax bus */
	char region[POOL_PATH_MAX];    /* the region's directory, with create and delete in it */
	char first[32];		       /* name of the region's first device, daxN.0 */
	char whole[POOL_PATH_MAX];     /* WHOLE: what everybody opens */
	char reason[POOL_ERROR_BYTES]; /* WHOLE: why */
	uint32_t ahead;		       /* pool_prepare() has been past the frames before it */
	bool prepared;		       /* and has nothing to do any more */
};

#define POOL_RUNS_MAX 64

struct pool_run {
	uint32_t first, count; /* frames */
	uint64_t offset;       /* of the first in the device or file, bytes */
};

/* One domain's part of the pool. */
struct pool_part {
	struct pool_run run[POOL_RUNS_MAX];
	unsigned int runs;
	char path[POOL_PATH_MAX]; /* of the device or file */
	char device[32];	  /* its name in sysfs; "" in WHOLE mode */
	unsigned int scrub_run;	  /* where pool_scrub goes on */
	uint32_t scrub_frame;
};

/*
 * Finds the pool of the hypervisor among the dax devices. Parts that an earlier socled left are
 * taken away when the first part is asked for or by pool_prepare(), and that decides how the pool
 * is used.
 *
 * @file a file or device to be used as the pool, in WHOLE mode; NULL: look for dax devices
 *
 * False: error says why.
 */
bool pool_open(struct pool *pool, const struct socle_handle *handle, const char *file,
	       char error[POOL_ERROR_BYTES]);

/* Makes the first device whole again; all parts have been given back. */
void pool_close(struct pool *pool);

/* The host-physical address of a frame. */
uint64_t pool_address(const struct pool *pool, uint32_t frame);

/* Takes `count` frames as a part, in one run if that can be. */
bool pool_take(struct pool *pool, uint32_t count, struct pool_part *part,
	       char error[POOL_ERROR_BYTES]);

/* Opens what pool_part.path names; -1 with errno. */
int pool_open_part(const struct pool_part *part);

/*
 * Zeroes at most `frames` more frames of the part; those that are known to be clean are passed over
 * if `all` is false. Gives 1 if there is more to do, 0 at the end, -1 on an error.
 */
int pool_scrub(struct pool *pool, struct pool_part *part, uint32_t frames, bool all);

/*
 * Does what the first domain would have to wait for, a piece at a time, for when there is nothing
 * else to do: zeroes the frames that nobody uses yet, at most `frames` of them, and in the end
 * decides how the pool is used. True: there is more to do. Once the region is partitioned frames
 * are out of reach until a domain has them.
 */
bool pool_prepare(struct pool *pool, uint32_t frames);

/* Gives the part back: the device goes, the frames are free. */
void pool_give(struct pool *pool, struct pool_part *part, bool clean);

#endif
