/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"

#define MASTER 0x20
#define SLAVE  0xa0

static struct vmm *vmm;

static void initialise(uint8_t icw4)
{
	out8(MASTER, 0x11);
	out8(MASTER + 1, 0x30);
	out8(MASTER + 1, 0x04);
	out8(MASTER + 1, icw4);
	out8(SLAVE, 0x11);
	out8(SLAVE + 1, 0x38);
	out8(SLAVE + 1, 0x02);
	out8(SLAVE + 1, icw4);
}

static void start(void)
{
	vmm = fake_vmm_start();
	ck_assert(pic_create(vmm));
	initialise(0x01);
}

static void pulse(unsigned irq)
{
	pic_set(vmm, irq, true);
	pic_set(vmm, irq, false);
}

static uint8_t isr(uint64_t chip)
{
	out8(chip, 0x0b);
	return in8(chip);
}

static uint8_t irr(uint64_t chip)
{
	out8(chip, 0x0a);
	return in8(chip);
}

START_TEST(silent_until_initialised)
{
	fake_vmm_stop();
	vmm = fake_vmm_start();
	ck_assert(pic_create(vmm));
	pulse(1);
	ck_assert(!pic_output(vmm));
	initialise(0x01);
	ck_assert(!pic_output(vmm));
}
END_TEST

START_TEST(edge)
{
	pulse(3);
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(fake_vmm.pic_changes, 1);
	ck_assert_uint_eq(irr(MASTER), 1 << 3);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
	ck_assert_uint_eq(irr(MASTER), 0);
	ck_assert_uint_eq(isr(MASTER), 1 << 3);
	ck_assert(!pic_output(vmm));
	/* In service: the same line waits for the end of the first. */
	pulse(3);
	ck_assert(!pic_output(vmm));
	out8(MASTER, 0x20);
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
	out8(MASTER, 0x20);
	/* A level that stays is one edge. */
	pic_set(vmm, 3, true);
	pic_set(vmm, 3, true);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
	out8(MASTER, 0x20);
	ck_assert(!pic_output(vmm));
}
END_TEST

START_TEST(mask)
{
	out8(MASTER + 1, 0x08);
	pulse(3);
	ck_assert(!pic_output(vmm));
	ck_assert_uint_eq(in8(MASTER + 1), 0x08);
	out8(MASTER + 1, 0x00);
	ck_assert(pic_output(vmm));
}
END_TEST

START_TEST(priorities)
{
	pulse(5);
	pulse(4);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x34);
	ck_assert(!pic_output(vmm));
	pulse(1);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x31);
	ck_assert_uint_eq(isr(MASTER), 0x12);
	out8(MASTER, 0x20); /* the highest ends */
	ck_assert_uint_eq(isr(MASTER), 0x10);
	out8(MASTER, 0x64); /* specific */
	ck_assert_uint_eq(isr(MASTER), 0);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x35);
}
END_TEST

START_TEST(slave)
{
	pulse(12);
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x3c);
	ck_assert_uint_eq(isr(MASTER), 0x04);
	ck_assert_uint_eq(isr(SLAVE), 0x10);
	/* Lower than the cascade: waits. Higher: does not. */
	pulse(3);
	ck_assert(!pic_output(vmm));
	pulse(8);
	ck_assert(!pic_output(vmm)); /* not fully nested: the cascade is in service */
	out8(SLAVE, 0x20);
	out8(MASTER, 0x20);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x38);
	out8(SLAVE, 0x20);
	out8(MASTER, 0x20);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
}
END_TEST

START_TEST(special_fully_nested)
{
	initialise(0x11);
	pulse(12);
	pic_acknowledge(vmm);
	pulse(8);
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x38);
}
END_TEST

START_TEST(spurious)
{
	out(0x4d0, 2, 0x0c20); /* 5, 10 and 11 are level-triggered */
	pic_set(vmm, 5, true);
	ck_assert(pic_output(vmm));
	pic_set(vmm, 5, false);
	ck_assert(!pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x37);
	ck_assert_uint_eq(isr(MASTER), 0);
}
END_TEST

START_TEST(level)
{
	out8(0x4d0, 0xff);
	ck_assert_uint_eq(in8(0x4d0), 0xf8);
	out8(0x4d1, 0xff);
	ck_assert_uint_eq(in(0x4d0, 2), 0xdef8);
	pic_set(vmm, 10, true);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x3a);
	out8(SLAVE, 0x20);
	out8(MASTER, 0x20);
	/* Still asserted: again. */
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x3a);
	pic_set(vmm, 10, false);
	out8(SLAVE, 0x20);
	out8(MASTER, 0x20);
	ck_assert(!pic_output(vmm));
}
END_TEST

START_TEST(automatic_end)
{
	initialise(0x03);
	pulse(3);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
	ck_assert_uint_eq(isr(MASTER), 0);
	/* With rotation, the line that was served becomes the last. */
	out8(MASTER, 0x80);
	pulse(1);
	pic_acknowledge(vmm);
	pulse(1);
	pulse(3);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x31);
}
END_TEST

START_TEST(rotation)
{
	out8(MASTER, 0xc3); /* 3 is lowest, 4 highest */
	pulse(3);
	pulse(4);
	pulse(0);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x34);
	out8(MASTER, 0xa0); /* rotate on end: 5 is highest, 0 before 4 */
	pulse(4);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x30);
	out8(MASTER, 0x20);
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
}
END_TEST

START_TEST(special_mask)
{
	pulse(1);
	pic_acknowledge(vmm);
	pulse(5);
	ck_assert(!pic_output(vmm));
	out8(MASTER + 1, 0x02);
	ck_assert(!pic_output(vmm));
	out8(MASTER, 0x68);
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x35);
	/* A non-specific end passes over the masked line. */
	out8(MASTER, 0x20);
	ck_assert_uint_eq(isr(MASTER), 0x02);
	out8(MASTER, 0x48);
	pulse(6);
	ck_assert(!pic_output(vmm));
}
END_TEST

START_TEST(poll)
{
	out8(MASTER, 0x0c);
	ck_assert_uint_eq(in8(MASTER), 0);
	pulse(6);
	out8(MASTER, 0x0c);
	ck_assert_uint_eq(in8(MASTER), 0x86);
	ck_assert_uint_eq(isr(MASTER), 0x40);
	ck_assert(!pic_output(vmm));
}
END_TEST

START_TEST(initialisation_forgets)
{
	pulse(3);
	pic_acknowledge(vmm);
	pulse(4);
	out8(MASTER + 1, 0x55);
	initialise(0x01);
	ck_assert_uint_eq(isr(MASTER), 0);
	ck_assert_uint_eq(irr(MASTER), 0);
	ck_assert_uint_eq(in8(MASTER + 1), 0);
	ck_assert(!pic_output(vmm));
}
END_TEST

START_TEST(restart)
{
	pulse(3);
	vmm = fake_vmm_restart();
	ck_assert(pic_create(vmm));
	ck_assert(pic_output(vmm));
	ck_assert_uint_eq(pic_acknowledge(vmm), 0x33);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pic");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, silent_until_initialised);
	tcase_add_test(tests, edge);
	tcase_add_test(tests, mask);
	tcase_add_test(tests, priorities);
	tcase_add_test(tests, slave);
	tcase_add_test(tests, special_fully_nested);
	tcase_add_test(tests, spurious);
	tcase_add_test(tests, level);
	tcase_add_test(tests, automatic_end);
	tcase_add_test(tests, rotation);
	tcase_add_test(tests, special_mask);
	tcase_add_test(tests, poll);
	tcase_add_test(tests, initialisation_forgets);
	tcase_add_test(tests, restart);
	suite_add_tcase(suite, tests);
	return suite;
}
