/* SPDX-License-Identifier: BSD-2-Clause */
/* "help": all verbs and exit statuses, or one verb. */
#include "report.h"
#include "verb.h"

static json_t *verb_json(const struct verb *verb)
{
	json_t *object = json_object();
	json_t *aliases = json_array();
	json_t *options = json_array();

	for (int i = 0; verb->aliases[i] != NULL; i++)
		json_array_append_new(aliases, json_string(verb->aliases[i]));
	for (int i = 0; verb->options != NULL && verb->options[i].name != NULL; i++) {
		const struct verb_option *option = &verb->options[i];
		json_t *entry = json_object();

		json_object_set_new(entry, "name", json_string(option->name));
		json_object_set_new(entry, "value",
				    option->value != NULL ? json_string(option->value)
							  : json_null());
		json_object_set_new(entry, "summary", json_string(option->summary));
		json_array_append_new(options, entry);
	}
	json_object_set_new(object, "verb", json_string(verb->name));
	json_object_set_new(object, "aliases", aliases);
	json_object_set_new(object, "usage", json_string(verb->usage));
	json_object_set_new(object, "summary", json_string(verb->summary));
	json_object_set_new(object, "options", options);
	return object;
}

static json_t *all_json(void)
{
	json_t *all = json_object();
	json_t *list = json_array();
	json_t *statuses = json_array();

	for (int i = 0; verbs[i] != NULL; i++)
		json_array_append_new(list, verb_json(verbs[i]));
	for (int i = 0; status_texts[i].meaning != NULL; i++) {
		json_t *entry = json_object();

		json_object_set_new(entry, "status", json_integer(status_texts[i].status));
		json_object_set_new(entry, "meaning", json_string(status_texts[i].meaning));
		json_array_append_new(statuses, entry);
	}
	json_object_set_new(all, "verbs", list);
	json_object_set_new(all, "exit_statuses", statuses);
	return all;
}

static void print_all(FILE *output, const json_t *all)
{
	static const struct column verb_columns[] = {
		{"verb", "VERB", FORMAT_PLAIN},
		{"summary", "SUMMARY", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	static const struct column status_columns[] = {
		{"status", "STATUS", FORMAT_PLAIN},
		{"meaning", "MEANING", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};

	fputs("usage: socle VERB [OPTION...], or socle alone for the shell\n\n", output);
	report_table(output, json_object_get(all, "verbs"), verb_columns);
	fputs("\n'help VERB' tells more about a verb. In the shell, '!COMMAND' is run by Linux's\n"
	      "/bin/sh, '#' begins a comment, and words are quoted as in sh.\n\n",
	      output);
	report_table(output, json_object_get(all, "exit_statuses"), status_columns);
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	const struct verb *verb = NULL;
	json_t *data;

	if (arguments->operands > 0) {
		verb = verb_find(arguments->operand[0]);
		if (verb == NULL)
			return verb_unknown(context, arguments->operand[0]);
	}
	if (verb != NULL && !arguments->json) {
		verb_print_help(context, verb);
		return STATUS_OK;
	}
	data = verb != NULL ? verb_json(verb) : all_json();
	if (arguments->json)
		report_json(context->output, data);
	else
		print_all(context->output, data);
	json_decref(data);
	return STATUS_OK;
}

const struct verb verb_help = {
	.name = "help",
	.aliases = {"?"},
	.usage = "[VERB]",
	.summary = "List the verbs and exit statuses, or explain one verb",
	.operands_max = 1,
	.run = run,
};
