/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking socled: one JSON object a line, both ways (vmm-user/socled/request.c lists the verbs). */
#ifndef SOCLE_CLIENT_H
#define SOCLE_CLIENT_H

#include <jansson.h>

#include "context.h"
#include "verb.h"

#define CLIENT_SOCKET_PATH "/run/socle/socled.sock"

/* Longest name of a domain, with its zero byte. */
#define CLIENT_NAME_BYTES 64

struct client {
	int fd;
	char *input; /* received behind the last line */
	size_t bytes, size;
};

/* Connects. Gives STATUS_OK, or the status for the reason after a message. */
enum status client_open(struct context *context, struct client *client);
void client_close(struct client *client);

/* Sends a request, taken over. */
enum status client_send(struct context *context, struct client *client, json_t *request);

/*
 * Waits for a reply.
 *
 * @reply  to be released; filled on success, that is if socled says "ok"
 * @passed the descriptor that came with it, -1 if none did; NULL: none is expected
 *
 * Gives STATUS_OK, or the status for the reason after a message: STATUS_FAILED if socled refuses.
 */
enum status client_receive(struct context *context, struct client *client, json_t **reply,
			   int *passed);

/* Connects, sends, waits and closes. */
enum status client_ask(struct context *context, json_t *request, json_t **reply);

/* Fills names with those of the domains, for completion; says nothing. Gives their number. */
size_t client_domain_names(struct context *context, char name[][CLIENT_NAME_BYTES], size_t max);

/*
 * What verbs such as "pause" do: asks socled for `what` with each of the operands, goes on behind
 * one that fails, and prints {name, domid} of each with --json.
 */
enum status client_each_domain(struct context *context, const struct arguments *arguments,
			       const char *what);

#endif
