/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus and the state region. */
#include <string.h>

#include "fake_vmm.h"
#include "unit.h"

static struct vmm *vmm;
static uint64_t last_offset, last_value;
static unsigned last_bytes;

static void start(void)
{
	vmm = fake_vmm_start();
}

static uint64_t tell(void *device, uint64_t offset, unsigned bytes)
{
	last_offset = offset;
	last_bytes = bytes;
	return *(uint64_t *)device;
}

static void take(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
	(void)device;
	last_offset = offset;
	last_bytes = bytes;
	last_value = value;
}

static uint64_t a = 0x1122334455667788, b = 0xa0a1a2a3;

static bool add(enum bus bus, uint64_t base, uint64_t bytes, uint64_t *value)
{
	struct bus_range range = {"range", base, bytes, tell, take, value};

	return bus_add(vmm, bus, &range);
}

START_TEST(ranges)
{
	ck_assert(add(BUS_PORT, 0x100, 8, &a));
	ck_assert(add(BUS_MEMORY, 0x100, 8, &b));
	ck_assert_uint_eq(in(0x102, 2), 0x7788);
	ck_assert_uint_eq(last_offset, 2);
	ck_assert_uint_eq(last_bytes, 2);
	ck_assert_uint_eq(mmio_read(0x100, 8), 0xa0a1a2a3);
	out(0x104, 4, 0xfedcba9876543210);
	ck_assert_uint_eq(last_value, 0x76543210);
	bus_remove(vmm, BUS_PORT, 0x100);
	ck_assert_uint_eq(in(0x100, 4), 0xffffffff);
	ck_assert_uint_eq(mmio_read(0x100, 1), 0xa3);
}
END_TEST

START_TEST(nothing_there)
{
	ck_assert_uint_eq(in(0x100, 1), 0xff);
	ck_assert_uint_eq(in(0x100, 2), 0xffff);
	ck_assert_uint_eq(mmio_read(0x100, 8), ~0ull);
	out(0xffff, 4, 0);
	ck_assert_uint_eq(vmm->bus[BUS_PORT].lost, 1 + 2 + 4);
}
END_TEST

/* Across a border each byte goes its own way. */
START_TEST(split)
{
	ck_assert(add(BUS_PORT, 0x100, 2, &a));
	ck_assert_uint_eq(in(0x101, 2), 0xff88);
	ck_assert_uint_eq(last_bytes, 1);
	out(0xfe, 4, 0x44332211);
	ck_assert_uint_eq(last_offset, 1);
	ck_assert_uint_eq(last_value, 0x44);
}
END_TEST

START_TEST(overlap)
{
	ck_assert(add(BUS_PORT, 0x100, 8, &a));
	ck_assert(!add(BUS_PORT, 0xff, 2, &b));
	ck_assert(!add(BUS_PORT, 0x107, 2, &b));
	ck_assert(!add(BUS_PORT, 0x100, 1, &b));
	ck_assert(!add(BUS_PORT, 0x100, 8, &b));
	ck_assert(!add(BUS_PORT, 0x200, 0, &b));
	ck_assert(!add(BUS_PORT, 0xffff, 2, &b));
	ck_assert(!add(BUS_MEMORY, ~0ull, 2, &b));
	ck_assert(add(BUS_PORT, 0x108, 1, &b));
	ck_assert(add(BUS_PORT, 0xff, 1, &b));
	ck_assert(add(BUS_MEMORY, ~0ull, 1, &b));
}
END_TEST

START_TEST(nested)
{
	ck_assert(add(BUS_PORT, 0xcf9, 1, &b));
	ck_assert(add(BUS_PORT, 0xcf8, 8, &a));
	ck_assert(add(BUS_PORT, 0xcfc, 1, &b));
	ck_assert_uint_eq(in(0xcf9, 1), 0xa3);
	ck_assert_uint_eq(in(0xcf8, 4), 0x55667788);
	ck_assert_uint_eq(in(0xcf9, 2), 0x7788);
	ck_assert_uint_eq(last_offset, 1);
	ck_assert_uint_eq(in(0xcfe, 2), 0x7788);
	ck_assert_uint_eq(last_offset, 6);
	ck_assert_uint_eq(in(0xcfc, 1), 0xa3);
}
END_TEST

/* An access that was made before goes elsewhere when the ranges have changed. */
START_TEST(remembered)
{
	ck_assert(add(BUS_PORT, 0xcf8, 8, &a));
	ck_assert_uint_eq(in(0xcf9, 1), 0x88);
	ck_assert_uint_eq(in(0xcf9, 1), 0x88);
	ck_assert_uint_eq(last_offset, 1);
	ck_assert(add(BUS_PORT, 0xcf9, 1, &b));
	ck_assert_uint_eq(in(0xcf9, 1), 0xa3);
	ck_assert_uint_eq(last_offset, 0);
	ck_assert_uint_eq(in(0xcf9, 2), 0x7788);
	out(0xcf9, 1, 0x12);
	ck_assert_uint_eq(last_offset, 0);
	bus_remove(vmm, BUS_PORT, 0xcf9);
	out(0xcf9, 1, 0x34);
	ck_assert_uint_eq(last_offset, 1);
	ck_assert_uint_eq(in(0xcf9, 1), 0x88);
	bus_remove(vmm, BUS_PORT, 0xcf8);
	ck_assert_uint_eq(in(0xcf9, 1), 0xff);
	ck_assert_uint_eq(in(0xcf9, 1), 0xff);
}
END_TEST

START_TEST(many)
{
	for (uint64_t i = 0; i < 200; i++)
		ck_assert(add(BUS_MEMORY, 0x1000 * (200 - i), 0x800, &a));
	for (uint64_t i = 1; i <= 200; i++) {
		ck_assert_uint_eq(mmio_read(0x1000 * i + 0x7f8, 8), a);
		ck_assert_uint_eq(last_offset, 0x7f8);
		ck_assert_uint_eq(mmio_read(0x1000 * i + 0x800, 1), 0xff);
	}
}
END_TEST

START_TEST(sections)
{
	bool fresh = false;
	char *one = state_section(vmm, "one", 0, 1, 100, &fresh), *two, *again;

	ck_assert_ptr_nonnull(one);
	ck_assert(fresh);
	strcpy(one, "kept");
	two = state_section(vmm, "one", 1, 1, 100, &fresh);
	ck_assert(fresh);
	ck_assert(two >= one + 100);
	ck_assert_uint_eq((uintptr_t)two % 64, 0);
	vmm = fake_vmm_restart();
	again = state_section(vmm, "one", 0, 1, 100, &fresh);
	ck_assert(!fresh);
	ck_assert_str_eq(again, "kept");
	ck_assert_ptr_null(state_section(vmm, "one", 0, 2, 100, &fresh));
	ck_assert_ptr_null(state_section(vmm, "one", 0, 1, 101, &fresh));
	ck_assert_ptr_null(state_section(vmm, "large", 0, 1, 0x40000, &fresh));
	ck_assert_ptr_null(state_section(vmm, "large", 0, 1, SIZE_MAX - 3, &fresh));
	ck_assert_ptr_null(state_section(vmm, "a name of twenty-four ch", 0, 1, 8, &fresh));
	ck_assert_ptr_nonnull(state_section(vmm, "a name of twenty-three!", 0, 1, 8, &fresh));
}
END_TEST

/* Full to the last byte, and then one more. */
START_TEST(full)
{
	static _Alignas(64) uint8_t region[4 * 64];
	bool fresh;

	memset(region, 0, sizeof(region));
	ck_assert(state_open(vmm, region, sizeof(region)));
	ck_assert_ptr_nonnull(state_section(vmm, "all", 0, 1, 128, &fresh));
	ck_assert_ptr_null(state_section(vmm, "more", 0, 1, 0, &fresh));
	ck_assert(state_open(vmm, region, sizeof(region)));
	ck_assert_ptr_nonnull(state_section(vmm, "all", 0, 1, 128, &fresh));
	ck_assert(!fresh);
	ck_assert(!state_open(vmm, region, sizeof(region) - 64));
	/* A length that leads out, and one that wraps around. */
	region[64 + 32] = 129;
	ck_assert(!state_open(vmm, region, sizeof(region)));
	memset(region + 64 + 32, 0xff, 8);
	ck_assert(!state_open(vmm, region, sizeof(region)));
	region[0] ^= 1;
	ck_assert(!state_open(vmm, region, sizeof(region)));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("bus and state");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, ranges);
	tcase_add_test(tests, nothing_there);
	tcase_add_test(tests, split);
	tcase_add_test(tests, overlap);
	tcase_add_test(tests, nested);
	tcase_add_test(tests, remembered);
	tcase_add_test(tests, many);
	tcase_add_test(tests, sections);
	tcase_add_test(tests, full);
	suite_add_tcase(suite, tests);
	return suite;
}
