/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "service_test.h"

static void __attribute__((noreturn))
finish(const char *verdict, int status, const char *format, va_list arguments)
{
	printf("%s: %s: ", verdict, program_invocation_short_name);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	_Exit(status);
}

void test_pass(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	finish("PASS", 0, format, arguments);
}

void test_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	finish("FAIL", 1, format, arguments);
}

void test_open(struct socle_handle *handle)
{
	struct socle_open_error error;

	if (socle_open(NULL, handle, &error) != SOCLE_OPEN_OK)
		test_fail("%s", error.message);
}

static void __attribute__((noreturn)) bad_usage(const char *usage, const char *what)
{
	fprintf(stderr, "%s: '%s': unknown option, or not a number\nusage: %s %s\n",
		program_invocation_short_name, what, program_invocation_short_name, usage);
	exit(2);
}

void test_options(int argc, char **argv, const char *usage, struct test_option *option)
{
	for (int i = 1; i < argc; i++) {
		struct test_option *found = option;
		char *end;

		if (strcmp(argv[i], "--help") == 0) {
			printf("usage: %s %s\n", program_invocation_short_name, usage);
			exit(0);
		}
		while (found->name != NULL &&
		       (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, found->name) != 0))
			found++;
		if (found->name == NULL || (!found->flag && i + 1 == argc))
			bad_usage(usage, argv[i]);
		if (found->flag) {
			found->value = 1;
			continue;
		}
		found->value = strtoull(argv[++i], &end, 0);
		if (end == argv[i] || *end != 0)
			bad_usage(usage, argv[i]);
	}
}

uint64_t test_seed(uint64_t wanted)
{
	uint64_t seed = wanted;

	if (seed == 0 && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		test_fail("no random seed");
	seed &= UINT32_MAX;
	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void test_counters_read(const struct socle_handle *handle, struct test_counters *counters)
{
	struct socle_info_general general;
	int result = socle_info_general(handle, &general);

	*counters = (struct test_counters){0};
	for (uint32_t cpu = 0; result == SOCLE_OK && cpu < general.cpus_online; cpu++) {
		struct socle_stats_cpu total;
		uint64_t reason[SOCLE_EXIT_COUNT];

		result = socle_stats_cpu(handle, cpu, &total);
		if (result == SOCLE_OK)
			result = socle_stats_exits(handle, cpu, SOCLE_VM_SERVICE, reason);
		if (result != SOCLE_OK)
			break;
		counters->exits += total.exits;
		counters->hypercalls += total.hypercalls;
		counters->denied += total.hypercalls_denied;
		counters->cycles += total.hypervisor_cycles;
		for (int i = 0; i < SOCLE_EXIT_COUNT; i++)
			counters->reason[i] += reason[i];
	}
	if (result != SOCLE_OK)
		test_fail("cannot read the counters: %s", socle_error_text(result));
}
