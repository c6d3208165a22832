/* SPDX-License-Identifier: BSD-2-Clause */
/* A ticket-less spin lock. The hypervisor runs with interrupts off; sections are a few lines long.
 */
#ifndef HV_SPINLOCK_H
#define HV_SPINLOCK_H

struct spinlock {
	int taken;
};

static inline void spin_lock(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE) != 0)
		__builtin_ia32_pause();
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

#endif
