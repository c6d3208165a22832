/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-level page tables: EPT (SDM volume 3, section 29.3) and NPT (APM volume 2, section 15.25),
 * which differ in the bits of an entry only.
 *
 * Tables come from an arena that its owner provides and are never returned to it: a table that has
 * become empty stays in place. Nothing here locks; a table has one writer at a time.
 */
#ifndef EPT_EPT_H
#define EPT_EPT_H

#include "arch/x86/x86.h"
#include "hv/types.h"

enum ept_access {
	EPT_READ = 1,
	EPT_WRITE = 2,
	EPT_EXECUTE = 4,
	EPT_ALL = EPT_READ | EPT_WRITE | EPT_EXECUTE,
};

/* How a vendor writes an entry. */
struct ept_format {
	uint64_t present_mask;		 /* an entry with none of these bits maps nothing */
	uint64_t table;			 /* bits of an entry that points to a table */
	uint64_t access_mask, access[8]; /* bits for enum ept_access */
	uint64_t type_mask, type[8];	 /* bits for enum memory_type */
	uint64_t large;		  /* the entry is a leaf although it is not at the lowest level */
	uint64_t accessed, dirty; /* set by the processor; set in new leaves already */
};

extern const struct ept_format ept_format_ept;
extern const struct ept_format ept_format_npt;

/* Pages that are linearly mapped: page n is at virtual + n * 4 KiB and at physical + n * 4 KiB. */
struct page_arena {
	uint64_t virtual;
	hpa_t physical;
	uint64_t next, count; /* pages */
};

/* Takes a page, zeroed. NULL: none is left. */
void *page_arena_take(struct page_arena *arena, hpa_t *physical);

struct ept {
	const struct ept_format *format;
	struct page_arena *arena;
	hpa_t root;
	uint64_t hole; /* the entry of a page directory whose 2 MiB read as ones; 0: none yet */
	bool pages_1g; /* 1 GiB leaves are allowed */
};

/* What can go wrong. */
enum ept_error { EPT_OK = 0, EPT_NO_PAGE = -1, EPT_BAD_ADDRESS = -2, EPT_BUSY = -3 };

/* A leaf, as ept_lookup() finds it. */
struct ept_leaf {
	hpa_t address;	 /* what the looked-up address is mapped to */
	uint64_t bytes;	 /* size of the leaf */
	uint32_t access; /* enum ept_access */
	enum memory_type type;
};

/* Makes an empty table. EPT_NO_PAGE: the arena is empty. */
enum ept_error ept_init(struct ept *ept, const struct ept_format *format, struct page_arena *arena,
			bool pages_1g);

/*
 * Maps [from, from + bytes) to [to, to + bytes) with the largest leaves that alignment allows,
 * replacing what was mapped there; a large leaf that the range covers in part is split. Addresses
 * and bytes are multiples of 4 KiB and the range ends at or below 2^48.
 *
 * EPT_BAD_ADDRESS: they are not. EPT_NO_PAGE: the arena ran out; the range is mapped in part.
 */
enum ept_error ept_map(struct ept *ept, gpa_t from, hpa_t to, uint64_t bytes, uint32_t access,
		       enum memory_type type);

/* Unmaps a range, under the same rules. */
enum ept_error ept_unmap(struct ept *ept, gpa_t from, uint64_t bytes);

/*
 * Makes the 2 MiB aligned range read as ones; it can be neither written nor executed. All holes of
 * a table share one page of ones and one table.
 */
enum ept_error ept_hole(struct ept *ept, gpa_t from, uint64_t bytes);

/*
 * Finds which pages of a range were written, by the processor's dirty bits, and clears these; a
 * page counts as written when it is mapped. Leaves larger than 4 KiB are split. Processors may have
 * cached that a page is dirty already: what is written before they forget it goes unnoticed.
 *
 * @bytes under the rules for ept_map()
 * @bits  zeroed; bit n is set if page n of the range was written
 *
 * Gives for how many bytes it was done: less than asked for if the arena ran out.
 */
uint64_t ept_take_dirty(struct ept *ept, gpa_t from, uint64_t bytes, uint64_t *bits);

/* True if nothing of the range is mapped. The same rules as for ept_map(). */
bool ept_is_free(const struct ept *ept, gpa_t from, uint64_t bytes);

/* Finds what an address is mapped to. False: nothing. */
bool ept_lookup(const struct ept *ept, gpa_t at, struct ept_leaf *leaf);

#endif
