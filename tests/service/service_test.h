/* SPDX-License-Identifier: BSD-2-Clause */
/* What the test programs of the service VM share. */
#ifndef SOCLE_SERVICE_TEST_H
#define SOCLE_SERVICE_TEST_H

#include <stdint.h>

#include "socle.h"

/* Prints "PASS: name: ..." and ends the process with status 0. */
void __attribute__((noreturn, format(printf, 1, 2))) test_pass(const char *format, ...);

/* Prints "FAIL: name: ..." and ends the process (all its threads) with status 1. */
void __attribute__((noreturn, format(printf, 1, 2))) test_fail(const char *format, ...);

/* Opens the handle; the test fails if that fails. */
void test_open(struct socle_handle *handle);

/*
 * Takes options "--name N" apart, all with numbers.
 *
 * @usage  printed for --help, and with status 2 for anything unknown
 * @option name and default of each, ended by a NULL name; the values are put there
 */
struct test_option {
	const char *name;
	uint64_t value;
	int flag; /* takes no value: becomes 1 */
};
void test_options(int argc, char **argv, const char *usage, struct test_option *option);

/* The seed of a run: the one that is wanted, or for 0 a new one. It is printed, to be given again.
 */
uint64_t test_seed(uint64_t wanted);

/* The next number of a sequence that the seed fixes (splitmix64). */
uint64_t test_random(uint64_t *state);

/* Sums over all CPUs. */
struct test_counters {
	uint64_t exits;
	uint64_t hypercalls;
	uint64_t denied;
	uint64_t cycles;
	uint64_t reason[SOCLE_EXIT_COUNT]; /* of the service VM */
};
void test_counters_read(const struct socle_handle *handle, struct test_counters *counters);

#endif
