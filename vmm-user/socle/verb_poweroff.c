/* SPDX-License-Identifier: BSD-2-Clause */
/* "poweroff": end the machine. */
#include "power.h"

static enum status run(struct context *context, const struct arguments *arguments)
{
	return power_run(context, arguments, RESTART_POWER_OFF);
}

const struct verb verb_poweroff = {
	.name = "poweroff",
	.usage = "",
	.summary = "Write cached data to the disks and switch the machine off",
	.options = power_options,
	.run = run,
};
