/* SPDX-License-Identifier: BSD-2-Clause */
/* "shutdown". */
#include "client.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	return client_each_domain(context, arguments, "shutdown");
}

const struct verb verb_shutdown = {
	.name = "shutdown",
	.usage = "DOMAIN...",
	.summary = "Ask a domain to shut down: press its power button",
	.operands_max = -1,
	.domains = true,
	.run = run,
};
