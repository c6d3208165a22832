/* SPDX-License-Identifier: BSD-2-Clause */
/* The kinds of work of exitless-load. */
#ifndef SOCLE_EXITLESS_WORK_H
#define SOCLE_EXITLESS_WORK_H

#include <stdatomic.h>
#include <stdbool.h>

/* How often each kind of work was done. */
struct work {
	atomic_ulong timers;
	atomic_ulong processes;
	atomic_ulong disk_reads;
	atomic_ulong membarriers;
	atomic_ulong unmaps;
	atomic_ulong handovers; /* from one CPU to another through a futex */
	atomic_ulong yields;
	atomic_bool stop;
	char disk[64]; /* the disk that was read, "" if there is none */
	int cpus;
};

/* Does all kinds of work at once for some seconds. */
void work_run(struct work *work, unsigned int seconds);

#endif
