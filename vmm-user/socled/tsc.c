/* SPDX-License-Identifier: BSD-2-Clause */
#include "tsc.h"

#include <time.h>
#include <x86intrin.h>

#define TRIES	      8
#define NANOSECONDS   1000000000ull
#define MINIMUM_NANOS 2000000ull

static uint64_t monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/* The quickest of a few tries: nothing came between the two clocks. */
struct tsc_sample tsc_sample(void)
{
	struct tsc_sample best = {0, 0};
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = __rdtsc(), clock = monotonic(), after = __rdtsc();

		if (after - before < shortest) {
			shortest = after - before;
			best = (struct tsc_sample){before + shortest / 2, clock};
		}
	}
	return best;
}

uint64_t tsc_hz(struct tsc_sample since)
{
	struct tsc_sample now;

	do
		now = tsc_sample();
	while (now.nanoseconds - since.nanoseconds < MINIMUM_NANOS);
	return (uint64_t)((unsigned __int128)(now.ticks - since.ticks) * NANOSECONDS /
			  (now.nanoseconds - since.nanoseconds));
}
