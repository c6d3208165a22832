/* SPDX-License-Identifier: BSD-2-Clause */
/* Splitting lines into words as sh does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "words.h"

struct split {
	const char *line;
	int count;
	const char *word[6];
};

static const struct split good[] = {
	{"", 0, {0}},
	{"  \t \n", 0, {0}},
	{"info", 1, {"info"}},
	{"  stat   --json\t-x\r\n", 3, {"stat", "--json", "-x"}},
	{"a 'b c' d", 3, {"a", "b c", "d"}},
	{"a \"b c\"d'e f' g", 3, {"a", "b cde f", "g"}},
	{"'' \"\" x", 3, {"", "", "x"}},
	{"a\\ b \\\\ \\' \\\"", 4, {"a b", "\\", "'", "\""}},
	{"'a\\b'", 1, {"a\\b"}},
	{"\"a\\b \\\" \\\\ \\$ \\`\"", 1, {"a\\b \" \\ $ `"}},
	{"$HOME * `x` ~", 4, {"$HOME", "*", "`x`", "~"}},
	{"# all of this is comment 'and \"", 0, {0}},
	{"a b # c", 2, {"a", "b"}},
	{"a#b '#' \\#c", 3, {"a#b", "#", "#c"}},
	{"\"it's\" 'say \"x\"'", 2, {"it's", "say \"x\""}},
	{"a;b|c&d", 1, {"a;b|c&d"}},
	{"\xc3\xa9t\xc3\xa9 x", 2, {"\xc3\xa9t\xc3\xa9", "x"}},
};

START_TEST(splits)
{
	const struct split *split = &good[_i];
	struct words words;
	const char *wrong = words_split(split->line, &words);

	ck_assert_msg(wrong == NULL, "[%s]: %s", split->line, wrong);
	ck_assert_int_eq(words.count, split->count);
	for (int i = 0; i < split->count; i++)
		ck_assert_str_eq(words.word[i], split->word[i]);
	ck_assert_ptr_null(words.word[words.count]);
	words_free(&words);
}
END_TEST

static const char *const bad[] = {"'", "\"", "a 'b", "a \"b c", "x\\", "\"x\\", "'a'\"", "\\"};

START_TEST(refuses)
{
	struct words words;

	ck_assert_ptr_nonnull(words_split(bad[_i], &words));
	ck_assert_int_eq(words.count, 0);
	ck_assert_ptr_null(words.storage);
}
END_TEST

START_TEST(many_words)
{
	char line[2 * WORDS_MAX + 3];
	struct words words;

	for (int i = 0; i <= WORDS_MAX; i++)
		memcpy(line + 2 * i, "w ", 3);
	ck_assert_ptr_nonnull(words_split(line, &words));
	line[2 * WORDS_MAX] = 0;
	ck_assert_ptr_null(words_split(line, &words));
	ck_assert_int_eq(words.count, WORDS_MAX);
	words_free(&words);
}
END_TEST

/* Whatever the line: no access outside, and what is split is no longer than the line. */
START_TEST(random_lines)
{
	static const char alphabet[] = "ab \t'\"\\#$";
	unsigned int seed = 1;

	for (int round = 0; round < 20000; round++) {
		char line[24];
		size_t length = (size_t)rand_r(&seed) % sizeof(line);
		struct words words;
		size_t total = 0;

		for (size_t i = 0; i < length; i++)
			line[i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		line[length < sizeof(line) ? length : sizeof(line) - 1] = 0;
		if (words_split(line, &words) != NULL)
			continue;
		for (int i = 0; i < words.count; i++)
			total += strlen(words.word[i]);
		ck_assert_uint_le(total, strlen(line));
		words_free(&words);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("words");
	TCase *lines = tcase_create("lines");

	tcase_add_loop_test(lines, splits, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(lines, refuses, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(lines, many_words);
	tcase_add_test(lines, random_lines);
	suite_add_tcase(suite, lines);
	return suite;
}
