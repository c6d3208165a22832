/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <stdlib.h>

#include "frames.h"

bool frames_open(struct frames *frames, uint32_t count)
{
	*frames = (struct frames){calloc(count > 0 ? count : 1, 1), count, count};
	return frames->state != NULL;
}

void frames_close(struct frames *frames)
{
	free(frames->state);
	*frames = (struct frames){0};
}

/* The hole at or behind *at: its length, 0 at the end; *at becomes its start. */
static uint32_t next_hole(const struct frames *frames, uint32_t *at)
{
	uint32_t end;

	while (*at < frames->count && (frames->state[*at] & FRAME_USED) != 0)
		++*at;
	end = *at;
	while (end < frames->count && (frames->state[end] & FRAME_USED) == 0)
		end++;
	return end - *at;
}

uint32_t frames_take_run(struct frames *frames, uint32_t count, uint32_t *first)
{
	uint32_t best = FRAMES_NONE, best_length = 0, length;

	for (uint32_t at = 0; (length = next_hole(frames, &at)) > 0; at += length) {
		bool fits = length >= count, best_fits = best_length >= count;

		if (best == FRAMES_NONE || (fits && (!best_fits || length < best_length)) ||
		    (!fits && length > best_length)) {
			best = at;
			best_length = length;
		}
	}
	if (best == FRAMES_NONE)
		return 0;
	if (count > best_length)
		count = best_length;
	for (uint32_t i = 0; i < count; i++)
		frames->state[best + i] |= FRAME_USED;
	frames->free -= count;
	*first = best;
	return count;
}

uint32_t frames_take_top(struct frames *frames)
{
	for (uint32_t i = frames->count; i-- > 0;) {
		if ((frames->state[i] & FRAME_USED) != 0)
			continue;
		frames->state[i] |= FRAME_USED;
		frames->free--;
		return i;
	}
	return FRAMES_NONE;
}

void frames_give(struct frames *frames, uint32_t first, uint32_t count, bool clean)
{
	assert(first <= frames->count && count <= frames->count - first);
	for (uint32_t i = first; i < first + count; i++) {
		assert((frames->state[i] & FRAME_USED) != 0);
		frames->state[i] = clean ? FRAME_CLEAN : 0;
	}
	frames->free += count;
}

bool frames_clean(const struct frames *frames, uint32_t frame)
{
	return (frames->state[frame] & FRAME_CLEAN) != 0;
}

uint32_t frames_next_dirty(const struct frames *frames, uint32_t from)
{
	for (uint32_t i = from; i < frames->count; i++) {
		if (frames->state[i] == 0)
			return i;
	}
	return FRAMES_NONE;
}

void frames_cleaned(struct frames *frames, uint32_t frame)
{
	frames->state[frame] |= FRAME_CLEAN;
}
