/* SPDX-License-Identifier: BSD-2-Clause */
/* "destroy". */
#include "client.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	return client_each_domain(context, arguments, "destroy");
}

const struct verb verb_destroy = {
	.name = "destroy",
	.usage = "DOMAIN...",
	.summary = "End a domain at once, as if its power was cut",
	.operands_max = -1,
	.domains = true,
	.run = run,
};
