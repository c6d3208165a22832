/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads and writes the hypervisor's own memory through /dev/mem, as root can. Every byte has to
 * read 0xff whatever is written; writes may fail, fault or be ignored. They are made by child
 * processes, as the kernel may kill whoever makes them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service_test.h"

#define PAGE_BYTES UINT64_C(4096)

/* A child that makes no progress for so long hangs. */
#define HANG_SECONDS 120

/*
 * Children that may be killed before we take it that all of them would be: spread over the range,
 * as each leaves a long message of the kernel on the console.
 */
#define KILLED_MAX 3

/* What a child has done so far; shared with its parent. */
struct progress {
	volatile uint64_t page;	   /* the one being written */
	volatile uint64_t written; /* writes that looked like success */
	volatile uint64_t refused; /* errors and faults */
};

struct probe {
	int memory; /* /dev/mem */
	uint64_t base;
	uint64_t pages;
	uint64_t stride; /* every how many pages one is taken */
	volatile uint8_t *map;
	struct progress *progress;
};

static sigjmp_buf fault_return;

static void on_fault(int signal)
{
	siglongjmp(fault_return, signal);
}

static void catch_faults(void)
{
	struct sigaction action = {.sa_handler = on_fault};

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static void check_page(const struct probe *probe, uint64_t page, const volatile uint8_t *bytes,
		       const char *how)
{
	const volatile uint64_t *words = (const volatile uint64_t *)bytes;

	for (unsigned int i = 0; i < PAGE_BYTES / sizeof(*words); i++) {
		uint64_t word = words[i];

		if (word != UINT64_MAX)
			test_fail("%s: physical address 0x%" PRIx64 " reads 0x%016" PRIx64
				  ", expected all ones",
				  how, probe->base + page * PAGE_BYTES + i * sizeof(*words), word);
	}
}

/* Gives the number of pages read; the kernel may refuse the others. */
static uint64_t read_by_read(const struct probe *probe)
{
	static uint8_t buffer[PAGE_BYTES] __attribute__((aligned(8)));
	uint64_t pages = 0;

	for (uint64_t page = 0; page < probe->pages; page += probe->stride) {
		memset(buffer, 0, sizeof(buffer));
		if (pread(probe->memory, buffer, sizeof(buffer),
			  (off_t)(probe->base + page * PAGE_BYTES)) != (ssize_t)sizeof(buffer))
			continue;
		check_page(probe, page, buffer, "read");
		pages++;
	}
	return pages;
}

static uint64_t read_by_map(const struct probe *probe)
{
	volatile uint64_t page = 0;
	int signal;

	if (probe->map == NULL)
		return 0;
	signal = sigsetjmp(fault_return, 1);
	if (signal != 0)
		test_fail("mmap: physical address 0x%" PRIx64 " gives signal %d on a read, "
			  "expected all ones",
			  probe->base + page * PAGE_BYTES, signal);
	for (; page < probe->pages; page += probe->stride)
		check_page(probe, page, probe->map + page * PAGE_BYTES, "mmap");
	return (probe->pages + probe->stride - 1) / probe->stride;
}

/* The offsets in a page that are written: its first and last word and one between. */
static uint64_t offset_in_page(uint64_t page, int i)
{
	return i == 0 ? 0 : i == 1 ? PAGE_BYTES - 8 : page * 8 % PAGE_BYTES;
}

static void write_by_write(const struct probe *probe, uint64_t page)
{
	for (int i = 0; i < 3; i++) {
		uint64_t value = 0x50434c450000ull + page;
		uint64_t address = probe->base + page * PAGE_BYTES + offset_in_page(page, i);

		if (pwrite(probe->memory, &value, sizeof(value), (off_t)address) ==
		    (ssize_t)sizeof(value))
			probe->progress->written++;
		else
			probe->progress->refused++;
	}
}

static void write_by_map(const struct probe *probe, uint64_t page)
{
	if (probe->map == NULL)
		return;
	for (volatile int i = 0; i < 3; i++) {
		if (sigsetjmp(fault_return, 1) != 0) {
			probe->progress->refused++;
			continue;
		}
		*(volatile uint64_t *)(probe->map + page * PAGE_BYTES + offset_in_page(page, i)) =
			page;
		probe->progress->written++;
	}
}

static void wait_for(struct probe *probe, pid_t child, const char *how, int *status)
{
	uint64_t seen = UINT64_MAX;
	int idle = 0;

	while (waitpid(child, status, WNOHANG) == 0) {
		if (probe->progress->page != seen) {
			seen = probe->progress->page;
			idle = 0;
		} else if (++idle > HANG_SECONDS * 100) {
			kill(child, SIGKILL);
			test_fail("%s to 0x%" PRIx64 " hangs", how,
				  probe->base + seen * PAGE_BYTES);
		}
		usleep(10000);
	}
}

/* Writes to the pages in children; gives how many of them were killed. */
static int write_all(struct probe *probe, const char *how,
		     void (*write_page)(const struct probe *probe, uint64_t page))
{
	uint64_t pages = probe->pages / probe->stride;
	int killed = 0;

	probe->progress->page = 0;
	while (probe->progress->page < probe->pages && killed < KILLED_MAX) {
		int status = 0;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (child < 0)
			test_fail("cannot fork");
		if (child == 0) {
			for (uint64_t page = probe->progress->page; page < probe->pages;
			     page += probe->stride) {
				probe->progress->page = page;
				write_page(probe, page);
			}
			probe->progress->page = probe->pages;
			_exit(0);
		}
		wait_for(probe, child, how, &status);
		if (WIFSIGNALED(status)) {
			killed++;
			probe->progress->page += probe->stride * (pages / KILLED_MAX + 1);
		}
	}
	return killed;
}

static void open_memory(struct probe *probe)
{
	void *map;

	probe->memory = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (probe->memory < 0)
		test_fail("cannot open /dev/mem for reading and writing: %s", strerror(errno));
	map = mmap(NULL, probe->pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		   probe->memory, (off_t)probe->base);
	probe->map = map == MAP_FAILED ? NULL : map;
	if (map == MAP_FAILED)
		printf("mmap refused by the kernel: %s\n", strerror(errno));
	map = mmap(NULL, sizeof(*probe->progress), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		test_fail("no shared memory: %s", strerror(errno));
	probe->progress = map;
}

static void read_all(const struct probe *probe, const char *when)
{
	uint64_t by_read = read_by_read(probe);
	uint64_t by_map = read_by_map(probe);

	printf("%s writing: %" PRIu64 " pages read by read, %" PRIu64 " by mmap, all ones\n", when,
	       by_read, by_map);
	fflush(stdout);
	if (by_read + by_map == 0)
		test_fail("the kernel refuses every access: nothing could be tested");
}

static void check_alive(const struct socle_handle *handle, const struct test_counters *before,
			const struct socle_info_memory *memory)
{
	struct socle_info_memory now;
	struct test_counters after;
	uint64_t echo = 0;
	int result = socle_poke(handle, 0x1234, &echo);

	if (result != SOCLE_OK || echo != 0x1234)
		test_fail("poke gives %d and 0x%" PRIx64 " afterwards", result, echo);
	if (socle_info_memory(handle, &now) != SOCLE_OK || memcmp(&now, memory, sizeof(now)) != 0)
		test_fail("the memory info has changed");
	test_counters_read(handle, &after);
	if (after.exits <= before->exits || after.hypercalls <= before->hypercalls)
		test_fail("the counters do not grow: %" PRIu64 " exits before, %" PRIu64 " after",
			  before->exits, after.exits);
	if (after.denied != before->denied)
		test_fail("%" PRIu64 " hypercalls were denied", after.denied - before->denied);
	for (int i = 0; i < SOCLE_EXIT_COUNT; i++) {
		if (after.reason[i] < before->reason[i])
			test_fail("the counter of %s went back",
				  socle_exit_reason_name(handle->vendor, (unsigned int)i));
	}
	printf("exits: %" PRIu64 ", of these %" PRIu64 " %s\n", after.exits - before->exits,
	       after.reason[SOCLE_EXIT_SECOND_LEVEL] - before->reason[SOCLE_EXIT_SECOND_LEVEL],
	       socle_exit_reason_name(handle->vendor, SOCLE_EXIT_SECOND_LEVEL));
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"stride", 1, 0}, {0}};
	struct socle_handle handle;
	struct socle_info_memory memory;
	struct test_counters before;
	struct probe probe = {0};
	int killed;

	test_options(argc, argv, "[--stride PAGES]", option);
	test_open(&handle);
	if (socle_info_memory(&handle, &memory) != SOCLE_OK)
		test_fail("info fails");
	test_counters_read(&handle, &before);
	probe.base = memory.hypervisor_base;
	probe.pages = memory.hypervisor_bytes / PAGE_BYTES;
	probe.stride = option[0].value > 0 ? option[0].value : 1;
	if (probe.pages == 0 || probe.base % PAGE_BYTES != 0)
		test_fail("info gives no memory range: 0x%" PRIx64 ", %" PRIu64 " bytes",
			  memory.hypervisor_base, memory.hypervisor_bytes);
	printf("hypervisor: 0x%" PRIx64 ", %" PRIu64 " pages\n", probe.base, probe.pages);
	open_memory(&probe);
	catch_faults();

	read_all(&probe, "before");
	killed = write_all(&probe, "write", write_by_write);
	printf("write: %" PRIu64 " done, %" PRIu64 " refused, %d processes killed\n",
	       probe.progress->written, probe.progress->refused, killed);
	probe.progress->written = probe.progress->refused = 0;
	killed = write_all(&probe, "a store", write_by_map);
	printf("mmap:  %" PRIu64 " done, %" PRIu64 " refused, %d processes killed\n",
	       probe.progress->written, probe.progress->refused, killed);
	read_all(&probe, "after");
	check_alive(&handle, &before, &memory);
	test_pass("no byte of the hypervisor's %" PRIu64 " KiB can be read or written",
		  memory.hypervisor_bytes / 1024);
}
