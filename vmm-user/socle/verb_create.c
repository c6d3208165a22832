/* SPDX-License-Identifier: BSD-2-Clause */
/* "create": make a domain from a configuration file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "report.h"
#include "terminal.h"

enum { OPTION_CONSOLE, OPTION_PAUSED, OPTION_DRY_RUN };

static const struct verb_option options[] = {
	[OPTION_CONSOLE] = {"console", 'c', NULL, "show its console until it ends, or Ctrl-]"},
	[OPTION_PAUSED] = {"paused", 'p', NULL, "do not start it yet: 'unpause' does"},
	[OPTION_DRY_RUN] = {"dry-run", 'n', NULL, "only check the configuration"},
	{0},
};

/* What is to be told of a domain's way. */
struct job {
	struct context *context;
	const struct arguments *arguments;
	char name[CONFIG_NAME_MAX + 1];
	json_t *result; /* for --json */
};

static void say(void *owner, const char *message)
{
	context_complain(owner, "%s", message);
}

/* The whole file, at most CONFIG_TEXT_BYTES_MAX and one more; NULL: reported. */
static char *read_file(struct context *context, const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(CONFIG_TEXT_BYTES_MAX + 1);

	if (file == NULL || text == NULL) {
		context_complain(context, "create: cannot read %s: %s", path, strerror(errno));
	} else {
		*bytes = fread(text, 1, CONFIG_TEXT_BYTES_MAX + 1, file);
		if (ferror(file)) {
			context_complain(context, "create: cannot read %s: %s", path,
					 strerror(errno));
		} else {
			fclose(file);
			return text;
		}
	}
	if (file != NULL)
		fclose(file);
	free(text);
	return NULL;
}

/*
 * Reads the file and the overrides and checks what they say; gives the tree as JSON, NULL with a
 * message if it is no configuration.
 */
static json_t *read_config(struct job *job, const char *directory)
{
	struct context *context = job->context;
	struct config_reporter reporter = {.say = say, .context = context};
	struct domain_config *config = malloc(sizeof(*config));
	struct config_tree tree = {0};
	char **operand = job->arguments->operand;
	json_t *json = NULL;
	size_t bytes = 0;
	char *text = config != NULL ? read_file(context, operand[0], &bytes) : NULL;
	bool good = text != NULL && config_parse_text(&tree, operand[0], text, bytes, &reporter);

	for (int i = 1; text != NULL && i < job->arguments->operands; i++)
		good = config_parse_override(&tree, operand[i], &reporter) && good;
	if (good && config_domain(&tree, directory, config, &reporter)) {
		json = config_tree_json(&tree);
		snprintf(job->name, sizeof(job->name), "%s", config->name);
	}
	config_tree_free(&tree);
	free(text);
	free(config);
	return json;
}

/* Waits for the reply of "wait" and says how it ended. */
static enum status tell_end(struct job *job, struct client *waiting)
{
	json_t *reply = NULL;
	enum status status = client_receive(job->context, waiting, &reply, NULL);
	const char *end, *reason;

	if (status != STATUS_OK)
		return status;
	end = json_string_value(json_object_get(reply, "end"));
	reason = json_string_value(json_object_get(reply, "reason"));
	json_object_del(reply, "ok");
	json_object_update(job->result, reply);
	if (end == NULL || strcmp(end, "crash") == 0) {
		context_complain(job->context, "%s crashed: %s", job->name,
				 reason != NULL ? reason : "");
		status = STATUS_FAILED;
	} else if (strcmp(end, "destroy") == 0) {
		context_complain(job->context, "%s was destroyed", job->name);
		status = STATUS_DESTROYED;
	} else if (strcmp(end, "reboot") == 0) {
		context_complain(job->context, "%s rebooted, and is not restarted", job->name);
		status = STATUS_REBOOTED;
	}
	json_decref(reply);
	return status;
}

/*
 * The console from the first character on, and the end even if that comes at once: both are asked
 * for while the domain is still paused.
 */
static enum status run_console(struct job *job, bool paused)
{
	struct context *context = job->context;
	enum terminal_end end;
	struct client waiting;
	json_t *reply = NULL;
	int console = -1;
	enum status status = client_open(context, &waiting);

	if (status != STATUS_OK)
		return status;
	status = client_send(context, &waiting,
			     json_pack("{ss ss}", "do", "wait", "domain", job->name));
	if (status == STATUS_OK)
		status = terminal_attach(context, job->name, NULL, 0, &console);
	/* It was to be started, whether there is a console or not. */
	if (!paused) {
		enum status started = client_ask(
			context, json_pack("{ss ss}", "do", "unpause", "domain", job->name),
			&reply);

		status = status == STATUS_OK ? started : status;
	}
	json_decref(reply);
	if (status == STATUS_OK) {
		end = terminal_run(context, STDIN_FILENO, console, waiting.fd);
		if (end == TERMINAL_CLOSED || end == TERMINAL_WAITED)
			status = tell_end(job, &waiting);
		else if (end == TERMINAL_FAILED)
			status = STATUS_FAILED;
	}
	if (console >= 0)
		close(console);
	client_close(&waiting);
	return status;
}

static enum status make_domain(struct job *job, json_t *config, const char *directory)
{
	const struct arguments *arguments = job->arguments;
	bool console = arguments->option[OPTION_CONSOLE] != NULL;
	bool paused = arguments->option[OPTION_PAUSED] != NULL;
	json_t *request = json_pack("{ss sO ss sb}", "do", "create", "config", config, "directory",
				    directory, "paused", paused || console);
	enum status status = client_ask(job->context, request, &job->result);

	if (status != STATUS_OK)
		return status;
	json_object_del(job->result, "ok");
	if (console)
		status = run_console(job, paused);
	if (arguments->json)
		report_json(job->context->output, job->result);
	json_decref(job->result);
	return status;
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	struct job job = {.context = context, .arguments = arguments};
	enum status status = STATUS_OK;
	char *directory;
	json_t *config;

	if (arguments->operands == 0) {
		context_complain(context, "create: expected a configuration file");
		return STATUS_USAGE;
	}
	directory = getcwd(NULL, 0);
	config = directory != NULL ? read_config(&job, directory) : NULL;
	if (config == NULL)
		status = STATUS_CONFIG;
	else if (arguments->option[OPTION_DRY_RUN] == NULL)
		status = make_domain(&job, config, directory);
	else if (arguments->json)
		report_json(context->output, config);
	json_decref(config);
	free(directory);
	return status;
}

const struct verb verb_create = {
	.name = "create",
	.usage = "FILE [KEY=VALUE...]",
	.summary = "Make a domain from a configuration file in xl.cfg's form",
	.details =
		"KEY=VALUE replaces what the file says, KEY+=VALUE adds to it. With --console the\n"
		"status is 0 if the domain powered off or Ctrl-] was typed, 1 if it crashed, 10 "
		"if\n"
		"it rebooted and its on_reboot is not \"restart\", 11 if it was destroyed.",
	.options = options,
	.operands_max = -1,
	.run = run,
};
