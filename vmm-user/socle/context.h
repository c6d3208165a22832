/* SPDX-License-Identifier: BSD-2-Clause */
/* What a verb works with: where it writes, the hypervisor, the machine. */
#ifndef SOCLE_CONTEXT_H
#define SOCLE_CONTEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "socle.h"
#include "status.h"

enum restart { RESTART_POWER_OFF, RESTART_REBOOT };

/* What reaches beyond this process, so that unit tests can replace it. */
struct machine {
	bool (*present)(void); /* is there a Socle below us? */
	void (*sync)(void);
	int (*restart)(enum restart how); /* returns on failure, or if an init does it later */
};

extern const struct machine machine_real;

struct context {
	FILE *output;
	FILE *error;
	const struct machine *machine;
	const char *key_path;	 /* NULL: SOCLE_KEY_PATH */
	const char *socket_path; /* NULL: CLIENT_SOCKET_PATH */
	struct socle_handle handle;
	bool opened;	    /* handle is valid */
	bool leave;	    /* "exit" was given: the shell ends */
	enum status status; /* of the last command, for the prompt and for "exit" */
};

/*
 * Opens the hypervisor's handle unless it is open already. Gives STATUS_OK, or the status for the
 * reason after a message on context->error.
 */
enum status context_open(struct context *context);

/* Prints "socle: " and a message on context->error, with a newline. */
void __attribute__((format(printf, 2, 3)))
context_complain(struct context *context, const char *format, ...);

/*
 * Says that the hypervisor refused a call.
 *
 * @what   what was asked of it, for example "info"
 * @result the negative result of the call
 *
 * Gives STATUS_REFUSED.
 */
enum status context_refused(struct context *context, const char *what, int64_t result);

#endif
