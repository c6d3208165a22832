/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VMM can and cannot do once it is in its sandbox. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_machine.h"
#include "unit.h"

static void *nothing(void *argument)
{
	return argument;
}

static void thread(void)
{
	pthread_t made;

	if (pthread_create(&made, NULL, nothing, NULL) != 0 || pthread_join(made, NULL) != 0)
		_exit(2);
}

static void memory(void)
{
	char *piece =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (piece == MAP_FAILED)
		_exit(2);
	memset(piece, 1, 1 << 20);
	munmap(piece, 1 << 20);
}

static void code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void opening(void)
{
	open("/dev/null", O_RDONLY);
}

static void process(void)
{
	fork();
}

static void program(void)
{
	execl("/bin/true", "true", NULL);
}

static void connection(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void killing(void)
{
	kill(getppid(), 0);
}

/* The wait status of a process that does that in a sandbox. */
static int inside(void (*what)(void))
{
	static struct vmm vmm;
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		if (!sandbox_enter(&vmm))
			_exit(3);
		what();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

START_TEST(allowed)
{
	ck_assert_int_eq(inside(thread), 0);
	ck_assert_int_eq(inside(memory), 0);
}
END_TEST

static int call_number;

/* With descriptors and addresses that are none. */
static void call(void)
{
	syscall(call_number, -1, -1, 0, 0, -1, -1);
}

/* Around each edge of what is allowed. */
START_TEST(calls)
{
	const int good[] = {
		SYS_read,	 SYS_write,   SYS_close,    SYS_fstat,		SYS_poll,
		SYS_lseek,	 SYS_brk,     SYS_pwrite64, SYS_readv,		SYS_writev,
		SYS_sched_yield, SYS_getpid,  SYS_sendto,   SYS_recvmsg,	SYS_gettid,
		SYS_fallocate,	 SYS_preadv2, SYS_pwritev2, SYS_io_uring_enter, SYS_rseq};
	const int bad[] = {SYS_open,
			   SYS_stat,
			   SYS_lstat,
			   SYS_access,
			   SYS_socket,
			   SYS_connect,
			   SYS_accept,
			   SYS_shutdown,
			   SYS_vfork,
			   SYS_execve,
			   SYS_kill,
			   SYS_ptrace,
			   SYS_openat,
			   SYS_mknodat,
			   SYS_seccomp,
			   SYS_statx,
			   SYS_io_uring_setup,
			   SYS_io_uring_register,
			   SYS_pidfd_open,
			   500,
			   511,
			   512,
			   4096,
			   -1};

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		call_number = good[i];
		ck_assert_msg(inside(call) == 0, "call %d is refused", call_number);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		call_number = bad[i];
		int status = inside(call);

		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "call %d: %#x",
			      call_number, status);
	}
}
END_TEST

START_TEST(refused)
{
	void (*const what[])(void) = {code, opening, process, program, connection, killing};

	for (unsigned i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		int status = inside(what[i]);

		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%u: %#x", i,
			      status);
	}
}
END_TEST

/* Only what the configuration names stays open. */
START_TEST(descriptors)
{
	struct vmm_config config = {.control_fd = 50,
				    .serial_fd = {-1, 57},
				    .channel_fd = {58},
				    .channels = 1,
				    .memory_fd = 51,
				    .kernel_fd = -1,
				    .ramdisk_fd = -1};
	pid_t child = fork();
	int status;

	if (child == 0) {
		for (int fd = 40; fd < 60; fd++)
			dup2(0, fd);
		sandbox_close_others(&config, 55);
		for (int fd = 40; fd < 60; fd++)
			if ((fcntl(fd, F_GETFD) >= 0) !=
			    (fd == 50 || fd == 51 || fd == 55 || fd == 57 || fd == 58))
				_exit(fd);
		_exit(fcntl(2, F_GETFD) >= 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("vmm_sandbox");
	TCase *tests = tcase_create("all");

	tcase_add_test(tests, allowed);
	tcase_add_test(tests, refused);
	tcase_add_test(tests, calls);
	tcase_add_test(tests, descriptors);
	suite_add_tcase(suite, tests);
	return suite;
}
