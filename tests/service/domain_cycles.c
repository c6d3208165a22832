/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Domains are created and end, with the real socled and the real VMM: every other one in order, by
 * "destroy", the rest by a SIGKILL of the VMM at a random moment of its life. Afterwards everything
 * has to be as it was: memory of the pool, processes, dax devices, control groups, and the files
 * that socled has open.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service_test.h"
#include "things.h"

#define KERNEL	"/tmp/domain-cycles.bin"
#define CONFIG	"/tmp/domain-cycles.cfg"
#define NAME	"cycles"
#define LOAD_AT 0x100000u
#define HEADER	48 /* bytes in front of the code */

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

/* Doing -----------------------------------------------------------------------------------------
 */

static void destroy(uint64_t cycle)
{
	int status = things_finish(things_start("destroy", NAME, NULL));

	if (status != 0)
		test_fail("destroy ended with %d in cycle %llu", status, (unsigned long long)cycle);
}

/* Nanoseconds that it takes. */
static uint64_t create(uint64_t cycle)
{
	uint64_t before = things_now();
	int status = things_finish(things_start("create", CONFIG, NULL));

	if (status != 0)
		test_fail("create ended with %d in cycle %llu", status, (unsigned long long)cycle);
	return things_now() - before;
}

/* Kills the VMM so long after "create" was started, or as soon as there is one. */
static void kill_after(uint64_t delay, uint64_t cycle)
{
	uint64_t at = things_now() + delay, deadline = things_now() + THINGS_DEADLINE_NS;
	pid_t client = things_start("create", CONFIG, NULL), vmm = 0;

	while (things_now() < at || things_processes(THINGS_VMM, &vmm) == 0) {
		if (things_now() > deadline)
			test_fail("no VMM in cycle %llu", (unsigned long long)cycle);
		usleep(200);
	}
	if (kill(vmm, SIGKILL) != 0)
		test_fail("kill: %s", strerror(errno));
	/* 1 if it was killed before it ran. */
	if (things_finish(client) > 1)
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
	seed = random = test_seed(option[1].value);
	things_open();
	write_images();
	/* The first domain decides how the pool is used, which changes the devices for good. */
	longest = create(0);
	destroy(0);
	before = things_count();
	if (before.processes != 1 || before.domains != 0)
		test_fail("there are other domains, or what is left of them");
	for (uint64_t i = 1; i <= cycles; i++) {
		uint64_t length;

		if (i % 2 == 0) {
			length = create(i);
			longest = length > longest ? length : longest;
			destroy(i);
			things_settle(&before, "destroy", i);
		} else {
			kill_after(test_random(&random) % (longest + longest / 2), i);
			things_settle(&before, "a killed VMM", i);
		}
	}
	unlink(KERNEL);
	unlink(CONFIG);
	test_pass("%llu cycles, seed %llu, %llu us to create one", (unsigned long long)cycles,
		  (unsigned long long)seed, (unsigned long long)longest / 1000);
}
