/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VMM that its guest has taken over must not be able to do: open files, start programs, make
 * sockets, reach other processes. Its user, its descriptors and its domain's key are all it has.
 */
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-user/vmm/machine.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Threads, memory, time, and data through what is open. */
static const uint16_t allowed[] = {
	SYS_futex,
	SYS_epoll_wait,
	SYS_epoll_pwait,
	SYS_epoll_ctl,
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_pread64,
	SYS_pwrite64,
	SYS_preadv,
	SYS_pwritev,
	SYS_preadv2,
	SYS_pwritev2,
	SYS_recvfrom,
	SYS_sendto,
	SYS_recvmsg,
	SYS_sendmsg,
	SYS_poll,
	SYS_ppoll,
	SYS_timerfd_settime,
	SYS_io_uring_enter,
	SYS_fdatasync,
	SYS_fsync,
	SYS_fallocate,
	SYS_lseek,
	SYS_fstat,
	SYS_newfstatat,
	SYS_fcntl,
	SYS_close,
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_clock_nanosleep,
	SYS_nanosleep,
	SYS_getrandom,
	SYS_sched_yield,
	SYS_sched_getaffinity,
	SYS_mmap,
	SYS_munmap,
	SYS_mremap,
	SYS_mprotect,
	SYS_madvise,
	SYS_brk,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sigaltstack,
	SYS_restart_syscall,
	SYS_set_robust_list,
	SYS_rseq,
	SYS_gettid,
	SYS_getpid,
	SYS_tgkill,
	SYS_exit,
	SYS_exit_group,
};

#define ALLOWED		      (sizeof(allowed) / sizeof(allowed[0]))
#define CALLS		      512 /* above all system calls that are allowed */
#define LOAD(field)	      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ANSWER(what)	      BPF_STMT(BPF_RET | BPF_K, what)
#define CLONE_THREAD	      0x00010000
#define PROT_EXECUTE	      4

/* A filter being written; `edge` has the calls, in order, at which the answer changes. */
struct search {
	struct sock_filter *filter;
	unsigned leaves; /* where it ends: KILL, and behind that ALLOW */
	uint16_t edge[2 * ALLOWED];
};

static unsigned edges(uint16_t edge[2 * ALLOWED])
{
	static bool is_allowed[CALLS];
	unsigned count = 0;
	bool last = false;

	for (unsigned i = 0; i < ALLOWED; i++)
		is_allowed[allowed[i]] = true;
	for (unsigned i = 0; i < CALLS; i++) {
		if (is_allowed[i] != last)
			edge[count++] = (uint16_t)i;
		last = is_allowed[i];
	}
	return count;
}

/*
 * Writes a binary search among edge[low .. high - 1] as filter[at ..], an instruction for each. The
 * kernel tries a filter with every system call there is when it is installed: one after the other
 * took half a million instructions.
 */
static void write_search(const struct search *search, unsigned at, unsigned low, unsigned high)
{
	unsigned middle = (low + high) / 2;
	unsigned below = at + 1, above = at + 1 + (middle - low);

	if (middle > low)
		write_search(search, below, low, middle);
	else
		below = search->leaves + middle % 2;
	if (high > middle + 1)
		write_search(search, above, middle + 1, high);
	else
		above = search->leaves + (middle + 1) % 2;
	search->filter[at] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, search->edge[middle],
					     (uint8_t)(above - at - 1), (uint8_t)(below - at - 1));
}

/*
 * clone() makes threads only; clone3(), whose flags a filter cannot see, does not exist, and the C
 * library goes back to clone(). Of ioctl() there is only what virtio_net.c needs for a tap device.
 * Nothing becomes executable.
 */
bool sandbox_enter(struct vmm *vmm)
{
	static struct sock_filter filter[32 + 2 * ALLOWED];
	struct search search = {.filter = filter};
	struct sock_fprog program = {.filter = filter};
	const struct sock_filter head[] = {
		LOAD(arch),
		EQUAL(AUDIT_ARCH_X86_64, 1, 0),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		EQUAL(SYS_clone3, 0, 1),
		ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
		EQUAL(SYS_clone, 0, 4),
		LOAD(args[0]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		EQUAL(SYS_ioctl, 0, 4),
		LOAD(args[1]),
		EQUAL(TUNSETOFFLOAD, 0, 1),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		EQUAL(SYS_mmap, 1, 0),
		EQUAL(SYS_mprotect, 0, 4),
		LOAD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXECUTE, 0, 1),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	unsigned count = sizeof(head) / sizeof(head[0]), changes;

	memcpy(filter, head, sizeof(head));
	changes = edges(search.edge);
	search.leaves = count + changes;
	write_search(&search, count, 0, changes);
	count += changes;
	filter[count++] = (struct sock_filter)ANSWER(SECCOMP_RET_KILL_PROCESS);
	filter[count++] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
	program.len = (unsigned short)count;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
		return true;
	vmm_log(vmm, "sandbox: %s", strerror(errno));
	return false;
}

/* The smallest of them that is above `fd`; UINT_MAX: there is none. */
static unsigned next_wanted(const struct vmm_config *config, int also, int fd)
{
	const int named[] = {config->control_fd,
			     config->serial_fd[0],
			     config->serial_fd[1],
			     config->memory_fd,
			     config->kernel_fd,
			     config->ramdisk_fd,
			     also};
	unsigned next = UINT_MAX;

	for (unsigned i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (named[i] > fd && (unsigned)named[i] < next)
			next = (unsigned)named[i];
	for (unsigned i = 0; i < config->disks; i++)
		if (config->disk[i].fd > fd && (unsigned)config->disk[i].fd < next)
			next = (unsigned)config->disk[i].fd;
	for (unsigned i = 0; i < config->nets; i++)
		if (config->net[i].fd > fd && (unsigned)config->net[i].fd < next)
			next = (unsigned)config->net[i].fd;
	for (unsigned i = 0; i < config->channels; i++)
		if (config->channel_fd[i] > fd && (unsigned)config->channel_fd[i] < next)
			next = (unsigned)config->channel_fd[i];
	return next;
}

void sandbox_close_others(const struct vmm_config *config, int also)
{
	unsigned last = STDERR_FILENO, next;

	/* Ranges between those that stay. */
	while ((next = next_wanted(config, also, (int)last)) != UINT_MAX) {
		if (next > last + 1)
			syscall(SYS_close_range, last + 1, next - 1, 0);
		last = next;
	}
	syscall(SYS_close_range, last + 1, ~0u, 0);
}
