/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service VM is exitless: timers, disks, processes and interrupts between CPUs do not enter
 * the hypervisor. This program does a lot of each and looks at the counters.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exitless_work.h"
#include "service_test.h"

/*
 * Exits for other reasons than a program's start (CPUID, XSETBV on VT-x) and the hypercalls that
 * read the counters.
 */
#define OTHERS_MAX 10

static void print_json(const struct work *work, uint64_t seconds, enum socle_vendor vendor,
		       const uint64_t exits[SOCLE_EXIT_COUNT], uint64_t others)
{
	printf("{\n  \"seconds\": %" PRIu64 ",\n  \"cpus\": %d,\n  \"disk\": \"%s\",\n", seconds,
	       work->cpus, work->disk);
	printf("  \"work\": {\"timers\": %lu, \"processes\": %lu, \"disk_reads\": %lu,\n"
	       "    \"membarriers\": %lu, \"unmaps\": %lu, \"handovers\": %lu, \"yields\": %lu},\n",
	       work->timers, work->processes, work->disk_reads, work->membarriers, work->unmaps,
	       work->handovers, work->yields);
	printf("  \"exits\": {");
	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++)
		printf("%s\n    \"%s\": %" PRIu64, i > 0 ? "," : "",
		       socle_exit_reason_name(vendor, i), exits[i]);
	printf("\n  },\n  \"others\": %" PRIu64 "\n}\n", others);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"seconds", 10, 0}, {0}};
	static struct work work;
	struct test_counters before, after;
	uint64_t exits[SOCLE_EXIT_COUNT];
	struct socle_handle handle;
	uint64_t others = 0;

	test_options(argc, argv, "[--seconds S]", option);
	test_open(&handle);
	test_counters_read(&handle, &before);
	work_run(&work, (unsigned int)option[0].value);
	test_counters_read(&handle, &after);

	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++) {
		exits[i] = after.reason[i] - before.reason[i];
		if (i != SOCLE_EXIT_CPUID && i != SOCLE_EXIT_HYPERCALL && i != SOCLE_EXIT_XSETBV)
			others += exits[i];
	}
	print_json(&work, option[0].value, handle.vendor, exits, others);
	if (work.timers == 0 || work.processes == 0 || work.handovers == 0 || work.yields == 0)
		test_fail("some kind of work was not done at all");
	if (others > OTHERS_MAX)
		test_fail("%" PRIu64
			  " exits beside cpuid, hypercall and xsetbv, expected at most %d",
			  others, OTHERS_MAX);
	test_pass("%" PRIu64 " exits beside cpuid, hypercall and xsetbv in %" PRIu64 " s%s", others,
		  option[0].value, work.disk[0] == 0 ? " (no disk to read)" : "");
}
