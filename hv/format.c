// SPDX-License-Identifier: BSD-2-Clause
#include "hv/string.h"

#include <stdbool.h>
#include <stdint.h>

struct output {
	char *buffer;
	size_t bytes, length;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->bytes)
		out->buffer[out->length++] = c;
}

static void put_padded(struct output *out, const char *text, size_t length, unsigned width,
		       char padding)
{
	for (size_t i = length; i < width; i++)
		put(out, padding);
	for (size_t i = 0; i < length; i++)
		put(out, text[i]);
}

static void put_number(struct output *out, uint64_t value, bool negative, unsigned base,
		       unsigned width, char padding)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (negative)
		digits[--at] = '-';
	put_padded(out, digits + at, sizeof(digits) - at, width, padding);
}

static size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length] != '\0')
		length++;
	return length;
}

size_t format_text_v(char *buffer, size_t bytes, const char *format, va_list arguments)
{
	struct output out = {buffer, bytes, 0};

	for (; *format != '\0'; format++) {
		unsigned width = 0;
		char padding = ' ';
		bool wide = false;

		if (*format != '%') {
			put(&out, *format);
			continue;
		}
		format++;
		if (*format == '0')
			padding = '0';
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (unsigned)(*format - '0');
		for (; *format == 'l' || *format == 'z'; format++)
			wide = true;

		switch (*format) {
		case 's': {
			const char *text = va_arg(arguments, const char *);

			put_padded(&out, text, text_length(text), width, ' ');
			break;
		}
		case 'c':
			put(&out, (char)va_arg(arguments, int));
			break;
		case 'd': {
			int64_t v = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);

			put_number(&out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, width,
				   padding);
			break;
		}
		case 'u':
		case 'x': {
			uint64_t v =
				wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);

			put_number(&out, v, false, *format == 'u' ? 10 : 16, width, padding);
			break;
		}
		case 'p':
			put_number(&out, va_arg(arguments, uintptr_t), false, 16, 16, '0');
			break;
		case '\0':
			format--;
			break;
		default:
			put(&out, *format);
			break;
		}
	}
	if (bytes != 0)
		buffer[out.length] = '\0';
	return out.length;
}

size_t format_text(char *buffer, size_t bytes, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = format_text_v(buffer, bytes, format, arguments);
	va_end(arguments);
	return length;
}
