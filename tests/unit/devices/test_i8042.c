/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"

static struct vmm *vmm;

static void start(void)
{
	vmm = fake_vmm_start();
	ck_assert(i8042_create(vmm));
}

static void expect(uint8_t byte, bool mouse)
{
	ck_assert_uint_eq(in8(0x64) & 0x21, mouse ? 0x21 : 0x01);
	ck_assert_uint_eq(in8(0x60), byte);
}

static void mouse(uint8_t byte)
{
	out8(0x64, 0xd4);
	out8(0x60, byte);
}

/* What Linux's driver does to find the controller. */
START_TEST(probe)
{
	ck_assert_uint_eq(in8(0x64) & 0x01, 0);
	out8(0x64, 0xaa);
	ck_assert_uint_eq(in8(0x64) & 0x08, 0x08);
	expect(0x55, false);
	out8(0x64, 0x20);
	expect(0x45, false);
	out8(0x64, 0x60);
	out8(0x60, 0x47);
	ck_assert_uint_eq(in8(0x64) & 0x08, 0);
	out8(0x64, 0x20);
	expect(0x47, false);
	out8(0x64, 0xa9);
	expect(0, false);
	out8(0x64, 0xab);
	expect(0, false);
	out8(0x64, 0xd3);
	out8(0x60, 0x5a);
	expect(0x5a, true);
	out8(0x64, 0xa7);
	out8(0x64, 0x20);
	ck_assert_uint_eq(in8(0x60) & 0x20, 0x20);
	out8(0x64, 0xa8);
	out8(0x64, 0x20);
	ck_assert_uint_eq(in8(0x60) & 0x20, 0);
	ck_assert_uint_eq(in8(0x64) & 0x01, 0);
}
END_TEST

START_TEST(keyboard)
{
	out8(0x60, 0xff);
	ck_assert(fake_vmm.level[1]);
	expect(0xfa, false);
	expect(0xaa, false);
	ck_assert(!fake_vmm.level[1]);
	ck_assert_uint_eq(fake_vmm.rises[1], 2);
	out8(0x60, 0xf2);
	expect(0xfa, false);
	expect(0xab, false);
	expect(0x83, false);
	/* The parameter of "set LEDs" is no command. */
	out8(0x60, 0xed);
	expect(0xfa, false);
	out8(0x60, 0xff & 0x07);
	expect(0xfa, false);
	ck_assert_uint_eq(in8(0x64) & 1, 0);
	out8(0x60, 0xee);
	expect(0xee, false);
}
END_TEST

START_TEST(pointer)
{
	out8(0x64, 0x60);
	out8(0x60, 0x03);
	mouse(0xff);
	ck_assert(fake_vmm.level[12]);
	ck_assert(!fake_vmm.level[1]);
	expect(0xfa, true);
	expect(0xaa, true);
	expect(0x00, true);
	ck_assert(!fake_vmm.level[12]);
	mouse(0xf2);
	expect(0xfa, true);
	expect(0x00, true);
	mouse(0xf3);
	expect(0xfa, true);
	mouse(100);
	expect(0xfa, true);
	ck_assert_uint_eq(in8(0x64) & 1, 0);
}
END_TEST

START_TEST(reset)
{
	out8(0x64, 0xff);
	out8(0x64, 0xf1);
	ck_assert(!fake_vmm.ended);
	out8(0x64, 0xfe);
	ck_assert(fake_vmm.ended);
	ck_assert_int_eq(fake_vmm.how, VMM_REBOOT);
}
END_TEST

START_TEST(reset_by_output_port)
{
	out8(0x64, 0xd0);
	expect(0x03, false);
	out8(0x64, 0xd1);
	out8(0x60, 0x03);
	ck_assert(!fake_vmm.ended);
	out8(0x64, 0xd1);
	out8(0x60, 0x02);
	ck_assert(fake_vmm.ended);
}
END_TEST

START_TEST(never_read)
{
	for (unsigned i = 0; i < 1000; i++) {
		out8(0x60, 0xff);
		mouse(0xe9);
	}
	for (unsigned i = 0; i < 16; i++) {
		ck_assert_uint_eq(in8(0x64) & 1, 1);
		in8(0x60);
	}
	ck_assert_uint_eq(in8(0x64) & 1, 0);
	in8(0x60);
	for (unsigned i = 0; i < 256; i++) {
		out8(0x64, (uint8_t)i);
		out8(0x60, (uint8_t)i);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("i8042");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, probe);
	tcase_add_test(tests, keyboard);
	tcase_add_test(tests, pointer);
	tcase_add_test(tests, reset);
	tcase_add_test(tests, reset_by_output_port);
	tcase_add_test(tests, never_read);
	suite_add_tcase(suite, tests);
	return suite;
}
