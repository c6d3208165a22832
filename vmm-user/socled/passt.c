/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Networks in user mode: each has a passt(1) of its own, as a user of its own, in the domain's
 * control group. A guest finds the same network whatever the service VM's is at the moment: the
 * addresses are those that QEMU's user networking gives, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"

#define GUEST_ADDRESS "10.0.2.15"
#define GUEST_NETMASK "24"
#define GATEWAY	      "10.0.2.2"
#define GATEWAY_MAC   "02:00:0a:00:02:02"

/*
 * The loopback device is the only one that is always there; passt takes no more from it than that
 * it exists. Outgoing connections go where the service VM's routes lead them.
 */
static pid_t start(const struct domain *domain, int fd, int log)
{
	const struct options *options = &domain->daemon->options;
	struct inherit inherit = {.fd = {fd}, .count = 1};
	char number[16];
	char *const arguments[] = {(char *)(uintptr_t)options->passt,
				   "--foreground",
				   "--quiet",
				   "--ipv4-only",
				   "--interface",
				   "lo",
				   "--address",
				   GUEST_ADDRESS,
				   "--netmask",
				   GUEST_NETMASK,
				   "--gateway",
				   GATEWAY,
				   "--mac-addr",
				   GATEWAY_MAC,
				   "--fd",
				   number,
				   NULL};
	const struct spawn how = {
		.what = "passt",
		.program = options->passt,
		.arguments = arguments,
		.inherit = &inherit,
		.log = log,
		.cgroup = domain->cgroup,
		.uid = options->first_uid != 0
			       ? options->first_uid + SOCLE_MAX_DOMAINS + domain->number
			       : 0,
	};
	int pidfd;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", fd);
	pid = spawn(&how, &pidfd);
	if (pid > 0)
		close(pidfd);
	return pid;
}

int passt_start(struct domain *domain, unsigned int index, int log)
{
	int pair[2], saved;

	if (access(domain->daemon->options.passt, X_OK) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	domain->passt[index] = start(domain, pair[1], log);
	saved = errno;
	close(pair[1]);
	if (domain->passt[index] > 0)
		return pair[0];
	domain->passt[index] = 0;
	close(pair[0]);
	errno = saved;
	return -1;
}

void passt_end(struct domain *domain)
{
	for (unsigned int i = 0; i < CONFIG_NETS_MAX; i++) {
		if (domain->passt[i] <= 0)
			continue;
		/* It may have ended; its number is its own until it is waited for. */
		kill(domain->passt[i], SIGKILL);
		waitpid(domain->passt[i], NULL, 0);
		domain->passt[i] = 0;
	}
}
