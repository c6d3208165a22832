/* SPDX-License-Identifier: BSD-2-Clause */
/* A domain's console on this terminal. */
#ifndef SOCLE_TERMINAL_H
#define SOCLE_TERMINAL_H

#include "client.h"

/* The key that leaves a console: Ctrl-]. */
#define TERMINAL_ESCAPE 0x1d

enum terminal_end {
	TERMINAL_LEFT,	 /* by the escape key */
	TERMINAL_CLOSED, /* the domain has gone */
	TERMINAL_WAITED, /* the other descriptor can be read */
	TERMINAL_FAILED
};

/*
 * Asks for the domain's console of that type, "serial" or "pv", and number; type NULL: for its
 * first one. *console is its descriptor on success; says on context->error if
 * somebody else writes on it.
 */
enum status terminal_attach(struct context *context, const char *domain, const char *type,
			    unsigned long number, int *console);

/*
 * Copies from the console to context->output, and from input to the console, until one of the ends.
 * If input is a terminal, it is in raw mode meanwhile. When input ends, output goes on.
 *
 * @wait a descriptor whose readability ends it, after what the console has; -1: none
 */
enum terminal_end terminal_run(struct context *context, int input, int console, int wait);

#endif
