/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-level page tables against a model: an array with what each 4 KiB page of some windows of
 * the address space is mapped to.
 */
#include <stdlib.h>
#include <string.h>

#include "ept/ept.h"
#include "unit.h"

#define ARENA_PAGES   4096
#define ARENA_PA      0x7f000000ull /* nothing like its virtual address */
#define WINDOW_BYTES  GIB(2)
#define WINDOW_PAGES  (WINDOW_BYTES / PAGE_BYTES)
#define ADDRESS_LIMIT (1ull << 48)

static struct page_arena arena;
static struct ept ept;

static void start(const struct ept_format *format, bool pages_1g, uint64_t pages)
{
	free((void *)arena.virtual);
	arena = (struct page_arena){
		.virtual = (uint64_t)aligned_alloc(PAGE_BYTES, pages * PAGE_BYTES),
		.physical = hpa(ARENA_PA),
		.count = pages,
	};
	memset((void *)arena.virtual, 0xa5, pages * PAGE_BYTES);
	ck_assert_int_eq(ept_init(&ept, format, &arena, pages_1g), EPT_OK);
}

/* xorshift64*: the sequence is the same in every run. */
static uint64_t random_state;

static uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

static uint64_t random_below(uint64_t limit)
{
	return random_next() % limit;
}

/* What a page of the window is: access 0 maps nothing. */
struct page {
	uint64_t address;
	uint8_t access, type;
	bool hole;
};

static struct page *model;
static uint64_t window;

static const enum memory_type types[] = {MEMORY_UC, MEMORY_WC, MEMORY_WT, MEMORY_WP, MEMORY_WB};

/* No vendor can map for writing or executing alone: reading comes with it. */
static uint8_t granted(uint32_t access)
{
	return access != 0 ? (uint8_t)(access | EPT_READ) : 0;
}

static void model_map(uint64_t from, uint64_t to, uint64_t bytes, uint32_t access,
		      enum memory_type type)
{
	for (uint64_t i = 0; i < bytes / PAGE_BYTES; i++)
		model[(from - window) / PAGE_BYTES + i] =
			(struct page){to + i * PAGE_BYTES, granted(access), (uint8_t)type, false};
}

static void model_hole(uint64_t from, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes / PAGE_BYTES; i++)
		model[(from - window) / PAGE_BYTES + i] =
			(struct page){0, EPT_READ, MEMORY_WB, true};
}

/* No assertion of Check's unless one fails: they take most of the time. */
static void check_page(uint64_t index)
{
	const struct page *page = &model[index];
	uint64_t offset = random_below(PAGE_BYTES);
	uint64_t at = window + index * PAGE_BYTES + offset;
	enum memory_type type = (enum memory_type)page->type;
	struct ept_leaf leaf = {0};
	bool right;

	/* AMD-V's entries have no write-protected type: it becomes write-through. */
	if (ept.format == &ept_format_npt && type == MEMORY_WP)
		type = MEMORY_WT;
	right = ept_lookup(&ept, gpa(at), &leaf) == (page->access != 0);
	if (right && page->hole)
		right = leaf.access == EPT_READ && leaf.bytes == PAGE_BYTES &&
			*(const uint8_t *)(leaf.address.v - ARENA_PA + arena.virtual) == 0xff;
	else if (right && page->access != 0)
		right = leaf.access == page->access && leaf.type == type &&
			leaf.address.v == page->address + offset;
	if (!right)
		ck_abort_msg("%llx: access %u type %d to %llx; the model has %u, %d, %llx%s",
			     (unsigned long long)at, leaf.access, (int)leaf.type,
			     (unsigned long long)leaf.address.v, page->access, (int)type,
			     (unsigned long long)(page->address + offset),
			     page->hole ? ", a hole" : "");
}

/* A range of the window, its size and alignment of any of the three page sizes. */
static void random_range(uint64_t *from, uint64_t *bytes)
{
	static const uint64_t units[] = {PAGE_BYTES, PAGE_BYTES, LARGE_PAGE_BYTES, GIB(1)};
	uint64_t unit = units[random_below(4)];
	uint64_t count = WINDOW_BYTES / unit;
	uint64_t first = random_below(count);
	uint64_t most = count - first < 300 ? count - first : 300;

	*from = window + first * unit;
	*bytes = (1 + random_below(most)) * unit;
}

static void random_operation(void)
{
	uint64_t from, bytes;
	uint32_t access = (uint32_t)random_below(8);
	enum memory_type type = types[random_below(5)];

	random_range(&from, &bytes);
	switch (random_below(4)) {
	case 0:
		ck_assert_int_eq(ept_unmap(&ept, gpa(from), bytes), EPT_OK);
		model_map(from, 0, bytes, 0, MEMORY_UC);
		break;
	case 1: {
		/* The target may be aligned less than the address: then only smaller pages fit. */
		uint64_t to = random_below(1 << 16) * (random_below(2) ? PAGE_BYTES : GIB(1));

		ck_assert_int_eq(ept_map(&ept, gpa(from), hpa(to), bytes, access, type), EPT_OK);
		model_map(from, to, bytes, access, type);
		break;
	}
	case 2:
		ck_assert_int_eq(ept_map(&ept, gpa(from), hpa(from), bytes, EPT_ALL, type), EPT_OK);
		model_map(from, from, bytes, EPT_ALL, type);
		break;
	default: {
		enum ept_error error;

		from = align_down(from, LARGE_PAGE_BYTES);
		bytes = LARGE_PAGE_BYTES;
		error = ept_hole(&ept, gpa(from), bytes);
		ck_assert(error == EPT_OK || error == EPT_BUSY);
		if (error == EPT_OK)
			model_hole(from, bytes);
		break;
	}
	}
}

static void random_run(const struct ept_format *format, bool pages_1g, uint64_t base)
{
	window = base;
	model = calloc(WINDOW_PAGES, sizeof(*model));
	start(format, pages_1g, ARENA_PAGES);
	for (unsigned i = 0; i < 100; i++) {
		random_operation();
		for (unsigned k = 0; k < 300; k++)
			check_page(random_below(WINDOW_PAGES));
	}
	for (uint64_t i = random_below(5); i < WINDOW_PAGES; i += 5)
		check_page(i);
	free(model);
}

static const uint64_t bases[] = {0, GIB(3), GIB(511), ADDRESS_LIMIT - WINDOW_BYTES};

START_TEST(random_maps)
{
	random_state = 0x9e3779b97f4a7c15ull + (uint64_t)_i;
	random_run(_i & 1 ? &ept_format_npt : &ept_format_ept, (_i & 2) != 0, bases[_i % 5 % 4]);
}
END_TEST

/* Goes through the tables themselves: every entry is one that the processor takes. */
static uint64_t count_leaves(hpa_t table, unsigned level, uint64_t size)
{
	const uint64_t *entry = (const uint64_t *)(table.v - ARENA_PA + arena.virtual);
	uint64_t leaves = 0;

	for (unsigned i = 0; i < 512; i++) {
		uint64_t address = entry[i] & 0x000ffffffffff000ull;

		if ((entry[i] & ept.format->present_mask) == 0)
			continue;
		if (ept.format == &ept_format_ept) {
			/* SDM volume 3, section 29.3.3.1: writable but not readable; a reserved
			 * type */
			ck_assert_uint_ne(entry[i] & 3, 2);
			ck_assert_uint_eq(entry[i] >> 48, 0);
		}
		if (level == 1 || (entry[i] & ept.format->large)) {
			ck_assert_uint_eq(address % size, 0);
			leaves++;
			continue;
		}
		ck_assert_uint_gt(level, 1);
		/* bits 7:3 of an EPT entry that points to a table are reserved */
		if (ept.format == &ept_format_ept)
			ck_assert_uint_eq(entry[i] & 0xf8, 0);
		ck_assert(address >= ARENA_PA && address < ARENA_PA + ARENA_PAGES * PAGE_BYTES);
		leaves += count_leaves(hpa(address), level - 1, size / 512);
	}
	return leaves;
}

static uint64_t all_leaves(void)
{
	return count_leaves(ept.root, 4, GIB(512));
}

START_TEST(largest_pages)
{
	start(&ept_format_ept, true, ARENA_PAGES);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(0), GIB(64), EPT_ALL, MEMORY_WB), EPT_OK);
	ck_assert_uint_eq(all_leaves(), 64);
	ck_assert_uint_eq(arena.next, 2);

	start(&ept_format_ept, false, ARENA_PAGES);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(0), GIB(4), EPT_ALL, MEMORY_WB), EPT_OK);
	ck_assert_uint_eq(all_leaves(), 4 * 512);

	/* 4 KiB up to the first 2 MiB, 2 MiB up to the first 1 GiB, 1 GiB, and down again */
	start(&ept_format_npt, true, ARENA_PAGES);
	ck_assert_int_eq(ept_map(&ept, gpa(PAGE_BYTES), hpa(PAGE_BYTES), GIB(3) + LARGE_PAGE_BYTES,
				 EPT_ALL, MEMORY_WB),
			 EPT_OK);
	ck_assert_uint_eq(all_leaves(), 511 + 511 + 2 + 1 + 1);
}
END_TEST

/* A page taken out of a 1 GiB leaf leaves all of the rest, with its type and access. */
START_TEST(split_keeps_the_rest)
{
	struct ept_leaf leaf;

	start(&ept_format_ept, true, ARENA_PAGES);
	ck_assert_int_eq(
		ept_map(&ept, gpa(0), hpa(GIB(8)), GIB(1), EPT_READ | EPT_EXECUTE, MEMORY_WT),
		EPT_OK);
	ck_assert_int_eq(ept_unmap(&ept, gpa(MIB(512) + PAGE_BYTES), PAGE_BYTES), EPT_OK);
	ck_assert(!ept_lookup(&ept, gpa(MIB(512) + PAGE_BYTES), &leaf));
	for (uint64_t at = 0; at < GIB(1); at += PAGE_BYTES) {
		if (at == MIB(512) + PAGE_BYTES)
			continue;
		if (!ept_lookup(&ept, gpa(at), &leaf) || leaf.address.v != GIB(8) + at ||
		    leaf.access != (EPT_READ | EPT_EXECUTE) || leaf.type != MEMORY_WT)
			ck_abort_msg("%llx has changed", (unsigned long long)at);
	}
	ck_assert_uint_eq(all_leaves(), 511 + 511);
}
END_TEST

/* Holes share their pages, cover what was mapped, and can be mapped over and split. */
START_TEST(holes)
{
	struct ept_leaf leaf;
	uint64_t used;

	start(_i ? &ept_format_npt : &ept_format_ept, true, ARENA_PAGES);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(0), GIB(4), EPT_ALL, MEMORY_WB), EPT_OK);
	ck_assert_int_eq(ept_hole(&ept, gpa(GIB(1)), MIB(64)), EPT_OK);
	used = arena.next;
	ck_assert_int_eq(ept_hole(&ept, gpa(GIB(1) + MIB(64)), MIB(64)), EPT_OK);
	ck_assert_uint_eq(arena.next, used);
	for (uint64_t at = GIB(1); at < GIB(1) + MIB(128); at += PAGE_BYTES) {
		const uint8_t *byte;

		if (!ept_lookup(&ept, gpa(at), &leaf) || leaf.access != EPT_READ)
			ck_abort_msg("%llx is no hole", (unsigned long long)at);
		byte = (const uint8_t *)(leaf.address.v - ARENA_PA + arena.virtual);
		for (unsigned i = 0; i < PAGE_BYTES; i += 511)
			if (byte[i] != 0xff)
				ck_abort_msg("%llx reads %x", (unsigned long long)at, byte[i]);
	}
	ck_assert(ept_lookup(&ept, gpa(GIB(1) - 1), &leaf));
	ck_assert_uint_eq(leaf.access, EPT_ALL);
	ck_assert(ept_lookup(&ept, gpa(GIB(1) + MIB(128)), &leaf));
	ck_assert_uint_eq(leaf.address.v, GIB(1) + MIB(128));

	/* one page of a hole mapped: the others stay holes, also those of other 2 MiB */
	ck_assert_int_eq(
		ept_map(&ept, gpa(GIB(1) + MIB(2)), hpa(GIB(7)), PAGE_BYTES, EPT_ALL, MEMORY_WB),
		EPT_OK);
	ck_assert(ept_lookup(&ept, gpa(GIB(1) + MIB(2)), &leaf));
	ck_assert_uint_eq(leaf.address.v, GIB(7));
	ck_assert(ept_lookup(&ept, gpa(GIB(1) + MIB(2) + PAGE_BYTES), &leaf));
	ck_assert_uint_eq(leaf.access, EPT_READ);
	ck_assert(ept_lookup(&ept, gpa(GIB(1) + MIB(4)), &leaf));
	ck_assert_uint_eq(leaf.access, EPT_READ);

	/* given back as a large page */
	ck_assert_int_eq(ept_map(&ept, gpa(GIB(1) + MIB(64)), hpa(GIB(1) + MIB(64)), MIB(64),
				 EPT_ALL, MEMORY_WB),
			 EPT_OK);
	ck_assert(ept_lookup(&ept, gpa(GIB(1) + MIB(64)), &leaf));
	ck_assert_uint_eq(leaf.bytes, LARGE_PAGE_BYTES);
	ck_assert_uint_eq(leaf.access, EPT_ALL);
}
END_TEST

/* The leaf's entry for an address, as the processor would find it to set bits in it. */
static uint64_t *leaf_entry(uint64_t at)
{
	hpa_t table = ept.root;

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t *entry =
			(uint64_t *)(table.v - ARENA_PA + arena.virtual) + (at >> shift) % 512;

		ck_assert_uint_ne(*entry & ept.format->present_mask, 0);
		if (shift == 12 || (*entry & ept.format->large))
			return entry;
		table = hpa(*entry & 0x000ffffffffff000ull);
	}
}

static uint64_t written[6];

static void take(uint64_t from, uint64_t bytes)
{
	memset(written, 0, sizeof(written));
	ck_assert_uint_eq(ept_take_dirty(&ept, gpa(from), bytes, written), bytes);
}

static bool only(uint64_t page)
{
	for (uint64_t i = 0; i < 384; i++)
		if ((written[i / 64] >> i % 64 & 1) != (i == page))
			return false;
	return true;
}

/* Written once when it is mapped, and once for each time that the processor says so. */
START_TEST(dirty)
{
	static const uint64_t from = GIB(1) + MIB(2) - 100 * PAGE_BYTES;
	struct ept_leaf leaf;
	uint64_t used;

	start(_i & 1 ? &ept_format_npt : &ept_format_ept, true, ARENA_PAGES);
	/* of 1 GiB, 2 MiB or 4 KiB; and 150 pages in the middle that are not mapped */
	ck_assert_int_eq(ept_map(&ept, gpa(_i & 2 ? 0 : PAGE_BYTES), hpa(GIB(8)), GIB(2), EPT_ALL,
				 MEMORY_WB),
			 EPT_OK);
	ck_assert_int_eq(ept_unmap(&ept, gpa(from + 150 * PAGE_BYTES), 150 * PAGE_BYTES), EPT_OK);
	take(from, 384 * PAGE_BYTES);
	for (uint64_t i = 0; i < 384; i++)
		ck_assert_uint_eq(written[i / 64] >> i % 64 & 1, i < 150 || i >= 300);
	used = arena.next;
	for (uint64_t i = 0; i < 384; i++) {
		if (i >= 150 && i < 300)
			continue;
		*leaf_entry(from + i * PAGE_BYTES) |= ept.format->dirty;
		take(from, 384 * PAGE_BYTES);
		ck_assert(only(i));
		take(from, 384 * PAGE_BYTES);
		ck_assert(only(384));
	}
	ck_assert_uint_eq(arena.next, used);
	for (uint64_t i = 0; i < 384; i++) {
		uint64_t at = from + i * PAGE_BYTES;

		ck_assert_int_eq(ept_lookup(&ept, gpa(at), &leaf), i < 150 || i >= 300);
		if (i >= 150 && i < 300)
			continue;
		ck_assert_uint_eq(leaf.bytes, PAGE_BYTES);
		ck_assert_uint_eq(leaf.address.v, GIB(8) + at - (_i & 2 ? 0 : PAGE_BYTES));
		ck_assert_uint_eq(leaf.access, EPT_ALL);
	}
	/* Around it nothing has been taken. */
	ck_assert_uint_ne(*leaf_entry(from - PAGE_BYTES) & ept.format->dirty, 0);
	ck_assert_uint_ne(*leaf_entry(from + 384 * PAGE_BYTES) & ept.format->dirty, 0);
	/* What is not mapped takes no tables. */
	take(GIB(300), 384 * PAGE_BYTES);
	ck_assert(only(384));
	ck_assert_uint_eq(arena.next, used);
}
END_TEST

/* The arena runs out before the second large page: what was found of the first is given. */
START_TEST(dirty_no_page)
{
	uint64_t bits[6] = {0};

	start(&ept_format_ept, true, 4);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(0), MIB(4), EPT_ALL, MEMORY_WB), EPT_OK);
	ck_assert_uint_eq(arena.next, 3);
	ck_assert_uint_eq(ept_take_dirty(&ept, gpa(MIB(1)), 384 * PAGE_BYTES, bits), MIB(1));
	for (uint64_t i = 0; i < 384; i++)
		ck_assert_uint_eq(bits[i / 64] >> i % 64 & 1, i < 256);
	ck_assert_uint_eq(ept_take_dirty(&ept, gpa(MIB(2)), PAGE_BYTES, bits), 0);
	ck_assert_uint_ne(*leaf_entry(MIB(2)) & ept.format->dirty, 0);
}
END_TEST

START_TEST(bad_ranges)
{
	uint64_t used;

	start(&ept_format_ept, true, ARENA_PAGES);
	used = arena.next;
	ck_assert_int_eq(ept_map(&ept, gpa(1), hpa(0), PAGE_BYTES, EPT_ALL, MEMORY_WB),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(8), PAGE_BYTES, EPT_ALL, MEMORY_WB),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(0), PAGE_BYTES + 1, EPT_ALL, MEMORY_WB),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_map(&ept, gpa(ADDRESS_LIMIT), hpa(0), PAGE_BYTES, EPT_ALL, MEMORY_WB),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(ADDRESS_LIMIT - PAGE_BYTES), 2 * PAGE_BYTES,
				 EPT_ALL, MEMORY_WB),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_map(&ept, gpa(GIB(1)), hpa(0), 0 - GIB(1), EPT_ALL, MEMORY_WB),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_unmap(&ept, gpa(ADDRESS_LIMIT - PAGE_BYTES), 2 * PAGE_BYTES),
			 EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_hole(&ept, gpa(PAGE_BYTES), LARGE_PAGE_BYTES), EPT_BAD_ADDRESS);
	ck_assert_int_eq(ept_hole(&ept, gpa(0), PAGE_BYTES), EPT_BAD_ADDRESS);
	ck_assert_uint_eq(arena.next, used);
	ck_assert_int_eq(ept_map(&ept, gpa(ADDRESS_LIMIT - PAGE_BYTES),
				 hpa(ADDRESS_LIMIT - PAGE_BYTES), PAGE_BYTES, EPT_ALL, MEMORY_WB),
			 EPT_OK);
	ck_assert_int_eq(ept_map(&ept, gpa(0), hpa(0), 0, EPT_ALL, MEMORY_WB), EPT_OK);
}
END_TEST

/* With too few pages the call fails, and what it was not asked to change is as before. */
START_TEST(no_page)
{
	struct ept_leaf leaf;
	enum ept_error error;

	start(&ept_format_ept, true, (uint64_t)_i + 1);
	error = ept_map(&ept, gpa(0), hpa(0), GIB(1), EPT_ALL, MEMORY_WB);
	if (error == EPT_OK) {
		error = ept_unmap(&ept, gpa(MIB(4)), PAGE_BYTES);
		ck_assert(ept_lookup(&ept, gpa(MIB(8)), &leaf));
		ck_assert_uint_eq(leaf.address.v, MIB(8));
	}
	ck_assert_int_eq(error, _i < 3 ? EPT_NO_PAGE : EPT_OK);
	ck_assert_int_eq(ept_hole(&ept, gpa(MIB(16)), LARGE_PAGE_BYTES),
			 _i < 5 ? EPT_NO_PAGE : EPT_OK);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("second-level page tables");
	TCase *tables = tcase_create("tables");

	tcase_set_timeout(tables, 60);
	tcase_add_loop_test(tables, random_maps, 0, 12);
	tcase_add_test(tables, largest_pages);
	tcase_add_test(tables, split_keeps_the_rest);
	tcase_add_loop_test(tables, holes, 0, 2);
	tcase_add_loop_test(tables, dirty, 0, 4);
	tcase_add_test(tables, dirty_no_page);
	tcase_add_test(tables, bad_ranges);
	tcase_add_loop_test(tables, no_page, 0, 7);
	suite_add_tcase(suite, tables);
	return suite;
}
