/* SPDX-License-Identifier: BSD-2-Clause */
/* socled in this process, with the fake hypervisor, a file as the pool and the fake VMM. */
#ifndef SOCLE_SOCLED_RIG_H
#define SOCLE_SOCLED_RIG_H

#include "daemon.h"
#include "fake_domains.h"
#include "server.h"
#include "unit.h"

#define RIG_FRAMES 48

extern struct daemon rig;
extern int rig_client;

/* A test sets it to have rig_stop() end socled with the domains that there are. */
extern bool rig_ends_at_once; /* a connection */

void rig_start(void);

/* Ends socled; fails if a frame, process, file, descriptor or domain is left. */
void rig_stop(void);

int rig_connect(void);
void rig_send(int fd, const char *text, size_t bytes);

/*
 * Has socled work until the connection brings a line; gives it parsed. NULL: it was closed. A
 * descriptor that came with it goes to *passed if that is not NULL.
 */
json_t *rig_receive(int fd, int *passed);

/* Asks (the arguments are json_pack's) and gives the reply; fails unless "ok" is as expected. */
json_t *rig_ask(bool ok, const char *format, ...);

/* The same, for a reply that nobody looks at. */
#define rig_do(...) json_decref(rig_ask(true, __VA_ARGS__))

/* Asks, expects an error and that it has this text in it. */
#define rig_refuse(text, ...) rig_expect_error(rig_ask(false, __VA_ARGS__), text)
void rig_expect_error(json_t *reply, const char *text);

/* A request that creates a domain of 4 MiB with these words for the fake VMM. */
json_t *rig_config(const char *name, const char *words, const char *key, const char *value);

/* The entry of "list", or NULL. To be released. */
json_t *rig_entry(const char *name);

/* Works until the domain's entry has this state; NULL: until there is none. */
void rig_until(const char *name, const char *state);

#endif
