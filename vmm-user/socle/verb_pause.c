/* SPDX-License-Identifier: BSD-2-Clause */
/* "pause". */
#include "client.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	return client_each_domain(context, arguments, "pause");
}

const struct verb verb_pause = {
	.name = "pause",
	.usage = "DOMAIN...",
	.summary = "Stop a domain's vCPUs and its clock",
	.operands_max = -1,
	.domains = true,
	.run = run,
};
