// SPDX-License-Identifier: BSD-2-Clause
#include "things.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "service_test.h"

static struct socle_handle root;
static pid_t daemon_pid;

uint64_t things_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Entries of a directory whose names begin with that, other than "." and "..". */
static unsigned entries(const char *path, const char *prefix)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.' &&
			 strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	if (directory != NULL)
		closedir(directory);
	return count;
}

unsigned things_processes(const char *name, pid_t *one)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	unsigned count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		char path[300], comm[32] = "";
		FILE *file;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		if (fgets(comm, sizeof(comm), file) != NULL &&
		    strncmp(comm, name, strlen(name)) == 0 && comm[strlen(name)] == '\n') {
			count++;
			*one = (pid_t)atoi(entry->d_name);
		}
		fclose(file);
	}
	if (directory != NULL)
		closedir(directory);
	return count;
}

/* Domains that the hypervisor knows. */
static unsigned domains(void)
{
	struct socle_domain_info info;
	unsigned count = 0;

	for (uint32_t i = 1; i < SOCLE_MAX_DOMAINS; i++)
		count += socle_domain_info(&root, i, &info) == SOCLE_OK;
	return count;
}

struct things things_count(void)
{
	struct socle_info_memory memory;
	struct things things;
	char path[64];
	pid_t pid;

	if (socle_info_memory(&root, &memory) != SOCLE_OK)
		test_fail("no information about memory");
	snprintf(path, sizeof(path), "/proc/%d/fd", daemon_pid);
	things = (struct things){
		.pool_free = memory.pool_free_bytes,
		/* The child of socled that is to become a VMM has its parent's name. */
		.processes = things_processes(THINGS_VMM, &pid) + things_processes("socled", &pid),
		.devices = entries("/sys/bus/dax/devices", "dax") + entries("/dev", "dax"),
		.groups = entries("/sys/fs/cgroup/socle", "domain-"),
		.files = entries(path, ""),
		.domains = domains(),
	};
	return things;
}

static bool same(const struct things *a, const struct things *b)
{
	return a->pool_free == b->pool_free && a->processes == b->processes &&
	       a->devices == b->devices && a->groups == b->groups && a->files == b->files &&
	       a->domains == b->domains;
}

/* What takes the longest to count is counted when the rest is as it was. */
static bool is_settled(const struct things *before, struct things *things)
{
	struct socle_info_memory memory;
	pid_t pid;

	if (socle_info_memory(&root, &memory) != SOCLE_OK)
		test_fail("no information about memory");
	if (memory.pool_free_bytes != before->pool_free ||
	    things_processes(THINGS_VMM, &pid) + things_processes("socled", &pid) !=
		    before->processes)
		return false;
	*things = things_count();
	return same(things, before);
}

void things_settle(const struct things *before, const char *when, uint64_t cycle)
{
	uint64_t deadline = things_now() + THINGS_DEADLINE_NS;
	struct things things;

	while (!is_settled(before, &things)) {
		if (things_now() > deadline) {
			things = things_count();
			test_fail(
				"after %s in cycle %llu: free %llu (was %llu), processes %u (%u), "
				"dax devices %u (%u), groups %u (%u), open files %u (%u), domains "
				"%u (%u)",
				when, (unsigned long long)cycle,
				(unsigned long long)things.pool_free,
				(unsigned long long)before->pool_free, things.processes,
				before->processes, things.devices, before->devices, things.groups,
				before->groups, things.files, before->files, things.domains,
				before->domains);
		}
		usleep(5000);
	}
}

pid_t things_start(const char *verb, const char *operand, const char *setting)
{
	pid_t pid = fork();

	if (pid < 0)
		test_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execlp("socle", "socle", verb, operand, setting, (char *)NULL);
		_exit(127);
	}
	return pid;
}

int things_finish(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		test_fail("socle did not end well");
	return WEXITSTATUS(status);
}

struct socle_handle *things_open(void)
{
	test_open(&root);
	if (things_processes("socled", &daemon_pid) != 1)
		test_fail("expected one socled");
	return &root;
}
