/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ticks that a periodic timer owes its guest: those that came late because the service VM was busy,
 * and those that found the one before not taken. A guest that counts them keeps time by them, so
 * they are given later, between the others: a guest that has fallen behind gets ticks at twice
 * their rate at most.
 */
#ifndef VMM_DEVICES_TICK_H
#define VMM_DEVICES_TICK_H

#include <stdint.h>

#define TICKS_OWED_MAX 500u /* who misses more has not been there */

static inline void tick_owe(uint16_t *owed, uint64_t more)
{
	*owed = more > TICKS_OWED_MAX - *owed ? TICKS_OWED_MAX : (uint16_t)(*owed + more);
}

#endif
