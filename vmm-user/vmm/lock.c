/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm-user/vmm/lock.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex(uint32_t *word, int operation, uint32_t value)
{
	syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/*
 * Who has waited takes the lock as one that others may wait for: it cannot know. That costs a
 * needless wake-up at times, and never loses one.
 */
void lock_wait(struct lock *lock)
{
	while (__atomic_exchange_n(&lock->word, LOCK_WAITED_FOR, __ATOMIC_ACQUIRE) != LOCK_FREE)
		futex(&lock->word, FUTEX_WAIT, LOCK_WAITED_FOR);
}

void lock_wake(struct lock *lock)
{
	futex(&lock->word, FUTEX_WAKE, 1);
}

void condition_wait(struct condition *condition, struct lock *lock)
{
	uint32_t turn = __atomic_load_n(&condition->turn, __ATOMIC_RELAXED);

	/* A broadcast between the two changes the word, and the futex does not sleep. */
	lock_drop(lock);
	futex(&condition->turn, FUTEX_WAIT, turn);
	lock_take(lock);
}

void condition_broadcast(struct condition *condition)
{
	__atomic_fetch_add(&condition->turn, 1, __ATOMIC_RELAXED);
	futex(&condition->turn, FUTEX_WAKE, INT_MAX);
}
