/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lock in one word, and a condition to wait for with it: taking a lock that is free is one
 * instruction, which counts where every exit of a guest takes it.
 */
#ifndef VMM_LOCK_H
#define VMM_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: free. */
struct lock {
	uint32_t word; /* enum lock_word */
};

enum lock_word { LOCK_FREE, LOCK_HELD, LOCK_WAITED_FOR };

/* All zero: as made. */
struct condition {
	uint32_t turn;
};

/* lock.c: the ways that sleep or wake. */
void lock_wait(struct lock *lock);
void lock_wake(struct lock *lock);

static inline void lock_take(struct lock *lock)
{
	uint32_t free = LOCK_FREE;

	if (!__atomic_compare_exchange_n(&lock->word, &free, LOCK_HELD, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		lock_wait(lock);
}

static inline void lock_drop(struct lock *lock)
{
	if (__atomic_exchange_n(&lock->word, LOCK_FREE, __ATOMIC_RELEASE) == LOCK_WAITED_FOR)
		lock_wake(lock);
}

/*
 * With the lock held, which is dropped meanwhile: waits for a condition_broadcast() that comes
 * after the call. May return without one, so the caller looks again.
 */
void condition_wait(struct condition *condition, struct lock *lock);
/* With the lock held: wakes all who wait. */
void condition_broadcast(struct condition *condition);

#endif
