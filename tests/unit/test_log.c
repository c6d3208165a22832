/* SPDX-License-Identifier: BSD-2-Clause */
/* The log ring, its lines, and the formatting of text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/fake/fake_cpu.h"
#include "hv/log.h"
#include "hv/string.h"
#include "unit.h"

static struct log ring;

START_TEST(empty)
{
	struct socle_log_chunk chunk;

	memset(&chunk, 0x55, sizeof(chunk));
	ck_assert_uint_eq(log_copy(&ring, 0, &chunk), 0);
	ck_assert_uint_eq(chunk.position, 0);
	for (unsigned i = 0; i < SOCLE_LOG_CHUNK; i++)
		ck_assert_int_eq(chunk.text[i], 0); /* no byte of the hypervisor's stack */
	ck_assert_uint_eq(log_copy(&ring, UINT64_MAX, &chunk), 0);
	ck_assert_uint_eq(chunk.position, 0);
}
END_TEST

START_TEST(short_text)
{
	struct socle_log_chunk chunk;

	log_append(&ring, "hello", 5);
	ck_assert_uint_eq(log_copy(&ring, 0, &chunk), 5);
	ck_assert_mem_eq(chunk.text, "hello", 6);
	ck_assert_uint_eq(log_copy(&ring, 3, &chunk), 2);
	ck_assert_uint_eq(chunk.position, 3);
	ck_assert_mem_eq(chunk.text, "lo", 3);
	ck_assert_uint_eq(log_copy(&ring, 5, &chunk), 0);
	ck_assert_uint_eq(log_copy(&ring, 6, &chunk), 0);
	ck_assert_uint_eq(chunk.position, 5);
}
END_TEST

/* The byte at a position of the stream. */
static char stream(uint64_t position)
{
	return (char)('a' + position % 23);
}

/* Reads from a position to the end as the service VM does. */
static void read_all(uint64_t position)
{
	uint64_t oldest = ring.end > LOG_RING_BYTES ? ring.end - LOG_RING_BYTES : 0;
	uint64_t expected = position < oldest ? oldest : position;

	for (;;) {
		struct socle_log_chunk chunk;
		uint64_t bytes = log_copy(&ring, position, &chunk);

		if (bytes == 0)
			break;
		ck_assert_uint_le(bytes, SOCLE_LOG_CHUNK);
		ck_assert_uint_eq(chunk.position, expected);
		for (uint64_t i = 0; i < bytes; i++)
			ck_assert_int_eq(chunk.text[i], stream(expected + i));
		position = expected = chunk.position + bytes;
	}
	ck_assert_uint_eq(position, ring.end);
}

START_TEST(wraps)
{
	for (unsigned i = 0; ring.end < 2 * LOG_RING_BYTES + 17; i++) {
		char text[300];
		size_t bytes = 1 + i * 7 % sizeof(text);

		for (size_t k = 0; k < bytes; k++)
			text[k] = stream(ring.end + k);
		log_append(&ring, text, bytes);
		if (i % 400 == 0)
			read_all(0);
	}
	read_all(0);
	read_all(ring.end - LOG_RING_BYTES - 1);
	read_all(ring.end - LOG_RING_BYTES);
	read_all(ring.end - 1);
}
END_TEST

static const char *read_log(void)
{
	static char text[LOG_RING_BYTES + 1];
	uint64_t position = 0;

	for (;;) {
		struct socle_log_chunk chunk;
		uint64_t bytes = log_read(position, &chunk);

		if (bytes == 0)
			break;
		memcpy(text + position, chunk.text, bytes);
		position += bytes;
	}
	text[position] = '\0';
	return text;
}

START_TEST(lines)
{
	char long_text[400];

	fake_cpu_reset();
	log_init(LOG_INFO, 2000000000, 500);
	log_text("loader\n", 7);
	fake_tsc(500 + 2000 * 1234567ull);
	log_info("number %u", 42);
	fake_tsc(500 + 2000000ull * 98765432);
	log_warning("%s", "careful");
	log_error("bad");
	log_debug("not logged");
	ck_assert_str_eq(read_log(), "loader\n"
				     "[    1.234567] number 42\n"
				     "[98765.432000] warning: careful\n"
				     "[98765.432000] error: bad\n");
	/* the console gets the same, without the loader's lines, which it had already */
	ck_assert_str_eq(fake_console(), read_log() + 7);

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	log_info("%s", long_text);
	log_info("after");
	ck_assert_ptr_nonnull(strstr(read_log(), "xxx\n[98765.432000] after\n"));
}
END_TEST

/* A slow counter must not divide by zero. */
START_TEST(slow_counter)
{
	fake_cpu_reset();
	log_init(LOG_DEBUG, 999999, 0);
	fake_tsc(3);
	log_debug("x");
	ck_assert_str_eq(read_log(), "[    0.000003] x\n");
}
END_TEST

#define CHECK_FORMAT(expected, ...)                                                                \
	do {                                                                                       \
		char text_[200];                                                                   \
		size_t length_ = format_text(text_, sizeof(text_), __VA_ARGS__);                   \
                                                                                                   \
		ck_assert_str_eq(text_, expected);                                                 \
		ck_assert_uint_eq(length_, strlen(expected));                                      \
	} while (0)

START_TEST(formats)
{
	CHECK_FORMAT("", "%s", "");
	CHECK_FORMAT("plain 100%", "plain 100%%");
	CHECK_FORMAT("a-string-b", "a-%s-b", "string");
	CHECK_FORMAT("   right", "%8s", "right");
	CHECK_FORMAT("longer", "%2s", "longer");
	CHECK_FORMAT("x", "%c", 'x');
	CHECK_FORMAT("0 1 -1 2147483647 -2147483648", "%d %d %d %d %d", 0, 1, -1, 2147483647,
		     -2147483647 - 1);
	CHECK_FORMAT("-9223372036854775808", "%lld", -9223372036854775807ll - 1);
	CHECK_FORMAT("4294967295 18446744073709551615", "%u %llu", UINT32_MAX,
		     (unsigned long long)UINT64_MAX);
	CHECK_FORMAT("deadbeef ffffffffffffffff 0", "%x %llx %x", 0xdeadbeef,
		     (unsigned long long)UINT64_MAX, 0);
	CHECK_FORMAT("   42 00042 000000000000beef", "%5u %05u %016llx", 42, 42, 0xbeefull);
	CHECK_FORMAT("0000000000001000", "%p", (void *)0x1000);
	CHECK_FORMAT("8 9", "%zu %lu", (size_t)8, 9ul);
}
END_TEST

/* What does not fit is cut, at every size. */
START_TEST(cuts)
{
	static const char whole[] = "one 12345 two ffff three";
	char text[64];

	for (size_t bytes = 1; bytes < sizeof(text); bytes++) {
		size_t expected = bytes - 1 < sizeof(whole) - 1 ? bytes - 1 : sizeof(whole) - 1;

		memset(text, 'z', sizeof(text));
		ck_assert_uint_eq(
			format_text(text, bytes, "one %u two %x %s", 12345, 0xffff, "three"),
			expected);
		ck_assert_mem_eq(text, whole, expected);
		ck_assert_int_eq(text[expected], '\0');
		for (size_t i = bytes; i < sizeof(text); i++)
			ck_assert_int_eq(text[i], 'z');
	}
	text[0] = 'z';
	ck_assert_uint_eq(format_text(text, 0, "x"), 0);
	ck_assert_int_eq(text[0], 'z');
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("log");

	tcase_add_test(tests, empty);
	tcase_add_test(tests, short_text);
	tcase_add_test(tests, wraps);
	tcase_add_test(tests, lines);
	tcase_add_test(tests, slow_counter);
	tcase_add_test(tests, formats);
	tcase_add_test(tests, cuts);
	suite_add_tcase(suite, tests);
	return suite;
}
