/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON and tables. */
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "unit.h"

static FILE *output;
static char *text;
static size_t bytes;

static void start(void)
{
	output = open_memstream(&text, &bytes);
	ck_assert_ptr_nonnull(output);
}

static void stop(void)
{
	fclose(output);
	free(text);
}

static void expect(const char *expected)
{
	fflush(output);
	ck_assert_str_eq(text, expected);
}

START_TEST(numbers_are_exact)
{
	json_t *list = json_pack("[o,o,o,f]", report_number(9007199254740993u),
				 report_number(INT64_MAX), report_number(UINT64_MAX), 0.1);

	report_json(output, list);
	json_decref(list);
	expect("[\n  9007199254740993,\n  9223372036854775807,\n  \"18446744073709551615\",\n"
	       "  0.1\n]\n");
}
END_TEST

START_TEST(order_is_kept)
{
	json_t *object = json_pack("{s:i,s:i,s:[]}", "z", 1, "a", 2, "empty");

	report_json(output, object);
	json_decref(object);
	expect("{\n  \"z\": 1,\n  \"a\": 2,\n  \"empty\": []\n}\n");
}
END_TEST

static void stream(int elements)
{
	struct report_stream stream;

	report_stream_begin(&stream, output, 0);
	for (int i = 0; i < elements; i++) {
		json_t *element = json_pack("{s:i}", "n", i);

		report_stream_element(&stream, element);
		json_decref(element);
	}
	report_stream_end(&stream);
	fflush(output);
}

START_TEST(streams)
{
	json_t *document;

	stream(_i);
	document = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(document);
	ck_assert_uint_eq(json_array_size(document), _i);
	json_decref(document);
}
END_TEST

static const struct column columns[] = {
	{"name", "NAME", FORMAT_PLAIN}, {"count", "N", FORMAT_PLAIN},
	{"base", "BASE", FORMAT_HEX},	{"size", "SIZE", FORMAT_BYTES},
	{"note", "NOTE", FORMAT_PLAIN}, {NULL, NULL, FORMAT_PLAIN},
};

START_TEST(table)
{
	json_t *rows = json_pack("[{s:s,s:i,s:i,s:i,s:s},{s:s,s:i,s:i}]", "name", "first", "count",
				 12345, "base", 4096, "size", 1 << 20, "note", "x y", "name", "b",
				 "count", 7, "base", 255);

	report_table(output, rows, columns);
	json_decref(rows);
	expect("NAME       N    BASE   SIZE  NOTE\n"
	       "first  12345  0x1000  1 MiB  x y\n"
	       "b          7    0xff      -  -\n");
}
END_TEST

START_TEST(empty_table)
{
	json_t *rows = json_array();

	report_table(output, rows, columns);
	json_decref(rows);
	expect("NAME  N  BASE  SIZE  NOTE\n");
}
END_TEST

START_TEST(fields)
{
	static const struct column list[] = {
		{"a", "short", FORMAT_PLAIN},	{"b", "longer one", FORMAT_PLAIN},
		{"c", "bytes", FORMAT_BYTES},	{"d", "bytes", FORMAT_BYTES},
		{"e", "bytes", FORMAT_BYTES},	{"f", "frequency", FORMAT_HERTZ},
		{"g", "time", FORMAT_SECONDS},	{"h", "per cent", FORMAT_PERCENT},
		{"i", "list", FORMAT_PLAIN},	{"j", "empty", FORMAT_PLAIN},
		{"k", "unknown", FORMAT_BYTES}, {"l", "large", FORMAT_HEX},
		{"absent", "no", FORMAT_PLAIN}, {NULL, NULL, FORMAT_PLAIN},
	};
	json_t *object = json_pack("{s:s,s:b,s:i,s:i,s:I,s:I,s:f,s:f,s:[s,s],s:[],s:n,s:s}", "a",
				   "text", "b", 1, "c", 100, "d", 65536, "e",
				   (json_int_t)11 * 1024 * 1024 + 512 * 1024, "f",
				   (json_int_t)2400000000, "g", 1.5, "h", 0.126, "i", "x", "y", "j",
				   "k", "l", "18446744073709551615");

	ck_assert_ptr_nonnull(object);
	report_fields(output, object, list);
	json_decref(object);
	expect("short       text\n"
	       "longer one  yes\n"
	       "bytes       100 bytes\n"
	       "bytes       64 KiB\n"
	       "bytes       11.5 MiB\n"
	       "frequency   2400.000 MHz\n"
	       "time        1.500 s\n"
	       "per cent    0.13\n"
	       "list        x y\n"
	       "empty       -\n"
	       "unknown     -\n"
	       "large       18446744073709551615\n");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("report");
	TCase *json = tcase_create("json");
	TCase *tables = tcase_create("text");

	tcase_add_checked_fixture(json, start, stop);
	tcase_add_test(json, numbers_are_exact);
	tcase_add_test(json, order_is_kept);
	tcase_add_loop_test(json, streams, 0, 3);
	suite_add_tcase(suite, json);
	tcase_add_checked_fixture(tables, start, stop);
	tcase_add_test(tables, table);
	tcase_add_test(tables, empty_table);
	tcase_add_test(tables, fields);
	suite_add_tcase(suite, tables);
	return suite;
}
