/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of the guest pool, 2 MiB each, by number from the pool's start: which are in use, and
 * which are known to hold zeros only.
 *
 * A domain's memory is one run if it can be, taken from the smallest hole that holds it, the lowest
 * of equal ones. Single frames for the hypervisor come from the top, so that they do not cut holes
 * up.
 */
#ifndef SOCLED_FRAMES_H
#define SOCLED_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

struct frames {
	uint8_t *state; /* bits FRAME_* of each frame */
	uint32_t count, free;
};

#define FRAME_USED  1u
#define FRAME_CLEAN 2u

/* No frame. */
#define FRAMES_NONE UINT32_MAX

/* All free, none clean. False: out of memory. */
bool frames_open(struct frames *frames, uint32_t count);
void frames_close(struct frames *frames);

/*
 * Takes up to `count` frames in a row: all of them if there is a hole that holds them, else the
 * largest hole. Gives the number taken; *first is the first of them.
 */
uint32_t frames_take_run(struct frames *frames, uint32_t count, uint32_t *first);

/* Takes the highest free frame, or gives FRAMES_NONE. */
uint32_t frames_take_top(struct frames *frames);

/* Gives frames that are in use back, with what is known of their content. */
void frames_give(struct frames *frames, uint32_t first, uint32_t count, bool clean);

bool frames_clean(const struct frames *frames, uint32_t frame);

/* The first frame at or behind `from` that is free and not known to be clean, or FRAMES_NONE. */
uint32_t frames_next_dirty(const struct frames *frames, uint32_t from);

/* What frames_next_dirty() gave is clean now. */
void frames_cleaned(struct frames *frames, uint32_t frame);

#endif
