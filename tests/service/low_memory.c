// SPDX-License-Identifier: BSD-2-Clause
/*
 * Has allocations fail: socled, and each VMM that it starts, may use less and less address space,
 * from what a VMM takes in all down to nothing. Every "create" and "destroy" has to end, whether it
 * succeeds or not; socled has to live; and each time everything has to be as it was.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "service_test.h"
#include "things.h"

#define CONFIG	"/lib/socle/tests/guest/exits.cfg"
#define NAME	"exits"
#define SETTING "extra=io"

static void limit(pid_t pid, rlim_t bytes)
{
	struct rlimit value = {bytes, RLIM_INFINITY};

	if (prlimit(pid, RLIMIT_AS, &value, NULL) != 0)
		test_fail("prlimit of %d: %s", pid, strerror(errno));
}

/* The most address space that the process has had, in bytes. */
static uint64_t peak(pid_t pid)
{
	char path[64], line[128];
	unsigned long long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file != NULL && kib == 0 && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "VmPeak: %llu kB", &kib) != 1)
			kib = 0;
	if (file != NULL)
		fclose(file);
	if (kib == 0)
		test_fail("no VmPeak in %s", path);
	return kib << 10;
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"steps", 40, 0}, {"seed", 0, 0}, {NULL, 0, 0}};
	uint64_t seed, random, top, created = 0;
	struct things before;
	pid_t daemon, vmm, now;

	test_options(argc, argv, "[--steps N] [--seed S]", option);
	seed = random = test_seed(option[1].value);
	things_open();
	if (things_processes("socled", &daemon) != 1 ||
	    things_finish(things_start("create", CONFIG, SETTING)) != 0 ||
	    things_processes(THINGS_VMM, &vmm) != 1)
		test_fail("no domain can be made");
	top = peak(vmm) + (1 << 20);
	if (things_finish(things_start("destroy", NAME, NULL)) != 0)
		test_fail("no domain can be destroyed");
	before = things_count();
	for (uint64_t i = 1; i <= option[0].value; i++) {
		rlim_t bytes = top - top * i / option[0].value;

		limit(daemon, bytes + test_random(&random) % (top / option[0].value));
		created += things_finish(things_start("create", CONFIG, SETTING)) == 0;
		things_finish(things_start("destroy", NAME, NULL));
		limit(daemon, RLIM_INFINITY);
		/* What did not get so far as to a destruction is there still. */
		things_finish(things_start("destroy", NAME, NULL));
		things_settle(&before, "a lack of memory", i);
		if (things_processes("socled", &now) != 1 || now != daemon)
			test_fail("socled ended at %llu bytes", (unsigned long long)bytes);
	}
	if (created == option[0].value)
		test_fail("no allocation failed");
	if (things_finish(things_start("create", CONFIG, SETTING)) != 0 ||
	    things_finish(things_start("destroy", NAME, NULL)) != 0)
		test_fail("no domain can be made any more");
	test_pass("%llu limits from %llu bytes down, %llu domains were made, seed %llu",
		  (unsigned long long)option[0].value, (unsigned long long)top,
		  (unsigned long long)created, (unsigned long long)seed);
}
