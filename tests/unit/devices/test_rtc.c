/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"

#define GSI 8
/* Tuesday, 29 February 2000, 23:59:58.25 UTC. */
#define LEAP_EVENING (951868798ll * 1000000000 + 250000000)

static struct vmm *vmm;

static void start(void)
{
	vmm = fake_vmm_start();
	fake_vmm.now = 0;
	fake_vmm.wall = LEAP_EVENING;
	ck_assert(rtc_create(vmm, false));
}

static uint8_t get(uint8_t index)
{
	out8(0x70, index);
	return in8(0x71);
}

static void put(uint8_t index, uint8_t value)
{
	out8(0x70, index);
	out8(0x71, value);
}

static void expect_time(unsigned date, unsigned time)
{
	unsigned found =
		(unsigned)get(0x32) << 24 | (unsigned)get(9) << 16 | (unsigned)get(8) << 8 | get(7);

	ck_assert_msg(found == date, "%x, wanted %x", found, date);
	found = (unsigned)get(4) << 16 | (unsigned)get(2) << 8 | get(0);
	ck_assert_msg(found == time, "%x, wanted %x", found, time);
}

START_TEST(runs)
{
	expect_time(0x20000229, 0x235958);
	ck_assert_uint_eq(get(6), 3);
	ck_assert_uint_eq(get(0x0d), 0x80);
	ck_assert_uint_eq(get(0x0b), 0x02);
	ck_assert_uint_eq(get(0x0a), 0x26);
	fake_vmm_pass(1750000000);
	expect_time(0x20000301, 0x000000);
	ck_assert_uint_eq(get(6), 4);
	fake_vmm_pass(86400 * FAKE_SECOND);
	expect_time(0x20000302, 0x000000);
}
END_TEST

START_TEST(formats)
{
	put(0x0b, 0x04); /* binary, 12 hours */
	ck_assert_uint_eq(get(4), 11 | 0x80);
	ck_assert_uint_eq(get(2), 59);
	fake_vmm_pass(2 * FAKE_SECOND);
	ck_assert_uint_eq(get(4), 12);
	put(0x0b, 0x00);
	ck_assert_uint_eq(get(4), 0x12);
	put(0x0b, 0x80);
	put(4, 0x92); /* 12 p.m. */
	put(0x0b, 0x00);
	put(0x0b, 0x02);
	ck_assert_uint_eq(get(4), 0x12);
}
END_TEST

START_TEST(set)
{
	put(0x0b, 0x82);
	put(0x32, 0x19);
	put(9, 0x99);
	put(8, 0x12);
	put(7, 0x31);
	put(4, 0x23);
	put(2, 0x59);
	put(0, 0x59);
	/* It stands still, in spite of the time that passes. */
	fake_vmm_pass(5 * FAKE_SECOND);
	expect_time(0x19991231, 0x235959);
	put(0x0b, 0x02);
	/* The seconds go on where they would have been: a quarter is over. */
	fake_vmm_pass(740000000);
	expect_time(0x19991231, 0x235959);
	fake_vmm_pass(20000000);
	expect_time(0x20000101, 0x000000);
}
END_TEST

START_TEST(set_without_set)
{
	put(4, 0x08);
	expect_time(0x20000229, 0x085958);
	fake_vmm_pass(2 * FAKE_SECOND);
	expect_time(0x20000229, 0x090000);
}
END_TEST

/* The first update comes half a second after the divider is released. */
START_TEST(divider)
{
	put(0x0a, 0x76);
	fake_vmm_pass(10 * FAKE_SECOND);
	expect_time(0x20000229, 0x235958);
	put(0x0a, 0x26);
	fake_vmm_pass(499000000);
	expect_time(0x20000229, 0x235958);
	fake_vmm_pass(2000000);
	expect_time(0x20000229, 0x235959);
}
END_TEST

START_TEST(update_in_progress)
{
	fake_vmm_pass(749000000);
	ck_assert_uint_eq(get(0x0a) & 0x80, 0);
	fake_vmm_pass(800000);
	ck_assert_uint_eq(get(0x0a) & 0x80, 0x80);
	fake_vmm_pass(200000);
	ck_assert_uint_eq(get(0x0a) & 0x80, 0);
	expect_time(0x20000229, 0x235959);
	put(0x0b, 0x82);
	fake_vmm_pass(999800000);
	ck_assert_uint_eq(get(0x0a) & 0x80, 0);
}
END_TEST

START_TEST(update_interrupt)
{
	get(0x0c);
	put(0x0b, 0x12);
	fake_vmm_pass(749999999);
	ck_assert(!fake_vmm.level[GSI]);
	fake_vmm_pass(1);
	ck_assert(fake_vmm.level[GSI]);
	/* The line stays until register C is read, and there is one edge for each reading. */
	fake_vmm_pass(5 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 1);
	ck_assert_uint_eq(get(0x0c) & 0x90, 0x90);
	ck_assert(!fake_vmm.level[GSI]);
	ck_assert_uint_eq(get(0x0c) & 0x90, 0);
	for (unsigned i = 0; i < 10; i++) {
		fake_vmm_pass(FAKE_SECOND);
		ck_assert_uint_eq(get(0x0c) & 0x90, 0x90);
	}
	ck_assert_uint_eq(fake_vmm.rises[GSI], 11);
	/* SET turns it off. */
	put(0x0b, 0x92);
	ck_assert_uint_eq(get(0x0b), 0x82);
}
END_TEST

START_TEST(flags_without_interrupts)
{
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(get(0x0c), 0x50); /* update and periodic */
	ck_assert_uint_eq(get(0x0c), 0);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 0);
}
END_TEST

START_TEST(periodic)
{
	unsigned interrupts = 0;

	get(0x0c);
	put(0x0b, 0x42); /* 1,024 Hz */
	for (unsigned i = 0; i < 100000; i++) {
		fake_vmm_pass(10000);
		if (fake_vmm.level[GSI]) {
			interrupts++;
			ck_assert_uint_eq(get(0x0c) & 0xc0, 0xc0);
		}
	}
	ck_assert_uint_ge(interrupts, 1023);
	ck_assert_uint_le(interrupts, 1025);
	/* Rate 1 is 256 Hz, 15 is 2 Hz, 0 is none. */
	put(0x0a, 0x21);
	get(0x0c);
	fake_vmm_pass(3900000);
	ck_assert_uint_le(fake_vmm.rises[GSI], interrupts + 1);
	put(0x0a, 0x2f);
	get(0x0c);
	interrupts = fake_vmm.rises[GSI];
	fake_vmm_pass(500000000);
	ck_assert_uint_eq(fake_vmm.rises[GSI], interrupts + 1);
	put(0x0a, 0x20);
	get(0x0c);
	fake_vmm_pass(10 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[GSI], interrupts + 1);
}
END_TEST

/* Ten periods pass before somebody looks: nine are owed, and come at twice the rate. */
START_TEST(missed_periods)
{
	unsigned interrupts = 0;

	get(0x0c);
	put(0x0b, 0x42);
	fake_vmm_pass(FAKE_SECOND * 10 / 1024);
	for (unsigned i = 0; i < 2000; i++) {
		if (fake_vmm.level[GSI]) {
			interrupts++;
			get(0x0c);
		}
		fake_vmm_pass(10000);
		if (i == 700)
			ck_assert_uint_le(interrupts, 16);
	}
	ck_assert_uint_ge(interrupts, 29);
	ck_assert_uint_le(interrupts, 31);
	/* Without the interrupt nobody counts. */
	put(0x0b, 0x02);
	get(0x0c);
	fake_vmm_pass(FAKE_SECOND);
	put(0x0b, 0x42);
	interrupts = 0;
	for (unsigned i = 0; i < 1000; i++) {
		if (fake_vmm.level[GSI]) {
			interrupts++;
			get(0x0c);
		}
		fake_vmm_pass(10000);
	}
	ck_assert_uint_le(interrupts, 12);
}
END_TEST

START_TEST(alarm_interrupt)
{
	put(1, 0x05);
	put(3, 0x00);
	put(5, 0x00);
	get(0x0c);
	put(0x0b, 0x22);
	fake_vmm_pass(6740000000);
	ck_assert(!fake_vmm.level[GSI]);
	fake_vmm_pass(20000000);
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(get(0x0c) & 0xa0, 0xa0);
	fake_vmm_pass(3600 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 1);
	/* Any hour and any minute: once a minute. */
	put(3, 0xff);
	put(5, 0xc0);
	for (unsigned i = 0; i < 600; i++) {
		fake_vmm_pass(FAKE_SECOND);
		get(0x0c);
	}
	ck_assert_uint_eq(fake_vmm.rises[GSI], 11);
}
END_TEST

/* The flag is right without a timer, after days too; an impossible alarm never comes. */
START_TEST(alarm_flag)
{
	put(1, 0x05);
	put(3, 0x30);
	put(5, 0x12);
	get(0x0c);
	fake_vmm_pass(12 * 3600 * FAKE_SECOND);
	ck_assert_uint_eq(get(0x0c) & 0x20, 0);
	fake_vmm_pass(3600 * FAKE_SECOND);
	ck_assert_uint_eq(get(0x0c) & 0x20, 0x20);
	fake_vmm_pass(72 * 3600 * FAKE_SECOND);
	ck_assert_uint_eq(get(0x0c) & 0x20, 0x20);
	put(5, 0x25);
	fake_vmm_pass(72 * 3600 * FAKE_SECOND);
	ck_assert_uint_eq(get(0x0c) & 0x20, 0);
}
END_TEST

START_TEST(memory)
{
	for (unsigned i = 0x40; i < 0x50; i++)
		put((uint8_t)i, (uint8_t)(i * 3));
	for (unsigned i = 0x40; i < 0x50; i++)
		ck_assert_uint_eq(get((uint8_t)i), (uint8_t)(i * 3));
	out8(0x72, 0x41);
	out8(0x73, 0x99);
	out8(0x72, 0xc1);
	ck_assert_uint_eq(in8(0x73), 0x99);
	ck_assert_uint_eq(get(0x41), (uint8_t)(0x41 * 3));
	ck_assert_uint_eq(get(0x15) | get(0x16) << 8, 640);
	ck_assert_uint_eq(get(0x17) | get(0x18) << 8, 3072);
	ck_assert_uint_eq(get(0x34) | get(0x35) << 8, 0);
	ck_assert_uint_eq(get(0x5f), 1);
	ck_assert_uint_eq(in8(0x70), 0xff);
}
END_TEST

START_TEST(garbage)
{
	for (unsigned i = 0; i < 10; i++)
		if (i != 1 && i != 3 && i != 5)
			put((uint8_t)i, 0xff);
	put(0x32, 0xff);
	put(0x0b, 0x72);
	for (unsigned i = 0; i < 256; i++) {
		put(0x0a, (uint8_t)i);
		put(0x0b, (uint8_t)(i * 7));
		put(0, (uint8_t)i);
		fake_vmm_pass(FAKE_SECOND);
		get(0x0c);
		get(0);
	}
}
END_TEST

START_TEST(restart)
{
	get(0x0c);
	put(0x0b, 0x12);
	fake_vmm_pass(FAKE_SECOND / 2);
	vmm = fake_vmm_restart();
	fake_vmm.wall = 0;
	ck_assert(rtc_create(vmm, false));
	expect_time(0x20000229, 0x235958);
	fake_vmm_pass(FAKE_SECOND / 2);
	ck_assert(fake_vmm.level[GSI]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("rtc");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, runs);
	tcase_add_test(tests, formats);
	tcase_add_test(tests, set);
	tcase_add_test(tests, set_without_set);
	tcase_add_test(tests, divider);
	tcase_add_test(tests, update_in_progress);
	tcase_add_test(tests, update_interrupt);
	tcase_add_test(tests, flags_without_interrupts);
	tcase_add_test(tests, periodic);
	tcase_add_test(tests, missed_periods);
	tcase_add_test(tests, alarm_interrupt);
	tcase_add_test(tests, alarm_flag);
	tcase_add_test(tests, memory);
	tcase_add_test(tests, garbage);
	tcase_add_test(tests, restart);
	suite_add_tcase(suite, tests);
	return suite;
}
