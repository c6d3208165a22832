/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "daemon.h"

/* Frames that one piece of work zeroes: some milliseconds. */
#define SCRUB_FRAMES 16

/* Steps of DOMAIN_DYING. */
enum { DYING_VMM, DYING_HYPERVISOR, DYING_SCRUB, DYING_RELEASE };

/*
 * What the hypervisor keeps of a domain: a vCPU takes some pages, and so does each GiB of memory.
 */
static unsigned int metas_wanted(const struct domain_config *config)
{
	unsigned int wanted = 1 + config->vcpus / 17 + config->memory_mib / (256u << 10);

	return wanted < DOMAIN_META_MAX ? wanted : DOMAIN_META_MAX;
}

static bool __attribute__((format(printf, 2, 3)))
fail(char error[DOMAIN_REASON_BYTES], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, DOMAIN_REASON_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

/* Taking --------------------------------------------------------------------------------------- */

static bool take_metas(struct domain *domain, char error[DOMAIN_REASON_BYTES])
{
	struct daemon *daemon = domain->daemon;
	struct socle_domain_created created;
	unsigned int wanted = metas_wanted(&domain->config);

	while (domain->metas < wanted) {
		uint32_t frame = frames_take_top(&daemon->pool.frames);
		uint64_t at = pool_address(&daemon->pool, frame);
		int result;

		if (frame == FRAMES_NONE)
			return fail(error, "not enough memory: the pool is used up");
		if (domain->metas == 0)
			result = socle_domain_create(&daemon->handle, at, &created);
		else
			result = socle_domain_donate(&daemon->handle, domain->number, at);
		if (result != SOCLE_OK) {
			frames_give(&daemon->pool.frames, frame, 1, false);
			return fail(error, "the hypervisor refused the domain: %s",
				    socle_error_text(result));
		}
		if (domain->metas == 0) {
			domain->number = (uint32_t)created.domain;
			domain->key = created.key;
		}
		domain->meta[domain->metas++] = frame;
	}
	return true;
}

static bool take_memory(struct domain *domain, char error[DOMAIN_REASON_BYTES])
{
	struct daemon *daemon = domain->daemon;
	const struct domain_config *config = &domain->config;
	unsigned int more = vmm_control_frames(config->vcpus, config->disks + config->nets);
	char why[POOL_ERROR_BYTES];

	if (!pool_take(&daemon->pool, config->memory_mib / 2 + more, &domain->part, why))
		return fail(error, "%s", why);
	for (unsigned int i = 0; i < domain->part.runs; i++) {
		const struct pool_run *run = &domain->part.run[i];
		int result = socle_domain_assign(&daemon->handle, domain->number,
						 pool_address(&daemon->pool, run->first),
						 (uint64_t)run->count * SOCLE_FRAME_BYTES);

		if (result != SOCLE_OK)
			return fail(error, "the hypervisor refused the domain's memory: %s",
				    socle_error_text(result));
	}
	return true;
}

static void take_cgroup(struct domain *domain)
{
	struct daemon *daemon = domain->daemon;
	char name[32];

	if (!daemon->cgroups)
		return;
	snprintf(name, sizeof(name), "domain-%u", domain->number);
	if (!cgroup_create(daemon->options.cgroup, name, &domain->config, domain->cgroup))
		daemon_log(domain, "no control group, so no limits: %m");
}

static bool take_all(struct domain *domain, char error[DOMAIN_REASON_BYTES])
{
	domain->state = DOMAIN_PREPARING;
	domain->end = END_NONE;
	domain->reason[0] = 0;
	domain->was_started = false;
	domain->dying_step = DYING_VMM;
	domain->started = 0;
	domain->memory_target = domain->memory_now = domain->config.memory_mib;
	domain->memory_free = -1;
	if (!take_metas(domain, error) || !take_memory(domain, error))
		return false;
	take_cgroup(domain);
	return true;
}

/* Giving back ---------------------------------------------------------------------------------- */

/* True: done. A domain that the hypervisor does not let go keeps its frames for ever. */
static bool give_hypervisor(struct domain *domain)
{
	int result;

	if (domain->number == 0)
		return true;
	result = socle_domain_destroy(&domain->daemon->handle, domain->number);
	if (result == SOCLE_AGAIN)
		return false;
	if (result != SOCLE_OK && result != SOCLE_ERROR_DOMAIN) {
		daemon_log(domain, "the hypervisor does not give up its frames: %s",
			   socle_error_text(result));
		domain->metas = 0;
		domain->part.runs = 0;
	}
	return true;
}

static void give_rest(struct domain *domain, bool clean)
{
	struct daemon *daemon = domain->daemon;

	pool_give(&daemon->pool, &domain->part, clean);
	/* The hypervisor has zeroed them. */
	while (domain->metas > 0)
		frames_give(&daemon->pool.frames, domain->meta[--domain->metas], 1, true);
	explicit_bzero(&domain->key, sizeof(domain->key));
	domain->number = 0;
	passt_end(domain);
	if (domain->cgroup[0] != 0 && !cgroup_remove(domain->cgroup))
		daemon_log(domain, "cannot take the control group %s away: %m", domain->cgroup);
	domain->cgroup[0] = 0;
}

static void free_domain(struct domain *domain)
{
	struct loop *loop = &domain->daemon->loop;

	for (int i = 0; i < DOMAIN_CONSOLES; i++) {
		if (domain->console[i] != NULL)
			console_close(domain->console[i]);
		free(domain->console[i]);
	}
	loop_drop(loop, &domain->control);
	loop_drop(loop, &domain->log_pipe);
	loop_drop(loop, &domain->process);
	json_decref(domain->tree);
	free(domain);
}

static void die(struct domain *domain)
{
	domain->state = DOMAIN_DYING;
	domain->dying_step = DYING_VMM;
}

/* The last of it: it starts anew, or is forgotten. */
static void end_domain(struct domain *domain)
{
	struct domain **link = &domain->daemon->domains;
	char error[DOMAIN_REASON_BYTES];

	if (domain->restart) {
		domain->restart = false;
		domain->restarts++;
		if (take_all(domain, error))
			return;
		vmm_set_end(domain, END_CRASH, "cannot be restarted: %s", error);
		domain->was_started = true;
		die(domain);
		return;
	}
	while (*link != domain)
		link = &(*link)->next;
	*link = domain->next;
	/* One that never ran is told to whoever wanted to create it, and to nobody else. */
	if (domain->was_started && domain->end != END_DESTROY)
		list_remember(domain);
	daemon_notify(domain, NOTICE_GONE);
	free_domain(domain);
}

/* One step; false: it waits for the VMM's end. */
static bool dying_work(struct domain *domain)
{
	int scrubbed;

	switch (domain->dying_step) {
	case DYING_VMM:
		if (domain->pid > 0)
			return false;
		domain->part.scrub_run = 0;
		domain->part.scrub_frame = 0;
		domain->dying_step = DYING_HYPERVISOR;
		break;
	case DYING_HYPERVISOR:
		if (give_hypervisor(domain))
			domain->dying_step = DYING_SCRUB;
		break;
	case DYING_SCRUB:
		scrubbed = pool_scrub(&domain->daemon->pool, &domain->part, SCRUB_FRAMES, true);
		if (scrubbed < 0)
			daemon_log(domain, "cannot zero its memory now, but before it is used: %m");
		if (scrubbed > 0)
			break;
		give_rest(domain, scrubbed == 0);
		domain->dying_step = DYING_RELEASE;
		break;
	default:
		end_domain(domain);
	}
	return true;
}

static bool preparing_work(struct domain *domain)
{
	int scrubbed = pool_scrub(&domain->daemon->pool, &domain->part, SCRUB_FRAMES, false);

	if (scrubbed > 0)
		return true;
	if (scrubbed < 0)
		vmm_set_end(domain, END_CRASH, "cannot zero the domain's memory: %m");
	if (scrubbed == 0 && vmm_start(domain)) {
		domain->state = DOMAIN_STARTING;
		return true;
	}
	/* Nobody waits for the answer of a restart: its end is to be found in the list. */
	domain->was_started = domain->restarts > 0;
	die(domain);
	return true;
}

bool domain_work(struct domain *domain)
{
	switch (domain->state) {
	case DOMAIN_PREPARING:
		return preparing_work(domain);
	case DOMAIN_DYING:
		return dying_work(domain);
	default:
		return false;
	}
}

/* The life ------------------------------------------------------------------------------------- */

static bool open_consoles(struct domain *domain)
{
	const struct domain_config *config = &domain->config;

	for (unsigned int i = 0; i < DOMAIN_CONSOLES; i++) {
		if (i < CONFIG_SERIALS_MAX ? !config->serial[i]
					   : i - CONFIG_SERIALS_MAX >= config->channels)
			continue;
		domain->console[i] = calloc(1, sizeof(*domain->console[i]));
		if (domain->console[i] == NULL)
			return false;
		console_open(domain->console[i], &domain->daemon->loop);
	}
	return true;
}

struct domain *domain_create(struct daemon *daemon, const struct domain_config *config,
			     json_t *tree, bool paused, char error[DOMAIN_REASON_BYTES])
{
	struct domain *domain;

	if (daemon_find(daemon, config->name) != NULL ||
	    strcmp(config->name, LIST_SERVICE_NAME) == 0) {
		fail(error, "there is a domain '%s' already", config->name);
		return NULL;
	}
	domain = calloc(1, sizeof(*domain));
	if (domain == NULL) {
		fail(error, "out of memory");
		return NULL;
	}
	domain->daemon = daemon;
	domain->config = *config;
	domain->start_paused = paused;
	domain->created = daemon_now();
	domain->process.fd = domain->control.fd = domain->log_pipe.fd = -1;
	if (!open_consoles(domain)) {
		fail(error, "out of memory");
		free_domain(domain);
		return NULL;
	}
	if (!take_all(domain, error)) {
		while (!give_hypervisor(domain))
			;
		give_rest(domain, false);
		free_domain(domain);
		return NULL;
	}
	domain->tree = json_incref(tree);
	domain->next = daemon->domains;
	daemon->domains = domain;
	list_forget(daemon, config->name);
	return domain;
}

void domain_destroy(struct domain *domain)
{
	bool hears = domain->state == DOMAIN_RUNNING || domain->state == DOMAIN_PAUSED;

	domain->restart = false;
	if (domain->state == DOMAIN_DYING)
		return;
	/* One that is preserved has had its end. */
	domain->end = END_NONE;
	vmm_set_end(domain, END_DESTROY, "destroyed");
	die(domain);
	if (domain->pid > 0 && hears && vmm_say(domain, VMM_DO_QUIT))
		domain->deadline = daemon_now() + VMM_QUIT_SECONDS;
	else
		vmm_kill(domain, "destroyed");
}

bool domain_pause(struct domain *domain, char error[DOMAIN_REASON_BYTES])
{
	if (domain->state != DOMAIN_RUNNING && domain->state != DOMAIN_PAUSED)
		return fail(error, "the domain does not run");
	if (!vmm_say(domain, VMM_DO_PAUSE))
		return fail(error, "its VMM does not hear");
	return true;
}

bool domain_unpause(struct domain *domain, char error[DOMAIN_REASON_BYTES])
{
	bool start = domain->state == DOMAIN_PAUSED && !domain->was_started;

	if (domain->state != DOMAIN_RUNNING && domain->state != DOMAIN_PAUSED)
		return fail(error, "the domain does not run");
	if (!vmm_say(domain, start ? VMM_DO_START : VMM_DO_UNPAUSE))
		return fail(error, "its VMM does not hear");
	domain->was_started = true;
	domain->start_paused = false;
	return true;
}

bool domain_set_memory(struct domain *domain, int64_t mib, char error[DOMAIN_REASON_BYTES])
{
	if (domain->state != DOMAIN_RUNNING && domain->state != DOMAIN_PAUSED)
		return fail(error, "the domain does not run");
	if (mib < 1 || mib > domain->config.memory_mib)
		return fail(error, "expected 1 to %u MiB, which it was created with, found %lld",
			    domain->config.memory_mib, (long long)mib);
	if (!vmm_say_memory(domain, (uint32_t)mib))
		return fail(error, "its VMM does not hear");
	domain->memory_target = (uint32_t)mib;
	return true;
}

static enum domain_action wanted_action(const struct domain *domain)
{
	switch (domain->end) {
	case END_POWEROFF:
		return domain->config.on_poweroff;
	case END_REBOOT:
		return domain->config.on_reboot;
	case END_CRASH:
		return domain->config.on_crash;
	default:
		return ACTION_DESTROY;
	}
}

/* False: it ends again and again, as soon as it has been started. */
static bool may_restart(struct domain *domain)
{
	if (daemon_now() - domain->started > RESTART_SECONDS)
		domain->quick_restarts = 0;
	if (domain->quick_restarts++ < RESTART_LIMIT)
		return true;
	domain->end = END_NONE;
	vmm_set_end(domain, END_CRASH, "it ended %d times within %d seconds of its start",
		    RESTART_LIMIT + 1, RESTART_SECONDS);
	return false;
}

/*
 * The ended domain stays under another name, with the time and its number in it, and another one
 * begins in its place. If that cannot be, all that there is to do is to say so.
 */
static void rename_and_restart(struct domain *domain)
{
	struct domain_config config = domain->config;
	char error[DOMAIN_REASON_BYTES], when[24], suffix[40];
	struct domain *next;
	time_t now = time(NULL);

	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime(&now));
	snprintf(suffix, sizeof(suffix), "-%s-%u", when, domain->number);
	snprintf(domain->config.name, sizeof(domain->config.name), "%.*s%s",
		 (int)(CONFIG_NAME_MAX - strlen(suffix)), config.name, suffix);
	if (getrandom(domain->config.uuid, sizeof(domain->config.uuid), 0) < 0)
		memset(domain->config.uuid, 0, sizeof(domain->config.uuid));
	next = domain_create(domain->daemon, &config, domain->tree, false, error);
	if (next == NULL) {
		daemon_log(domain, "cannot be restarted: %s", error);
		return;
	}
	next->restarts = domain->restarts + 1;
	next->quick_restarts = domain->quick_restarts;
}

void domain_vmm_gone(struct domain *domain)
{
	enum domain_action action = wanted_action(domain);

	if (domain->state == DOMAIN_DYING)
		return;
	daemon_log(domain, "ended: %s%s%s", domain_end_name(domain->end),
		   domain->reason[0] != 0 ? ": " : "", domain->reason);
	if (domain->state == DOMAIN_STARTING) {
		/* It could not be started, now or after a restart. */
		domain->was_started = domain->restarts > 0;
		domain->end = END_CRASH;
		die(domain);
	} else if (action == ACTION_PRESERVE || action == ACTION_RENAME_RESTART) {
		bool again = action == ACTION_RENAME_RESTART && may_restart(domain);

		domain->state = domain->end == END_CRASH ? DOMAIN_CRASHED : DOMAIN_SHUTDOWN;
		daemon_notify(domain, NOTICE_ENDED);
		if (again)
			rename_and_restart(domain);
	} else {
		domain->restart = action == ACTION_RESTART && may_restart(domain);
		die(domain);
	}
}
