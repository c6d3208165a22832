/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User-mode networking: a passt(1) of our own at the other end of a socket pair. It needs no
 * privileges, confines itself, and goes when the socket is closed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-user/vmm/virtio.h"

#define PASST	    "passt"
#define PASST_FD    3
#define PASST_FD_AS "3"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* In the child: it inherits its socket and the domain's log, and nothing else. */
static void become_passt(int fd)
{
	static const char failed[] = "network: cannot start passt\n";

	/* dup2() does nothing, and keeps close-on-exec, if it is the right number already. */
	if (fd == PASST_FD ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, PASST_FD) >= 0) {
		syscall(SYS_close_range, PASST_FD + 1, ~0u, 0);
		execlp(PASST, PASST, "--foreground", "--quiet", "--fd", PASST_FD_AS, (char *)NULL);
	}
	if (write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
		_exit(126);
	_exit(127);
}

int virtio_net_passt(struct vmm *vmm)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		vmm_log(vmm, "network: %s", strerror(errno));
		return -1;
	}
	child = fork();
	if (child == 0)
		become_passt(pair[1]);
	close(pair[1]);
	if (child > 0)
		return pair[0];
	vmm_log(vmm, "network: %s", strerror(errno));
	close(pair[0]);
	return -1;
}
