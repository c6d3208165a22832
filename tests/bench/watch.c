/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts a guest by a command whose output is the guest's serial port, and passes that on. Where
 *the guest says that something begins or ends it adds "counts NAME VALUE ...", the hypervisor's own
 * counters and the time-stamp counter. The probe sleeps meanwhile, so the counting does not disturb
 * what is measured.
 *
 *	bench-watch socle COMMAND ...	of vCPUs of domain 1, and of the service VM's hypercalls
 *	bench-watch kvm COMMAND ...	of all of KVM's guests, from debugfs
 *	bench-watch none COMMAND ...	the time-stamp counter alone
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "tests/service/service_test.h"

#define DOMAIN	  1
#define KVM_FILES "/sys/kernel/debug/kvm"
#define LINE	  512

static void count_socle(const struct socle_handle *handle)
{
	uint64_t sum[SOCLE_EXIT_COUNT] = {0}, vcpu[SOCLE_EXIT_COUNT];
	struct test_counters service;

	for (uint32_t i = 0; i < SOCLE_MAX_VCPUS; i++) {
		if (socle_stats_exits(handle, i, DOMAIN, vcpu) != SOCLE_OK)
			continue;
		for (unsigned reason = 0; reason < SOCLE_EXIT_COUNT; reason++)
			sum[reason] += vcpu[reason];
	}
	test_counters_read(handle, &service);
	printf(" hypercalls %" PRIu64, service.hypercalls);
	for (unsigned reason = 0; reason < SOCLE_EXIT_COUNT; reason++)
		if (sum[reason] != 0)
			printf(" %s %" PRIu64, socle_exit_reason_name(handle->vendor, reason),
			       sum[reason]);
}

static void count_kvm(void)
{
	DIR *directory = opendir(KVM_FILES);
	struct dirent *entry;

	if (directory == NULL)
		test_fail("there is no %s", KVM_FILES);
	while ((entry = readdir(directory)) != NULL) {
		char path[sizeof(KVM_FILES) + sizeof(entry->d_name) + 1], text[32];
		ssize_t got;
		int file;

		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", KVM_FILES, entry->d_name);
		file = open(path, O_RDONLY);
		if (file < 0)
			continue;
		got = read(file, text, sizeof(text) - 1);
		close(file);
		if (got <= 0)
			continue;
		text[got] = '\0';
		if (strtoull(text, NULL, 10) != 0)
			printf(" %s %llu", entry->d_name, strtoull(text, NULL, 10));
	}
	closedir(directory);
}

static bool starts_with(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

/* The command's output; its input is empty. */
static FILE *start(char **command)
{
	int ends[2];

	if (pipe(ends) != 0)
		test_fail("pipe");
	switch (fork()) {
	case -1:
		test_fail("fork");
	case 0:
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execvp(command[0], command);
		test_fail("cannot start %s", command[0]);
	}
	close(ends[1]);
	return fdopen(ends[0], "r");
}

enum counters { COUNT_SOCLE, COUNT_KVM, COUNT_NONE };

static void count(enum counters counters, const struct socle_handle *handle, uint64_t now)
{
	printf("counts tsc %" PRIu64, now);
	if (counters == COUNT_KVM)
		count_kvm();
	else if (counters == COUNT_SOCLE)
		count_socle(handle);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	enum counters counters = COUNT_NONE;
	struct socle_handle handle;
	char line[LINE];
	int status;
	FILE *from;

	if (argc < 3)
		test_fail("expected socle, kvm or none, and a command");
	if (strcmp(argv[1], "socle") == 0) {
		counters = COUNT_SOCLE;
		test_open(&handle);
	} else if (strcmp(argv[1], "kvm") == 0) {
		counters = COUNT_KVM;
	}
	printf("launch\n");
	count(counters, &handle, __rdtsc());
	from = start(&argv[2]);
	while (from != NULL && fgets(line, sizeof(line), from) != NULL) {
		uint64_t now = __rdtsc();

		fputs(line, stdout);
		if (starts_with(line, "begin ") || starts_with(line, "end ") ||
		    starts_with(line, "start "))
			count(counters, &handle, now);
	}
	wait(&status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
