/* SPDX-License-Identifier: BSD-2-Clause */
/* The real clock, timers and descriptors. */
#include <poll.h>
#include <unistd.h>

#include "fake_machine.h"
#include "unit.h"

static struct vmm *vmm;
static unsigned calls, order[8];
static int pipes[2];

static void start(void)
{
	vmm = fake_machine_start(1);
	ck_assert_int_eq(pipe(pipes), 0);
}

static void note(void *device)
{
	order[calls++ % 8] = *(unsigned *)device;
}

START_TEST(clock_stops)
{
	uint64_t at = vmm_now(vmm);

	usleep(2000);
	ck_assert_uint_eq(vmm_now(vmm), at); /* not started yet */
	event_clock_start(vmm);
	usleep(2000);
	ck_assert_uint_ge(vmm_now(vmm), at + 2000000);
	event_clock_stop(vmm);
	at = vmm_now(vmm);
	usleep(2000);
	ck_assert_uint_eq(vmm_now(vmm), at);
	event_clock_start(vmm);
	ck_assert_uint_lt(vmm_now(vmm), at + 1000000);
}
END_TEST

START_TEST(timers_in_order)
{
	unsigned names[3] = {1, 2, 3};
	struct vmm_timer timer[3];
	uint64_t now;

	for (unsigned i = 0; i < 3; i++)
		timer[i] = (struct vmm_timer){.expired = note, .device = &names[i]};
	event_clock_start(vmm);
	now = vmm_now(vmm);
	timer_set(vmm, &timer[0], now + 30000000);
	timer_set(vmm, &timer[1], now + 10000000);
	timer_set(vmm, &timer[2], now + 20000000);
	timer_set(vmm, &timer[2], now + 40000000);
	timer_set(vmm, &timer[2], now + 5000000);
	while (calls < 2)
		ck_assert(event_step(vmm));
	timer_clear(vmm, &timer[0]);
	timer_clear(vmm, &timer[0]);
	ck_assert_uint_eq(order[0], 3);
	ck_assert_uint_eq(order[1], 2);
	ck_assert_uint_ge(vmm_now(vmm), now + 10000000);
	ck_assert_uint_eq(timer[1].deadline, 0);
	usleep(40000);
	event_wake(vmm);
	ck_assert(event_step(vmm));
	ck_assert_uint_eq(calls, 2);
}
END_TEST

static void again(void *device)
{
	calls++;
	timer_set(vmm, device, 1);
}

/* A timer that is always due does not keep descriptors from being looked at. */
START_TEST(always_due)
{
	struct vmm_timer timer = {.expired = again, .device = &timer};

	event_clock_start(vmm);
	timer_set(vmm, &timer, 1);
	ck_assert(event_step(vmm));
	ck_assert_uint_ge(calls, 1);
	ck_assert_uint_le(calls, 64);
}
END_TEST

static void readable(void *device, uint32_t events)
{
	char byte;

	ck_assert(events & POLLIN);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	calls++;
	if (byte == 'x')
		ck_assert(event_watch(vmm, pipes[0], 0, NULL, NULL));
	(void)device;
}

START_TEST(descriptors)
{
	ck_assert(event_watch(vmm, pipes[0], POLLIN, readable, NULL));
	ck_assert_int_eq(write(pipes[1], "ax", 2), 2);
	ck_assert(event_step(vmm));
	ck_assert(event_step(vmm));
	ck_assert_uint_eq(calls, 2);
	ck_assert_int_eq(write(pipes[1], "b", 1), 1);
	event_wake(vmm);
	ck_assert(event_step(vmm));
	ck_assert_uint_eq(calls, 2);
	ck_assert(event_watch(vmm, pipes[0], POLLIN, readable, NULL));
	ck_assert(event_step(vmm));
	ck_assert_uint_eq(calls, 3);
	ck_assert(!event_watch(vmm, -1, POLLIN, readable, NULL));
	ck_assert(!event_watch(vmm, 4000, POLLIN, readable, NULL));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("vmm_event");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_machine_stop);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, clock_stops);
	tcase_add_test(tests, timers_in_order);
	tcase_add_test(tests, always_due);
	tcase_add_test(tests, descriptors);
	suite_add_tcase(suite, tests);
	return suite;
}
