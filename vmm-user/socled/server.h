/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket on which clients ask: lines, one JSON object each, both ways.
 *
 *     {"do": VERB, "id": any, ...}    a request
 *     {"ok": true, "id": any, ...}    the reply; descriptors come with its first byte
 *     {"ok": false, "id": any, "error": TEXT}
 *
 * Replies of requests that wait for something (create, pause, wait ...) come when it has happened.
 */
#ifndef SOCLED_SERVER_H
#define SOCLED_SERVER_H

#include "daemon.h"

#define SERVER_CLIENTS_MAX     64
#define SERVER_LINE_BYTES_MAX  (128u << 10)
#define SERVER_QUEUE_BYTES_MAX (16u << 20)
#define SERVER_WAITERS_MAX     256

/* A pause that has not been answered by then fails. */
#define SERVER_ANSWER_SECONDS 10

struct client;

enum wait { WAIT_CREATE, WAIT_PAUSE, WAIT_UNPAUSE, WAIT_DESTROY, WAIT_END };

/* Carries one request out: replies now, or has it wait. request.c */
void request_handle(struct client *client, const json_t *request);

struct daemon *client_daemon(struct client *client);

/* Sends {"ok": true} with what is in `data` (taken; NULL: nothing) and, unless -1, fd (taken). */
void client_reply(struct client *client, const json_t *request, json_t *data, int fd);
void client_error(struct client *client, const json_t *request, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Has the reply wait for the domain. */
void client_wait(struct client *client, const json_t *request, struct domain *domain,
		 enum wait wait);

/* The first moment at which a wait has been too long; 0: none. */
double server_deadline(const struct server *server);
void server_check_deadlines(struct server *server, double now);

#endif
