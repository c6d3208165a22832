/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs and the shell's lines against the fake hypervisor. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fake_hypervisor.h"
#include "shell.h"
#include "unit.h"
#include "verb.h"

/* A path at which there is never a table. */
#define NO_TABLE "/nonexistent/SOCL"

static struct context context;
static char *output, *error;
static size_t output_bytes, error_bytes;

static bool fake_is_present;
static int syncs, restarts;
static enum restart restarted;
static int restart_error;

static bool fake_present(void)
{
	return fake_is_present;
}

static void fake_sync(void)
{
	syncs++;
}

static int fake_restart(enum restart how)
{
	restarts++;
	restarted = how;
	errno = restart_error;
	return restart_error == 0 ? 0 : -1;
}

static const struct machine fake_machine = {fake_present, fake_sync, fake_restart};

static void open_streams(void)
{
	context.output = open_memstream(&output, &output_bytes);
	context.error = open_memstream(&error, &error_bytes);
}

static void close_streams(void)
{
	fclose(context.output);
	fclose(context.error);
	free(output);
	free(error);
}

static void start(void)
{
	context = (struct context){.machine = &fake_machine, .key_path = NO_TABLE, .opened = true};
	context.handle = fake_start(SOCLE_VENDOR_SVM);
	open_streams();
	fake_is_present = true;
	syncs = restarts = restart_error = 0;
}

static void stop(void)
{
	close_streams();
}

/* Runs one line; what it prints is in output and error until the next one. */
static enum status line(const char *text)
{
	close_streams();
	open_streams();
	shell_line(&context, text);
	fflush(context.output);
	fflush(context.error);
	return context.status;
}

/* Runs a line that succeeds and prints one JSON document. */
static json_t *json_of(const char *text)
{
	json_error_t where;
	json_t *document;

	ck_assert_int_eq(line(text), STATUS_OK);
	document = json_loads(output, 0, &where);
	ck_assert_msg(document != NULL, "%s: %s in:\n%s", text, where.text, output);
	return document;
}

static long long integer(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	ck_assert_msg(json_is_integer(value), "%s is no integer", key);
	return (long long)json_integer_value(value);
}

START_TEST(info_json)
{
	json_t *info = json_of("info --json");
	const json_t *list = json_object_get(info, "cpu_list");
	const json_t *features = json_object_get(info, "features");
	double up = json_real_value(json_object_get(info, "uptime_seconds"));

	ck_assert_str_eq(json_string_value(json_object_get(info, "version")), "1.2.3");
	ck_assert_str_eq(json_string_value(json_object_get(info, "backend")), "svm");
	ck_assert_int_eq(integer(info, "abi_version"), SOCLE_ABI_VERSION);
	ck_assert_int_eq(integer(info, "cpus"), FAKE_CPUS);
	ck_assert_int_eq(integer(info, "cpus_found"), FAKE_CPUS + 1);
	ck_assert_int_eq(integer(info, "pool_base"), 0x123456800000);
	ck_assert_int_eq(integer(info, "pool_bytes"), FAKE_POOL_BYTES);
	ck_assert_int_eq(integer(info, "pool_free_bytes"), FAKE_POOL_BYTES - 12345);
	ck_assert_int_eq(integer(info, "hypervisor_base"), 0x3f000000);
	ck_assert_int_eq(integer(info, "hypervisor_bytes"), 16 << 20);
	ck_assert_int_eq(integer(info, "tsc_hz"), 1000000000);
	ck_assert(up >= 5 && up < 1000);
	ck_assert(json_is_true(json_object_get(info, "key_ok")));
	ck_assert_uint_eq(json_array_size(features), 3);
	ck_assert_str_eq(json_string_value(json_array_get(features, 0)), "page_1g");
	ck_assert_str_eq(json_string_value(json_array_get(features, 1)), "asid");
	ck_assert_str_eq(json_string_value(json_array_get(features, 2)), "bit_40");
	ck_assert_uint_eq(json_array_size(list), FAKE_CPUS);
	ck_assert_int_eq(integer(json_array_get(list, 2), "apic_id"), 4000000000);
	json_decref(info);
}
END_TEST

START_TEST(info_text)
{
	ck_assert_int_eq(line("info"), STATUS_OK);
	ck_assert_ptr_nonnull(strstr(output, "guest pool at    0x123456800000\n"));
	ck_assert_ptr_nonnull(strstr(output, "hypervisor       16 MiB\n"));
	ck_assert_ptr_nonnull(strstr(output, "\n  1           2\n"));
}
END_TEST

START_TEST(stat_json)
{
	json_t *stat, *service, *exits, *cpus;
	long long sum = 0;

	context.handle = fake_start(_i == 0 ? SOCLE_VENDOR_SVM : SOCLE_VENDOR_VMX);
	fake.exits[1][SOCLE_EXIT_SECOND_LEVEL] = 5;
	fake.exits[2][SOCLE_EXIT_SECOND_LEVEL] = 6;
	fake.exits[2][SOCLE_EXIT_OTHER] = 9007199254740993;
	fake.stats[1].hypercalls_denied = 7;
	fake.stats[2].hypervisor_cycles = 1000;
	stat = json_of("stat --json");
	service = json_object_get(stat, "service");
	exits = json_object_get(service, "exits");
	cpus = json_object_get(stat, "cpus");
	ck_assert_uint_eq(json_object_size(exits), SOCLE_EXIT_COUNT);
	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++)
		sum += integer(exits, socle_exit_reason_name(context.handle.vendor, i));
	ck_assert_int_eq(integer(service, "exits_total"), sum);
	ck_assert_int_eq(integer(exits, _i == 0 ? "npf" : "ept_violation"), 11);
	ck_assert_int_eq(integer(exits, "other"), 9007199254740993);
	ck_assert_int_eq(integer(exits, "cpuid"), 0);
	ck_assert_int_eq(integer(stat, "hypercalls_denied"), 7);
	ck_assert_int_eq(integer(stat, "hypervisor_cycles"), 1000);
	ck_assert_int_gt(integer(stat, "hypercalls_total"), 0);
	ck_assert_uint_eq(json_array_size(cpus), FAKE_CPUS);
	ck_assert_int_eq(integer(json_array_get(cpus, 1), "hypercalls_denied"), 7);
	ck_assert_int_eq(
		integer(json_object_get(json_array_get(cpus, 2), "service"), "exits_total"),
		9007199254740999);
	json_decref(stat);
}
END_TEST

START_TEST(stat_intervals)
{
	json_t *samples;

	fake.per_call = 2;
	fake.exits[0][SOCLE_EXIT_NMI] = 50;
	samples = json_of("stat --json --interval 0.01 --count 3");
	ck_assert_uint_eq(json_array_size(samples), 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *sample = json_array_get(samples, i);
		const json_t *exits = json_object_get(json_object_get(sample, "service"), "exits");

		ck_assert_int_eq(integer(exits, "nmi"), 0);
		ck_assert_int_gt(integer(exits, "hypercall"), 0);
		ck_assert_int_eq(integer(exits, "cpuid"), 2 * integer(exits, "hypercall"));
		ck_assert(json_real_value(json_object_get(sample, "seconds")) > 0);
	}
	json_decref(samples);
	ck_assert_int_eq(line("stat -i0.01 -n2"), STATUS_OK);
	ck_assert_ptr_nonnull(strstr(output, "HYPERCALL"));
}
END_TEST

START_TEST(stat_usage)
{
	ck_assert_int_eq(line("stat --interval 0"), STATUS_USAGE);
	ck_assert_int_eq(line("stat --interval x"), STATUS_USAGE);
	ck_assert_int_eq(line("stat --interval 0.01 --count 0"), STATUS_USAGE);
	ck_assert_int_eq(line("stat --count -1"), STATUS_USAGE);
	ck_assert_int_eq(line("stat now then"), STATUS_USAGE);
}
END_TEST

START_TEST(dmesg_json)
{
	json_t *lines;
	const json_t *entry;

	fake_log("[    0.123456] boot: hello\n[   12.500000] \"quoted\" \\ \033[1m\n"
		 "no time\n[x] neither\n[1.0]close\nunfinished");
	lines = json_of("dmesg --json");
	ck_assert_uint_eq(json_array_size(lines), 6);
	entry = json_array_get(lines, 0);
	ck_assert_double_eq(json_real_value(json_object_get(entry, "time_seconds")), 0.123456);
	ck_assert_str_eq(json_string_value(json_object_get(entry, "text")), "boot: hello");
	entry = json_array_get(lines, 1);
	ck_assert_str_eq(json_string_value(json_object_get(entry, "text")), "\"quoted\" \\ ?[1m");
	for (size_t i = 2; i < 6; i++)
		ck_assert(json_is_null(json_object_get(json_array_get(lines, i), "time_seconds")));
	entry = json_array_get(lines, 5);
	ck_assert_str_eq(json_string_value(json_object_get(entry, "text")), "unfinished");
	json_decref(lines);
}
END_TEST

START_TEST(dmesg_text)
{
	json_t *lines;

	ck_assert_int_eq(line("dmesg"), STATUS_OK);
	ck_assert_uint_eq(output_bytes, 0);
	lines = json_of("dmesg --json");
	ck_assert_uint_eq(json_array_size(lines), 0);
	json_decref(lines);
	fake_log("one\r\ntwo\x80\x01");
	ck_assert_int_eq(line("dmesg"), STATUS_OK);
	ck_assert_str_eq(output, "one\ntwo??\n");
	for (int i = 0; i < 100; i++)
		fake_log("a line of twenty-one\n");
	ck_assert_int_eq(line("dmesg"), STATUS_OK);
	ck_assert_ptr_nonnull(strstr(error, "had been overwritten"));
	ck_assert_uint_eq(strlen(output), FAKE_LOG_BYTES);
}
END_TEST

START_TEST(long_log_line)
{
	fake_log("[    1.000000] ");
	for (int i = 0; i < 100; i++)
		fake_log("0123456789");
	ck_assert_int_eq(line("dmesg"), STATUS_OK);
	ck_assert_uint_eq(strlen(output), 1000 + 15 + 2);
}
END_TEST

START_TEST(version_and_help)
{
	json_t *document = json_of("version --json");

	ck_assert_str_eq(json_string_value(json_object_get(document, "hypervisor_version")),
			 "1.2.3");
	json_decref(document);
	document = json_of("help --json");
	ck_assert_uint_gt(json_array_size(json_object_get(document, "verbs")), 6);
	ck_assert_uint_gt(json_array_size(json_object_get(document, "exit_statuses")), 6);
	json_decref(document);
	document = json_of("help stat --json");
	ck_assert_uint_eq(json_array_size(json_object_get(document, "options")), 2);
	json_decref(document);
	ck_assert_int_eq(line("help"), STATUS_OK);
	ck_assert_ptr_nonnull(strstr(output, "poweroff"));
	ck_assert_ptr_nonnull(strstr(output, "127"));
	ck_assert_int_eq(line("help nosuch"), STATUS_UNKNOWN_VERB);
	context.opened = false;
	document = json_of("version --json");
	ck_assert(json_is_null(json_object_get(document, "hypervisor_version")));
	json_decref(document);
}
END_TEST

START_TEST(help_of_each)
{
	char text[64];

	for (int i = 0; verbs[i] != NULL; i++) {
		snprintf(text, sizeof(text), "%s --help", verbs[i]->name);
		ck_assert_int_eq(line(text), STATUS_OK);
		ck_assert_ptr_nonnull(strstr(output, "usage: "));
		ck_assert_ptr_nonnull(strstr(output, "--json"));
		snprintf(text, sizeof(text), "help %s", verbs[i]->name);
		ck_assert_int_eq(line(text), STATUS_OK);
	}
	ck_assert_int_eq(restarts, 0);
	ck_assert(!context.leave);
}
END_TEST

START_TEST(refusals)
{
	static const char *const lines[] = {"info", "stat", "dmesg", "stat --json -i 0.01 -n 1"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		context.handle.key.word[0] = 0;
		ck_assert_int_eq(line(lines[i]), STATUS_REFUSED);
		ck_assert_ptr_nonnull(strstr(error, "refused"));
	}
	context.opened = false;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(line(lines[i]), STATUS_NOT_SOCLE);
		ck_assert_ptr_nonnull(strstr(error, NO_TABLE));
	}
}
END_TEST

START_TEST(power)
{
	json_t *document;

	ck_assert_int_eq(line("poweroff"), STATUS_OK);
	ck_assert(restarts == 1 && restarted == RESTART_POWER_OFF && syncs == 1);
	ck_assert_int_eq(line("reboot --force"), STATUS_OK);
	ck_assert(restarts == 2 && restarted == RESTART_REBOOT && syncs == 1);
	document = json_of("poweroff --json");
	ck_assert_str_eq(json_string_value(json_object_get(document, "action")), "poweroff");
	json_decref(document);
	restart_error = EPERM;
	ck_assert_int_eq(line("poweroff"), STATUS_PERMISSION);
	restart_error = EINVAL;
	ck_assert_int_eq(line("poweroff"), STATUS_FAILED);
}
END_TEST

START_TEST(power_elsewhere)
{
	fake_is_present = false;
	ck_assert_int_eq(line("poweroff"), STATUS_NOT_SOCLE);
	ck_assert_int_eq(line("reboot --force"), STATUS_NOT_SOCLE);
	ck_assert_int_eq(restarts, 0);
}
END_TEST

START_TEST(shell_lines)
{
	ck_assert_int_eq(line("nosuchverb"), STATUS_UNKNOWN_VERB);
	/* Nothing to run leaves the status. */
	ck_assert_int_eq(line(""), STATUS_UNKNOWN_VERB);
	ck_assert_int_eq(line("  \t\n"), STATUS_UNKNOWN_VERB);
	ck_assert_int_eq(line("# comment"), STATUS_UNKNOWN_VERB);
	ck_assert_int_eq(line("version # comment\n"), STATUS_OK);
	ck_assert_int_eq(line("version 'x"), STATUS_USAGE);
	ck_assert_int_eq(line("'version'"), STATUS_OK);
	ck_assert_int_eq(line("''"), STATUS_UNKNOWN_VERB);
}
END_TEST

START_TEST(shell_commands)
{
	ck_assert_int_eq(line("!exit 42"), 42);
	ck_assert_int_eq(line("  !true\n"), STATUS_OK);
	ck_assert_int_eq(line("!kill -TERM $$"), 128 + 15);
	ck_assert_int_eq(line("!"), STATUS_OK);
	ck_assert_int_eq(line("!test \"a b\" = 'a b' # not ours to split"), STATUS_OK);
}
END_TEST

START_TEST(shell_exit)
{
	ck_assert_int_eq(line("!exit 9"), 9);
	ck_assert_int_eq(line("exit"), 9);
	ck_assert(context.leave);
	context.leave = false;
	ck_assert_int_eq(line("quit 3"), 3);
	ck_assert(context.leave);
	context.leave = false;
	ck_assert_int_eq(line("exit 256"), STATUS_USAGE);
	ck_assert(!context.leave);
}
END_TEST

START_TEST(prompts)
{
	ck_assert_str_eq(shell_prompt(STATUS_OK), "socle> ");
	ck_assert_str_eq(shell_prompt(STATUS_USAGE), "socle [2]> ");
	ck_assert_str_eq(shell_prompt((enum status)255), "socle [255]> ");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("socle");
	TCase *running = tcase_create("verbs");
	TCase *shell = tcase_create("shell");

	tcase_add_checked_fixture(running, start, stop);
	tcase_add_test(running, info_json);
	tcase_add_test(running, info_text);
	tcase_add_loop_test(running, stat_json, 0, 2);
	tcase_add_test(running, stat_intervals);
	tcase_add_test(running, stat_usage);
	tcase_add_test(running, dmesg_json);
	tcase_add_test(running, dmesg_text);
	tcase_add_test(running, long_log_line);
	tcase_add_test(running, version_and_help);
	tcase_add_test(running, help_of_each);
	tcase_add_test(running, refusals);
	tcase_add_test(running, power);
	tcase_add_test(running, power_elsewhere);
	suite_add_tcase(suite, running);
	tcase_add_checked_fixture(shell, start, stop);
	tcase_add_test(shell, shell_lines);
	tcase_add_test(shell, shell_commands);
	tcase_add_test(shell, shell_exit);
	tcase_add_test(shell, prompts);
	suite_add_tcase(suite, shell);
	return suite;
}
