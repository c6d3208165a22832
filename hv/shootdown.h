/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one CPU has to tell the others: throw away cached translations, leave the guest. They are
 * told by NMI, since every other vector is the service VM's.
 *
 * A CPU answers between two exits, or while it waits for a lock: at moments at which it holds no
 * reference to a domain. So shootdown() is also a grace period: what was unlinked before it is not
 * in use behind it. (tests/model/run.pml has these functions step by step.)
 */
#ifndef HV_SHOOTDOWN_H
#define HV_SHOOTDOWN_H

#include "hv/cpu.h"
#include "hv/spinlock.h"

/*
 * Returns when every CPU has thrown away all translations, its own and those of VMs, that it had
 * when this was called. The caller holds the domains' lock and no pointer that may go away.
 */
void shootdown(void);

/*
 * Makes a CPU leave its guest. Any CPU may call it, for any. NULL: the vCPU has never run, and its
 * CPU is about to look by itself at what it would have been told.
 */
void shootdown_kick(struct cpu *cpu);

/*
 * An NMI has reached this CPU: does what other CPUs asked for. True if there was anything: the NMI
 * was theirs. False: it is the machine's.
 */
bool shootdown_answer(struct cpu *cpu);

/* spin_lock() that answers other CPUs meanwhile. The caller holds no reference to a domain. */
void spin_lock_answering(struct spinlock *lock);

#endif
