/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "power.h"
#include "report.h"

/* Is there if systemd is the init (sd_booted(3)). */
#define SYSTEMD_MARK "/run/systemd/system"

const struct verb_option power_options[] = {
	[POWER_OPTION_FORCE] = {"force", 'f', NULL, "do not write cached data to the disks first"},
	{0},
};

static int run_systemctl(enum restart how)
{
	const char *verb = how == RESTART_POWER_OFF ? "poweroff" : "reboot";
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		return -1;
	if (child == 0) {
		execlp("systemctl", "systemctl", verb, (char *)NULL);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	errno = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT : EPERM;
	return -1;
}

static int restart_real(enum restart how)
{
	/* What was said about it shall be out of the UART before the machine is gone. */
	tcdrain(STDOUT_FILENO);
	if (access(SYSTEMD_MARK, F_OK) == 0)
		return run_systemctl(how);
	return reboot(how == RESTART_POWER_OFF ? RB_POWER_OFF : RB_AUTOBOOT);
}

const struct machine machine_real = {
	.present = socle_present,
	.sync = sync,
	.restart = restart_real,
};

enum status power_run(struct context *context, const struct arguments *arguments, enum restart how)
{
	const char *name = how == RESTART_POWER_OFF ? "poweroff" : "reboot";
	struct socle_handle handle;

	if (!context->machine->present() &&
	    socle_open(context->key_path, &handle, NULL) == SOCLE_OPEN_ABSENT) {
		context_complain(
			context,
			"%s: not running on Socle: this would end the machine that you are "
			"working on; use its own '%s'",
			name, name);
		return STATUS_NOT_SOCLE;
	}
	if (arguments->json) {
		json_t *data = json_object();

		json_object_set_new(data, "action", json_string(name));
		report_json(context->output, data);
		json_decref(data);
	} else {
		fprintf(context->output, "%s\n",
			how == RESTART_POWER_OFF ? "powering off" : "restarting");
	}
	fflush(context->output);
	if (arguments->option[POWER_OPTION_FORCE] == NULL)
		context->machine->sync();
	if (context->machine->restart(how) == 0)
		return STATUS_OK;
	if (errno == EPERM) {
		context_complain(context, "%s: permission denied: run as root", name);
		return STATUS_PERMISSION;
	}
	context_complain(context, "%s: %s", name, strerror(errno));
	return STATUS_FAILED;
}
