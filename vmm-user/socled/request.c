/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients can ask. "domain" is a name or a number in decimal, always a string.
 *
 *     create   config (as config_tree_json), directory, paused: waits for the start; name, domid
 *     list     domains (array of names; none: all), config (true: with configurations); domains,
 *              service (the service VM; null if it is not asked for)
 *     pause, unpause, destroy   domain; wait until it is so
 *     shutdown, reset           domain; the guest is asked
 *     memory   domain, mib: the guest is asked to use so much
 *     console  domain, type ("serial", "pv"; absent: the first console), number (0); with a stream
 *              socket; writer
 *     wait     domain; waits for its end; end, reason
 *     log      domain; text: what the VMM said on its standard error
 *     pool     free_bytes, bytes, mode, reason
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

/* The domain that is asked for; NULL: answered with an error. */
static struct domain *find(struct client *client, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "domain"));
	struct domain *domain = NULL;

	if (name == NULL) {
		client_error(client, request, "expected a domain, found none");
		return NULL;
	}
	domain = daemon_find(client_daemon(client), name);
	if (domain == NULL)
		client_error(client, request, "there is no domain '%.100s'", name);
	return domain;
}

/* Collects what is wrong, a line each. */
struct complaint {
	char text[1600];
};

static void complain(void *context, const char *message)
{
	struct complaint *complaint = context;
	size_t used = strlen(complaint->text);

	if (strncmp(message, "warning: ", 9) == 0)
		return;
	snprintf(complaint->text + used, sizeof(complaint->text) - used, "%s%s",
		 used > 0 ? "\n" : "", message);
}

static void do_create(struct client *client, const json_t *request)
{
	json_t *tree_json = json_object_get(request, "config");
	const char *directory = json_string_value(json_object_get(request, "directory"));
	struct complaint complaint = {""};
	struct config_reporter reporter = {.say = complain, .context = &complaint};
	struct domain_config *config = malloc(sizeof(*config));
	struct config_tree tree = {0};
	char error[DOMAIN_REASON_BYTES];
	struct domain *domain;

	if (config == NULL || !config_tree_from_json(&tree, tree_json, &reporter) ||
	    !config_domain(&tree, directory, config, &reporter)) {
		client_error(client, request, "%s", complaint.text);
	} else {
		domain = domain_create(client_daemon(client), config, tree_json,
				       json_is_true(json_object_get(request, "paused")), error);
		if (domain == NULL)
			client_error(client, request, "%s", error);
		else
			client_wait(client, request, domain, WAIT_CREATE);
	}
	config_tree_free(&tree);
	free(config);
}

/* True if the request names this domain, or none. */
static bool is_wanted(const json_t *names, const char *name, const json_t *domid)
{
	size_t i;
	const json_t *entry;
	char number[24] = "";

	if (json_array_size(names) == 0)
		return true;
	if (json_is_integer(domid))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(domid));
	json_array_foreach((json_t *)(uintptr_t)names, i, entry)
	{
		const char *text = json_string_value(entry);

		if (text != NULL && (strcmp(text, name) == 0 || strcmp(text, number) == 0))
			return true;
	}
	return false;
}

static void do_list(struct client *client, const json_t *request)
{
	struct daemon *daemon = client_daemon(client);
	const json_t *names = json_object_get(request, "domains");
	bool config = json_is_true(json_object_get(request, "config"));
	json_t *list = json_array();
	size_t i;
	json_t *entry;

	for (struct domain *domain = daemon->domains; domain != NULL; domain = domain->next) {
		entry = domain_json(domain);
		if (config)
			json_object_set(entry, "config", domain->tree);
		/* The newest is the first of ours. */
		if (is_wanted(names, domain->config.name, json_object_get(entry, "domid")))
			json_array_insert_new(list, 0, entry);
		else
			json_decref(entry);
	}
	json_array_foreach(daemon->ended, i, entry)
	{
		if (is_wanted(names, json_string_value(json_object_get(entry, "name")), NULL))
			json_array_append(list, entry);
	}
	entry = service_json(daemon);
	if (!is_wanted(names, LIST_SERVICE_NAME, json_object_get(entry, "domid"))) {
		json_decref(entry);
		entry = json_null();
	}
	client_reply(client, request, json_pack("{so so}", "domains", list, "service", entry), -1);
}

static void do_pause(struct client *client, const json_t *request)
{
	struct domain *domain = find(client, request);
	char error[DOMAIN_REASON_BYTES];

	if (domain == NULL)
		return;
	if (domain_pause(domain, error))
		client_wait(client, request, domain, WAIT_PAUSE);
	else
		client_error(client, request, "%s", error);
}

static void do_unpause(struct client *client, const json_t *request)
{
	struct domain *domain = find(client, request);
	char error[DOMAIN_REASON_BYTES];

	if (domain == NULL)
		return;
	if (domain_unpause(domain, error))
		client_wait(client, request, domain, WAIT_UNPAUSE);
	else
		client_error(client, request, "%s", error);
}

static void do_destroy(struct client *client, const json_t *request)
{
	struct daemon *daemon = client_daemon(client);
	const char *name = json_string_value(json_object_get(request, "domain"));
	size_t before = json_array_size(daemon->ended);
	struct domain *domain;

	/* One that is only remembered is forgotten. */
	if (name != NULL && daemon_find(daemon, name) == NULL) {
		list_forget(daemon, name);
		if (json_array_size(daemon->ended) < before) {
			client_reply(client, request, NULL, -1);
			return;
		}
	}
	domain = find(client, request);
	if (domain == NULL)
		return;
	client_wait(client, request, domain, WAIT_DESTROY);
	domain_destroy(domain);
}

static void ask_guest(struct client *client, const json_t *request, const char *what)
{
	struct domain *domain = find(client, request);

	if (domain == NULL)
		return;
	if (domain->state != DOMAIN_RUNNING)
		client_error(client, request, "the domain does not run");
	else if (!vmm_say(domain, what))
		client_error(client, request, "its VMM does not hear");
	else
		client_reply(client, request, NULL, -1);
}

static void do_shutdown(struct client *client, const json_t *request)
{
	ask_guest(client, request, VMM_DO_SHUTDOWN);
}

static void do_reset(struct client *client, const json_t *request)
{
	ask_guest(client, request, VMM_DO_RESET);
}

static void do_memory(struct client *client, const json_t *request)
{
	struct domain *domain = find(client, request);
	const json_t *mib = json_object_get(request, "mib");
	char error[DOMAIN_REASON_BYTES];

	if (domain == NULL)
		return;
	if (!json_is_integer(mib))
		client_error(client, request, "expected an integer \"mib\"");
	else if (!domain_set_memory(domain, json_integer_value(mib), error))
		client_error(client, request, "%s", error);
	else
		client_reply(client, request,
			     json_pack("{ss sI}", "name", domain->config.name, "domid",
				       (json_int_t)domain->number),
			     -1);
}

/* The console that is asked for; NULL: answered with an error. */
static struct console *find_console(struct client *client, const json_t *request,
				    struct domain *domain)
{
	const json_t *type = json_object_get(request, "type");
	json_int_t number = json_integer_value(json_object_get(request, "number"));
	const char *name = json_is_string(type) ? json_string_value(type) : NULL;
	unsigned int first = 0, end = DOMAIN_CONSOLES;

	if (name != NULL && strcmp(name, "pv") == 0)
		first = CONFIG_SERIALS_MAX;
	else if (name != NULL)
		end = CONFIG_SERIALS_MAX;
	for (unsigned int i = first; i < end; i++) {
		/* Without a type: the first that there is. */
		if (domain->console[i] != NULL &&
		    (name == NULL || (json_int_t)(i - first) == number))
			return domain->console[i];
	}
	if (name == NULL)
		client_error(client, request, "the domain has no console: serial is \"none\"");
	else
		client_error(client, request,
			     "the domain has no %s console %" JSON_INTEGER_FORMAT
			     ": its configuration has \"%s\" for them",
			     first == 0 ? "serial" : "pv", number,
			     first == 0 ? "serial" : "channel");
	return NULL;
}

static void do_console(struct client *client, const json_t *request)
{
	struct domain *domain = find(client, request);
	struct console *console = domain != NULL ? find_console(client, request, domain) : NULL;
	bool writer = false;
	int fd;

	if (console == NULL)
		return;
	fd = console_attach(console, &writer);
	if (fd < 0)
		client_error(client, request, "cannot attach to the console: %m");
	else
		client_reply(client, request, json_pack("{sb}", "writer", writer), fd);
}

static void do_wait(struct client *client, const json_t *request)
{
	struct domain *domain = find(client, request);

	if (domain == NULL)
		return;
	if (domain->state == DOMAIN_SHUTDOWN || domain->state == DOMAIN_CRASHED)
		client_reply(client, request,
			     json_pack("{ss ss}", "end", domain_end_name(domain->end), "reason",
				       domain->reason),
			     -1);
	else
		client_wait(client, request, domain, WAIT_END);
}

static void do_log(struct client *client, const json_t *request)
{
	struct domain *domain = find(client, request);
	char *text;

	if (domain == NULL)
		return;
	text = malloc(RING_BYTES + 1);
	if (text == NULL)
		return client_error(client, request, "out of memory");
	ring_copy(&domain->log, text, RING_BYTES + 1);
	for (char *c = text; *c != 0; c++) {
		if ((*c < ' ' && *c != '\n' && *c != '\t') || *c > '~')
			*c = '?';
	}
	client_reply(client, request, json_pack("{ss}", "text", text), -1);
	free(text);
}

static void do_pool(struct client *client, const json_t *request)
{
	static const char *const mode[] = {
		[POOL_UNUSED] = "unused",
		[POOL_PARTITIONED] = "partitioned",
		[POOL_WHOLE] = "whole",
	};
	const struct pool *pool = &client_daemon(client)->pool;
	json_t *data = json_object();

	json_object_set_new(data, "mode", json_string(mode[pool->mode]));
	json_object_set_new(data, "reason", json_string(pool->reason));
	json_object_set_new(data, "bytes",
			    json_integer((json_int_t)pool->frames.count * SOCLE_FRAME_BYTES));
	json_object_set_new(data, "free_bytes",
			    json_integer((json_int_t)pool->frames.free * SOCLE_FRAME_BYTES));
	client_reply(client, request, data, -1);
}

static const struct {
	const char *name;
	void (*handle)(struct client *client, const json_t *request);
} verbs[] = {
	{"create", do_create},	 {"list", do_list},	  {"pause", do_pause},
	{"unpause", do_unpause}, {"destroy", do_destroy}, {"shutdown", do_shutdown},
	{"reset", do_reset},	 {"console", do_console}, {"wait", do_wait},
	{"log", do_log},	 {"pool", do_pool},	  {"memory", do_memory},
};

void request_handle(struct client *client, const json_t *request)
{
	const char *verb = json_string_value(json_object_get(request, "do"));

	for (size_t i = 0; verb != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, verb) == 0) {
			verbs[i].handle(client, request);
			return;
		}
	}
	client_error(client, request, "expected one of the verbs, found '%.40s'",
		     verb != NULL ? verb : "");
}
