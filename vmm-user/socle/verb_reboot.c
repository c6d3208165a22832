/* SPDX-License-Identifier: BSD-2-Clause */
/* "reboot": restart the machine. */
#include "power.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	return power_run(context, arguments, RESTART_REBOOT);
}

const struct verb verb_reboot = {
	.name = "reboot",
	.usage = "",
	.summary = "Write cached data to the disks and restart the machine",
	.options = power_options,
	.run = run,
};
