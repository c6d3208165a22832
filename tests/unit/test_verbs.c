/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of verbs, the parser of their options, and completion. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "complete.h"
#include "unit.h"
#include "verb.h"

static struct context context;
static char *said; /* what went to context.error */
static size_t said_bytes;

static void start(void)
{
	context = (struct context){.output = stdout};
	context.error = open_memstream(&said, &said_bytes);
	ck_assert_ptr_nonnull(context.error);
}

static void stop(void)
{
	fclose(context.error);
	free(said);
}

/* The table ------------------------------------------------------------------------------------ */

static void check_name(const char *name, const struct verb *verb)
{
	ck_assert_ptr_eq(verb_find(name), verb);
	for (const char *c = name; *c != 0; c++)
		ck_assert_msg(islower(*c) || *c == '-' || *c == '?', "'%s'", name);
}

START_TEST(table)
{
	for (int v = 0; verbs[v] != NULL; v++) {
		const struct verb *verb = verbs[v];

		check_name(verb->name, verb);
		for (int i = 0; verb->aliases[i] != NULL; i++)
			check_name(verb->aliases[i], verb);
		ck_assert_ptr_nonnull(verb->usage);
		ck_assert_ptr_nonnull(verb->run);
		ck_assert_uint_gt(strlen(verb->summary), 0);
		ck_assert_uint_le(strlen(verb->summary), 66);
		ck_assert_int_ne(verb->summary[strlen(verb->summary) - 1], '.');
	}
}
END_TEST

START_TEST(options_of_all)
{
	for (int v = 0; verbs[v] != NULL; v++) {
		const struct verb_option *option = verbs[v]->options;
		int count = 0;

		for (; option != NULL && option->name != NULL; option++, count++) {
			ck_assert_ptr_nonnull(option->summary);
			ck_assert_str_ne(option->name, "json");
			ck_assert_str_ne(option->name, "help");
			ck_assert_int_ne(option->letter, 'h');
		}
		ck_assert_int_le(count, VERB_OPTIONS_MAX);
	}
}
END_TEST

START_TEST(required_verbs)
{
	static const char *const required[] = {"info",	  "dmesg",    "stat",  "help",
					       "version", "poweroff", "reboot"};

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		ck_assert_ptr_nonnull(verb_find(required[i]));
	ck_assert_ptr_null(verb_find("inf"));
	ck_assert_ptr_null(verb_find(""));
}
END_TEST

START_TEST(nearest)
{
	ck_assert_str_eq(verb_nearest("inof"), "info");
	ck_assert_str_eq(verb_nearest("info "), "info");
	ck_assert_str_eq(verb_nearest("dmsg"), "dmesg");
	ck_assert_str_eq(verb_nearest("powerof"), "poweroff");
	ck_assert_str_eq(verb_nearest("verson"), "version");
	ck_assert_str_eq(verb_nearest("pow"), "poweroff");
	ck_assert_str_eq(verb_nearest("reboto"), "reboot");
	ck_assert_ptr_null(verb_nearest("frobnicate"));
	ck_assert_ptr_null(verb_nearest("x"));
	ck_assert_ptr_null(verb_nearest(""));
	ck_assert_ptr_null(verb_nearest("averyveryverylongnamethatisnoverbofany"));
}
END_TEST

START_TEST(unknown)
{
	ck_assert_int_eq(verb_unknown(&context, "stta"), STATUS_UNKNOWN_VERB);
	fflush(context.error);
	ck_assert_ptr_nonnull(strstr(said, "'stta'"));
	ck_assert_ptr_nonnull(strstr(said, "did you mean 'stat'"));
}
END_TEST

/* Options -------------------------------------------------------------------------------------- */

static enum status run_nothing(struct context *c, const struct arguments *a)
{
	(void)c;
	(void)a;
	return STATUS_OK;
}

enum { ALPHA, BETA, GAMMA };

static const struct verb_option options[] = {
	[ALPHA] = {"alpha", 'a', NULL, "a flag"},
	[BETA] = {"beta", 'b', "VALUE", "takes a value"},
	[GAMMA] = {"gamma", 0, NULL, "a flag without a letter"},
	{0},
};

static const struct verb verb = {
	.name = "try",
	.usage = "[WORD...]",
	.summary = "Try",
	.options = options,
	.operands_max = 2,
	.run = run_nothing,
};

static struct arguments arguments;

/* The words end with NULL. */
static enum status parse(char **words)
{
	/* Stays after the caller's words have gone. */
	static char *copy[8];
	int count = 0;

	for (; words[count] != NULL; count++)
		copy[count] = words[count];
	return arguments_parse(&context, &verb, count, copy, &arguments);
}

#define WORDS(...)                                                                                 \
	(char *[])                                                                                 \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

START_TEST(parses)
{
	ck_assert_int_eq(parse(WORDS("x", "--alpha", "--beta", "v", "y")), STATUS_OK);
	ck_assert_str_eq(arguments.option[ALPHA], "");
	ck_assert_str_eq(arguments.option[BETA], "v");
	ck_assert_ptr_null(arguments.option[GAMMA]);
	ck_assert_int_eq(arguments.operands, 2);
	ck_assert_str_eq(arguments.operand[0], "x");
	ck_assert_str_eq(arguments.operand[1], "y");
	ck_assert(!arguments.json && !arguments.help);

	ck_assert_int_eq(parse(WORDS("--beta=1=2", "--json", "--help")), STATUS_OK);
	ck_assert_str_eq(arguments.option[BETA], "1=2");
	ck_assert(arguments.json && arguments.help);

	ck_assert_int_eq(parse(WORDS("--beta=")), STATUS_OK);
	ck_assert_str_eq(arguments.option[BETA], "");
}
END_TEST

START_TEST(parses_letters)
{
	ck_assert_int_eq(parse(WORDS("-ab", "v")), STATUS_OK);
	ck_assert_str_eq(arguments.option[ALPHA], "");
	ck_assert_str_eq(arguments.option[BETA], "v");
	ck_assert_int_eq(parse(WORDS("-bvalue", "-h")), STATUS_OK);
	ck_assert_str_eq(arguments.option[BETA], "value");
	ck_assert(arguments.help);
	ck_assert_int_eq(parse(WORDS("-b", "-a")), STATUS_OK);
	ck_assert_str_eq(arguments.option[BETA], "-a");
	ck_assert_ptr_null(arguments.option[ALPHA]);
}
END_TEST

START_TEST(parses_operands)
{
	ck_assert_int_eq(parse(WORDS("--", "--alpha", "-")), STATUS_OK);
	ck_assert_int_eq(arguments.operands, 2);
	ck_assert_str_eq(arguments.operand[0], "--alpha");
	ck_assert_str_eq(arguments.operand[1], "-");
	ck_assert_ptr_null(arguments.option[ALPHA]);
}
END_TEST

static void expect_usage(char **words, const char *text)
{
	ck_assert_int_eq(parse(words), STATUS_USAGE);
	fflush(context.error);
	ck_assert_msg(strstr(said, text) != NULL, "'%s' is not in: %s", text, said);
	stop();
	start();
}

START_TEST(refuses)
{
	expect_usage(WORDS("--delta"), "no such option '--delta'");
	expect_usage(WORDS("--alph"), "no such option '--alph'");
	expect_usage(WORDS("-ax"), "no such option '-ax'");
	expect_usage(WORDS("--beta"), "a value is missing after '--beta'");
	expect_usage(WORDS("-ab"), "a value is missing after '-ab'");
	expect_usage(WORDS("--alpha=1"), "no value is allowed in '--alpha=1'");
	expect_usage(WORDS("1", "2", "3"), "nothing can be done with '3'");
}
END_TEST

START_TEST(numbers)
{
	unsigned long count = 77;
	double number = 77;

	ck_assert(arguments_count(&context, "n", "5", 1, 10, &count) && count == 5);
	ck_assert(arguments_number(&context, "s", "0.5", 0.1, 10, &number) && number == 0.5);
	ck_assert(!arguments_count(&context, "n", "0", 1, 10, &count));
	ck_assert(!arguments_count(&context, "n", "11", 1, 10, &count));
	ck_assert(!arguments_count(&context, "n", "-1", 0, 10, &count));
	ck_assert(!arguments_count(&context, "n", "5x", 1, 10, &count));
	ck_assert(!arguments_count(&context, "n", "", 0, 10, &count));
	ck_assert(!arguments_count(&context, "n", "99999999999999999999", 1, -1ul, &count));
	ck_assert(!arguments_number(&context, "s", "", 0, 10, &number));
	ck_assert(!arguments_number(&context, "s", "nan", 0, 10, &number));
	ck_assert(!arguments_number(&context, "s", "inf", 0, 10, &number));
	ck_assert(!arguments_number(&context, "s", "1s", 0, 10, &number));
	ck_assert(!arguments_number(&context, "s", "-1", 0, 10, &number));
	ck_assert(count == 5 && number == 0.5);
}
END_TEST

/* Completion ----------------------------------------------------------------------------------- */

static struct completion completion;

static void complete_line(const char *line)
{
	complete(line, strlen(line), &completion);
}

START_TEST(completes_verbs)
{
	int all = 0;

	while (verbs[all] != NULL)
		all++;
	complete_line("");
	ck_assert_int_eq(completion.count, all);
	ck_assert_str_eq(completion.insert, "");
	complete_line("  inf");
	ck_assert_int_eq(completion.count, 1);
	ck_assert_str_eq(completion.insert, "o ");
	complete_line("re");
	ck_assert_str_eq(completion.insert, "boot ");
	complete_line("zz");
	ck_assert_int_eq(completion.count, 0);
	complete_line("help inf");
	ck_assert_str_eq(completion.insert, "o ");
	complete_line("help ");
	ck_assert_int_eq(completion.count, all);
	complete_line("info inf");
	ck_assert_int_eq(completion.count, 0);
}
END_TEST

START_TEST(completes_options)
{
	complete_line("stat --");
	ck_assert_int_eq(completion.count, 4);
	ck_assert_str_eq(completion.dashes, "--");
	ck_assert_str_eq(completion.insert, "");
	complete_line("stat --json --i");
	ck_assert_str_eq(completion.insert, "nterval ");
	complete_line("dmesg --f");
	ck_assert_str_eq(completion.insert, "ollow ");
	complete_line("nosuch --");
	ck_assert_int_eq(completion.count, 0);
	complete_line("stat -");
	ck_assert_int_eq(completion.count, 0);
}
END_TEST

START_TEST(completes_nothing)
{
	complete_line("!in");
	ck_assert_int_eq(completion.count, 0);
	complete_line("# in");
	ck_assert_int_eq(completion.count, 0);
	/* What stands behind the cursor does not count. */
	complete("infosomething", 3, &completion);
	ck_assert_str_eq(completion.insert, "o ");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("verbs");
	TCase *list = tcase_create("table");
	TCase *parsing = tcase_create("options");
	TCase *completing = tcase_create("completion");

	tcase_add_checked_fixture(list, start, stop);
	tcase_add_test(list, table);
	tcase_add_test(list, options_of_all);
	tcase_add_test(list, required_verbs);
	tcase_add_test(list, nearest);
	tcase_add_test(list, unknown);
	suite_add_tcase(suite, list);
	tcase_add_checked_fixture(parsing, start, stop);
	tcase_add_test(parsing, parses);
	tcase_add_test(parsing, parses_letters);
	tcase_add_test(parsing, parses_operands);
	tcase_add_test(parsing, refuses);
	tcase_add_test(parsing, numbers);
	suite_add_tcase(suite, parsing);
	tcase_add_test(completing, completes_verbs);
	tcase_add_test(completing, completes_options);
	tcase_add_test(completing, completes_nothing);
	suite_add_tcase(suite, completing);
	return suite;
}
