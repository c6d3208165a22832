/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell: reads lines and runs them. On a terminal with editing, history and completion and
 * the prompt "socle> " (after a failure "socle [STATUS]> "); from a file or pipe without a prompt.
 */
#ifndef SOCLE_SHELL_H
#define SOCLE_SHELL_H

#include "verb.h"

/* Runs until "exit" or the end of input; gives the status to exit with. */
enum status shell_run(struct context *context);

/*
 * Runs one line: a verb with its words, "!" and a command for /bin/sh, or nothing at all (blank
 * or comment), which leaves the status as it is. context->status is the result.
 */
void shell_line(struct context *context, const char *line);

/* The prompt after a command with that status; overwritten by the next call. */
const char *shell_prompt(enum status status);

#endif
