/* SPDX-License-Identifier: BSD-2-Clause */
/* A reading of all of the hypervisor's counters, and its difference to an earlier one. */
#ifndef SOCLE_SAMPLE_H
#define SOCLE_SAMPLE_H

#include <jansson.h>
#include <stdint.h>

#include "context.h"

struct sample_cpu {
	struct socle_stats_cpu total;
	uint64_t service[SOCLE_EXIT_COUNT]; /* the service VM's exits */
};

struct sample {
	uint64_t tsc; /* when it was taken */
	struct socle_info_general general;
	struct sample_cpu *cpu; /* general.cpus_online of them */
};

/*
 * Reads the counters of all CPUs, one CPU after the other: no atomic snapshot.
 *
 * @sample filled on success; to be given to sample_free
 *
 * Gives STATUS_OK, or another status after a message on context->error.
 */
enum status sample_take(struct context *context, struct sample *sample);

void sample_free(struct sample *sample);

/*
 * The JSON form of what was counted between two samples.
 *
 * @before the earlier one; NULL for the hypervisor's start
 *
 * Gives an object to be released by the caller.
 */
json_t *sample_json(const struct sample *before, const struct sample *now,
		    enum socle_vendor vendor);

/* Seconds between two readings of the time-stamp counter; 0 if its frequency is not known. */
double sample_seconds(const struct socle_info_general *general, uint64_t from, uint64_t to);

#endif
