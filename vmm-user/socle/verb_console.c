/* SPDX-License-Identifier: BSD-2-Clause */
/* "console": a domain's console. */
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "terminal.h"

#define NUMBER_MAX 15ul

enum { OPTION_TYPE, OPTION_NUMBER };

static const struct verb_option options[] = {
	[OPTION_TYPE] = {"type", 't', "TYPE", "serial: a UART; pv: a virtio console (channel)"},
	[OPTION_NUMBER] = {"num", 'n', "N", "which of them, from 0 on (default: 0)"},
	{0},
};

static enum status run(struct context *context, const struct arguments *arguments)
{
	const char *type = arguments->option[OPTION_TYPE];
	const char *number_text = arguments->option[OPTION_NUMBER];
	unsigned long number = 0;
	enum terminal_end end;
	enum status status;
	int console;

	if (arguments->operands != 1) {
		context_complain(context, "console: expected one domain");
		return STATUS_USAGE;
	}
	if (type != NULL && strcmp(type, "serial") != 0 && strcmp(type, "pv") != 0) {
		context_complain(context, "console: --type: expected serial or pv, found '%s'",
				 type);
		return STATUS_USAGE;
	}
	if (number_text != NULL &&
	    !arguments_count(context, "num", number_text, 0, NUMBER_MAX, &number))
		return STATUS_USAGE;
	if (number_text != NULL && type == NULL)
		type = "serial";
	status = terminal_attach(context, arguments->operand[0], type, number, &console);
	if (status != STATUS_OK)
		return status;
	end = terminal_run(context, STDIN_FILENO, console, -1);
	close(console);
	if (arguments->json) {
		json_t *data =
			json_pack("{ss}", "left", end == TERMINAL_LEFT ? "escape" : "domain ended");

		report_json(context->output, data);
		json_decref(data);
	}
	return end == TERMINAL_FAILED ? STATUS_FAILED : STATUS_OK;
}

const struct verb verb_console = {
	.name = "console",
	.usage = "DOMAIN",
	.summary = "Show a domain's serial console and type on it",
	.details =
		"Ctrl-] leaves it; it ends with the domain. It begins with the last 64 KiB that "
		"the\n"
		"domain wrote. Many may look; the first may type. Without --type it is the first\n"
		"UART, or else the first console that the domain has.",
	.options = options,
	.operands_max = 1,
	.domains = true,
	.run = run,
};
