/* SPDX-License-Identifier: BSD-2-Clause */
/* "exit": leave the shell. */
#include "report.h"
#include "verb.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	enum status status = context->status;

	if (arguments->operands > 0) {
		unsigned long number;

		if (!arguments_count(context, "exit", arguments->operand[0], 0, 255, &number))
			return STATUS_USAGE;
		status = (enum status)number;
	}
	if (arguments->json) {
		json_t *data = json_object();

		json_object_set_new(data, "status", json_integer(status));
		report_json(context->output, data);
		json_decref(data);
	}
	context->leave = true;
	return status;
}

const struct verb verb_exit = {
	.name = "exit",
	.aliases = {"quit"},
	.usage = "[STATUS]",
	.summary = "Leave the shell",
	.details = "With the last command's status if none is given. On the serial console a new\n"
		   "shell is started; 'poweroff' ends the machine.",
	.operands_max = 1,
	.run = run,
};
