/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"

#define BASE   0xfec00000ull
#define LEVEL  (1u << 15)
#define MASKED (1u << 16)
#define REMOTE (1u << 14)

static struct vmm *vmm;

static void start(void)
{
	vmm = fake_vmm_start();
	ck_assert(ioapic_create(vmm));
}

static uint32_t get(uint8_t index)
{
	mmio_write(BASE, 4, index);
	return (uint32_t)mmio_read(BASE + 0x10, 4);
}

static void put(uint8_t index, uint32_t value)
{
	mmio_write(BASE, 4, index);
	mmio_write(BASE + 0x10, 4, value);
}

static void route(unsigned pin, uint32_t low, uint32_t destination)
{
	put((uint8_t)(0x11 + 2 * pin), destination << 24);
	put((uint8_t)(0x10 + 2 * pin), low);
}

START_TEST(registers)
{
	ck_assert_uint_eq(get(1), 0x00170020);
	put(1, 0xffffffff);
	ck_assert_uint_eq(get(1), 0x00170020);
	put(0, 0xffffffff);
	ck_assert_uint_eq(get(0), 0x0f000000);
	for (unsigned pin = 0; pin < 24; pin++)
		ck_assert_uint_eq(get((uint8_t)(0x10 + 2 * pin)), MASKED);
	put(0x10 + 2 * 23, 0xffffffff);
	ck_assert_uint_eq(get(0x10 + 2 * 23), 0x1afff);
	put(0x11 + 2 * 23, 0xffffffff);
	ck_assert_uint_eq(get(0x11 + 2 * 23), 0xff000000);
	ck_assert_uint_eq(get(0x40), 0);
	put(0xff, 1);
	ck_assert_uint_eq(get(0xff), 0);
	ck_assert_uint_eq(get(0x0f), 0);
}
END_TEST

START_TEST(edge)
{
	route(4, 0x0945, 0x03); /* lowest priority, logical */
	ioapic_set(vmm, 4, true);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ck_assert_uint_eq(fake_vmm.message[0].vector, 0x45);
	ck_assert_uint_eq(fake_vmm.message[0].delivery, APIC_DELIVERY_LOWEST);
	ck_assert_uint_eq(fake_vmm.message[0].destination, 3);
	ck_assert(fake_vmm.message[0].logical);
	ck_assert(!fake_vmm.message[0].level);
	ioapic_set(vmm, 4, true);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ioapic_set(vmm, 4, false);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ioapic_set(vmm, 4, true);
	ck_assert_uint_eq(fake_vmm.messages, 2);
	/* A second edge needs no EOI; an EOI is not an edge. */
	ioapic_eoi(vmm, 0x45);
	ck_assert_uint_eq(fake_vmm.messages, 2);
	ck_assert_uint_eq(get(0x18) & REMOTE, 0);
}
END_TEST

START_TEST(masked_edge_is_lost)
{
	route(4, 0x45 | MASKED, 0);
	ioapic_set(vmm, 4, true);
	route(4, 0x45, 0);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	ioapic_set(vmm, 4, false);
	ioapic_set(vmm, 4, true);
	ck_assert_uint_eq(fake_vmm.messages, 1);
}
END_TEST

START_TEST(level)
{
	route(20, 0x61 | LEVEL, 1);
	ioapic_set(vmm, 20, true);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ck_assert(fake_vmm.message[0].level);
	ck_assert_uint_eq(get(0x10 + 40), 0x61 | LEVEL | REMOTE);
	/* Remote IRR keeps further assertions back, until the EOI. */
	ioapic_set(vmm, 20, false);
	ioapic_set(vmm, 20, true);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ioapic_eoi(vmm, 0x62);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	ioapic_eoi(vmm, 0x61);
	ck_assert_uint_eq(fake_vmm.messages, 2);
	ioapic_set(vmm, 20, false);
	ioapic_eoi(vmm, 0x61);
	ck_assert_uint_eq(fake_vmm.messages, 2);
	ck_assert_uint_eq(get(0x10 + 40), 0x61 | LEVEL);
}
END_TEST

START_TEST(masked_level_is_kept)
{
	route(20, 0x61 | LEVEL | MASKED, 1);
	ioapic_set(vmm, 20, true);
	ck_assert_uint_eq(fake_vmm.messages, 0);
	route(20, 0x61 | LEVEL, 1);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	/* Masked while in service: the EOI finds it masked. */
	route(20, 0x61 | LEVEL | MASKED, 1);
	ioapic_eoi(vmm, 0x61);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	route(20, 0x61 | LEVEL, 1);
	ck_assert_uint_eq(fake_vmm.messages, 2);
}
END_TEST

START_TEST(eoi_register)
{
	route(20, 0x61 | LEVEL, 1);
	ioapic_set(vmm, 20, true);
	mmio_write(BASE + 0x40, 4, 0x61);
	ck_assert_uint_eq(fake_vmm.messages, 2);
}
END_TEST

/* What Linux does without an EOI register. */
START_TEST(edge_for_a_moment)
{
	route(20, 0x61 | LEVEL, 1);
	ioapic_set(vmm, 20, true);
	ioapic_set(vmm, 20, false);
	put(0x10 + 40, 0x61 | MASKED);
	put(0x10 + 40, 0x61 | LEVEL);
	ck_assert_uint_eq(get(0x10 + 40), 0x61 | LEVEL);
	ioapic_set(vmm, 20, true);
	ck_assert_uint_eq(fake_vmm.messages, 2);
}
END_TEST

START_TEST(broadcast_and_odd_accesses)
{
	route(1, 0x31, 0xff);
	ioapic_set(vmm, 1, true);
	ck_assert_uint_eq(fake_vmm.message[0].destination, APIC_BROADCAST);
	ioapic_set(vmm, 24, true);
	ioapic_set(vmm, 4000, true);
	ck_assert_uint_eq(fake_vmm.messages, 1);
	mmio_write(BASE, 1, 0x12);
	mmio_write(BASE + 0x10, 1, 0x99);
	ck_assert_uint_eq(get(0x12), 0x31);
	ck_assert_uint_eq(mmio_read(BASE + 0x20, 4), 0);
	ck_assert_uint_eq(mmio_read(BASE + 0xff8, 8), 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("ioapic");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, registers);
	tcase_add_test(tests, edge);
	tcase_add_test(tests, masked_edge_is_lost);
	tcase_add_test(tests, level);
	tcase_add_test(tests, masked_level_is_kept);
	tcase_add_test(tests, eoi_register);
	tcase_add_test(tests, edge_for_a_moment);
	tcase_add_test(tests, broadcast_and_odd_accesses);
	suite_add_tcase(suite, tests);
	return suite;
}
