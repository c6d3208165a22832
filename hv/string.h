/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's functions that GCC expects of a freestanding program, and text formatting. */
#ifndef HV_STRING_H
#define HV_STRING_H

#include <stdarg.h>
#include <stddef.h>

void *memset(void *to, int value, size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/*
 * Formats into buffer, which is always terminated; what does not fit is cut. Knows %s %c %d %u %x
 * %p %%, the lengths l and ll (both 64 bits), a width and zero padding. Returns the length written.
 */
size_t format_text_v(char *buffer, size_t bytes, const char *format, va_list arguments);
size_t format_text(char *buffer, size_t bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
