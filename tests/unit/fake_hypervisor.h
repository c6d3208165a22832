/* SPDX-License-Identifier: BSD-2-Clause */
/* A hypervisor of the ABI's rules, to be called through a handle like the real one. */
#ifndef SOCLE_FAKE_HYPERVISOR_H
#define SOCLE_FAKE_HYPERVISOR_H

#include "socle.h"

#define FAKE_CPUS	3
#define FAKE_VM_MAX	1 /* a domain whose vCPUs count as the CPUs do */
#define FAKE_LOG_BYTES	1024
#define FAKE_POOL_BYTES (1024ull << 20)

struct fake_hypervisor {
	struct socle_key key;
	struct socle_info_general general;
	struct socle_info_memory memory;
	uint32_t apic_id[FAKE_CPUS];
	struct socle_stats_cpu stats[FAKE_CPUS];
	uint64_t exits[FAKE_CPUS][SOCLE_EXIT_COUNT];
	char log[FAKE_LOG_BYTES]; /* a ring: position p is at p % FAKE_LOG_BYTES */
	uint64_t log_end;	  /* bytes logged since the start */
	int64_t fail_call;	  /* this call gives fail_result; -1: none does */
	int64_t fail_result;
	unsigned int per_call; /* exits that each call adds for SOCLE_EXIT_CPUID on CPU 0 */
};

extern struct fake_hypervisor fake;

/* Puts the fake into its first state; gives a handle with its key. */
struct socle_handle fake_start(enum socle_vendor vendor);

void fake_log(const char *text);

#endif
