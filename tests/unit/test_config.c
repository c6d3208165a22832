/* SPDX-License-Identifier: BSD-2-Clause */
/* The grammar of xl.cfg: good texts, bad texts, arbitrary ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_config.h"

struct config_reporter reporter;
struct config_tree tree;
char said[4096];

static void say(void *context, const char *message)
{
	size_t length = strlen(said);

	(void)context;
	snprintf(said + length, sizeof(said) - length, "%s\n", message);
}

void config_start(void)
{
	reporter = (struct config_reporter){.say = say};
	tree = (struct config_tree){0};
	said[0] = 0;
}

void config_stop(void)
{
	config_tree_free(&tree);
}

bool parse(const char *text)
{
	config_stop();
	config_start();
	return config_parse_text(&tree, "f.cfg", text, strlen(text), &reporter);
}

void expect_said(const char *part)
{
	ck_assert_msg(strstr(said, part) != NULL, "'%s' is not in: %s", part, said);
}

static void expect_string(const char *key, const char *text)
{
	const struct config_value *value = config_find(&tree, key);

	ck_assert_msg(value != NULL && value->type == CONFIG_STRING, "%s is no string", key);
	ck_assert_str_eq(value->text, text);
}

static void expect_number(const char *key, int64_t number)
{
	const struct config_value *value = config_find(&tree, key);

	ck_assert_msg(value != NULL && value->type == CONFIG_NUMBER, "%s is no number", key);
	ck_assert_int_eq(value->number, number);
}

START_TEST(good)
{
	ck_assert(parse("# a comment\n\n  name = \"deb\" # another\nmemory=512;vcpus = 0x4 ;\n"
			"extra = 'root=/dev/vda \"x\" \\x41\\n\\101\\''\r\n"
			"disk = [ 'a,raw,xvda,rw', # first\n  \"b\",\n ]\nempty = []\nlast=017"));
	ck_assert_str_eq(said, "");
	expect_string("name", "deb");
	expect_number("memory", 512);
	expect_number("vcpus", 4);
	expect_number("last", 15);
	expect_string("extra", "root=/dev/vda \"x\" A\nA'");
	ck_assert_uint_eq(config_find(&tree, "disk")->items, 2);
	ck_assert_str_eq(config_find(&tree, "disk")->item[1].text, "b");
	ck_assert_uint_eq(config_find(&tree, "disk")->item[1].place.line, 7);
	ck_assert_uint_eq(config_find(&tree, "empty")->items, 0);
	ck_assert_ptr_null(config_find(&tree, "nothing"));
	ck_assert(parse(""));
	ck_assert(parse("#"));
	ck_assert(parse("\n;;\n"));
}
END_TEST

START_TEST(replaces_and_adds)
{
	ck_assert(parse("a = 1\na = 'x'\na += 'y'\nl = ['1']\nl += ['2', 3]\nn += 'new'"));
	expect_string("a", "xy");
	expect_string("n", "new");
	ck_assert_uint_eq(config_find(&tree, "l")->items, 3);
	ck_assert_uint_eq(tree.entries, 3);
	ck_assert(!parse("a = 1\na += 2"));
	expect_said("f.cfg:2: a: '+='");
	ck_assert(!parse("a = 'x'\na += ['y']"));
}
END_TEST

struct bad {
	const char *text, *message;
};

static const struct bad bad[] = {
	{"memory", "f.cfg:1: expected '=' behind the key, found the end of the file"},
	{"\nmemory 5", "f.cfg:2: expected '=' behind the key, found '5'"},
	{"a =\nb = 1", "f.cfg:1: expected a value, found the end of the line"},
	{"a = yes", "expected a number, a list or a string in quotes, found 'y'"},
	{"a = 5x", "expected a number, found '5x'; a string has quotes around it"},
	{"a = 99999999999999999999", "expected a number, found '99999999999999999999'"},
	{"a = -", "expected a number, found '-'"},
	{"a = 'x", "expected a closing ', found the end of the file"},
	{"a = \"x\nb = 1", "f.cfg:1: expected a closing \", found the end of the line"},
	{"a = 'x' 'y'", "expected the end of the line or ';', found '''"},
	{"a = ['x' 'y']", "expected ',' or ']', found '''"},
	{"a = [1,\n2,\n", "f.cfg:3: expected a value, found the end of the file"},
	{"a = [,]", "expected a value, found ','"},
	{"a = [[[[[[1]]]]]]", "lists 4 deep"},
	{"a = '\\q'", "behind the backslash, found 'q'"},
	{"a = '\\0'", "behind the backslash"},
	{"a = '\\x'", "behind the backslash"},
	{"5 = 5", "expected a key, found '5'"},
	{"= 5", "expected a key, found '='"},
	{"\x01", "expected a key, found the byte 0x01"},
	{"a + 5", "expected '=' behind '+', found ' '"},
	{"kernel = '/boot/\xe4'", "f.cfg:1: kernel: expected text in UTF-8"},
	{"disk = ['a', ['\xff']]", "disk: expected text in UTF-8"},
};

START_TEST(refuses)
{
	ck_assert(!parse(bad[_i].text));
	expect_said(bad[_i].message);
	ck_assert_uint_gt(reporter.errors, 0);
}
END_TEST

/* One run tells of each bad line, and takes the good ones. */
START_TEST(goes_on)
{
	ck_assert(!parse("a = x\nb = 2\nc\nd = 4"));
	ck_assert_uint_eq(reporter.errors, 2);
	expect_said("f.cfg:1:");
	expect_said("f.cfg:3:");
	expect_number("b", 2);
	expect_number("d", 4);
}
END_TEST

START_TEST(limits)
{
	char *text = malloc(CONFIG_TEXT_BYTES_MAX + 1);
	size_t used;

	memset(text, ' ', CONFIG_TEXT_BYTES_MAX + 1);
	ck_assert(config_parse_text(&tree, "f", text, CONFIG_TEXT_BYTES_MAX, &reporter));
	ck_assert(!config_parse_text(&tree, "f", text, CONFIG_TEXT_BYTES_MAX + 1, &reporter));
	memset(text, 'x', CONFIG_STRING_MAX + 10);
	memcpy(text, "a='", 3);
	text[3 + CONFIG_STRING_MAX] = '\'';
	ck_assert(config_parse_text(&tree, "f", text, CONFIG_STRING_MAX + 4, &reporter));
	text[3 + CONFIG_STRING_MAX] = 'x';
	text[4 + CONFIG_STRING_MAX] = '\'';
	ck_assert(!config_parse_text(&tree, "f", text, CONFIG_STRING_MAX + 5, &reporter));
	expect_said("at most 4096 bytes");
	config_stop();
	used = (size_t)sprintf(text, "a=[");
	for (unsigned int i = 0; i < CONFIG_VALUES_MAX; i++)
		used += (size_t)sprintf(text + used, "1,");
	ck_assert(!config_parse_text(&tree, "f", text, used, &reporter));
	expect_said("at most 4096 values");
	free(text);
	/* A zero byte does not end the text. */
	ck_assert(!config_parse_text(&tree, "f", "a=1\n\0b=2", 8, &reporter));
	expect_said("the byte 0x00");
	ck_assert(!config_parse_text(&tree, "f", "a='\0'", 5, &reporter));
}
END_TEST

START_TEST(overrides)
{
	ck_assert(parse("memory = 1\nname = 'a'\ndisk = ['x']"));
	ck_assert(config_parse_override(&tree, "memory=512", &reporter));
	ck_assert(config_parse_override(&tree, "name=b c", &reporter));
	ck_assert(config_parse_override(&tree, "extra='q'", &reporter));
	ck_assert(config_parse_override(&tree, "cpus=0-3", &reporter));
	ck_assert(config_parse_override(&tree, "disk+=['y']", &reporter));
	ck_assert(config_parse_override(&tree, "root=", &reporter));
	expect_number("memory", 512);
	expect_string("name", "b c");
	expect_string("extra", "q");
	expect_string("cpus", "0-3");
	expect_string("root", "");
	ck_assert_uint_eq(config_find(&tree, "disk")->items, 2);
	ck_assert(!config_parse_override(&tree, "memory", &reporter));
	expect_said("command line: expected '=' behind the key, found the end of the text");
	ck_assert(!config_parse_override(&tree, "a='x' y", &reporter));
	ck_assert(!config_parse_override(&tree, "a='x", &reporter));
	ck_assert(!config_parse_override(&tree, "", &reporter));
	ck_assert(!config_parse_override(&tree, "=", &reporter));
}
END_TEST

START_TEST(through_json)
{
	json_t *json, *again;

	ck_assert(parse("name = 'a'\nmemory = -5\nl = ['x', 7, ['y']]"));
	json = config_tree_json(&tree);
	config_stop();
	config_start();
	ck_assert(config_tree_from_json(&tree, json, &reporter));
	again = config_tree_json(&tree);
	ck_assert(json_equal(json, again));
	json_decref(again);
	json_object_set_new(json, "bad", json_real(0.5));
	ck_assert(!config_tree_from_json(&tree, json, &reporter));
	expect_said("bad: expected");
	json_object_set_new(json, "bad", json_pack("[[[[[[i]]]]]]", 1));
	ck_assert(!config_tree_from_json(&tree, json, &reporter));
	json_object_set_new(json, "bad", json_stringn("a\0b", 3));
	ck_assert(!config_tree_from_json(&tree, json, &reporter));
	ck_assert(!config_tree_from_json(&tree, NULL, &reporter));
	json_decref(json);
}
END_TEST

/* Whatever the bytes, the parser ends, keeps to its memory and what it took can be interpreted. */
START_TEST(arbitrary)
{
	static const char *const piece[] = {
		"name",	   "=",	    "+=",  "'",	     "\"",	"[",	     "]",     ",",
		"\n",	   ";",	    "#",   "5",	     "0x",	"disk",	     "vif",   "memory",
		"\\",	   "x",	    " ",   "kernel", "cpus",	"'a'",	     "'0-3'", "['a']",
		"'mac=1'", "vcpus", "-1",  "uuid",   "target=", "'phy:a,b'", "\xff",  "^",
		"type",	   "'hvm'", "512", "serial",
	};
	struct domain_config config;
	char text[600];

	srand(1000 + (unsigned int)_i);
	for (int round = 0; round < 400; round++) {
		size_t used = 0;

		while (used < 500 && rand() % 60 != 0)
			used += (size_t)sprintf(
				text + used, "%s",
				piece[(size_t)rand() % (sizeof(piece) / sizeof(piece[0]))]);
		if (used > 0 && rand() % 4 == 0)
			text[(size_t)rand() % used] = (char)rand();
		config_parse_text(&tree, "f", text, used, &reporter);
		config_domain(&tree, rand() % 2 == 0 ? "/x" : NULL, &config, &reporter);
		text[used] = 0;
		config_parse_override(&tree, text, &reporter);
		config_tree_free(&tree);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *grammar = tcase_create("grammar");

	tcase_add_checked_fixture(grammar, config_start, config_stop);
	tcase_add_test(grammar, good);
	tcase_add_test(grammar, replaces_and_adds);
	tcase_add_loop_test(grammar, refuses, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(grammar, goes_on);
	tcase_add_test(grammar, limits);
	tcase_add_test(grammar, overrides);
	tcase_add_test(grammar, through_json);
	tcase_add_loop_test(grammar, arbitrary, 0, 20);
	tcase_set_timeout(grammar, 60);
	suite_add_tcase(suite, grammar);
	suite_add_tcase(suite, config_domain_case());
	return suite;
}
