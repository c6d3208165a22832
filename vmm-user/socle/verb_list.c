/* SPDX-License-Identifier: BSD-2-Clause */
/* "list": the domains. */
#include <string.h>

#include "client.h"
#include "report.h"

enum { OPTION_LONG };

static const struct verb_option options[] = {
	[OPTION_LONG] = {"long", 'l', NULL, "print JSON, with the configurations"},
	{0},
};

/* The letters of xl: running, blocked, paused, shutdown, crashed, dying. */
static void format_state(const char *state, char out[7])
{
	static const struct {
		const char *state;
		int place;
		char letter;
	} letters[] = {
		{"running", 0, 'r'},  {"blocked", 1, 'b'}, {"paused", 2, 'p'},
		{"shutdown", 3, 's'}, {"crashed", 4, 'c'}, {"dying", 5, 'd'},
	};

	strcpy(out, "------");
	for (size_t i = 0; state != NULL && i < sizeof(letters) / sizeof(letters[0]); i++) {
		if (strcmp(letters[i].state, state) == 0)
			out[letters[i].place] = letters[i].letter;
	}
}

static void print_text(FILE *output, const json_t *domains, bool all)
{
	size_t i;
	const json_t *domain;

	fprintf(output, "%-40s %5s %5s %5s %9s %10s\n", "Name", "ID", "Mem", "VCPUs", "State",
		"Time(s)");
	json_array_foreach((json_t *)(uintptr_t)domains, i, domain)
	{
		const json_t *domid = json_object_get(domain, "domid");
		char state[7], number[24] = "-";

		if (!all && !json_is_true(json_object_get(domain, "live")))
			continue;
		format_state(json_string_value(json_object_get(domain, "state")), state);
		if (json_is_integer(domid))
			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(domid));
		fprintf(output,
			"%-40s %5s %5" JSON_INTEGER_FORMAT " %5" JSON_INTEGER_FORMAT
			" %9s %10.1f\n",
			json_string_value(json_object_get(domain, "name")), number,
			json_integer_value(json_object_get(domain, "memory_mib")),
			json_integer_value(json_object_get(domain, "vcpus")), state,
			json_number_value(json_object_get(domain, "time_seconds")));
	}
}

static bool contains(const json_t *domains, const char *name)
{
	size_t i;
	const json_t *domain;

	json_array_foreach((json_t *)(uintptr_t)domains, i, domain)
	{
		const json_t *domid = json_object_get(domain, "domid");
		const char *text = json_string_value(json_object_get(domain, "name"));
		char number[24] = "";

		if (json_is_integer(domid))
			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(domid));
		if ((text != NULL && strcmp(text, name) == 0) || strcmp(number, name) == 0)
			return true;
	}
	return false;
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	bool with_config = arguments->option[OPTION_LONG] != NULL;
	json_t *names = json_array(), *reply = NULL, *domains, *service;
	enum status status;

	for (int i = 0; i < arguments->operands; i++)
		json_array_append_new(names, json_string(arguments->operand[i]));
	status = client_ask(
		context,
		json_pack("{ss so sb}", "do", "list", "domains", names, "config", with_config),
		&reply);
	if (status != STATUS_OK)
		return status;
	domains = json_object_get(reply, "domains");
	service = json_object_get(reply, "service");
	/* It is a row of the table, and no domain that a program would want to find here. */
	if (json_is_object(service) &&
	    (arguments->operands > 0 || !(arguments->json || with_config)))
		json_array_insert(domains, 0, service);
	if (arguments->json || with_config)
		report_json(context->output, domains);
	else
		print_text(context->output, domains, arguments->operands > 0);
	for (int i = 0; i < arguments->operands; i++) {
		if (!contains(domains, arguments->operand[i])) {
			context_complain(context, "there is no domain '%s'", arguments->operand[i]);
			status = STATUS_FAILED;
		}
	}
	json_decref(reply);
	return status;
}

const struct verb verb_list = {
	.name = "list",
	.usage = "[DOMAIN...]",
	.summary = "List the domains",
	.details =
		"Domain-0 is the service VM. State has a letter in its place: r running, b "
		"blocked\n"
		"(all of its vCPUs wait), p paused, s shut down, c crashed, d dying. With --json\n"
		"Domain-0 is left out unless it is named, and there are also domains that have\n"
		"ended and are gone, with \"live\" false, until another one has their name.",
	.options = options,
	.operands_max = -1,
	.domains = true,
	.run = run,
};
