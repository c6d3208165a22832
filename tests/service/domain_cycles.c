/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Domains are created and end, with the real socled and the real VMM: every other one in order, by
 * "destroy", the rest by a SIGKILL of the VMM at a random moment of its life. Afterwards everything
 * has to be as it was: memory of the pool, processes, dax devices, control groups, and the files
 * that socled has open.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "service_test.h"

#define KERNEL	    "/tmp/domain-cycles.bin"
#define CONFIG	    "/tmp/domain-cycles.cfg"
#define NAME	    "cycles"
#define VMM	    "socle-vmm"
#define LOAD_AT	    0x100000u
#define HEADER	    48 /* bytes in front of the code */
#define DEADLINE_NS 120000000000ull

/*
 * A flat Multiboot kernel that leaves for every reason that a device gives: a written port, a read
 * one, memory, CPUID, and then it computes for a while. For ever.
 */
static const uint8_t code[] = {
	0x66, 0xba, 0xfd, 0x03,	      /* start: mov dx, 0x3fd */
	0xec,			      /* in al, dx */
	0x66, 0xba, 0xff, 0x03,	      /* mov dx, 0x3ff */
	0xee,			      /* out dx, al */
	0xa1, 0xf0, 0x00, 0xd0, 0xfe, /* mov eax, [0xfed000f0] */
	0x0f, 0xa2,		      /* cpuid */
	0xb9, 0x00, 0x20, 0x00, 0x00, /* mov ecx, 0x2000 */
	0xe2, 0xfe,		      /* loop $ */
	0xeb, 0xe6,		      /* jmp start */
};

/* What there is of everything that a domain has. */
struct things {
	uint64_t pool_free;
	unsigned processes, devices, groups, files, domains;
};

static struct socle_handle root;
static pid_t daemon_pid;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void write_file(const char *path, const void *content, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, content, bytes) != (ssize_t)bytes || close(fd) != 0)
		test_fail("cannot write %s: %s", path, strerror(errno));
}

static void write_images(void)
{
	static const char config[] = "name = \"" NAME "\"\n"
				     "memory = 16\n"
				     "vcpus = 2\n"
				     "kernel = \"" KERNEL "\"\n";
	const uint32_t magic = 0x1badb002, flags = 1u << 16;
	const uint32_t header[] = {magic, flags, -(magic + flags), LOAD_AT, LOAD_AT,
				   0,	  0,	 LOAD_AT + HEADER};
	uint8_t image[HEADER + sizeof(code)] = {0};

	memcpy(image, header, sizeof(header));
	memcpy(image + HEADER, code, sizeof(code));
	write_file(KERNEL, image, sizeof(image));
	write_file(CONFIG, config, strlen(config));
}

/* Counting --------------------------------------------------------------------------------------
 */

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

/* Processes of that name; *one becomes the last of them. */
static unsigned processes(const char *name, pid_t *one)
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

static struct things count(void)
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
		.processes = processes(VMM, &pid) + processes("socled", &pid),
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
	    processes(VMM, &pid) + processes("socled", &pid) != before->processes)
		return false;
	*things = count();
	return same(things, before);
}

/* Waits until everything is as it was. */
static void settle(const struct things *before, const char *when, uint64_t cycle)
{
	uint64_t deadline = now() + DEADLINE_NS;
	struct things things;

	while (!is_settled(before, &things)) {
		if (now() > deadline) {
			things = count();
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

/* Doing -----------------------------------------------------------------------------------------
 */

/* Starts "socle VERB OPERAND", silent. */
static pid_t start(const char *verb, const char *operand)
{
	pid_t pid = fork();

	if (pid < 0)
		test_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execlp("socle", "socle", verb, operand, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int finish(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		test_fail("socle did not end well");
	return WEXITSTATUS(status);
}

static void destroy(uint64_t cycle)
{
	int status = finish(start("destroy", NAME));

	if (status != 0)
		test_fail("destroy ended with %d in cycle %llu", status, (unsigned long long)cycle);
}

/* Nanoseconds that it takes. */
static uint64_t create(uint64_t cycle)
{
	uint64_t before = now();
	int status = finish(start("create", CONFIG));

	if (status != 0)
		test_fail("create ended with %d in cycle %llu", status, (unsigned long long)cycle);
	return now() - before;
}

/* Kills the VMM so long after "create" was started, or as soon as there is one. */
static void kill_after(uint64_t delay, uint64_t cycle)
{
	uint64_t at = now() + delay, deadline = now() + DEADLINE_NS;
	pid_t client = start("create", CONFIG), vmm = 0;

	while (now() < at || processes(VMM, &vmm) == 0) {
		if (now() > deadline)
			test_fail("no VMM in cycle %llu", (unsigned long long)cycle);
		usleep(200);
	}
	if (kill(vmm, SIGKILL) != 0)
		test_fail("kill: %s", strerror(errno));
	/* 1 if it was killed before it ran. */
	if (finish(client) > 1)
		test_fail("create ended with a strange status in cycle %llu",
			  (unsigned long long)cycle);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"cycles", 20, 0}, {"seed", 0, 0}, {NULL, 0, 0}};
	struct things before;
	uint64_t cycles, seed, random, longest;

	test_options(argc, argv, "[--cycles N] [--seed S]", option);
	cycles = option[0].value;
	seed = option[1].value;
	if (seed == 0 && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		test_fail("no random seed");
	seed &= UINT32_MAX;
	random = seed;
	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	test_open(&root);
	if (processes("socled", &daemon_pid) != 1)
		test_fail("expected one socled");
	write_images();
	/* The first domain decides how the pool is used, which changes the devices for good. */
	longest = create(0);
	destroy(0);
	before = count();
	if (before.processes != 1 || before.domains != 0)
		test_fail("there are other domains, or what is left of them");
	for (uint64_t i = 1; i <= cycles; i++) {
		uint64_t length;

		if (i % 2 == 0) {
			length = create(i);
			longest = length > longest ? length : longest;
			destroy(i);
			settle(&before, "destroy", i);
		} else {
			kill_after(test_random(&random) % (longest + longest / 2), i);
			settle(&before, "a killed VMM", i);
		}
	}
	unlink(KERNEL);
	unlink(CONFIG);
	test_pass("%llu cycles, seed %llu, %llu us to create one", (unsigned long long)cycles,
		  (unsigned long long)seed, (unsigned long long)longest / 1000);
}
