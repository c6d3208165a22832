/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion of verbs and options in the shell. */
#ifndef SOCLE_COMPLETE_H
#define SOCLE_COMPLETE_H

#include <stddef.h>

#define COMPLETE_MAX	    64
#define COMPLETE_INSERT_MAX 64
#define COMPLETE_NAME_BYTES 64 /* of a domain */

struct completion {
	int count;
	const char *candidate[COMPLETE_MAX]; /* without the dashes */
	const char *dashes;		     /* "--" if the candidates are options, else "" */
	char insert[COMPLETE_INSERT_MAX];    /* what can be added at the cursor; may be empty */
	char name[COMPLETE_MAX][COMPLETE_NAME_BYTES]; /* candidates that are domains */
};

/* Fills `name` with the domains' names, at most `max`, and gives their number. */
typedef size_t complete_domains(void *owner, char name[][COMPLETE_NAME_BYTES], size_t max);

/* Says how the domains can be found; without that, they are not completed. */
void complete_set_domains(complete_domains *domains, void *owner);

/*
 * Finds what the word that ends at the cursor can become: a verb at the start of the line and
 * after "help", an option or a domain after a verb. There is nothing to complete in a line for
 * /bin/sh.
 *
 * @line   the line; need not be terminated
 * @cursor the cursor's place in it, in bytes
 */
void complete(const char *line, size_t cursor, struct completion *completion);

#endif
