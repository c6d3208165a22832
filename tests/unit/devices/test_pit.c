/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"

#define HZ 1193182ull

static struct vmm *vmm;

static void start(void)
{
	vmm = fake_vmm_start();
	ck_assert(pit_create(vmm));
}

/* The time of so many ticks, with the half of one for good measure. */
static uint64_t time_of(uint64_t ticks)
{
	return (ticks * FAKE_SECOND + HZ - 1) / HZ;
}

static void at_tick(uint64_t tick)
{
	uint64_t to = time_of(tick);

	ck_assert_uint_ge(to, fake_vmm.now);
	fake_vmm_pass(to - fake_vmm.now);
}

static void program(unsigned counter, unsigned mode, unsigned count)
{
	out8(0x43, (uint8_t)(counter << 6 | 0x30 | mode << 1));
	out8(0x40 + counter, (uint8_t)count);
	out8(0x40 + counter, (uint8_t)(count >> 8));
}

static unsigned count(unsigned counter)
{
	unsigned low;

	out8(0x43, (uint8_t)(counter << 6));
	low = in8(0x40 + counter);
	return low | (unsigned)in8(0x40 + counter) << 8;
}

static uint8_t status(unsigned counter)
{
	out8(0x43, (uint8_t)(0xe0 | 2u << counter));
	return in8(0x40 + counter);
}

START_TEST(rate)
{
	program(0, 2, 11932); /* 100 Hz */
	fake_vmm_pass(10 * FAKE_SECOND);
	ck_assert_uint_ge(fake_vmm.rises[0], 999);
	ck_assert_uint_le(fake_vmm.rises[0], 1001);
}
END_TEST

START_TEST(missed_edges)
{
	program(0, 2, 11932);
	fake_vmm_pass(FAKE_SECOND / 2);
	ck_assert_uint_eq(fake_vmm.rises[0], 50); /* the first was the line's rise at the start */
	/* Late for a tenth of a second, then ten that the guest does not take. */
	fake_vmm.now += FAKE_SECOND / 10;
	fake_vmm_pass(0);
	ck_assert_uint_eq(fake_vmm.rises[0], 51);
	fake_vmm_pass(FAKE_SECOND / 5);
	ck_assert_uint_ge(fake_vmm.rises[0], 79);
	ck_assert_uint_le(fake_vmm.rises[0], 81);
	fake_vmm.waits[0] = true;
	fake_vmm_pass(FAKE_SECOND / 10);
	fake_vmm.waits[0] = false;
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_ge(fake_vmm.rises[0], 198);
	ck_assert_uint_le(fake_vmm.rises[0], 201);
	/* Stopped: nothing is owed any more. */
	fake_vmm.now += FAKE_SECOND;
	program(0, 0, 0);
	fake_vmm.rises[0] = 0;
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_le(fake_vmm.rises[0], 2);
}
END_TEST

START_TEST(square_rate)
{
	program(0, 3, 0); /* 65536: 18.2 Hz */
	fake_vmm_pass(100 * FAKE_SECOND);
	ck_assert_uint_ge(fake_vmm.rises[0], 1820);
	ck_assert_uint_le(fake_vmm.rises[0], 1822);
}
END_TEST

START_TEST(one_shot)
{
	unsigned rises;

	program(0, 0, 1000);
	rises = fake_vmm.rises[0];
	ck_assert(!fake_vmm.level[0]);
	at_tick(999);
	ck_assert(!fake_vmm.level[0]);
	ck_assert_uint_eq(count(0), 1);
	at_tick(1000);
	ck_assert(fake_vmm.level[0]);
	ck_assert_uint_eq(fake_vmm.rises[0], rises + 1);
	ck_assert_uint_eq(status(0), 0x80 | 0x30);
	/* It counts on from the top, and does not rise again. */
	at_tick(1001);
	ck_assert_uint_eq(count(0), 0xffff);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[0], rises + 1);
	/* The next count makes it low and starts anew. */
	out8(0x40, 10);
	out8(0x40, 0);
	ck_assert(!fake_vmm.level[0]);
	fake_vmm_pass(time_of(11));
	ck_assert_uint_eq(fake_vmm.rises[0], rises + 2);
}
END_TEST

/* A shot that is over before its programming is: on a busy machine nothing else may be lost. */
START_TEST(short_shots)
{
	for (unsigned i = 1; i <= 5; i++) {
		program(0, 0, 20); /* 17 us */
		fake_vmm.look = FAKE_SECOND / 100000;
		program(0, 0, 20);
		fake_vmm.look = 0;
		fake_vmm_pass(FAKE_SECOND / 1000);
		ck_assert_uint_eq(fake_vmm.rises[0], i);
	}
}
END_TEST

START_TEST(strobe)
{
	unsigned rises;

	program(0, 4, 100);
	ck_assert(fake_vmm.level[0]);
	rises = fake_vmm.rises[0];
	at_tick(100);
	ck_assert_uint_eq(status(0) & 0x80, 0);
	at_tick(101);
	ck_assert_uint_eq(status(0) & 0x80, 0x80);
	ck_assert_uint_eq(fake_vmm.rises[0], rises + 1);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[0], rises + 1);
}
END_TEST

START_TEST(counts)
{
	program(0, 2, 1000);
	at_tick(1);
	ck_assert_uint_eq(count(0), 999);
	at_tick(999);
	ck_assert_uint_eq(count(0), 1);
	ck_assert_uint_eq(status(0) & 0x80, 0);
	at_tick(1000);
	ck_assert_uint_eq(count(0), 1000);
	ck_assert_uint_eq(status(0) & 0x80, 0x80);
	program(0, 3, 1000);
	at_tick(1100);
	ck_assert_uint_eq(count(0), 800);
	ck_assert_uint_eq(status(0) & 0x80, 0x80);
	at_tick(1600);
	ck_assert_uint_eq(count(0), 800);
	ck_assert_uint_eq(status(0) & 0x80, 0);
}
END_TEST

/* The latch keeps the count until it is read, and a second latch does not change it. */
START_TEST(latch)
{
	program(0, 2, 1000);
	at_tick(10);
	out8(0x43, 0x00);
	at_tick(20);
	out8(0x43, 0x00);
	ck_assert_uint_eq(in8(0x40), 990 & 0xff);
	at_tick(30);
	ck_assert_uint_eq(in8(0x40), 990 >> 8);
	ck_assert_uint_eq(in8(0x40), 970 & 0xff);
	ck_assert_uint_eq(in8(0x40), 970 >> 8);
	/* Read back: status first, then the count, of both at once. */
	out8(0x43, 0xc2);
	ck_assert_uint_eq(in8(0x40), 0x80 | 0x34);
	ck_assert_uint_eq(in8(0x40), 970 & 0xff);
	ck_assert_uint_eq(in8(0x40), 970 >> 8);
}
END_TEST

START_TEST(new_count_waits)
{
	program(0, 2, 1000);
	at_tick(100);
	out8(0x40, 200);
	out8(0x40, 0);
	ck_assert_uint_eq(count(0), 900);
	ck_assert_uint_eq(status(0) & 0x40, 0x40);
	at_tick(1050);
	ck_assert_uint_eq(count(0), 150);
	ck_assert_uint_eq(status(0) & 0x40, 0);
	ck_assert_uint_eq(fake_vmm.rises[0], 2); /* idle high, and the end of the first period */
	at_tick(1200);
	ck_assert_uint_eq(fake_vmm.rises[0], 3);
}
END_TEST

START_TEST(decimal)
{
	out8(0x43, 0x31); /* mode 0, BCD */
	out8(0x40, 0x50);
	out8(0x40, 0x12);
	at_tick(1);
	ck_assert_uint_eq(count(0), 0x1249);
	at_tick(1251);
	ck_assert_uint_eq(count(0), 0x9999);
}
END_TEST

START_TEST(bytes)
{
	out8(0x43, 0x14); /* LSB only, mode 2 */
	out8(0x40, 100);
	at_tick(1);
	ck_assert_uint_eq(in8(0x40), 99);
	ck_assert_uint_eq(in8(0x40), 99);
	out8(0x43, 0x24); /* MSB only */
	out8(0x40, 2);
	at_tick(2);
	ck_assert_uint_eq(in8(0x40), 1);
	ck_assert_uint_eq(in(0x40, 2), 0xffff);
}
END_TEST

/* How kernels measure the TSC: counter 2, mode 0, the gate and its output in port 0x61. */
START_TEST(speaker)
{
	out8(0x61, 0x00);
	program(2, 0, 1193);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(in8(0x61) & 0x20, 0); /* the gate is low: it does not count */
	ck_assert_uint_eq(count(2), 1193);
	out8(0x61, 0x01);
	fake_vmm_pass(time_of(1191));
	ck_assert_uint_eq(in8(0x61) & 0x21, 0x01);
	fake_vmm_pass(time_of(3));
	ck_assert_uint_eq(in8(0x61) & 0x21, 0x21);
	/* Mode 3 with the gate low is high. */
	out8(0x61, 0x02);
	program(2, 3, 100);
	ck_assert_uint_eq(in8(0x61) & 0x23, 0x22);
}
END_TEST

START_TEST(gate_holds_and_triggers)
{
	out8(0x61, 0x01);
	program(2, 0, 1000);
	at_tick(100);
	out8(0x61, 0x00);
	at_tick(500);
	ck_assert_uint_eq(count(2), 900);
	out8(0x61, 0x01);
	at_tick(600);
	ck_assert_uint_eq(count(2), 800);
	/* Mode 1 waits for a rise. */
	program(2, 1, 1000);
	ck_assert_uint_eq(in8(0x61) & 0x20, 0x20);
	at_tick(3000);
	ck_assert_uint_eq(in8(0x61) & 0x20, 0x20);
	out8(0x61, 0x00);
	out8(0x61, 0x01);
	ck_assert_uint_eq(in8(0x61) & 0x20, 0x00);
	at_tick(4001);
	ck_assert_uint_eq(in8(0x61) & 0x20, 0x20);
}
END_TEST

START_TEST(refresh_toggles)
{
	unsigned changes = 0, before = in8(0x61) & 0x10;

	for (unsigned i = 0; i < 1000; i++) {
		unsigned now;

		fake_vmm_pass(1000);
		now = in8(0x61) & 0x10;
		changes += now != before;
		before = now;
	}
	ck_assert_uint_ge(changes, 65);
	ck_assert_uint_le(changes, 67);
}
END_TEST

START_TEST(legacy_replacement)
{
	unsigned rises;

	program(0, 2, 1000);
	pit_legacy_replaced(vmm, true);
	rises = fake_vmm.rises[0];
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[0], rises);
	pit_legacy_replaced(vmm, false);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_ge(fake_vmm.rises[0], rises + 1192);
}
END_TEST

START_TEST(restart)
{
	program(0, 2, 11932);
	fake_vmm_pass(5000000);
	vmm = fake_vmm_restart();
	ck_assert(pit_create(vmm));
	fake_vmm_pass(10 * FAKE_SECOND);
	ck_assert_uint_ge(fake_vmm.rises[0], 999);
}
END_TEST

/* Every control word, with every write after it: nothing divides by zero. */
START_TEST(hostile)
{
	for (unsigned control = 0; control < 256; control++)
		for (unsigned value = 0; value < 256; value += 5) {
			out8(0x43, (uint8_t)control);
			for (unsigned port = 0x40; port < 0x43; port++) {
				out8(port, (uint8_t)value);
				out8(0x61, (uint8_t)value);
				in8(port);
				out8(port, (uint8_t)~value);
				fake_vmm_pass(1000);
			}
			in8(0x61);
		}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pit");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, rate);
	tcase_add_test(tests, square_rate);
	tcase_add_test(tests, missed_edges);
	tcase_add_test(tests, one_shot);
	tcase_add_test(tests, short_shots);
	tcase_add_test(tests, strobe);
	tcase_add_test(tests, counts);
	tcase_add_test(tests, latch);
	tcase_add_test(tests, new_count_waits);
	tcase_add_test(tests, decimal);
	tcase_add_test(tests, bytes);
	tcase_add_test(tests, speaker);
	tcase_add_test(tests, gate_holds_and_triggers);
	tcase_add_test(tests, refresh_toggles);
	tcase_add_test(tests, legacy_replacement);
	tcase_add_test(tests, restart);
	tcase_add_test(tests, hostile);
	suite_add_tcase(suite, tests);
	return suite;
}
