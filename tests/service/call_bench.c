/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a hypercall and a CPUID cost, in ticks of the time-stamp counter. Where one instruction is
 * one tick (QEMU's instruction counting), these are instructions and exactly repeatable.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "service_test.h"

/*
 * Ticks that an instruction takes, the reading of the counter included. Two loads stand between,
 * as RDTSC takes the registers that carry call number and argument; the empty measurement has
 * them, too, so they drop out. LFENCE keeps real processors from reading the counter early.
 */
#define MEASURE(instruction)                                                                       \
	do {                                                                                       \
		uint64_t rdi = key->word[0], rsi = key->word[1], rax, rdx, rcx = 0, start;         \
		register uint64_t r8 __asm__("r8") = 0;                                            \
		register uint64_t r9 __asm__("r9") = 0;                                            \
		register uint64_t r10 __asm__("r10") = 0;                                          \
                                                                                                   \
		__asm__ volatile("lfence\n\trdtsc\n\tmovl %%eax, %k[start]\n\t"                    \
				 "movl %[number], %%eax\n\tmovl $1, %%edx\n\t" instruction         \
				 "\n\tmovq %%rax, %[result]\n\t"                                   \
				 "lfence\n\trdtsc\n\tsubl %k[start], %%eax"                        \
				 : "=&a"(rax),                                                     \
				   "=&d"(rdx), [start] "=&r"(start), [result] "=&r"(*result),      \
				   "+D"(rdi), "+S"(rsi), "+c"(rcx), "+r"(r8), "+r"(r9), "+r"(r10)  \
				 : [number] "i"(SOCLE_CALL_POKE)                                   \
				 : "rbx", "cc");                                                   \
		return (uint32_t)rax;                                                              \
	} while (0)

typedef uint32_t measurement(const struct socle_key *key, int64_t *result);

static uint32_t measure_nothing(const struct socle_key *key, int64_t *result)
{
	MEASURE("");
}

static uint32_t measure_vmmcall(const struct socle_key *key, int64_t *result)
{
	MEASURE("vmmcall");
}

static uint32_t measure_vmcall(const struct socle_key *key, int64_t *result)
{
	MEASURE("vmcall");
}

/* EAX is the call number: leaf 3, which every processor has and which tells nothing. */
static uint32_t measure_cpuid(const struct socle_key *key, int64_t *result)
{
	MEASURE("cpuid");
}

struct result {
	const char *name;
	uint32_t minimum;
	uint32_t median;
};

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static struct result measure(const char *name, measurement *function,
			     const struct socle_handle *handle, uint32_t *ticks, uint64_t count)
{
	/* The first ones fill caches and are not counted. */
	for (uint64_t i = 0; i < count + 16; i++) {
		int64_t result;

		ticks[i < 16 ? 0 : i - 16] = function(&handle->key, &result);
		if (function != measure_nothing && function != measure_cpuid && result != SOCLE_OK)
			test_fail("%s gave %" PRId64 " (%s)", name, result,
				  socle_error_text(result));
	}
	qsort(ticks, count, sizeof(*ticks), compare);
	return (struct result){name, ticks[0], ticks[count / 2]};
}

static uint32_t minus(uint32_t ticks, uint32_t overhead)
{
	return ticks > overhead ? ticks - overhead : 0;
}

static void print_json(const struct result *result, int results, uint64_t count, uint64_t tsc_hz)
{
	printf("{\n  \"count\": %" PRIu64 ",\n  \"tsc_hz\": %" PRIu64 ",\n", count, tsc_hz);
	printf("  \"overhead\": %u,\n  \"ticks\": {", result[0].minimum);
	for (int i = 1; i < results; i++)
		printf("%s\n    \"%s\": {\"minimum\": %u, \"median\": %u}", i > 1 ? "," : "",
		       result[i].name, minus(result[i].minimum, result[0].minimum),
		       minus(result[i].median, result[0].median));
	printf("\n  }\n}\n");
}

static void print_table(const struct result *result, int results)
{
	printf("%-20s %10s %10s\n", "TICKS", "MINIMUM", "MEDIAN");
	for (int i = 1; i < results; i++)
		printf("%-20s %10u %10u\n", result[i].name,
		       minus(result[i].minimum, result[0].minimum),
		       minus(result[i].median, result[0].median));
	printf("%-20s %10u %10u\n", "(empty, subtracted)", result[0].minimum, result[0].median);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"count", 1000, 0}, {"json", 0, 1}, {0}};
	struct socle_handle handle;
	struct socle_info_general general;
	struct result result[3];
	uint32_t *ticks;
	uint64_t count;

	test_options(argc, argv, "[--count N] [--json]", option);
	count = option[0].value;
	ticks = count > 0 ? calloc(count, sizeof(*ticks)) : NULL;
	if (ticks == NULL)
		test_fail(
			"--count: expected a number from 1 up to what memory holds, found %" PRIu64,
			count);
	test_open(&handle);
	if (socle_info_general(&handle, &general) != SOCLE_OK)
		test_fail("info fails");
	result[0] = measure("empty", measure_nothing, &handle, ticks, count);
	result[1] = measure("poke",
			    handle.vendor == SOCLE_VENDOR_SVM ? measure_vmmcall : measure_vmcall,
			    &handle, ticks, count);
	result[2] = measure("cpuid", measure_cpuid, &handle, ticks, count);
	if (option[1].value) {
		print_json(result, 3, count, general.tsc_hz);
		return 0;
	}
	print_table(result, 3);
	test_pass("%" PRIu64 " calls measured", count);
}
