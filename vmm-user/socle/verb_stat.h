/* SPDX-License-Identifier: BSD-2-Clause */
/* The two halves of "stat": the whole machine (verb_stat.c), and one domain (verb_stat_domain.c).
 */
#ifndef SOCLE_VERB_STAT_H
#define SOCLE_VERB_STAT_H

#include <jansson.h>

#include "verb.h"

/* Rows {reason, count} for a table, of an object with a number for each reason; without zeros. */
json_t *stat_reasons(json_t *exits);

/* Prints the counters of a domain since its start. */
enum status stat_domain(struct context *context, const char *name, bool json);

#endif
