// SPDX-License-Identifier: BSD-2-Clause
#include "ept/ept.h"

#include "hv/string.h"

#define LEVELS	       4
#define ENTRIES	       512
#define ADDRESS_LIMIT  (1ull << 48)
#define ENTRY_ADDRESS  0x000ffffffffff000ull
#define NPT_PRESENT    (1ull << 0)
#define NPT_WRITE      (1ull << 1)
#define NPT_USER       (1ull << 2)
#define NPT_PWT	       (1ull << 3)
#define NPT_PCD	       (1ull << 4)
#define NPT_ACCESSED   (1ull << 5)
#define NPT_DIRTY      (1ull << 6)
#define NPT_LARGE      (1ull << 7)
#define NPT_NX	       (1ull << 63)
#define EPT_TYPE_SHIFT 3
#define EPT_LARGE      (1ull << 7)
#define EPT_ACCESSED   (1ull << 8)
#define EPT_DIRTY      (1ull << 9)

const struct ept_format ept_format_ept = {
	.present_mask = EPT_ALL,
	.table = EPT_ALL,
	.access_mask = EPT_ALL,
	/* Writing without reading is no valid entry, executing alone not on every processor. */
	.access = {0, 1, 3, 3, 5, 5, 7, 7},
	.type_mask = 7ull << EPT_TYPE_SHIFT,
	.type = {[MEMORY_UC] = (uint64_t)MEMORY_UC << EPT_TYPE_SHIFT,
		 [MEMORY_WC] = (uint64_t)MEMORY_WC << EPT_TYPE_SHIFT,
		 [MEMORY_WT] = (uint64_t)MEMORY_WT << EPT_TYPE_SHIFT,
		 [MEMORY_WP] = (uint64_t)MEMORY_WP << EPT_TYPE_SHIFT,
		 [MEMORY_WB] = (uint64_t)MEMORY_WB << EPT_TYPE_SHIFT},
	.large = EPT_LARGE,
	.accessed = EPT_ACCESSED,
	.dirty = EPT_DIRTY,
};

/*
 * Every access is a user access to the nested walk, and the MTRRs apply to its result, so the types
 * that ask for less than the PAT's first entries give are left to them.
 */
const struct ept_format ept_format_npt = {
	.present_mask = NPT_PRESENT,
	.table = NPT_PRESENT | NPT_WRITE | NPT_USER,
	.access_mask = NPT_PRESENT | NPT_USER | NPT_WRITE | NPT_NX,
	.access = {0, NPT_PRESENT | NPT_USER | NPT_NX, NPT_PRESENT | NPT_USER | NPT_WRITE | NPT_NX,
		   NPT_PRESENT | NPT_USER | NPT_WRITE | NPT_NX, NPT_PRESENT | NPT_USER,
		   NPT_PRESENT | NPT_USER, NPT_PRESENT | NPT_USER | NPT_WRITE,
		   NPT_PRESENT | NPT_USER | NPT_WRITE},
	.type_mask = NPT_PCD | NPT_PWT,
	.type = {[MEMORY_UC] = NPT_PCD | NPT_PWT,
		 [MEMORY_WC] = NPT_PCD,
		 [MEMORY_WT] = NPT_PWT,
		 [MEMORY_WP] = NPT_PWT,
		 [MEMORY_WB] = 0},
	.large = NPT_LARGE,
	.accessed = NPT_ACCESSED,
	.dirty = NPT_DIRTY,
};

void *page_arena_take(struct page_arena *arena, hpa_t *physical)
{
	void *page;

	if (arena->next == arena->count)
		return NULL;
	page = (void *)(arena->virtual + arena->next * PAGE_BYTES);
	*physical = hpa(arena->physical.v + arena->next * PAGE_BYTES);
	arena->next++;
	memset(page, 0, PAGE_BYTES);
	return page;
}

/* Bytes that one entry maps. Level 1 is the lowest: its entries map 4 KiB. */
static uint64_t level_bytes(unsigned level)
{
	return PAGE_BYTES << (9 * (level - 1));
}

static uint64_t *table_at(const struct ept *ept, hpa_t physical)
{
	return (uint64_t *)(physical.v - ept->arena->physical.v + ept->arena->virtual);
}

static uint64_t *entry_of(const struct ept *ept, hpa_t table, unsigned level, gpa_t at)
{
	return &table_at(ept, table)[at.v / level_bytes(level) % ENTRIES];
}

static bool is_present(const struct ept *ept, uint64_t entry)
{
	return (entry & ept->format->present_mask) != 0;
}

static bool is_leaf(const struct ept *ept, uint64_t entry, unsigned level)
{
	return level == 1 || (entry & ept->format->large) != 0;
}

static uint64_t address_of(uint64_t entry, unsigned level)
{
	return entry & ENTRY_ADDRESS & ~(level_bytes(level) - 1);
}

enum ept_error ept_init(struct ept *ept, const struct ept_format *format, struct page_arena *arena,
			bool pages_1g)
{
	*ept = (struct ept){.format = format, .arena = arena, .pages_1g = pages_1g};
	return page_arena_take(arena, &ept->root) != NULL ? EPT_OK : EPT_NO_PAGE;
}

/*
 * Puts a table behind an entry that maps nothing, is a leaf, or is the shared hole. What was mapped
 * stays mapped.
 */
static enum ept_error split(struct ept *ept, uint64_t *entry, unsigned level)
{
	hpa_t physical;
	uint64_t *table = page_arena_take(ept->arena, &physical);
	uint64_t old = *entry;

	if (table == NULL)
		return EPT_NO_PAGE;
	if (is_present(ept, old) && is_leaf(ept, old, level)) {
		if (level == 2)
			old &= ~ept->format->large;
		for (uint64_t i = 0; i < ENTRIES; i++)
			table[i] = old + i * level_bytes(level - 1);
	} else if (is_present(ept, old)) {
		memcpy(table, table_at(ept, hpa(address_of(old, 1))), PAGE_BYTES);
	}
	__atomic_store_n(entry, physical.v | ept->format->table, __ATOMIC_RELEASE);
	return EPT_OK;
}

/* True if a leaf at this level fits the rest of a range. */
static bool leaf_fits(const struct ept *ept, unsigned level, uint64_t from, uint64_t to,
		      uint64_t bytes)
{
	uint64_t size = level_bytes(level);

	if (level > 3 || (level == 3 && !ept->pages_1g))
		return false;
	return (from | to) % size == 0 && bytes >= size;
}

/*
 * Finds the entry for an address at the highest level, from `highest` down, where a leaf fits or
 * the lowest table is reached; makes and splits tables on the way. A table that exists stays.
 */
static enum ept_error descend(struct ept *ept, uint64_t from, uint64_t to, uint64_t bytes,
			      uint64_t **found, unsigned *found_level)
{
	hpa_t table = ept->root;
	unsigned level = LEVELS;

	for (;; level--) {
		uint64_t *entry = entry_of(ept, table, level, gpa(from));
		bool is_table = is_present(ept, *entry) && !is_leaf(ept, *entry, level);
		bool is_hole = is_table && *entry == ept->hole;

		if (leaf_fits(ept, level, from, to, bytes) && (!is_table || is_hole)) {
			*found = entry;
			*found_level = level;
			return EPT_OK;
		}
		if (!is_table || is_hole) {
			enum ept_error error = split(ept, entry, level);

			if (error != EPT_OK)
				return error;
		}
		table = hpa(address_of(*entry, 1));
	}
}

static bool is_valid_range(uint64_t from, uint64_t to, uint64_t bytes, uint64_t alignment)
{
	return (from | to | bytes) % alignment == 0 && from < ADDRESS_LIMIT && to < ADDRESS_LIMIT &&
	       bytes <= ADDRESS_LIMIT - from && bytes <= ADDRESS_LIMIT - to;
}

/* Sets the leaves of a range; leaf 0 unmaps. */
static enum ept_error set_range(struct ept *ept, uint64_t from, uint64_t to, uint64_t bytes,
				uint64_t leaf)
{
	if (!is_valid_range(from, to, bytes, PAGE_BYTES))
		return EPT_BAD_ADDRESS;
	while (bytes != 0) {
		uint64_t *entry, size;
		unsigned level;
		enum ept_error error = descend(ept, from, to, bytes, &entry, &level);

		if (error != EPT_OK)
			return error;
		size = level_bytes(level);
		__atomic_store_n(entry,
				 leaf == 0 ? 0 : to | leaf | (level > 1 ? ept->format->large : 0),
				 __ATOMIC_RELEASE);
		from += size;
		to += size;
		bytes -= size;
	}
	return EPT_OK;
}

enum ept_error ept_map(struct ept *ept, gpa_t from, hpa_t to, uint64_t bytes, uint32_t access,
		       enum memory_type type)
{
	const struct ept_format *format = ept->format;

	/* Without a dirty log the processor never has to set a bit. */
	return set_range(ept, from.v, to.v, bytes,
			 format->access[access & EPT_ALL] | format->type[type & 7] |
				 format->accessed | format->dirty);
}

/* Bytes from an address on that no table maps, up to the end of the highest absent entry; 0:
 * mapped. */
static uint64_t absent_bytes(const struct ept *ept, uint64_t at)
{
	hpa_t table = ept->root;

	for (unsigned level = LEVELS; level != 0; level--) {
		uint64_t entry = *entry_of(ept, table, level, gpa(at));

		if (!is_present(ept, entry))
			return level_bytes(level) - at % level_bytes(level);
		if (is_leaf(ept, entry, level))
			return 0;
		table = hpa(address_of(entry, 1));
	}
	return 0;
}

uint64_t ept_take_dirty(struct ept *ept, gpa_t from, uint64_t bytes, uint64_t *bits)
{
	uint64_t dirty = ept->format->dirty, *entry;
	unsigned level;

	for (uint64_t done = 0; done < bytes;) {
		uint64_t at = from.v + done, absent = absent_bytes(ept, at);

		if (absent != 0) {
			done += absent;
			continue;
		}
		/* A range of one page ends at the lowest level. */
		if (descend(ept, at, at, PAGE_BYTES, &entry, &level) != EPT_OK)
			return done;
		if (__atomic_fetch_and(entry, ~dirty, __ATOMIC_ACQ_REL) & dirty)
			bits[done / PAGE_BYTES / 64] |= 1ull << done / PAGE_BYTES % 64;
		done += PAGE_BYTES;
	}
	return bytes;
}

bool ept_is_free(const struct ept *ept, gpa_t from, uint64_t bytes)
{
	if (!is_valid_range(from.v, from.v, bytes, PAGE_BYTES))
		return false;
	for (uint64_t done = 0; done < bytes;) {
		uint64_t absent = absent_bytes(ept, from.v + done);

		if (absent == 0)
			return false;
		done += absent;
	}
	return true;
}

/* What is not mapped needs no tables to say so. */
enum ept_error ept_unmap(struct ept *ept, gpa_t from, uint64_t bytes)
{
	if (!is_valid_range(from.v, from.v, bytes, PAGE_BYTES))
		return EPT_BAD_ADDRESS;
	while (bytes != 0) {
		uint64_t absent = absent_bytes(ept, from.v);
		uint64_t step = min_u64(bytes, absent != 0 ? absent : PAGE_BYTES);
		enum ept_error error = EPT_OK;
		struct ept_leaf leaf;

		/* as much of the leaf as is asked for */
		if (absent == 0 && ept_lookup(ept, from, &leaf)) {
			step = min_u64(bytes, leaf.bytes - from.v % leaf.bytes);
			error = set_range(ept, from.v, from.v, step, 0);
		}
		if (error != EPT_OK)
			return error;
		from.v += step;
		bytes -= step;
	}
	return EPT_OK;
}

/* Makes the page of ones and the table that all holes share. */
static enum ept_error make_hole(struct ept *ept)
{
	hpa_t ones_pa, table_pa;
	void *ones = page_arena_take(ept->arena, &ones_pa);
	uint64_t *table = page_arena_take(ept->arena, &table_pa);

	if (ones == NULL || table == NULL)
		return EPT_NO_PAGE;
	memset(ones, 0xff, PAGE_BYTES);
	for (unsigned i = 0; i < ENTRIES; i++)
		table[i] = ones_pa.v | ept->format->access[EPT_READ] | ept->format->type[MEMORY_WB];
	ept->hole = table_pa.v | ept->format->table;
	return EPT_OK;
}

enum ept_error ept_hole(struct ept *ept, gpa_t from, uint64_t bytes)
{
	if (!is_valid_range(from.v, from.v, bytes, LARGE_PAGE_BYTES))
		return EPT_BAD_ADDRESS;
	if (ept->hole == 0 && make_hole(ept) != EPT_OK)
		return EPT_NO_PAGE;
	for (uint64_t at = from.v; at < from.v + bytes; at += LARGE_PAGE_BYTES) {
		uint64_t *entry;
		unsigned level;
		enum ept_error error = descend(ept, at, at, LARGE_PAGE_BYTES, &entry, &level);

		if (error != EPT_OK)
			return error;
		if (level != 2)
			return EPT_BUSY;
		__atomic_store_n(entry, ept->hole, __ATOMIC_RELEASE);
	}
	return EPT_OK;
}

bool ept_lookup(const struct ept *ept, gpa_t at, struct ept_leaf *leaf)
{
	static const enum memory_type types[] = {MEMORY_UC, MEMORY_WC, MEMORY_WP, MEMORY_WT,
						 MEMORY_WB};
	hpa_t table = ept->root;

	if (at.v >= ADDRESS_LIMIT)
		return false;
	for (unsigned level = LEVELS; level != 0; level--) {
		uint64_t entry = *entry_of(ept, table, level, at);

		if (!is_present(ept, entry))
			return false;
		if (is_leaf(ept, entry, level)) {
			uint64_t size = level_bytes(level);
			const struct ept_format *format = ept->format;

			*leaf = (struct ept_leaf){
				.address = hpa(address_of(entry, level) + at.v % size),
				.bytes = size,
			};
			for (uint32_t i = EPT_ALL; i != 0 && leaf->access == 0; i--)
				if ((entry & format->access_mask) == format->access[i])
					leaf->access = i;
			for (unsigned i = 0; i < ARRAY_COUNT(types); i++)
				if ((entry & format->type_mask) == format->type[types[i]])
					leaf->type = types[i];
			return true;
		}
		table = hpa(address_of(entry, 1));
	}
	return false;
}
