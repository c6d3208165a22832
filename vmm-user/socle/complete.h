/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion of verbs and options in the shell. */
#ifndef SOCLE_COMPLETE_H
#define SOCLE_COMPLETE_H

#include <stddef.h>

#define COMPLETE_MAX	    64
#define COMPLETE_INSERT_MAX 64

struct completion {
	int count;
	const char *candidate[COMPLETE_MAX]; /* without the dashes */
	const char *dashes;		     /* "--" if the candidates are options, else "" */
	char insert[COMPLETE_INSERT_MAX];    /* what can be added at the cursor; may be empty */
};

/*
 * Finds what the word that ends at the cursor can become: a verb at the start of the line and
 * after "help", an option after a verb. There is nothing to complete in a line for /bin/sh.
 *
 * @line   the line; need not be terminated
 * @cursor the cursor's place in it, in bytes
 */
void complete(const char *line, size_t cursor, struct completion *completion);

#endif
