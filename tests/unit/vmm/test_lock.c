/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's lock and the condition that goes with it. */
#include <pthread.h>
#include <sched.h>

#include "unit.h"
#include "vmm-user/vmm/lock.h"

#define THREADS 4
#define ROUNDS	20000u

static struct lock lock;
static struct condition condition;
static unsigned count, inside, turn;

/* Counts with two steps and now and then gives way between them. */
static void *counter(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned before;

		lock_take(&lock);
		if (inside++ != 0)
			return &lock;
		before = count;
		if (i % 64 == 0)
			sched_yield();
		count = before + 1;
		inside--;
		lock_drop(&lock);
	}
	return NULL;
}

START_TEST(excludes)
{
	pthread_t thread[THREADS];
	void *bad;

	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, counter, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], &bad), 0);
		ck_assert_ptr_null(bad);
	}
	ck_assert_uint_eq(count, THREADS * ROUNDS);
	ck_assert_uint_eq(lock.word, LOCK_FREE);
}
END_TEST

/* Waits for its turn, and gives it to the next. */
static void *in_turn(void *argument)
{
	unsigned mine = *(unsigned *)argument;

	for (unsigned i = 0; i < ROUNDS / 16; i++) {
		lock_take(&lock);
		while (turn % THREADS != mine)
			condition_wait(&condition, &lock);
		turn++;
		condition_broadcast(&condition);
		lock_drop(&lock);
	}
	return NULL;
}

/* A wake-up that is lost lets it wait until the test's time is over. */
START_TEST(loses_no_wake_up)
{
	static unsigned mine[THREADS] = {0, 1, 2, 3};
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, in_turn, &mine[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	ck_assert_uint_eq(turn, THREADS * (ROUNDS / 16));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("lock");
	TCase *test = tcase_create("lock");

	tcase_set_timeout(test, 100);
	tcase_add_test(test, excludes);
	tcase_add_test(test, loses_no_wake_up);
	suite_add_tcase(suite, test);
	return suite;
}
