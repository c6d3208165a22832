// SPDX-License-Identifier: BSD-2-Clause
/*
 * NMIs between CPUs, where they strike an unwilling guest: one thread runs a guest that exits all
 * the time with interrupts off and NMIs blocked, on one CPU; on another its memory is mapped and
 * unmapped, which every CPU has to answer, and it is kicked. No call may hang, every kick has to
 * end a run, and none of the NMIs may reach this kernel.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "service_test.h"

#define FRAME	   SOCLE_FRAME_BYTES
#define CODE	   0x1000
#define WINDOW	   0x00400000 /* guest-physical: what is mapped and unmapped */
#define AREA	   (FRAME - SOCLE_VCPU_AREA_BYTES)
#define GUEST_CPU  1
#define CALLER_CPU 0

/* cpuid; xor ax, ax; jmp back: exits that the hypervisor handles. */
static const uint8_t code[] = {0x0f, 0xa2, 0x31, 0xc0, 0xeb, 0xfa};

struct state {
	struct socle_handle root, own;
	uint32_t domain;
	struct socle_vcpu_area *area;
	int stop;	/* atomic */
	uint64_t ended; /* atomic: runs */
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		test_fail("no CPU %d", cpu);
}

/* Of all CPUs. */
static uint64_t kernel_nmis(void)
{
	char line[4096], *at, *end;
	FILE *file = fopen("/proc/interrupts", "r");
	uint64_t sum = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		at = strstr(line, "NMI:");
		if (at == NULL)
			continue;
		for (at += 4;; at = end) {
			uint64_t value = strtoull(at, &end, 10);

			if (end == at)
				break;
			sum += value;
		}
	}
	if (file != NULL)
		fclose(file);
	return sum;
}

static void load_guest(struct state *t, uint8_t *memory)
{
	struct socle_segment data = {0, 0x0093, 0xffff, 0};
	struct socle_system_state *s = &t->area->system;

	memcpy(memory + CODE, code, sizeof(code));
	s->es = s->ds = s->ss = s->fs = s->gs = data;
	s->cs = (struct socle_segment){0, 0x009b, 0xffff, 0};
	s->ldtr = (struct socle_segment){0, 0x0082, 0xffff, 0};
	s->tr = (struct socle_segment){0, 0x008b, 0xffff, 0};
	s->gdtr.limit = s->idtr.limit = 0xffff;
	s->cr0 = 0x10;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->pat = 0x0007040600070406;
	s->nmi_blocked = 1;
	t->area->rip = CODE;
	t->area->rflags = 2;
	t->area->load = SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
}

static void *run(void *argument)
{
	struct state *t = argument;

	pin(GUEST_CPU);
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		int reason = socle_vcpu_run(&t->own, t->domain, 0);

		if (reason != SOCLE_EXIT_INTERRUPT)
			test_fail("the guest left with %d", reason);
		__atomic_fetch_add(&t->ended, 1, __ATOMIC_ACQ_REL);
	}
	return NULL;
}

/* Waits until a run that began before, or begins now, has ended. */
static void kick(struct state *t)
{
	uint64_t before = __atomic_load_n(&t->ended, __ATOMIC_ACQUIRE);

	if (socle_vcpu_kick(&t->own, t->domain, 0) != SOCLE_OK)
		test_fail("kick");
	while (__atomic_load_n(&t->ended, __ATOMIC_ACQUIRE) == before)
		__builtin_ia32_pause();
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"rounds", 1000, 0}, {NULL, 0, 0}};
	struct socle_domain_created created;
	struct socle_info_memory memory;
	static struct state t;
	pthread_t thread;
	uint64_t nmis;
	uint8_t *pool;
	int result;

	test_options(argc, argv, "domain-kick [--rounds N]", option);
	test_open(&t.root);
	nmis = kernel_nmis();
	if (socle_info_memory(&t.root, &memory) != SOCLE_OK ||
	    socle_domain_create(&t.root, memory.pool_base, &created) != SOCLE_OK)
		test_fail("no domain");
	t.domain = (uint32_t)created.domain;
	t.own = t.root;
	t.own.key = created.key;
	pool = mmap(NULL, 2 * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED,
		    open("/dev/dax0.0", O_RDWR), 0);
	if (pool == MAP_FAILED)
		test_fail("cannot map the pool");
	memset(pool + FRAME, 0, FRAME);
	t.area = (void *)(pool + FRAME + AREA);
	if (socle_domain_assign(&t.root, t.domain, memory.pool_base + FRAME, FRAME) != SOCLE_OK ||
	    socle_map(&t.own, t.domain, 0, memory.pool_base + FRAME,
		      SOCLE_ACCESS_READ | SOCLE_ACCESS_WRITE | SOCLE_ACCESS_EXECUTE,
		      FRAME) != FRAME ||
	    socle_vcpu_create(&t.own, t.domain, 0, memory.pool_base + FRAME + AREA) != SOCLE_OK)
		test_fail("no vCPU");
	load_guest(&t, pool + FRAME);

	pin(CALLER_CPU);
	if (pthread_create(&thread, NULL, run, &t) != 0)
		test_fail("no thread");
	for (uint64_t i = 0; i < option[0].value; i++) {
		if (socle_map(&t.own, t.domain, WINDOW, memory.pool_base + FRAME, SOCLE_ACCESS_READ,
			      FRAME) != FRAME ||
		    socle_unmap(&t.own, t.domain, WINDOW, FRAME) != FRAME)
			test_fail("map or unmap, round %llu", (unsigned long long)i);
		kick(&t);
	}
	__atomic_store_n(&t.stop, 1, __ATOMIC_RELEASE);
	if (socle_vcpu_kick(&t.own, t.domain, 0) != SOCLE_OK || pthread_join(thread, NULL) != 0)
		test_fail("the last kick");
	while ((result = socle_domain_destroy(&t.root, t.domain)) == SOCLE_AGAIN)
		;
	if (result != SOCLE_OK)
		test_fail("destroy: %d", result);
	if (kernel_nmis() != nmis)
		test_fail("%llu NMIs reached the kernel",
			  (unsigned long long)(kernel_nmis() - nmis));
	test_pass("%llu rounds, %llu runs", (unsigned long long)option[0].value,
		  (unsigned long long)t.ended);
}
