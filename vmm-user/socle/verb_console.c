/* SPDX-License-Identifier: BSD-2-Clause */
/* "console": a domain's console. */
#include <unistd.h>

#include "report.h"
#include "terminal.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	enum terminal_end end;
	enum status status;
	int console;

	if (arguments->operands != 1) {
		context_complain(context, "console: expected one domain");
		return STATUS_USAGE;
	}
	status = terminal_attach(context, arguments->operand[0], &console);
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
	.details = "Ctrl-] leaves it; it ends with the domain. It begins with the last 64 KiB that "
		   "the\n"
		   "domain wrote. Many may look; the first may type.",
	.operands_max = 1,
	.domains = true,
	.run = run,
};
