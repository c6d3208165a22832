/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"

/* Open files of a VMM, or of a passt: its own and those that it makes. */
#define OPEN_FILES 1024

static const char *purpose;

static void __attribute__((noreturn)) die(const char *what)
{
	dprintf(STDERR_FILENO, "socled: cannot start %s: %s: %s\n", purpose, what, strerror(errno));
	_exit(126);
}

static void set_limit(int resource, rlim_t value)
{
	const struct rlimit limit = {value, value};

	if (setrlimit((__rlimit_resource_t)resource, &limit) != 0)
		die("setrlimit");
}

static void drop_privileges(uid_t uid)
{
	if (uid == 0)
		return;
	/* From another user's, setresuid drops all capabilities (capabilities(7)). */
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		die("becoming the domain's user");
}

static void __attribute__((noreturn)) child(const struct spawn *spawn, pid_t parent)
{
	/* As root: the domain's user need not be able to come to it. */
	int program = open(spawn->program, O_PATH | O_CLOEXEC);
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	purpose = spawn->what;
	if (null < 0 || dup2(spawn->log, STDOUT_FILENO) < 0 ||
	    dup2(spawn->log, STDERR_FILENO) < 0 || dup2(null, STDIN_FILENO) < 0)
		die("standard descriptors");
	if (program < 0)
		die(spawn->program);
	if (null > STDERR_FILENO)
		close(null);
	for (unsigned int i = 0; i < spawn->inherit->count; i++) {
		if (fcntl(spawn->inherit->fd[i], F_SETFD, 0) != 0)
			die("descriptors");
	}
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_NOFILE, OPEN_FILES);
	drop_privileges(spawn->uid);
	/* Behind the change of user, which takes it back. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("prctl");
	if (getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	fexecve(program, spawn->arguments, environ);
	die(spawn->program);
}

/*
 * A child that begins in the control group. (A process that moves into one waits for all CPUs:
 * longer than all the rest of a domain's creation takes.)
 */
static pid_t fork_into(const char *cgroup, int *pidfd)
{
	int directory = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC), saved;
	struct clone_args how = {
		.flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)directory,
	};
	pid_t pid;

	if (directory < 0)
		return -1;
	pid = (pid_t)syscall(SYS_clone3, &how, sizeof(how));
	saved = errno;
	close(directory);
	errno = saved;
	return pid;
}

static pid_t fork_here(int *pidfd)
{
	pid_t pid = fork();

	if (pid <= 0)
		return pid;
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*pidfd < 0) {
		int saved = errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		errno = saved;
		return -1;
	}
	return pid;
}

pid_t spawn(const struct spawn *spawn, int *pidfd)
{
	pid_t parent = getpid();
	pid_t pid = spawn->cgroup[0] != 0 ? fork_into(spawn->cgroup, pidfd) : fork_here(pidfd);

	if (pid == 0)
		child(spawn, parent);
	return pid;
}
