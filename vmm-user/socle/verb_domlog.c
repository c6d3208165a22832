/* SPDX-License-Identifier: BSD-2-Clause */
/* "domlog": what a domain's VMM said. */
#include "client.h"
#include "report.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	json_t *reply = NULL;
	enum status status;

	if (arguments->operands != 1) {
		context_complain(context, "domlog: expected one domain");
		return STATUS_USAGE;
	}
	status = client_ask(context,
			    json_pack("{ss ss}", "do", "log", "domain", arguments->operand[0]),
			    &reply);
	if (status != STATUS_OK)
		return status;
	json_object_del(reply, "ok");
	if (arguments->json)
		report_json(context->output, reply);
	else
		fputs(json_string_value(json_object_get(reply, "text")), context->output);
	json_decref(reply);
	return STATUS_OK;
}

const struct verb verb_domlog = {
	.name = "domlog",
	.usage = "DOMAIN",
	.summary = "Print the messages of a domain's VMM",
	.details = "The last 64 KiB of what it wrote to its standard error.",
	.operands_max = 1,
	.domains = true,
	.run = run,
};
