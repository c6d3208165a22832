/* SPDX-License-Identifier: BSD-2-Clause */
/* What "poweroff" and "reboot" share. */
#ifndef SOCLE_POWER_H
#define SOCLE_POWER_H

#include "verb.h"

enum { POWER_OPTION_FORCE };

extern const struct verb_option power_options[];

/*
 * Ends or restarts the machine. Refuses to on a machine that does not run on Socle: this program
 * may be installed on others.
 */
enum status power_run(struct context *context, const struct arguments *arguments, enum restart how);

#endif
