/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dax.h"
#include "pool.h"

#define FRAME	      SOCLE_FRAME_BYTES
#define GRACE_PERIODS "/sys/kernel/rcu_expedited"

static bool __attribute__((format(printf, 2, 3)))
fail(char error[POOL_ERROR_BYTES], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, POOL_ERROR_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

uint64_t pool_address(const struct pool *pool, uint32_t frame)
{
	return pool->base + (uint64_t)frame * FRAME;
}

/*
 * Has the kernel interrupt processors to end its grace periods, where else it waits until they come
 * by, several times for a device and for some ticks of the clock each. True: calm() is to undo it.
 * If the kernel cannot be told, all takes longer.
 */
static bool hurry(void)
{
	int fd = open(GRACE_PERIODS, O_RDWR | O_CLOEXEC);
	char now = '1';
	bool told = fd >= 0 && read(fd, &now, 1) == 1 && now == '0' && pwrite(fd, "1", 1, 0) == 1;

	if (fd >= 0)
		close(fd);
	return told;
}

static void calm(bool hurried)
{
	int saved = errno, fd = hurried ? open(GRACE_PERIODS, O_WRONLY | O_CLOEXEC) : -1;

	if (fd >= 0 && (write(fd, "0", 1) != 1 || close(fd) != 0))
		fprintf(stderr, "socled: %s stays 1: %s\n", GRACE_PERIODS, strerror(errno));
	errno = saved;
}

static bool make_part(const struct pool *pool, const struct dax_range *range, unsigned int ranges,
		      char *device, size_t size)
{
	bool hurried = hurry();
	bool made = dax_create(pool->dax, pool->region, range, ranges, device, size);

	calm(hurried);
	return made;
}

static bool delete_part(const struct pool *pool, const char *device)
{
	bool hurried = hurry();
	bool gone = dax_empty(pool->dax, device) && dax_delete(pool->region, device);

	calm(hurried);
	return gone;
}

/*
 * Empties and deletes what an earlier socled made of the region: all but its first device. The
 * names are gathered first, as the directory changes.
 */
static void delete_parts(struct pool *pool)
{
	char path[POOL_PATH_MAX + 16], device[64], region[POOL_PATH_MAX];
	struct dirent **names = NULL;
	int count;

	snprintf(path, sizeof(path), "%s/devices", pool->dax);
	count = scandir(path, &names, NULL, NULL);
	for (int i = 0; i < count; i++) {
		snprintf(device, sizeof(device), "%.63s", names[i]->d_name);
		free(names[i]);
		if (device[0] == '.' || strcmp(device, pool->first) == 0 ||
		    !dax_region(pool->dax, device, region, sizeof(region)) ||
		    strcmp(region, pool->region) != 0)
			continue;
		delete_part(pool, device);
	}
	free(names);
}

/* Tries all that will be done for a domain. False with errno: the kernel cannot do it. */
static bool partition(struct pool *pool)
{
	const struct dax_range range = {pool->base, FRAME};
	bool hurried, empty;
	char device[32];

	if (!dax_region(pool->dax, pool->first, pool->region, sizeof(pool->region)))
		return false;
	delete_parts(pool);
	hurried = hurry();
	empty = dax_empty(pool->dax, pool->first);
	calm(hurried);
	return empty && make_part(pool, &range, 1, device, sizeof(device)) &&
	       delete_part(pool, device);
}

/* Makes the first device whole again, at the end or after a partition that did not work. */
static bool restore(struct pool *pool)
{
	char path[POOL_PATH_MAX + 64], text[32];
	FILE *file;

	if (access(pool->whole, R_OK | W_OK) == 0)
		return true;
	snprintf(path, sizeof(path), "%s/devices/%s/size", pool->dax, pool->first);
	snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)pool->frames.count * FRAME);
	file = fopen(path, "we");
	if (file == NULL)
		return false;
	fputs(text, file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/drivers/device_dax/bind", pool->dax);
	file = fopen(path, "we");
	if (file == NULL)
		return false;
	fputs(pool->first, file);
	fclose(file);
	return access(pool->whole, R_OK | W_OK) == 0;
}

/*
 * The device daxN.0 of the region that begins at the pool. A device that an earlier socled has
 * emptied has no start any more, so a region of one device without memory will do, too.
 */
static bool find_first(const struct pool *pool, char *first, size_t size)
{
	char path[POOL_PATH_MAX + 16];
	struct dirent *entry;
	bool found = false;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/devices", pool->dax);
	directory = opendir(path);
	if (directory == NULL)
		return false;
	while (!found && (entry = readdir(directory)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');
		uint64_t start, bytes;

		if (dot == NULL || strcmp(dot, ".0") != 0 || strlen(entry->d_name) >= size ||
		    !dax_read(pool->dax, entry->d_name, "size", &bytes))
			continue;
		found = bytes == 0 || (dax_read(pool->dax, entry->d_name, "resource", &start) &&
				       start == pool->base);
		if (found)
			strcpy(first, entry->d_name);
	}
	closedir(directory);
	return found;
}

bool pool_open(struct pool *pool, const struct socle_handle *handle, const char *file,
	       char error[POOL_ERROR_BYTES])
{
	struct socle_info_memory memory;
	int result = socle_info_memory(handle, &memory);

	*pool = (struct pool){.dax = POOL_DAX_PATH};
	if (result != SOCLE_OK)
		return fail(error, "cannot ask for the guest pool: %s", socle_error_text(result));
	pool->base = memory.pool_base;
	if (!frames_open(&pool->frames, (uint32_t)(memory.pool_bytes / FRAME)))
		return fail(error, "out of memory");
	if (file != NULL) {
		pool->mode = POOL_WHOLE;
		snprintf(pool->whole, sizeof(pool->whole), "%s", file);
		fail(pool->reason, "it is a file");
		return true;
	}
	if (!find_first(pool, pool->first, sizeof(pool->first)))
		return fail(error,
			    "expected a dax device at 0x%" PRIx64 " in %s, found none: are "
			    "the modules dax_hmem and device_dax loaded?",
			    pool->base, pool->dax);
	snprintf(pool->whole, sizeof(pool->whole), "/dev/%s", pool->first);
	return true;
}

/* Which way the pool is used. */
static bool decide(struct pool *pool, char error[POOL_ERROR_BYTES])
{
	if (partition(pool)) {
		pool->mode = POOL_PARTITIONED;
		fprintf(stderr, "socled: the pool has a dax device for each domain\n");
		return true;
	}
	fail(pool->reason, "the kernel does not partition %s: %s", pool->first, strerror(errno));
	if (!restore(pool))
		return fail(error, "%s, and it cannot be used whole: %s", pool->reason,
			    strerror(errno));
	pool->mode = POOL_WHOLE;
	fprintf(stderr, "socled: all domains' VMMs share %s: %s\n", pool->whole, pool->reason);
	return true;
}

void pool_close(struct pool *pool)
{
	if (pool->mode == POOL_PARTITIONED && !restore(pool))
		fprintf(stderr, "socled: cannot make %s whole again: %s\n", pool->first,
			strerror(errno));
	frames_close(&pool->frames);
}

static bool make_device(struct pool *pool, struct pool_part *part, char error[POOL_ERROR_BYTES])
{
	struct dax_range range[POOL_RUNS_MAX];
	uint64_t offset = 0;

	for (unsigned int i = 0; i < part->runs; i++) {
		struct pool_run *run = &part->run[i];
		const uint64_t bytes = (uint64_t)run->count * FRAME;

		range[i] = (struct dax_range){pool_address(pool, run->first), bytes};
		run->offset = pool->mode == POOL_WHOLE ? (uint64_t)run->first * FRAME : offset;
		offset += bytes;
	}
	if (pool->mode == POOL_WHOLE) {
		snprintf(part->path, sizeof(part->path), "%s", pool->whole);
		return true;
	}
	if (!make_part(pool, range, part->runs, part->device, sizeof(part->device))) {
		part->device[0] = 0;
		return fail(error, "cannot make a dax device of %" PRIu64 " MiB: %s", offset >> 20,
			    strerror(errno));
	}
	snprintf(part->path, sizeof(part->path), "/dev/%s", part->device);
	return true;
}

bool pool_take(struct pool *pool, uint32_t count, struct pool_part *part,
	       char error[POOL_ERROR_BYTES])
{
	uint32_t free = pool->frames.free, left = count;

	*part = (struct pool_part){0};
	if (pool->mode == POOL_UNUSED && !decide(pool, error))
		return false;
	if (count > free)
		return fail(error,
			    "not enough memory: expected %" PRIu64
			    " MiB in the pool, found %" PRIu64 " MiB free",
			    (uint64_t)count * 2, (uint64_t)free * 2);
	while (left > 0 && part->runs < POOL_RUNS_MAX) {
		struct pool_run *run = &part->run[part->runs++];

		run->count = frames_take_run(&pool->frames, left, &run->first);
		left -= run->count;
	}
	if (left > 0)
		fail(error, "the pool's free memory is in more than %d pieces", POOL_RUNS_MAX);
	else if (make_device(pool, part, error))
		return true;
	pool_give(pool, part, false);
	return false;
}

int pool_open_part(const struct pool_part *part)
{
	return open(part->path, O_RDWR | O_CLOEXEC);
}

/* Past the caches: nobody is about to look at it, and what is in them is worth more. */
static __attribute__((target("avx"))) void zero_frame_avx(void *memory)
{
	const __m256i nothing = _mm256_setzero_si256();
	__m256i *at = memory, *const end = at + FRAME / sizeof(*at);

	while (at < end) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			_mm256_stream_si256(at + i, nothing);
		at += 16;
	}
	_mm_sfence();
}

static void zero_frame_sse2(void *memory)
{
	const __m128i nothing = _mm_setzero_si128();
	__m128i *at = memory, *const end = at + FRAME / sizeof(*at);

	while (at < end) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			_mm_stream_si128(at + i, nothing);
		at += 16;
	}
	_mm_sfence();
}

static void zero_frame(void *memory)
{
	if (__builtin_cpu_supports("avx"))
		zero_frame_avx(memory);
	else
		zero_frame_sse2(memory);
}

static bool zero(int fd, uint64_t offset)
{
	void *memory = mmap(NULL, FRAME, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (memory == MAP_FAILED)
		return false;
	zero_frame(memory);
	munmap(memory, FRAME);
	return true;
}

int pool_scrub(struct pool *pool, struct pool_part *part, uint32_t frames, bool all)
{
	int fd = -1, result = 0;

	while (result == 0 && part->scrub_run < part->runs) {
		const struct pool_run *run = &part->run[part->scrub_run];

		if (part->scrub_frame == run->count) {
			part->scrub_run++;
			part->scrub_frame = 0;
			continue;
		}
		if (all || !frames_clean(&pool->frames, run->first + part->scrub_frame)) {
			if (frames-- == 0)
				result = 1;
			else if ((fd < 0 && (fd = pool_open_part(part)) < 0) ||
				 !zero(fd, run->offset + (uint64_t)part->scrub_frame * FRAME))
				result = -1;
		}
		part->scrub_frame += result == 0;
	}
	if (fd >= 0)
		close(fd);
	return result;
}

bool pool_prepare(struct pool *pool, uint32_t frames)
{
	char error[POOL_ERROR_BYTES];
	uint32_t frame = FRAMES_NONE;
	int fd = -1;

	if (pool->prepared)
		return false;
	while (pool->mode != POOL_PARTITIONED && frames-- > 0) {
		frame = frames_next_dirty(&pool->frames, pool->ahead);
		/* What cannot be zeroed now is zeroed for a domain, and that will say why it
		 * cannot. */
		if (frame == FRAMES_NONE ||
		    (fd < 0 && (fd = open(pool->whole, O_RDWR | O_CLOEXEC)) < 0) ||
		    !zero(fd, (uint64_t)frame * FRAME)) {
			frame = FRAMES_NONE;
			break;
		}
		frames_cleaned(&pool->frames, frame);
		pool->ahead = frame + 1;
	}
	if (fd >= 0)
		close(fd);
	if (frame != FRAMES_NONE)
		return true;
	pool->prepared = true;
	if (pool->mode == POOL_UNUSED && !decide(pool, error))
		fprintf(stderr, "socled: %s\n", error);
	return false;
}

void pool_give(struct pool *pool, struct pool_part *part, bool clean)
{
	if (part->device[0] != 0 && !delete_part(pool, part->device))
		fprintf(stderr, "socled: cannot take %s away: %s\n", part->device, strerror(errno));
	for (unsigned int i = 0; i < part->runs; i++) {
		if (part->run[i].count > 0)
			frames_give(&pool->frames, part->run[i].first, part->run[i].count, clean);
	}
	*part = (struct pool_part){0};
}
