/* SPDX-License-Identifier: BSD-2-Clause */
/* "unpause". */
#include "client.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	return client_each_domain(context, arguments, "unpause");
}

const struct verb verb_unpause = {
	.name = "unpause",
	.usage = "DOMAIN...",
	.summary = "Let a paused domain go on",
	.operands_max = -1,
	.domains = true,
	.run = run,
};
