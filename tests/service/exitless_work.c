/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exitless_work.h"
#include "service_test.h"

#define DISK_BLOCK     4096
#define SECTOR_BYTES   512
#define TIMER_NS       1000000
#define PROCESS_GAP_US 20000

/* Two threads on two CPUs hand this word to each other. */
static _Atomic uint32_t baton;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *do_timers(void *argument)
{
	struct work *work = argument;
	const struct timespec nap = {0, TIMER_NS};

	while (!work->stop) {
		nanosleep(&nap, NULL);
		work->timers++;
	}
	return NULL;
}

static void *do_processes(void *argument)
{
	struct work *work = argument;

	while (!work->stop) {
		pid_t child = fork();

		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			execl("/proc/self/exe", "exitless-load", "--help", (char *)NULL);
			_exit(127);
		}
		if (child > 0 && waitpid(child, NULL, 0) == child)
			work->processes++;
		usleep(PROCESS_GAP_US);
	}
	return NULL;
}

/* The size in bytes of the block device of that name, 0 if it is not one of disks. */
static uint64_t disk_bytes(const char *name)
{
	static const char *const other[] = {"loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd"};
	char path[300];
	unsigned long long sectors = 0;
	FILE *file;

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		if (strncmp(name, other[i], strlen(other[i])) == 0)
			return 0;
	}
	snprintf(path, sizeof(path), "/sys/block/%s/size", name);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &sectors) != 1)
		sectors = 0;
	fclose(file);
	return sectors * SECTOR_BYTES;
}

/* Opens the first disk; gives its size, 0 if there is none. */
static uint64_t open_disk(struct work *work, int *disk)
{
	DIR *directory = opendir("/sys/block");
	struct dirent *entry;
	uint64_t bytes = 0;

	*disk = -1;
	while (directory != NULL && *disk < 0 && (entry = readdir(directory)) != NULL) {
		bytes = disk_bytes(entry->d_name);
		if (bytes < DISK_BLOCK)
			continue;
		snprintf(work->disk, sizeof(work->disk), "/dev/%.50s", entry->d_name);
		*disk = open(work->disk, O_RDONLY | O_DIRECT | O_CLOEXEC);
	}
	if (directory != NULL)
		closedir(directory);
	if (*disk < 0)
		work->disk[0] = 0;
	return *disk < 0 ? 0 : bytes;
}

static void *do_disk_reads(void *argument)
{
	static uint8_t buffer[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	struct work *work = argument;
	uint64_t random = 1;
	int disk;
	uint64_t blocks = open_disk(work, &disk) / DISK_BLOCK;

	while (!work->stop && blocks > 0) {
		off_t offset = (off_t)(test_random(&random) % blocks * DISK_BLOCK);

		if (pread(disk, buffer, sizeof(buffer), offset) == (ssize_t)sizeof(buffer))
			work->disk_reads++;
		else
			usleep(1000);
	}
	if (disk >= 0)
		close(disk);
	return NULL;
}

/* Interrupts to every other CPU that runs one of our threads. */
static void *do_membarriers(void *argument)
{
	struct work *work = argument;

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
		return NULL;
	while (!work->stop) {
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
			work->membarriers++;
		usleep(100);
	}
	return NULL;
}

/* TLB shootdowns: the other threads have our address space loaded. */
static void *do_unmaps(void *argument)
{
	struct work *work = argument;

	while (!work->stop) {
		volatile uint8_t *page = mmap(NULL, DISK_BLOCK, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			return NULL;
		page[0] = 1;
		munmap((void *)page, DISK_BLOCK);
		work->unmaps++;
		if (work->unmaps % 64 == 0)
			usleep(100);
	}
	return NULL;
}

static void hand_over(struct work *work, int cpu, uint32_t mine)
{
	const struct timespec patience = {0, 10000000};

	pin(cpu);
	while (!work->stop) {
		uint32_t value = baton;

		if ((value & 1) != mine) {
			syscall(SYS_futex, &baton, FUTEX_WAIT_PRIVATE, value, &patience, NULL, 0);
			continue;
		}
		baton = value + 1;
		syscall(SYS_futex, &baton, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		work->handovers++;
	}
}

static void *do_handovers_even(void *argument)
{
	hand_over(argument, 0, 0);
	return NULL;
}

static void *do_handovers_odd(void *argument)
{
	struct work *work = argument;

	hand_over(work, work->cpus - 1, 1);
	return NULL;
}

static void *do_yields(void *argument)
{
	struct work *work = argument;

	while (!work->stop) {
		sched_yield();
		work->yields++;
	}
	return NULL;
}

void work_run(struct work *work, unsigned int seconds)
{
	static void *(*const kind[])(void *) = {
		do_timers, do_processes,      do_disk_reads,	do_membarriers,
		do_unmaps, do_handovers_even, do_handovers_odd, do_yields,
	};
	pthread_t thread[sizeof(kind) / sizeof(kind[0])];
	struct timespec left = {(time_t)seconds, 0};

	work->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
		if (pthread_create(&thread[i], NULL, kind[i], work) != 0)
			test_fail("cannot start a thread: %s", strerror(errno));
	}
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
	work->stop = true;
	for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++)
		pthread_join(thread[i], NULL);
}
