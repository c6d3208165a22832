/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's page tables, looked at as the processor looks at them: what is mapped is what
 * was asked for and nothing beside it, never for user space, never executable.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/fake/fake_cpu.h"
#include "arch/x86/x86.h"
#include "hv/memory.h"
#include "hv/paging.h"
#include "unit.h"

#define OWN_PAGES    64
#define OWN_PHYSICAL MIB(64)
#define POOL_BASE    (GIB(3) + MIB(6))
#define FRAMES	     1030 /* more than one directory holds */
#define POOL_BYTES   (FRAMES * LARGE_PAGE_BYTES)
#define FRAME_PAGES  (LARGE_PAGE_BYTES / PAGE_BYTES)
#define APIC	     0xfee00000ull

#define PRESENT 0x1ull
#define WRITE	0x2ull
#define USER	0x4ull
#define UC	0x18ull
#define LARGE	0x80ull
#define NX	(1ull << 63)
#define ADDRESS 0x000ffffffffff000ull

static struct boot_info boot;
static uint8_t *own;
static bool pool_there[FRAMES]; /* the frame is memory of this process, at its virtual address */

static uint64_t pool_virtual(uint64_t physical)
{
	return physical - align_down(POOL_BASE, GIB(1)) + HV_POOL_BASE;
}

static void start(void)
{
	fake_start();
	fake_msr(MSR_APIC_BASE, APIC | APIC_BASE_ENABLE | APIC_BASE_BSP);
	own = aligned_alloc(PAGE_BYTES, OWN_PAGES * PAGE_BYTES);
	memset(own, 0, PAGE_BYTES);
	memset(own + PAGE_BYTES, 0xa5, (OWN_PAGES - 1) * PAGE_BYTES);
	boot = (struct boot_info){
		.cr3 = OWN_PHYSICAL,
		.arena = OWN_PHYSICAL + PAGE_BYTES,
		.arena_end = OWN_PHYSICAL + OWN_PAGES * PAGE_BYTES,
		.base = OWN_PHYSICAL - (uint64_t)own + HV_BASE,
		.pool_base = POOL_BASE,
		.pool_bytes = POOL_BYTES,
	};
	memory_init(&boot);
	paging_init(&boot);
}

/* The memory that a physical address names: the hypervisor's own or a frame. */
static uint64_t *memory_at(uint64_t physical)
{
	if (physical >= OWN_PHYSICAL && physical < OWN_PHYSICAL + OWN_PAGES * PAGE_BYTES)
		return (uint64_t *)(own + (physical - OWN_PHYSICAL));
	ck_assert_msg(physical >= POOL_BASE && physical < POOL_BASE + POOL_BYTES &&
			      pool_there[(physical - POOL_BASE) / LARGE_PAGE_BYTES],
		      "a table at %llx, which is nowhere", (unsigned long long)physical);
	return (uint64_t *)pool_virtual(physical);
}

/* What is mapped, in ascending order: one call for each leaf. */
static void walk(uint64_t table, unsigned level, uint64_t base,
		 void (*leaf)(uint64_t at, uint64_t bytes, uint64_t entry))
{
	unsigned shift = 12 + 9 * (level - 1);
	const uint64_t *entries = memory_at(table);

	for (uint64_t i = 0; i < 512; i++) {
		uint64_t entry = entries[i];
		uint64_t at = base + (i << shift);

		if (!(entry & PRESENT)) {
			if (entry != 0)
				ck_abort_msg("%llx is absent and not 0", (unsigned long long)entry);
			continue;
		}
		ck_assert_msg(!(entry & USER), "%llx is user space's", (unsigned long long)at);
		if (level == 1 || (entry & LARGE))
			leaf(at, 1ull << shift, entry);
		else
			walk(entry & ADDRESS, level - 1, at, leaf);
	}
}

/* The model: which pages of the pool are mapped. */
static bool expected[FRAMES][FRAME_PAGES];
static bool expected_whole[FRAMES];
static uint64_t pages_expected, pages_seen;
static bool apic_seen;

static void check_leaf(uint64_t at, uint64_t bytes, uint64_t entry)
{
	uint64_t physical = entry & ADDRESS, frame, page;

	ck_assert_msg((entry & NX) && (entry & WRITE), "%llx", (unsigned long long)entry);
	if (at == HV_APIC_BASE) {
		ck_assert_uint_eq(entry & ~(ADDRESS | NX), PRESENT | WRITE | UC);
		ck_assert_uint_eq(physical, APIC);
		ck_assert_uint_eq(bytes, PAGE_BYTES);
		apic_seen = true;
		return;
	}
	ck_assert_uint_eq(at, pool_virtual(physical));
	frame = (physical - POOL_BASE) / LARGE_PAGE_BYTES;
	page = physical % LARGE_PAGE_BYTES / PAGE_BYTES;
	ck_assert_msg(physical >= POOL_BASE && frame < FRAMES, "%llx is not the pool's",
		      (unsigned long long)physical);
	ck_assert_uint_eq(entry & ~(ADDRESS | NX),
			  PRESENT | WRITE | (bytes == LARGE_PAGE_BYTES ? LARGE : 0));
	ck_assert_msg(bytes == LARGE_PAGE_BYTES ? expected_whole[frame] : expected[frame][page],
		      "page %llu of frame %llu is mapped", (unsigned long long)page,
		      (unsigned long long)frame);
	pages_seen += bytes / PAGE_BYTES;
}

static void check(void)
{
	pages_seen = 0;
	apic_seen = false;
	walk(boot.cr3, 4, 0, check_leaf);
	ck_assert_uint_eq(pages_seen, pages_expected);
	ck_assert(apic_seen);
}

static void expect_page(uint64_t frame, uint64_t page)
{
	pages_expected += !expected[frame][page];
	expected[frame][page] = true;
}

static hpa_t frame_at(uint64_t index)
{
	return hpa(POOL_BASE + index * LARGE_PAGE_BYTES);
}

static void map_whole(uint64_t i)
{
	void *at = (void *)pool_virtual(frame_at(i).v);

	ck_assert_ptr_eq(mmap(at, LARGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 at);
	pool_there[i] = true;
	paging_map_frame(frame_at(i));
	expected_whole[i] = true;
	pages_expected += FRAME_PAGES;
}

static void unmap(uint64_t i)
{
	unsigned flushes = fake_flushes();

	paging_unmap_frame(frame_at(i));
	ck_assert_uint_eq(fake_flushes(), flushes + 1);
	if (expected_whole[i])
		munmap((void *)pool_virtual(frame_at(i).v), LARGE_PAGE_BYTES);
	pool_there[i] = false;
	pages_expected -= expected_whole[i] ? FRAME_PAGES : 0;
	for (uint64_t p = 0; p < FRAME_PAGES; p++)
		pages_expected -= expected[i][p];
	expected_whole[i] = false;
	memset(expected[i], 0, sizeof(expected[i]));
}

/* Nothing of the pool; the local APIC, uncached. */
START_TEST(at_first)
{
	check();
	ck_assert_ptr_eq((void *)paging_apic(), (void *)HV_APIC_BASE);
}
END_TEST

START_TEST(addresses)
{
	for (uint64_t i = 0; i < FRAMES; i += 103) {
		void *at = paging_pool_address(hpa(frame_at(i).v + 0x1234));

		ck_assert_uint_eq((uint64_t)at, pool_virtual(frame_at(i).v + 0x1234));
		ck_assert_uint_eq(paging_pool_physical(at).v, frame_at(i).v + 0x1234);
	}
}
END_TEST

START_TEST(frames)
{
	static const uint64_t some[] = {0, 1, 508, 509, 510, 1020, 1021, FRAMES - 1};

	for (unsigned i = 0; i < ARRAY_COUNT(some); i++) {
		map_whole(some[i]);
		check();
	}
	for (unsigned i = 0; i < ARRAY_COUNT(some); i += 2) {
		unmap(some[i]);
		check();
	}
}
END_TEST

/* The first pages of a frame take the table, those that follow leave it to the caller. */
START_TEST(pages)
{
	void *table, *unused;

	map_whole(3);
	table = (void *)pool_virtual(frame_at(3).v + 5 * PAGE_BYTES);
	unused = (void *)pool_virtual(frame_at(3).v + 6 * PAGE_BYTES);
	paging_map_pages(hpa(frame_at(7).v + 9 * PAGE_BYTES), 2 * PAGE_BYTES, &table);
	ck_assert_ptr_null(table);
	expect_page(7, 9);
	expect_page(7, 10);
	check();
	table = unused;
	paging_map_pages(hpa(frame_at(7).v + 511 * PAGE_BYTES), PAGE_BYTES, &table);
	ck_assert_ptr_eq(table, unused);
	expect_page(7, 511);
	check();
	unmap(7);
	check();
	unmap(3);
	check();
}
END_TEST

/* Any order of it. */
START_TEST(random_steps)
{
	static void *tables[FRAMES];
	static uint64_t tables_taken;
	uint64_t first = 100, count = 40;

	srand((unsigned)_i);
	map_whole(0); /* where the tables are */
	for (unsigned step = 0; step < 200; step++) {
		uint64_t i = first + (uint64_t)rand() % count;
		uint64_t page = (uint64_t)rand() % FRAME_PAGES;

		if (expected_whole[i] || (tables[i] != NULL && rand() % 4 == 0)) {
			unmap(i);
			tables[i] = NULL;
		} else if (tables[i] == NULL && rand() % 2) {
			map_whole(i);
		} else if (tables_taken < FRAME_PAGES || tables[i] != NULL) {
			void *fresh =
				(void *)pool_virtual(frame_at(0).v + tables_taken * PAGE_BYTES);
			void *table = fresh;

			paging_map_pages(hpa(frame_at(i).v + page * PAGE_BYTES), PAGE_BYTES,
					 &table);
			ck_assert_ptr_eq(table, tables[i] != NULL ? fresh : NULL);
			if (tables[i] == NULL) {
				tables[i] = fresh;
				tables_taken++;
			}
			expect_page(i, page);
		}
		check();
	}
	ck_assert_uint_gt(tables_taken, 10);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("paging");
	TCase *tests = tcase_create("paging");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_test(tests, at_first);
	tcase_add_test(tests, addresses);
	tcase_add_test(tests, frames);
	tcase_add_test(tests, pages);
	tcase_add_loop_test(tests, random_steps, 0, 4);
	suite_add_tcase(suite, tests);
	return suite;
}
