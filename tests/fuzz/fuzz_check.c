// SPDX-License-Identifier: BSD-2-Clause
/* Stands in for Check's library in the parts of the unit tests that fuzzers use: a failed check
 * aborts. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void _ck_assert_failed(const char *file, int line, const char *expression, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s:%d: %s: ", file, line, expression);
	if (format != NULL) {
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
	}
	fputc('\n', stderr);
	abort();
}

void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}
