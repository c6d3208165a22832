/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"

#define BASE	  0xfed00000ull
#define CONF	  (BASE + 0x10)
#define STATUS	  (BASE + 0x20)
#define COUNTER	  (BASE + 0xf0)
#define T_CONF(n) (BASE + 0x100 + 0x20 * (n))
#define T_COMP(n) (BASE + 0x108 + 0x20 * (n))
#define LEVEL	  0x02u
#define ENABLE	  0x04u
#define PERIODIC  0x08u
#define SET	  0x40u
#define BITS32	  0x100u
#define PIN(n)	  ((uint32_t)(n) << 9)
#define TICKS(n)  ((n)*10ull) /* in nanoseconds */

static struct vmm *vmm;

static void start(void)
{
	vmm = fake_vmm_start();
	fake_vmm.now = 1000;
	ck_assert(pit_create(vmm));
	ck_assert(rtc_create(vmm, false));
	ck_assert(hpet_create(vmm));
}

START_TEST(capabilities)
{
	ck_assert_uint_eq(mmio_read(BASE, 8), 0x009896808086a201);
	ck_assert_uint_eq(mmio_read(BASE + 4, 4), 10000000);
	mmio_write(BASE, 8, 0);
	ck_assert_uint_eq(mmio_read(BASE, 4), 0x8086a201);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(mmio_read(T_CONF(i), 8), 0x00f0000000000030);
	ck_assert_uint_eq(mmio_read(T_CONF(3), 8), 0);
	ck_assert_uint_eq(mmio_read(BASE + 0x3f8, 8), 0);
	ck_assert_uint_eq(mmio_read(BASE + 1, 1), 0);
}
END_TEST

/* A match that is past before the write that starts the counter has been handled. */
START_TEST(short_wait)
{
	unsigned rises = fake_vmm.rises[20];

	mmio_write(T_CONF(2), 4, PIN(20) | ENABLE);
	mmio_write(T_COMP(2), 8, 20000);
	fake_vmm.look = TICKS(30000);
	mmio_write(CONF, 4, 1);
	fake_vmm.look = 0;
	fake_vmm_pass(TICKS(20100));
	ck_assert_uint_eq(fake_vmm.rises[20], rises + 1);
}
END_TEST

START_TEST(counts)
{
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 0);
	mmio_write(COUNTER, 8, 0xfffffffffffffff0);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(TICKS(15));
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 0xffffffffffffffff);
	fake_vmm_pass(TICKS(2));
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 1);
	mmio_write(COUNTER, 8, 77); /* only while it stands */
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 1);
	mmio_write(CONF, 4, 0);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 1);
	mmio_write(COUNTER + 4, 4, 5);
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 0x500000001);
	ck_assert_uint_eq(mmio_read(COUNTER + 4, 4), 5);
}
END_TEST

START_TEST(one_shot)
{
	mmio_write(T_CONF(2), 4, ENABLE | PIN(21));
	mmio_write(T_COMP(2), 8, 1000000);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(TICKS(999999));
	ck_assert_uint_eq(fake_vmm.rises[21], 0);
	fake_vmm_pass(TICKS(1));
	ck_assert_uint_eq(fake_vmm.rises[21], 1);
	ck_assert(!fake_vmm.level[21]); /* an edge */
	ck_assert_uint_eq(mmio_read(STATUS, 4), 0);
	fake_vmm_pass(10 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[21], 1);
}
END_TEST

/* In 32-bit mode the comparator matches again after each wrap. */
START_TEST(one_shot_32)
{
	mmio_write(T_CONF(0), 4, ENABLE | BITS32 | PIN(20));
	mmio_write(T_COMP(0), 4, 100);
	mmio_write(COUNTER, 8, 0xfffffff0);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(TICKS(115));
	ck_assert_uint_eq(fake_vmm.rises[20], 0);
	fake_vmm_pass(TICKS(1));
	ck_assert_uint_eq(fake_vmm.rises[20], 1);
	fake_vmm_pass(TICKS(0xffffffffull));
	ck_assert_uint_eq(fake_vmm.rises[20], 1);
	fake_vmm_pass(TICKS(1));
	ck_assert_uint_eq(fake_vmm.rises[20], 2);
}
END_TEST

/* As Linux sets it: the first match and then the period, both through the comparator. */
START_TEST(periodic)
{
	mmio_write(CONF, 4, 1);
	mmio_write(T_CONF(1), 4, ENABLE | PERIODIC | SET | BITS32 | PIN(22));
	mmio_write(T_COMP(1), 4, 500000);
	ck_assert_uint_eq(mmio_read(T_CONF(1), 4) & SET, 0);
	mmio_write(T_COMP(1), 4, 100000);
	ck_assert_uint_eq(mmio_read(T_COMP(1), 4), 500000);
	fake_vmm_pass(TICKS(499999));
	ck_assert_uint_eq(fake_vmm.rises[22], 0);
	fake_vmm_pass(TICKS(1));
	ck_assert_uint_eq(fake_vmm.rises[22], 1);
	ck_assert_uint_eq(mmio_read(T_COMP(1), 4), 600000);
	fake_vmm_pass(60 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[22], 1 + 60000);
}
END_TEST

static void start_periodic(unsigned pin)
{
	mmio_write(CONF, 4, 1);
	mmio_write(T_CONF(1), 4, ENABLE | PERIODIC | SET | PIN(pin));
	mmio_write(T_COMP(1), 8, 100000);
}

/* The service VM was busy for ten periods: what is missing comes between the next ones. */
START_TEST(missed_periods)
{
	start_periodic(22);
	fake_vmm.now += TICKS(1050000);
	fake_vmm_pass(0);
	ck_assert_uint_eq(fake_vmm.rises[22], 1);
	fake_vmm_pass(TICKS(49999));
	ck_assert_uint_eq(fake_vmm.rises[22], 1);
	/* The eleventh in phase, and half a period later the first of nine that are owed. */
	fake_vmm_pass(TICKS(1));
	ck_assert_uint_eq(fake_vmm.rises[22], 2);
	fake_vmm_pass(TICKS(50000));
	ck_assert_uint_eq(fake_vmm.rises[22], 3);
	fake_vmm_pass(TICKS(850000));
	ck_assert_uint_eq(fake_vmm.rises[22], 20);
	/* Not one too many. */
	fake_vmm_pass(TICKS(1000000));
	ck_assert_uint_eq(fake_vmm.rises[22], 30);
}
END_TEST

/* A guest with interrupts off takes none; the line goes on as it should. */
START_TEST(untaken_periods)
{
	start_periodic(22);
	fake_vmm_pass(TICKS(100000));
	fake_vmm.waits[22] = true;
	fake_vmm_pass(TICKS(400000));
	ck_assert_uint_eq(fake_vmm.rises[22], 5);
	fake_vmm.waits[22] = false;
	/* Four edges met one that was waiting: so four more, and then the rate is the old one. */
	fake_vmm_pass(TICKS(500000));
	ck_assert_uint_eq(fake_vmm.rises[22], 14);
	fake_vmm_pass(TICKS(500000));
	ck_assert_uint_eq(fake_vmm.rises[22], 19);
	/* Who is away for long has not counted on them. */
	fake_vmm.now += TICKS(100000000);
	fake_vmm_pass(TICKS(100000000));
	ck_assert_uint_le(fake_vmm.rises[22], 19 + 1 + 1000 + 500);
	/* Another setting is a new start. */
	fake_vmm.now += TICKS(1000000);
	fake_vmm_pass(0);
	mmio_write(T_CONF(1), 4, ENABLE | PIN(22));
	fake_vmm.rises[22] = 0;
	fake_vmm_pass(TICKS(1000000));
	ck_assert_uint_le(fake_vmm.rises[22], 1);
}
END_TEST

START_TEST(level)
{
	mmio_write(T_CONF(0), 4, ENABLE | LEVEL | PIN(23));
	mmio_write(T_CONF(1), 4, ENABLE | LEVEL | PIN(23));
	mmio_write(T_COMP(0), 8, 1000);
	mmio_write(T_COMP(1), 8, 2000);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(TICKS(1000));
	ck_assert(fake_vmm.level[23]);
	ck_assert_uint_eq(mmio_read(STATUS, 4), 1);
	fake_vmm_pass(TICKS(5000));
	ck_assert_uint_eq(mmio_read(STATUS, 4), 3);
	mmio_write(STATUS, 4, 1);
	ck_assert(fake_vmm.level[23]); /* the other one still wants it */
	mmio_write(STATUS, 4, 2);
	ck_assert(!fake_vmm.level[23]);
	/* Disabled, it sets its status and no line. */
	mmio_write(T_CONF(0), 4, LEVEL | PIN(23));
	mmio_write(T_COMP(0), 8, 10000);
	fake_vmm_pass(TICKS(10000));
	ck_assert_uint_eq(mmio_read(STATUS, 4), 1);
	ck_assert(!fake_vmm.level[23]);
	mmio_write(T_CONF(0), 4, LEVEL | ENABLE | PIN(23));
	ck_assert(fake_vmm.level[23]);
	mmio_write(T_CONF(0), 4, ENABLE | PIN(23));
	ck_assert(!fake_vmm.level[23]);
}
END_TEST

START_TEST(legacy_replacement)
{
	unsigned before;

	out8(0x43, 0x34);
	out8(0x40, 0);
	out8(0x40, 4); /* 1,165 Hz */
	mmio_write(CONF, 4, 3);
	before = fake_vmm.rises[0];
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[0], before);
	mmio_write(T_CONF(0), 4, ENABLE);
	mmio_write(T_COMP(0), 8, mmio_read(COUNTER, 8) + 100);
	mmio_write(T_CONF(1), 4, ENABLE);
	mmio_write(T_COMP(1), 8, mmio_read(COUNTER, 8) + 100);
	fake_vmm_pass(TICKS(100));
	ck_assert_uint_eq(fake_vmm.rises[0], before + 1);
	ck_assert_uint_eq(fake_vmm.rises[8], 1);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_ge(fake_vmm.rises[0], before + 1000);
}
END_TEST

START_TEST(no_route)
{
	mmio_write(T_CONF(0), 4, ENABLE | PIN(4));
	mmio_write(T_COMP(0), 8, 100);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(FAKE_SECOND);
	for (unsigned i = 0; i < FAKE_GSIS; i++)
		ck_assert_uint_eq(fake_vmm.rises[i], 0);
}
END_TEST

/* A period of one tick does not keep the event loop busy for ever. */
START_TEST(shortest_period)
{
	mmio_write(T_CONF(0), 4, ENABLE | PERIODIC | SET | PIN(20));
	mmio_write(T_COMP(0), 8, 1);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_le(fake_vmm.rises[20], 50001);
	mmio_write(T_COMP(0), 8, 0);
	fake_vmm_pass(FAKE_SECOND);
}
END_TEST

START_TEST(restart)
{
	mmio_write(T_CONF(2), 4, ENABLE | PIN(21));
	mmio_write(T_COMP(2), 8, 1000000);
	mmio_write(CONF, 4, 1);
	fake_vmm_pass(TICKS(500000));
	vmm = fake_vmm_restart();
	ck_assert(pit_create(vmm));
	ck_assert(rtc_create(vmm, false));
	ck_assert(hpet_create(vmm));
	ck_assert_uint_eq(mmio_read(COUNTER, 8), 500000);
	fake_vmm_pass(TICKS(500000));
	ck_assert_uint_eq(fake_vmm.rises[21], 1);
}
END_TEST

START_TEST(hostile)
{
	uint64_t random = 88172645463325252ull;

	for (unsigned i = 0; i < 200000; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		mmio_write(BASE + (random >> 50) % 0x80 * 4 + 0x0, random >> 63 ? 4 : 8,
			   random * 7);
		fake_vmm_pass(random % 1000);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("hpet");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, capabilities);
	tcase_add_test(tests, short_wait);
	tcase_add_test(tests, counts);
	tcase_add_test(tests, one_shot);
	tcase_add_test(tests, one_shot_32);
	tcase_add_test(tests, periodic);
	tcase_add_test(tests, missed_periods);
	tcase_add_test(tests, untaken_periods);
	tcase_add_test(tests, level);
	tcase_add_test(tests, legacy_replacement);
	tcase_add_test(tests, no_route);
	tcase_add_test(tests, shortest_period);
	tcase_add_test(tests, restart);
	tcase_add_test(tests, hostile);
	suite_add_tcase(suite, tests);
	return suite;
}
