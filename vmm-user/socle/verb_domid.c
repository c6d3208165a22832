/* SPDX-License-Identifier: BSD-2-Clause */
/* "domid" and "domname": from a domain's name to its number and back. */
#include <inttypes.h>

#include "client.h"
#include "report.h"

static enum status look_up(struct context *context, const struct arguments *arguments,
			   const char *verb, bool want_number)
{
	json_t *reply = NULL, *domain;
	enum status status;

	if (arguments->operands != 1) {
		context_complain(context, "%s: expected one domain", verb);
		return STATUS_USAGE;
	}
	status = client_ask(context,
			    json_pack("{ss s[s]}", "do", "list", "domains", arguments->operand[0]),
			    &reply);
	if (status != STATUS_OK)
		return status;
	domain = json_array_get(json_object_get(reply, "domains"), 0);
	if (domain == NULL || !json_is_true(json_object_get(domain, "live"))) {
		context_complain(context, "there is no domain '%s'", arguments->operand[0]);
		status = STATUS_FAILED;
	} else if (arguments->json) {
		json_t *data = json_pack("{sO sO}", "name", json_object_get(domain, "name"),
					 "domid", json_object_get(domain, "domid"));

		report_json(context->output, data);
		json_decref(data);
	} else if (want_number) {
		fprintf(context->output, "%" JSON_INTEGER_FORMAT "\n",
			json_integer_value(json_object_get(domain, "domid")));
	} else {
		fprintf(context->output, "%s\n",
			json_string_value(json_object_get(domain, "name")));
	}
	json_decref(reply);
	return status;
}

static enum status run_domid(struct context *context, const struct arguments *arguments)
{
	return look_up(context, arguments, "domid", true);
}

static enum status run_domname(struct context *context, const struct arguments *arguments)
{
	return look_up(context, arguments, "domname", false);
}

const struct verb verb_domid = {
	.name = "domid",
	.usage = "DOMAIN",
	.summary = "Print a domain's number",
	.operands_max = 1,
	.domains = true,
	.run = run_domid,
};

const struct verb verb_domname = {
	.name = "domname",
	.usage = "DOMID",
	.summary = "Print a domain's name",
	.operands_max = 1,
	.run = run_domname,
};
