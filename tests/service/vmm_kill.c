/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kills VMMs, with the real socled, while their guest leaves for one reason again and again
 * (tests/guest/exits.c): for each reason, several times, at a random moment after the hypervisor
 * has counted some exits of it. Afterwards everything has to be as it was, each time.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "service_test.h"
#include "things.h"

#define CONFIG	 "/lib/socle/tests/guest/exits.cfg"
#define NAME	 "exits"
#define EXITS	 50 /* of the reason, before the VMM is killed */
#define DELAY_US 20000

/*
 * The reason is the one that the hypervisor counts: what it leaves with after a write of the local
 * APIC's registers it finds out later. "Wake" and "nmi" are the second vCPU's exits.
 */
static const struct {
	const char *name;
	enum socle_exit_reason reason;
	uint32_t vcpu;
	int vmx_only;
} loops[] = {
	{"cpuid", SOCLE_EXIT_CPUID, 0, 0},
	{"io", SOCLE_EXIT_IO, 0, 0},
	{"msr_read", SOCLE_EXIT_MSR_READ, 0, 0},
	{"msr_write", SOCLE_EXIT_MSR_WRITE, 0, 0},
	{"second_level", SOCLE_EXIT_SECOND_LEVEL, 0, 0},
	{"invd", SOCLE_EXIT_INVD, 0, 0},
	{"hypercall", SOCLE_EXIT_HYPERCALL, 0, 0},
	{"refused", SOCLE_EXIT_REFUSED, 0, 0},
	{"cr_access", SOCLE_EXIT_CR_ACCESS, 0, 0},
	{"xsetbv", SOCLE_EXIT_XSETBV, 0, 1}, /* QEMU 7.2 as AMD-V does not exit */
	{"exception", SOCLE_EXIT_EXCEPTION, 0, 0},
	{"interrupt", SOCLE_EXIT_INTERRUPT, 0, 0},
	{"hlt", SOCLE_EXIT_HLT, 0, 0},
	{"wake", SOCLE_EXIT_MSR_WRITE, 1, 0},
	{"interrupt_window", SOCLE_EXIT_INTERRUPT_WINDOW, 0, 0},
	{"ipi", SOCLE_EXIT_MSR_WRITE, 0, 0},
	{"nmi", SOCLE_EXIT_NMI, 1, 0}, /* which the VMM's kick is */
	{"eoi", SOCLE_EXIT_MSR_WRITE, 0, 0},
};

static struct socle_handle *root;

/* The only domain that the hypervisor knows; 0: there is none. */
static uint32_t domain(void)
{
	struct socle_domain_info info;

	for (uint32_t i = 1; i < SOCLE_MAX_DOMAINS; i++)
		if (socle_domain_info(root, i, &info) == SOCLE_OK)
			return i;
	return 0;
}

static uint64_t exits_of(uint32_t vm, uint32_t vcpu, enum socle_exit_reason reason)
{
	uint64_t exits[SOCLE_EXIT_COUNT] = {0};

	if (vm == 0 || socle_stats_exits(root, vcpu, vm, exits) != SOCLE_OK)
		return 0;
	return exits[reason];
}

static void kill_at(unsigned loop, uint64_t delay_us, uint64_t cycle)
{
	uint64_t deadline = things_now() + THINGS_DEADLINE_NS;
	char setting[64];
	uint32_t vm = 0;
	pid_t vmm;

	snprintf(setting, sizeof(setting), "extra=%s", loops[loop].name);
	if (things_finish(things_start("create", CONFIG, setting)) != 0)
		test_fail("create failed for %s", loops[loop].name);
	vm = domain();
	while (exits_of(vm, loops[loop].vcpu, loops[loop].reason) < EXITS) {
		if (things_now() > deadline || things_processes(THINGS_VMM, &vmm) == 0)
			test_fail("%llu exits by %s in cycle %llu, %u were expected",
				  (unsigned long long)exits_of(vm, loops[loop].vcpu,
							       loops[loop].reason),
				  loops[loop].name, (unsigned long long)cycle, EXITS);
		usleep(1000);
	}
	usleep((useconds_t)delay_us);
	if (things_processes(THINGS_VMM, &vmm) != 1 || kill(vmm, SIGKILL) != 0)
		test_fail("no VMM to kill for %s: %s", loops[loop].name, strerror(errno));
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"times", 3, 0}, {"seed", 0, 0}, {NULL, 0, 0}};
	unsigned count = sizeof(loops) / sizeof(loops[0]), killed = 0;
	uint64_t seed, random;
	struct things before;

	test_options(argc, argv, "[--times N] [--seed S]", option);
	seed = random = test_seed(option[1].value);
	root = things_open();
	/* The first domain decides how the pool is used, which changes the devices for good. */
	if (things_finish(things_start("create", CONFIG, "extra=interrupt")) != 0 ||
	    things_finish(things_start("destroy", NAME, NULL)) != 0)
		test_fail("no domain can be made");
	before = things_count();
	if (before.processes != 1 || before.domains != 0)
		test_fail("there are other domains, or what is left of them");
	for (unsigned i = 0; i < count; i++) {
		if (loops[i].vmx_only && root->vendor != SOCLE_VENDOR_VMX)
			continue;
		/* A kick from the CPU that the vCPU runs on needs no NMI. */
		if (loops[i].reason == SOCLE_EXIT_NMI && sysconf(_SC_NPROCESSORS_ONLN) < 2)
			continue;
		for (uint64_t n = 0; n < option[0].value; n++) {
			kill_at(i, test_random(&random) % DELAY_US, n);
			things_settle(&before, loops[i].name, n);
			killed++;
		}
	}
	test_pass("%u VMMs killed at all reasons, seed %llu", killed, (unsigned long long)seed);
}
