// SPDX-License-Identifier: BSD-2-Clause
/*
 * The dirty log with a real processor: each page that a guest writes is reported exactly once, and
 * no other; before and after the large page of its memory was split; on each CPU.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "domain_machine.h"

#define PAGE   4096u
#define PAGES  (FRAME / PAGE)
#define FIRST  0x20 /* the pages that the guest uses: behind its code and tables */
#define BITS   (PAGES / 64)
#define ROUNDS 20

/*
 * In real mode: for each byte at SI up to a 0, writes to the page of that number or, if DI is 1,
 * reads there.
 */
static const uint8_t code[] = {
	0xac,			      /* start: lodsb */
	0x08, 0xc0,		      /* or al, al */
	0x74, 0x19,		      /* jz end */
	0x30, 0xe4,		      /* xor ah, ah */
	0xc1, 0xe0, 0x08,	      /* shl ax, 8: the page's segment */
	0x8e, 0xc0,		      /* mov es, ax */
	0x83, 0xff, 0x01,	      /* cmp di, 1 */
	0x74, 0x07,		      /* je read */
	0x26, 0xfe, 0x06, 0x10, 0x00, /* inc byte [es:0x10] */
	0xeb, 0xe8,		      /* jmp start */
	0x26, 0xa0, 0x10, 0x00,	      /* read: mov al, [es:0x10] */
	0xeb, 0xe2,		      /* jmp start */
	0xf4,			      /* end: hlt */
};
#define LIST 0x2000

static uint64_t bits[BITS];

static void take(struct machine *m)
{
	memset(bits, 0, sizeof(bits));
	expect(socle_dirty_log(&m->own, m->domain, 0, FRAME, bits), FRAME, "dirty log");
}

/* Has the guest write, or read, the pages of the list. */
static void touch(struct machine *m, const uint8_t *pages, size_t count, bool read)
{
	machine_load(m, code, sizeof(code));
	memcpy(machine_memory(m, LIST), pages, count);
	machine_memory(m, LIST)[count] = 0;
	m->area->rsi = LIST;
	m->area->rdi = read;
	expect(machine_run(m), SOCLE_EXIT_HLT, "the guest's run");
}

static bool is_listed(const uint8_t *pages, size_t count, unsigned page)
{
	for (size_t i = 0; i < count; i++)
		if (pages[i] == page)
			return true;
	return false;
}

/* Exactly these, of all pages. */
static void expect_pages(const uint8_t *pages, size_t count, const char *when)
{
	for (unsigned page = 0; page < PAGES; page++) {
		bool found = bits[page / 64] >> page % 64 & 1;

		if (found != is_listed(pages, count, page))
			test_fail("%s: page %#x is %sreported", when, page, found ? "" : "not ");
	}
}

static void move_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		test_fail("cannot move to CPU %u", cpu);
}

static void rounds(struct machine *m, unsigned cpus)
{
	static const uint8_t none[1];
	uint8_t list[8], other[2];
	unsigned state = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < sizeof(list); i++) {
			state = state * 1103515245 + 12345;
			list[i] = (uint8_t)(FIRST + (state >> 16) % (256 - FIRST));
		}
		move_to(round % cpus);
		touch(m, list, sizeof(list), false);
		/* Twice is once; what is written by another CPU counts as well. */
		move_to((round + 1) % cpus);
		touch(m, list, 2, false);
		take(m);
		expect_pages(list, sizeof(list), "written");
		take(m);
		expect_pages(none, 0, "written no more");
		/* A CPU that has the pages in its TLB as written ones must see them again. */
		memcpy(other, list + 3, sizeof(other));
		touch(m, other, sizeof(other), false);
		touch(m, list, sizeof(list), true);
		take(m);
		expect_pages(other, sizeof(other), "written again, others read");
	}
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{NULL, 0, 0}};
	unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct socle_info_general general;
	struct machine m;

	test_options(argc, argv, "domain-dirty", option);
	machine_create(&m);
	expect(socle_info_general(&m.root, &general), SOCLE_OK, "info");
	if (!(general.features & SOCLE_FEATURE_DIRTY_LOG)) {
		expect(socle_dirty_log(&m.own, m.domain, 0, FRAME, bits), SOCLE_ERROR_CALL,
		       "a dirty log that the processor does not have");
		machine_destroy(&m);
		test_pass("this processor has no dirty bits, and the call says so");
	}
	/* The first time all that is mapped is reported: what was before is not known. */
	take(&m);
	for (unsigned i = 0; i < BITS; i++)
		expect((int64_t)bits[i], -1, "the first time");
	rounds(&m, cpus);
	machine_destroy(&m);
	test_pass("%u rounds on %u CPUs", ROUNDS, cpus);
}
