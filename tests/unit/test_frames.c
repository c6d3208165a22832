/* SPDX-License-Identifier: BSD-2-Clause */
/* The allocator of frames against a model that is too simple to be wrong; and the ring. */
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "ring.h"
#include "tsc.h"
#include "unit.h"

#define COUNT 97

static struct frames frames;
static uint8_t model[COUNT]; /* 1: in use */

static void start(void)
{
	ck_assert(frames_open(&frames, COUNT));
	memset(model, 0, sizeof(model));
}

static void stop(void)
{
	frames_close(&frames);
}

/* The smallest hole that holds `want`, else the largest; the lowest of equal ones. */
static uint32_t model_best(uint32_t want, uint32_t *length)
{
	uint32_t best = FRAMES_NONE, best_length = 0;

	for (uint32_t at = 0; at < COUNT; at++) {
		uint32_t end = at;

		if (model[at] || (at > 0 && !model[at - 1]))
			continue;
		while (end < COUNT && !model[end])
			end++;
		if (best == FRAMES_NONE ||
		    (best_length < want ? end - at > best_length
					: end - at >= want && end - at < best_length)) {
			best = at;
			best_length = end - at;
		}
	}
	*length = best_length < want ? best_length : want;
	return best;
}

static uint32_t model_free(void)
{
	uint32_t free = 0;

	for (int i = 0; i < COUNT; i++)
		free += !model[i];
	return free;
}

START_TEST(against_model)
{
	struct {
		uint32_t first, count;
	} held[COUNT];
	unsigned int holds = 0;

	srand(77 + (unsigned int)_i);
	for (int round = 0; round < 3000; round++) {
		uint32_t first = FRAMES_NONE, count = 1, length;

		if (holds > 0 && rand() % 2 == 0) {
			unsigned int i = (unsigned int)rand() % holds;
			bool clean = rand() % 2 == 0;

			frames_give(&frames, held[i].first, held[i].count, clean);
			memset(model + held[i].first, 0, held[i].count);
			ck_assert(frames_clean(&frames, held[i].first) == clean);
			held[i] = held[--holds];
		} else if (rand() % 4 == 0) {
			uint32_t top = COUNT;

			while (top > 0 && model[top - 1])
				top--;
			first = frames_take_top(&frames);
			ck_assert_uint_eq(first, top == 0 ? FRAMES_NONE : top - 1);
			count = first == FRAMES_NONE ? 0 : 1;
		} else {
			uint32_t want = 1 + (uint32_t)rand() % 20;
			uint32_t expected = model_best(want, &length);

			count = frames_take_run(&frames, want, &first);
			ck_assert_uint_eq(count, length);
			if (count > 0)
				ck_assert_uint_eq(first, expected);
		}
		if (first != FRAMES_NONE && count > 0) {
			for (uint32_t i = first; i < first + count; i++) {
				ck_assert_uint_eq(model[i], 0);
				model[i] = 1;
			}
			held[holds].first = first;
			held[holds++].count = count;
		}
		ck_assert_uint_eq(frames.free, model_free());
	}
}
END_TEST

/* What is free and not clean is found once, and nothing else. */
START_TEST(dirty_ones)
{
	uint32_t first, frame, found = 0;

	ck_assert_uint_eq(frames_take_run(&frames, 5, &first), 5);
	frames_give(&frames, first, 2, true);
	for (frame = 0; (frame = frames_next_dirty(&frames, frame)) != FRAMES_NONE; found++) {
		ck_assert(!frames_clean(&frames, frame));
		ck_assert(frame >= first + 5 || frame < first);
		frames_cleaned(&frames, frame);
	}
	ck_assert_uint_eq(found, COUNT - 5);
	frames_give(&frames, first + 2, 3, false);
	ck_assert_uint_eq(frames_next_dirty(&frames, 0), first + 2);
	ck_assert_uint_eq(frames_next_dirty(&frames, first + 5), FRAMES_NONE);
}
END_TEST

START_TEST(empty_pool)
{
	struct frames none;
	uint32_t first;

	ck_assert(frames_open(&none, 0));
	ck_assert_uint_eq(frames_take_run(&none, 1, &first), 0);
	ck_assert_uint_eq(frames_take_top(&none), FRAMES_NONE);
	frames_close(&none);
}
END_TEST

START_TEST(ring)
{
	static struct ring ring;
	static char text[3 * RING_BYTES];
	uint64_t position = 0, put = 0;
	const char *data;
	size_t got;

	srand(5);
	memset(&ring, 0, sizeof(ring));
	for (int round = 0; round < 300; round++) {
		size_t bytes = (size_t)rand() % (round % 50 == 0 ? sizeof(text) : 3000);

		for (size_t i = 0; i < bytes; i++)
			text[i] = (char)((put + i) * 31 % 251);
		ring_put(&ring, text, bytes);
		put += bytes;
		ck_assert_uint_eq(ring.end, put);
		while ((got = ring_peek(&ring, &position, &data)) > 0) {
			ck_assert_uint_ge(position, ring_start(&ring));
			for (size_t i = 0; i < got; i++)
				ck_assert_int_eq(data[i], (char)((position + i) * 31 % 251));
			position += got;
			if (rand() % 3 == 0)
				break;
		}
	}
	memset(&ring, 0, sizeof(ring));
	ring_put(&ring, "hello", 5);
	ck_assert_uint_eq(ring_copy(&ring, text, 4), 3);
	ck_assert_str_eq(text, "llo");
	ck_assert_uint_eq(ring_copy(&ring, text, 100), 5);
	ck_assert_str_eq(text, "hello");
}
END_TEST

/* Two measurements agree, and neither ends before it has something to measure. */
START_TEST(tsc_rate)
{
	struct tsc_sample first = tsc_sample();
	uint64_t hz = tsc_hz(first), again;
	struct tsc_sample later = tsc_sample();

	ck_assert_uint_ge(later.nanoseconds - first.nanoseconds, 2000000);
	ck_assert_uint_gt(later.ticks, first.ticks);
	again = tsc_hz(first);
	ck_assert_uint_gt(again, hz - hz / 100);
	ck_assert_uint_lt(again, hz + hz / 100);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("frames");
	TCase *all = tcase_create("frames");

	tcase_add_checked_fixture(all, start, stop);
	tcase_set_timeout(all, 60); /* on a machine that does much else */
	tcase_add_loop_test(all, against_model, 0, 5);
	tcase_add_test(all, dirty_ones);
	tcase_add_test(all, empty_pool);
	tcase_add_test(all, ring);
	tcase_add_test(all, tsc_rate);
	suite_add_tcase(suite, all);
	return suite;
}
