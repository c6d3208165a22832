/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is of everything that a domain has: before and after, and the commands between. */
#ifndef SOCLE_THINGS_H
#define SOCLE_THINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "socle.h"

#define THINGS_VMM	   "socle-vmm"
#define THINGS_DEADLINE_NS 120000000000ull

struct things {
	uint64_t pool_free;
	unsigned processes, devices, groups, files, domains;
};

/* Opens the root handle for the calls below, and finds socled. The test fails without them. */
struct socle_handle *things_open(void);

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t things_now(void);

/* Counts everything: no snapshot, so nothing should be going on. */
struct things things_count(void);

/* Processes of that name; *one becomes the last of them. */
unsigned things_processes(const char *name, pid_t *one);

/* Waits until everything is as it was; the test fails at THINGS_DEADLINE_NS, saying after what. */
void things_settle(const struct things *before, const char *when, uint64_t cycle);

/* Starts "socle VERB OPERAND [SETTING]", silent; setting may be NULL. */
pid_t things_start(const char *verb, const char *operand, const char *setting);

/* Waits for its end: the exit status. */
int things_finish(pid_t pid);

#endif
