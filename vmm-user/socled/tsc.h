/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time-stamp counter's rate by the system's clock. Domains are told it: their devices' clocks
 * follow the system's, and a guest that finds its TSC out of step with them stops using it.
 */
#ifndef SOCLED_TSC_H
#define SOCLED_TSC_H

#include <stdint.h>

struct tsc_sample {
	uint64_t ticks, nanoseconds;
};

/* Both clocks at the same time. */
struct tsc_sample tsc_sample(void);

/*
 * Ticks a second, measured from `since` to now: the longer, the more exactly. Returns after 2 ms
 * from then at the earliest.
 */
uint64_t tsc_hz(struct tsc_sample since);

#endif
