/* SPDX-License-Identifier: BSD-2-Clause */
/* socle-vmm: one domain. Started by socled, which says what with a configuration (control.h). */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm-user/vmm/control.h"
#include "vmm-user/vmm/machine.h"

#define EXIT_USAGE 2

struct options {
	int config_fd;
	uid_t user; /* 0: stay who we are */
	bool sandbox;
};

static int usage(void)
{
	fprintf(stderr, "usage: socle-vmm --config FD [--user UID] [--no-sandbox]\n"
			"Runs the domain that the JSON object at file descriptor FD describes. It "
			"is started "
			"by socled;\nuse \"socle create\".\n");
	return EXIT_USAGE;
}

static bool number(const char *text, long maximum, long *out)
{
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	*out = strtol(text, &end, 10);
	return *end == 0 && *out >= 0 && *out <= maximum;
}

static bool parse(int count, char **argument, struct options *options)
{
	long value;

	*options = (struct options){.config_fd = -1, .sandbox = true};
	for (int i = 1; i < count; i++) {
		if (strcmp(argument[i], "--config") == 0 &&
		    number(argument[i + 1], 65535, &value)) {
			options->config_fd = (int)value;
			i++;
		} else if (strcmp(argument[i], "--user") == 0 &&
			   number(argument[i + 1], 0x7fffffff, &value)) {
			options->user = (uid_t)value;
			i++;
		} else if (strcmp(argument[i], "--no-sandbox") == 0) {
			options->sandbox = false;
		} else {
			return false;
		}
	}
	return options->config_fd >= 0;
}

/* Group first: afterwards there is no right to. */
static bool become(uid_t user)
{
	if (user == 0)
		return true;
	if (setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
	    setresuid(user, user, user) == 0)
		return true;
	perror("socle-vmm: cannot become another user");
	return false;
}

static bool set_up(struct vmm *vmm, const struct options *options)
{
	return machine_create(vmm) && boot_create_devices(vmm) && boot_load(vmm) &&
	       control_open(vmm) && become(options->user) &&
	       (!options->sandbox || sandbox_enter(vmm));
}

int main(int count, char **argument)
{
	static struct vmm vmm;
	char message[CONFIG_MESSAGE_BYTES_MAX];
	struct options options;

	if (!parse(count, argument, &options))
		return usage();
	if (!socle_present()) {
		fprintf(stderr, "socle-vmm: not running on Socle\n");
		return EXIT_FAILURE;
	}
	signal(SIGPIPE, SIG_IGN);
	/* Threads inherit it. A guest's timer would else be late by what Linux gives others: 50 us.
	 */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	if (!vmm_config_read(&vmm.config, options.config_fd, message)) {
		fprintf(stderr, "socle-vmm: the configuration is wrong: %s\n", message);
		return EXIT_FAILURE;
	}
	close(options.config_fd);
	sandbox_close_others(&vmm.config, -1);
	if (!set_up(&vmm, &options)) {
		control_ended(&vmm, VMM_HOW_CRASH,
			      vmm.last_log[0] != '\0' ? vmm.last_log
						      : "the machine could not be made");
		return EXIT_SUCCESS;
	}
	control_run(&vmm);
	return EXIT_SUCCESS;
}
