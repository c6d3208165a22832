// SPDX-License-Identifier: BSD-2-Clause
#include "hv/pool.h"

#include "hv/memory.h"

static struct frame *frames;
static uint64_t base, count, free_count;

void pool_init(const struct boot_info *boot)
{
	base = boot->pool_base;
	count = boot->pool_bytes / LARGE_PAGE_BYTES;
	free_count = count;
	/* Pages of the arena follow each other. */
	for (uint64_t bytes = 0; bytes < count * sizeof(*frames); bytes += PAGE_BYTES) {
		void *page = memory_page();

		if (bytes == 0)
			frames = page;
	}
}

struct frame *pool_frame(hpa_t at)
{
	uint64_t index = (at.v - base) / LARGE_PAGE_BYTES;

	return at.v >= base && index < count ? &frames[index] : NULL;
}

void pool_set(struct frame *frame, enum frame_owner owner, uint16_t domain)
{
	if (frame->owner == FRAME_FREE)
		free_count--;
	if (owner == FRAME_FREE)
		free_count++;
	*frame = (struct frame){.domain = domain, .owner = (uint8_t)owner};
}

bool pool_is_assigned(hpa_t at, uint64_t bytes, uint16_t domain)
{
	if (bytes == 0 || bytes > count * LARGE_PAGE_BYTES || at.v + bytes < at.v)
		return false;
	for (uint64_t v = align_down(at.v, LARGE_PAGE_BYTES); v < at.v + bytes;
	     v += LARGE_PAGE_BYTES) {
		const struct frame *frame = pool_frame(hpa(v));

		if (frame == NULL || frame->owner != FRAME_ASSIGNED || frame->domain != domain)
			return false;
	}
	return true;
}

uint64_t pool_free_bytes(void)
{
	return __atomic_load_n(&free_count, __ATOMIC_RELAXED) * LARGE_PAGE_BYTES;
}

uint64_t pool_frames(void)
{
	return count;
}

hpa_t pool_frame_address(uint64_t index)
{
	return hpa(base + index * LARGE_PAGE_BYTES);
}
