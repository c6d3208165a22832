/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the suite of a unit test. Each test runs in a process of its own; CK_RUN_CASE, CK_FORK=no
 * and CK_VERBOSITY=verbose in the environment help to look at one (see Check's manual).
 */
#include "unit.h"

int main(void)
{
	SRunner *runner = srunner_create(unit_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
