/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "server.h"

/* A domain of an earlier socled goes when its VMM, which is being killed, has gone. */
#define LEFTOVER_TRIES	      5000
#define LEFTOVER_MICROSECONDS 1000

double daemon_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void daemon_log(const struct domain *domain, const char *format, ...)
{
	va_list arguments;

	fputs("socled: ", stderr);
	if (domain != NULL)
		fprintf(stderr, "%s: ", domain->config.name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

struct domain *daemon_find(struct daemon *daemon, const char *name)
{
	bool number = name[0] != 0 && strspn(name, "0123456789") == strlen(name);

	/* A name is never digits alone (config_name_valid). */
	for (struct domain *domain = daemon->domains; domain != NULL; domain = domain->next) {
		if (number ? domain->number != 0 && strtoull(name, NULL, 10) == domain->number
			   : strcmp(domain->config.name, name) == 0)
			return domain;
	}
	return NULL;
}

static void destroy_leftovers(struct daemon *daemon)
{
	unsigned int count = 0, tries = 0;
	struct socle_info_memory memory;

	if (socle_info_memory(&daemon->handle, &memory) == SOCLE_OK &&
	    memory.pool_free_bytes == memory.pool_bytes)
		return;
	for (uint32_t number = 1; number < SOCLE_MAX_DOMAINS; number++) {
		int result;

		while ((result = socle_domain_destroy(&daemon->handle, number)) == SOCLE_AGAIN &&
		       tries++ < LEFTOVER_TRIES)
			usleep(LEFTOVER_MICROSECONDS);
		if (result == SOCLE_AGAIN)
			daemon_log(NULL, "domain %u of an earlier socled does not go away", number);
		count += result == SOCLE_OK;
	}
	if (count > 0)
		daemon_log(NULL, "took %u domains of an earlier socled apart", count);
}

bool daemon_open(struct daemon *daemon, char error[POOL_ERROR_BYTES])
{
	daemon->ended = json_array();
	daemon->started = tsc_sample();
	if (!loop_open(&daemon->loop)) {
		snprintf(error, POOL_ERROR_BYTES, "cannot make an epoll descriptor: %m");
		return false;
	}
	daemon->cgroups = cgroup_open(daemon->options.cgroup);
	if (!daemon->cgroups)
		daemon_log(NULL,
			   "no control groups at %s (%m): weights, caps and cpus of domains "
			   "are not applied",
			   daemon->options.cgroup);
	destroy_leftovers(daemon);
	if (!pool_open(&daemon->pool, &daemon->handle, daemon->options.pool, error))
		return false;
	daemon->pool.prepared = daemon->options.lazy;
	daemon_log(NULL, "pool of %u MiB", daemon->pool.frames.count * 2);
	return server_open(daemon, error);
}

/* Milliseconds until something is due, at most `timeout`. */
static int next_timeout(const struct daemon *daemon, int timeout)
{
	double now = daemon_now(), first = server_deadline(daemon->server);

	for (const struct domain *domain = daemon->domains; domain != NULL; domain = domain->next) {
		if (domain->deadline > 0 && (first <= 0 || domain->deadline < first))
			first = domain->deadline;
	}
	if (first > 0) {
		double left = (first - now) * 1000 + 1;

		left = left < 0 ? 0 : left;
		if (timeout < 0 || left < timeout)
			timeout = (int)left;
	}
	return timeout;
}

static void check_deadlines(struct daemon *daemon)
{
	double now = daemon_now();

	for (struct domain *domain = daemon->domains; domain != NULL; domain = domain->next) {
		if (domain->deadline <= 0 || now < domain->deadline)
			continue;
		vmm_kill(domain, domain->state == DOMAIN_STARTING ? "the VMM was not ready in time"
								  : "the VMM did not exit in time");
	}
	server_check_deadlines(daemon->server, now);
}

/* Frames to be zeroed between two looks at what clients want: some 100 us each. */
#define SCRUB_AHEAD 4

void daemon_step(struct daemon *daemon, int timeout)
{
	bool worked = false;
	struct domain *next;

	for (struct domain *domain = daemon->domains; domain != NULL; domain = next) {
		next = domain->next;
		worked = domain_work(domain) || worked;
	}
	if (!worked)
		worked = pool_prepare(&daemon->pool, SCRUB_AHEAD);
	loop_step(&daemon->loop, worked ? 0 : next_timeout(daemon, timeout));
	check_deadlines(daemon);
}

void daemon_close(struct daemon *daemon)
{
	while (daemon->domains != NULL) {
		/* Those too that a client has asked for meanwhile. */
		for (struct domain *domain = daemon->domains; domain != NULL; domain = domain->next)
			domain_destroy(domain);
		daemon_step(daemon, -1);
	}
	server_close(daemon);
	pool_close(&daemon->pool);
	loop_close(&daemon->loop);
	json_decref(daemon->ended);
}
