/* SPDX-License-Identifier: BSD-2-Clause */
/* The page walk against a second one, written mode by mode from the manual's tables. */
#include <string.h>

#include "fake_guest.h"
#include "unit.h"
#include "vmm-user/vmm/control.h"
#include "vmm-user/vmm/walk.h"

#define AREA	 0x100000ull /* tables lie in AREA .. AREA + 64 pages */
#define PAGES	 64
#define PHYSICAL 40
#define P	 1u
#define W	 2u
#define U	 4u
#define A	 0x20u
#define D	 0x40u
#define PS	 0x80u
#define NX	 (1ull << 63)
#define CR0_WP	 (1ull << 16)
#define CR0_PG	 (1ull << 31)
#define CR4_PSE	 (1ull << 4)
#define CR4_PAE	 (1ull << 5)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)
#define TOO_WIDE (((1ull << 52) - 1) & ~((1ull << PHYSICAL) - 1))
#define FRAME	 (((1ull << 52) - 1) & ~0xfffull)

struct answer {
	bool good;
	uint64_t gpa;
	uint32_t error;
};

struct rights {
	uint64_t all_and, all_or; /* of the entries with rights */
};

/* What lies behind the end of RAM reads as ones. */
static uint64_t load(uint64_t at, unsigned bytes)
{
	uint64_t value = 0;

	if (at >= FAKE_RAM_BYTES)
		return bytes == 4 ? 0xffffffff : ~0ull;
	memcpy(&value, guest.ram + at, bytes);
	return value;
}

/* P and RSVD of a failed walk; 0xff: the entry is good. */
static uint32_t check(uint64_t entry, uint64_t reserved)
{
	if (!(entry & P))
		return 0;
	return entry & reserved ? 9 : 0xff;
}

#define TRY(entry, reserved)                                                                       \
	do {                                                                                       \
		uint32_t wrong = check(entry, reserved);                                           \
		if (wrong != 0xff)                                                                 \
			return (struct answer){false, 0, wrong};                                   \
	} while (0)
#define TAKE(entry) (rights->all_and &= (entry), rights->all_or |= (entry))

static struct answer walk_32(const struct walk_registers *r, uint64_t at, struct rights *rights)
{
	uint64_t pde = load((r->cr3 & 0xfffff000) + (at >> 22) * 4, 4), pte;

	if ((pde & PS) && (r->cr4 & CR4_PSE)) {
		TRY(pde, 1 << 21);
		TAKE(pde);
		return (struct answer){
			true, (pde & 0xffc00000) | (pde >> 13 & 0xff) << 32 | (at & 0x3fffff), 0};
	}
	TRY(pde, 0);
	TAKE(pde);
	pte = load((pde & 0xfffff000) + (at >> 12 & 1023) * 4, 4);
	TRY(pte, 0);
	TAKE(pte);
	return (struct answer){true, (pte & 0xfffff000) | (at & 0xfff), 0};
}

/* The page directory and what is below it, the same for PAE and 4-level. */
static struct answer walk_directory(uint64_t directory, uint64_t at, uint64_t reserved,
				    struct rights *rights)
{
	uint64_t pde = load((directory & FRAME) + (at >> 21 & 511) * 8, 8), pte;

	TRY(pde, reserved | (pde & PS ? 0x1fe000 : 0));
	TAKE(pde);
	if (pde & PS)
		return (struct answer){true, (pde & FRAME & ~0x1fffffull) | (at & 0x1fffff), 0};
	pte = load((pde & FRAME) + (at >> 12 & 511) * 8, 8);
	TRY(pte, reserved);
	TAKE(pte);
	return (struct answer){true, (pte & FRAME) | (at & 0xfff), 0};
}

static struct answer walk_pae(const struct walk_registers *r, uint64_t at, struct rights *rights)
{
	uint64_t pdpte = load((r->cr3 & 0xffffffe0) + (at >> 30) * 8, 8);
	uint64_t wide = TOO_WIDE | 0x7ff0000000000000;

	TRY(pdpte, wide | NX | 0x1c6); /* not bit 5: see walk.c */
	return walk_directory(pdpte, at, wide | (r->efer & EFER_NXE ? 0 : NX), rights);
}

static struct answer walk_long(const struct walk_registers *r, uint64_t at, struct rights *rights)
{
	uint64_t reserved = TOO_WIDE | (r->efer & EFER_NXE ? 0 : NX);
	uint64_t pml4e = load((r->cr3 & FRAME) + (at >> 39 & 511) * 8, 8), pdpte;

	TRY(pml4e, reserved | PS);
	TAKE(pml4e);
	pdpte = load((pml4e & FRAME) + (at >> 30 & 511) * 8, 8);
	TRY(pdpte, reserved | (pdpte & PS ? 0x3fffe000 : 0));
	TAKE(pdpte);
	if (pdpte & PS)
		return (struct answer){true, (pdpte & FRAME & ~0x3fffffffull) | (at & 0x3fffffff),
				       0};
	return walk_directory(pdpte, at, reserved, rights);
}

static bool refused(const struct walk_registers *r, unsigned access, const struct rights *rights)
{
	bool user = access & WALK_USER, page_user = rights->all_and & U;

	if (user && !page_user)
		return true;
	if (access & WALK_FETCH)
		return (rights->all_or & NX) || (!user && page_user && (r->cr4 & CR4_SMEP));
	if (!user && page_user && (r->cr4 & CR4_SMAP) && !(access & WALK_AC))
		return true;
	return (access & WALK_WRITE) && !(rights->all_and & W) && (user || (r->cr0 & CR0_WP));
}

static struct answer reference(const struct walk_registers *r, uint64_t at, unsigned access)
{
	struct rights rights = {~0ull, 0};
	bool nx = (r->cr4 & CR4_PAE) && (r->efer & EFER_NXE);
	struct answer answer;

	if (!(r->cr0 & CR0_PG))
		return (struct answer){true, at & 0xffffffff, 0};
	if (r->efer & EFER_LMA)
		answer = walk_long(r, at, &rights);
	else if (r->cr4 & CR4_PAE)
		answer = walk_pae(r, at & 0xffffffff, &rights);
	else
		answer = walk_32(r, at & 0xffffffff, &rights);
	if (answer.good && refused(r, access, &rights))
		answer = (struct answer){false, 0, 1};
	if (!answer.good) {
		answer.error |= access & WALK_WRITE ? 2 : 0;
		answer.error |= access & WALK_USER ? 4 : 0;
		answer.error |= (access & WALK_FETCH) && (nx || (r->cr4 & CR4_SMEP)) ? 16 : 0;
	}
	return answer;
}

/* An entry that mostly leads somewhere. */
static uint64_t random_entry(unsigned bytes)
{
	uint64_t entry = AREA + fake_random() % PAGES * 4096;

	entry |= fake_random() % 16 ? P : 0;
	entry |= fake_random() % 4 ? W : 0;
	entry |= fake_random() % 3 ? U : 0;
	entry |= fake_random() & 0xe18;
	entry |= fake_random() % 2 ? A : 0;
	entry |= fake_random() % 2 ? D : 0;
	if (fake_random() % 4 == 0)
		entry = (entry & 0xfff) | PS | (fake_random() & 0xffe00000);
	if (fake_random() % 32 == 0)
		entry |= 1ull << fake_random() % 64;
	if (bytes == 8 && fake_random() % 8 == 0)
		entry |= NX;
	return bytes == 4 ? entry & 0xffffffff : entry;
}

/* kind: 0 none, 1 32-bit, 2 PAE, 3 long. */
static void random_tables(unsigned kind, struct walk_registers *r)
{
	unsigned bytes = kind == 1 ? 4 : 8;

	*r = (struct walk_registers){.cr0 = kind ? CR0_PG : 0, .physical_bits = PHYSICAL};
	r->cr0 |= fake_random() % 2 ? CR0_WP : 0;
	r->cr4 = kind >= 2 ? CR4_PAE : 0;
	r->cr4 |= fake_random() & (CR4_PSE | CR4_SMEP | CR4_SMAP);
	r->efer = (kind == 3 ? EFER_LMA : 0) | (fake_random() & EFER_NXE);
	r->cr3 = AREA + fake_random() % PAGES * 4096;
	r->cr3 |= kind == 2 ? fake_random() & 0xfe0 : fake_random() & 0xfff;
	for (uint64_t at = AREA; at < AREA + PAGES * 4096; at += bytes) {
		uint64_t entry = random_entry(bytes);

		memcpy(guest.ram + at, &entry, bytes);
	}
	/* PAE's root has no rights in it. */
	for (unsigned i = 0; kind == 2 && i < 4; i++) {
		uint64_t entry = AREA + fake_random() % PAGES * 4096 + (fake_random() % 8 ? P : 0);

		entry |= fake_random() % 16 ? 0 : random_entry(8);
		memcpy(guest.ram + (r->cr3 & 0xffffffe0) + 8 * i, &entry, 8);
	}
}

START_TEST(as_the_reference)
{
	unsigned good = 0, bad = 0;

	fake_guest_start();
	for (unsigned round = 0; round < 60; round++) {
		struct walk_registers r;

		random_tables((unsigned)_i, &r);
		for (unsigned i = 0; i < 1000; i++) {
			uint64_t at = fake_random(), gpa = 0;
			unsigned access = fake_random() & (WALK_USER | WALK_AC);
			struct answer expected;
			uint32_t error = 0;
			bool got;

			access |= i % 3 == 1 ? WALK_WRITE : i % 3 == 2 ? WALK_FETCH : 0;
			expected = reference(&r, at, access);
			got = walk(fake_vmm, &r, at, access, &gpa, &error);
			ck_assert_int_eq(got, expected.good);
			ck_assert_msg(got ? gpa == expected.gpa : error == expected.error,
				      "%llx access %x: gpa %llx error %x, expected %llx %x",
				      (unsigned long long)at, access, (unsigned long long)gpa,
				      error, (unsigned long long)expected.gpa, expected.error);
			*(got ? &good : &bad) += 1;
		}
	}
	ck_assert_uint_gt(good, 1000);
	ck_assert(_i == 0 || bad > 1000);
	fake_guest_stop();
}
END_TEST

static void put(uint64_t at, uint64_t value)
{
	memcpy(guest.ram + at, &value, 8);
}

/* A walk that has nothing to do but to look: RAM is asked for once. And what is in the hole is
 * none. */
START_TEST(usual_and_hole)
{
	struct walk_registers r = {CR0_PG | CR0_WP, AREA, CR4_PAE, EFER_LMA, PHYSICAL};
	uint64_t *table, gpa = 0;
	uint32_t error = 0;

	fake_guest_start();
	table = (uint64_t *)(guest.ram + AREA);
	for (unsigned level = 0; level < 4; level++)
		table[level * 512] = (AREA + (level + 1) * 4096) | P | W | A | D;
	guest.asked = 0;
	ck_assert(walk(fake_vmm, &r, 0x123, WALK_WRITE, &gpa, &error));
	ck_assert_uint_eq(gpa, AREA + 4 * 4096 + 0x123);
	ck_assert_uint_eq(guest.asked, 1);

	table[0] = VMM_HOLE | P | W | A | D;
	*(uint64_t *)(guest.ram + VMM_HOLE) = (AREA + 2 * 4096) | P | W | A | D;
	walk(fake_vmm, &r, 0x123, WALK_WRITE, &gpa, &error);
	ck_assert_uint_eq(guest.reads, 0);
	ck_assert_uint_eq(error, WALK_ERROR_PRESENT | WALK_ERROR_RESERVED | WALK_ERROR_WRITE);
	fake_guest_stop();
}
END_TEST

START_TEST(accessed_and_dirty)
{
	struct walk_registers r = {CR0_PG, 0x1000, CR4_PAE, EFER_LMA, 40};
	uint64_t gpa;
	uint32_t error;

	fake_guest_start();
	put(0x1000, 0x2000 | P | W | U);
	put(0x2000, 0x3000 | P | W | U);
	put(0x3000, 0x4000 | P | W | U);
	put(0x4000, 0x5000 | P | W | U);
	put(0x4008, 0x6000 | P);
	ck_assert(walk(fake_vmm, &r, 0x123, 0, &gpa, &error));
	ck_assert_uint_eq(gpa, 0x5123);
	for (uint64_t at = 0x1000; at <= 0x4000; at += 0x1000)
		ck_assert_uint_eq(load(at, 8) & (A | D), A);
	ck_assert_uint_eq(guest.dirty, 4);
	ck_assert(walk(fake_vmm, &r, 0x123, WALK_WRITE, &gpa, &error));
	ck_assert_uint_eq(load(0x4000, 8) & (A | D), A | D);
	ck_assert_uint_eq(load(0x3000, 8) & (A | D), A);
	ck_assert_uint_eq(guest.dirty, 5);
	/* Refused: nothing is set. */
	ck_assert(!walk(fake_vmm, &r, 0x1000, WALK_WRITE | WALK_USER, &gpa, &error));
	ck_assert_uint_eq(error, 7);
	ck_assert_uint_eq(load(0x4008, 8) & (A | D), 0);
	/* Tables behind the end of RAM, and in a device's registers. */
	put(0x2000, FAKE_RAM_BYTES | P | W | U);
	ck_assert(!walk(fake_vmm, &r, 0, 0, &gpa, &error));
	ck_assert_uint_eq(error, 9);
	put(0x2000, FAKE_MMIO_BASE | P | W | U);
	guest.mmio[0] = 0xe3; /* a 2 MiB page at 0 */
	ck_assert(walk(fake_vmm, &r, 0x5678, WALK_WRITE, &gpa, &error));
	ck_assert_uint_eq(gpa, 0x5678);
	fake_guest_stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("walk");
	TCase *test = tcase_create("walk");

	tcase_set_timeout(test, 60);
	tcase_add_loop_test(test, as_the_reference, 0, 4);
	tcase_add_test(test, accessed_and_dirty);
	tcase_add_test(test, usual_and_hole);
	suite_add_tcase(suite, test);
	return suite;
}
