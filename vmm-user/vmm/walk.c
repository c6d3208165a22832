/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm-user/vmm/walk.h"

#include "vmm-user/vmm/control.h"

/* Entries of the paging structures (SDM volume 3, tables 4-4 to 4-20). */
#define ENTRY_PRESENT  (1ull << 0)
#define ENTRY_WRITE    (1ull << 1)
#define ENTRY_USER     (1ull << 2)
#define ENTRY_ACCESSED (1ull << 5)
#define ENTRY_DIRTY    (1ull << 6)
#define ENTRY_LARGE    (1ull << 7)
#define ENTRY_NX       (1ull << 63)

#define CR0_WP	 (1ull << 16)
#define CR0_PG	 (1ull << 31)
#define CR4_PSE	 (1ull << 4)
#define CR4_PAE	 (1ull << 5)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

#define LEVELS 4
#define TRIES  8 /* against a guest that changes an entry all the time */

/* Bits high .. low, both included. */
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

struct entry {
	void *memory; /* NULL: not in RAM */
	uint64_t at, value;
};

struct walker {
	struct vmm *vmm;
	const struct walk_registers *registers;
	uint64_t linear;
	unsigned levels, index_bits, entry_bytes;
	unsigned depth; /* entries used */
	struct entry entry[LEVELS];
	bool user, write, nx; /* what all the entries together allow */
};

static struct entry entry_read(const struct walker *walker, uint64_t at)
{
	struct entry entry = {guest_memory(walker->vmm, at, walker->entry_bytes), at, 0};

	if (entry.memory == NULL)
		entry.value = bus_do_read(walker->vmm, BUS_MEMORY, at, walker->entry_bytes);
	else if (walker->entry_bytes == 4)
		entry.value = __atomic_load_n((uint32_t *)entry.memory, __ATOMIC_RELAXED);
	else
		entry.value = __atomic_load_n((uint64_t *)entry.memory, __ATOMIC_RELAXED);
	return entry;
}

/* Sets bits in an entry; false if it changed since it was read. */
static bool entry_set(const struct walker *walker, const struct entry *entry, uint64_t bits)
{
	uint64_t value = entry->value;
	uint32_t narrow = (uint32_t)value;
	bool done;

	if ((value & bits) == bits || entry->memory == NULL)
		return true;
	if (walker->entry_bytes == 4)
		done = __atomic_compare_exchange_n((uint32_t *)entry->memory, &narrow,
						   (uint32_t)(value | bits), false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	else
		done = __atomic_compare_exchange_n((uint64_t *)entry->memory, &value, value | bits,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	if (done)
		guest_memory_dirty(walker->vmm, entry->at, walker->entry_bytes);
	return done;
}

/* PAE's root entries have no rights and no accessed bit. */
static bool pae_root(const struct walker *walker, unsigned level)
{
	return walker->levels == 3 && level == 3;
}

static bool is_large(const struct walker *walker, unsigned level, uint64_t entry)
{
	if (level == 1 || level == 4 || !(entry & ENTRY_LARGE) || pae_root(walker, level))
		return false;
	return walker->entry_bytes == 8 || (walker->registers->cr4 & CR4_PSE);
}

/* The bits that must be clear in an entry of that level. */
static uint64_t reserved_bits(const struct walker *walker, unsigned level, bool large)
{
	unsigned physical = walker->registers->physical_bits;
	uint64_t reserved = 0;

	if (walker->entry_bytes == 4) {
		unsigned wide = physical < 40 ? physical : 40;

		/* Bits 39:32 of a 4 MiB page's address are in bits 20:13. */
		return large ? BITS(21, 21) | (BITS(21, 13) & (~0ull << (wide - 32 + 13))) : 0;
	}
	if (physical < 52)
		reserved |= BITS(51, physical);
	if (walker->levels == 3)
		reserved |= BITS(62, 52);
	if (!(walker->registers->efer & EFER_NXE) || pae_root(walker, level))
		reserved |= ENTRY_NX;
	if (pae_root(walker, level))
		/* Bit 5 is reserved too, but QEMU 7.2 sets it, as if it were "accessed". */
		return reserved | BITS(2, 1) | BITS(8, 6);
	if (level == 4)
		reserved |= ENTRY_LARGE;
	if (large)
		reserved |= BITS(12 + 9 * (level - 1) - 1, 13);
	return reserved;
}

/* Follows the entries to a page. True: its address; false: *error has P and RSVD as they should. */
static bool descend(struct walker *walker, uint64_t *gpa, uint32_t *error)
{
	uint64_t table = walker->registers->cr3 & (walker->levels == 4	 ? BITS(51, 12)
						   : walker->levels == 3 ? BITS(31, 5)
									 : BITS(31, 12));

	walker->depth = 0;
	walker->user = walker->write = true;
	walker->nx = false;
	for (unsigned level = walker->levels;; level--) {
		unsigned shift = 12 + walker->index_bits * (level - 1);
		uint64_t index = walker->linear >> shift & ((1u << walker->index_bits) - 1);
		struct entry entry = entry_read(walker, table + index * walker->entry_bytes);
		bool large = is_large(walker, level, entry.value);
		uint64_t inside = BITS(shift - 1, 0);

		*error = 0;
		if (!(entry.value & ENTRY_PRESENT))
			return false;
		*error = WALK_ERROR_PRESENT;
		if (entry.value & reserved_bits(walker, level, large)) {
			*error |= WALK_ERROR_RESERVED;
			return false;
		}
		if (!pae_root(walker, level)) {
			walker->entry[walker->depth++] = entry;
			walker->user &= (entry.value & ENTRY_USER) != 0;
			walker->write &= (entry.value & ENTRY_WRITE) != 0;
			walker->nx |= (entry.value & ENTRY_NX) != 0;
		}
		table = entry.value & BITS(51, 12);
		if (level == 1 || large) {
			if (large && walker->entry_bytes == 4)
				table |= (entry.value & BITS(20, 13)) << (32 - 13);
			*gpa = (table & ~inside) | (walker->linear & inside);
			if (large && walker->entry_bytes == 4)
				*gpa &= BITS(39, 0);
			return true;
		}
	}
}

/* Whether entries that together are for users, writable, not executable allow the access. */
static bool allowed(const struct walk_registers *registers, bool user, bool write, bool nx,
		    unsigned access)
{
	if (access & WALK_USER) {
		if (!user)
			return false;
	} else if (user) {
		if (access & WALK_FETCH) {
			if (registers->cr4 & CR4_SMEP)
				return false;
		} else if ((registers->cr4 & CR4_SMAP) && !(access & WALK_AC)) {
			return false;
		}
	}
	if (access & WALK_FETCH)
		return !nx;
	if (access & WALK_WRITE)
		return write || (!(access & WALK_USER) && !(registers->cr0 & CR0_WP));
	return true;
}

/* Sets the accessed bits and the dirty bit; false if an entry changed meanwhile. */
static bool mark(const struct walker *walker, unsigned access)
{
	for (unsigned i = 0; i < walker->depth; i++) {
		uint64_t bits = ENTRY_ACCESSED;

		if (i + 1 == walker->depth && (access & WALK_WRITE))
			bits |= ENTRY_DIRTY;
		if (!entry_set(walker, &walker->entry[i], bits))
			return false;
	}
	return true;
}

/* What a walk of 4-level tables has come across. */
struct quick_walk {
	const uint8_t *ram; /* [0, low) of the guest, without the hole */
	uint64_t low, linear, needed, refused;
	uint64_t entry, all, any; /* the last entry, and all of them by AND and OR */
	struct walk_path *path;	  /* NULL: nobody wants to know */
};

/* Goes through the entry of the level that translates bits shift + 8 .. shift. */
static inline bool quick_level(struct quick_walk *walk, unsigned shift)
{
	uint64_t at = (walk->entry & BITS(51, 12)) + (walk->linear >> (shift - 3) & 0xff8);

	if (at >= walk->low || at - VMM_HOLE < VMM_HOLE_BYTES)
		return false;
	walk->entry = __atomic_load_n((const uint64_t *)(walk->ram + at), __ATOMIC_RELAXED);
	if (walk->path != NULL)
		for (unsigned i = (39 - shift) / 9; i < 4; i++) {
			walk->path->entry[i] = (const uint64_t *)(walk->ram + at);
			walk->path->value[i] = walk->entry;
		}
	walk->all &= walk->entry;
	walk->any |= walk->entry;
	return (walk->entry & (walk->needed | walk->refused)) == walk->needed;
}

static inline bool quick_end(const struct quick_walk *walk, const struct walk_registers *registers,
			     unsigned access, unsigned shift, uint64_t *gpa)
{
	if ((access & WALK_WRITE) && !(walk->entry & ENTRY_DIRTY))
		return false;
	if (!allowed(registers, walk->all & ENTRY_USER, walk->all & ENTRY_WRITE,
		     walk->any & ENTRY_NX, access))
		return false;
	*gpa = (walk->entry & BITS(51, shift)) | (walk->linear & BITS(shift - 1, 0));
	return true;
}

/*
 * The common case in few instructions, as every MMIO exit walks at least once: 4-level tables in
 * RAM below 4 GiB, nothing to be set and nothing wrong. False: the long way knows.
 */
static inline bool walk_quickly(struct vmm *vmm, const struct walk_registers *registers,
				uint64_t linear, unsigned access, uint64_t *gpa,
				struct walk_path *path)
{
	struct quick_walk walk = {
		.low = guest_memory_low(vmm),
		.linear = linear,
		.needed = ENTRY_PRESENT | ENTRY_ACCESSED,
		.refused = registers->efer & EFER_NXE ? 0 : ENTRY_NX,
		.entry = registers->cr3,
		.all = ~0ull,
		.path = path,
	};

	walk.ram = guest_memory(vmm, 0, 1);
	if (walk.ram == NULL)
		return false;
	if (registers->physical_bits < 52)
		walk.refused |= BITS(51, registers->physical_bits);
	if (!quick_level(&walk, 39) || (walk.entry & ENTRY_LARGE) || !quick_level(&walk, 30))
		return false;
	if (walk.entry & ENTRY_LARGE)
		return !(walk.entry & BITS(29, 13)) && quick_end(&walk, registers, access, 30, gpa);
	if (!quick_level(&walk, 21))
		return false;
	if (walk.entry & ENTRY_LARGE)
		return !(walk.entry & BITS(20, 13)) && quick_end(&walk, registers, access, 21, gpa);
	return quick_level(&walk, 12) && quick_end(&walk, registers, access, 12, gpa);
}

static bool walk_slowly(struct vmm *vmm, const struct walk_registers *registers, uint64_t linear,
			unsigned access, uint64_t *gpa, uint32_t *error)
{
	bool wide = (registers->cr4 & CR4_PAE) != 0, fetch_told;
	bool long_mode = (registers->efer & EFER_LMA) != 0;
	struct walker walker = {.vmm = vmm, .registers = registers, .linear = linear};

	walker.levels = long_mode ? 4 : wide ? 3 : 2;
	walker.index_bits = long_mode || wide ? 9 : 10;
	walker.entry_bytes = long_mode || wide ? 8 : 4;
	for (unsigned try = 0; try < TRIES; try++) {
		if (!descend(&walker, gpa, error) ||
		    !allowed(registers, walker.user, walker.write, walker.nx, access)) {
			fetch_told = (registers->cr4 & CR4_SMEP) ||
				     (walker.entry_bytes == 8 && (registers->efer & EFER_NXE));
			*error |= access & WALK_WRITE ? WALK_ERROR_WRITE : 0;
			*error |= access & WALK_USER ? WALK_ERROR_USER : 0;
			*error |= (access & WALK_FETCH) && fetch_told ? WALK_ERROR_FETCH : 0;
			return false;
		}
		if (mark(&walker, access))
			break;
	}
	return true;
}

bool walk(struct vmm *vmm, const struct walk_registers *registers, uint64_t linear, unsigned access,
	  uint64_t *gpa, uint32_t *error)
{
	bool long_mode = (registers->efer & EFER_LMA) != 0;

	if (!long_mode)
		linear = (uint32_t)linear;
	if (!(registers->cr0 & CR0_PG)) {
		*gpa = linear;
		return true;
	}
	if (long_mode && walk_quickly(vmm, registers, linear, access, gpa, NULL))
		return true;
	return walk_slowly(vmm, registers, linear, access, gpa, error);
}

bool walk_with_path(struct vmm *vmm, const struct walk_registers *registers, uint64_t linear,
		    unsigned access, uint64_t *gpa, struct walk_path *path)
{
	return (registers->efer & EFER_LMA) && (registers->cr0 & CR0_PG) &&
	       walk_quickly(vmm, registers, linear, access, gpa, path);
}
