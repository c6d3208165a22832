/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs on domains against a socled with the fake hypervisor, in a process of its own. */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "complete.h"
#include "client.h"
#include "shell.h"
#include "socled_rig.h"
#include "verb.h"

static struct context context;
static char *output, *error;
static size_t output_bytes, error_bytes;
static char file_path[64];
static pid_t server;
static int end_pipe[2];

/* The rig's socled, until the test closes its end of the pipe. */
static void __attribute__((noreturn)) serve(int ready)
{
	char byte = 'x';

	close(end_pipe[1]);
	rig_start();
	if (write(ready, rig.options.socket, strlen(rig.options.socket) + 1) < 0)
		_exit(2);
	fcntl(end_pipe[0], F_SETFL, O_NONBLOCK);
	while (read(end_pipe[0], &byte, 1) != 0)
		daemon_step(&rig, 10);
	rig_stop();
	_exit(0);
}

static void write_config(const char *words)
{
	FILE *file = fopen(file_path, "w");

	fprintf(file, "name = 'deb'\nmemory = 4\nkernel = '/proc/self/exe'\nextra = '%s'\n", words);
	fclose(file);
}

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
	static char socket_path[128];
	int ready[2], null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	close(null);
	ck_assert_int_eq(pipe(ready) | pipe(end_pipe), 0);
	server = fork();
	if (server == 0) {
		close(ready[0]);
		serve(ready[1]);
	}
	close(ready[1]);
	close(end_pipe[0]);
	ck_assert_int_gt(read(ready[0], socket_path, sizeof(socket_path)), 0);
	close(ready[0]);
	context = (struct context){.key_path = "/nonexistent", .socket_path = socket_path};
	open_streams();
	strcpy(file_path, "/tmp/socle-config-XXXXXX");
	close(mkstemp(file_path));
	write_config("");
}

static void stop(void)
{
	int status = -1;

	close(end_pipe[1]);
	waitpid(server, &status, 0);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "socled: status 0x%x", status);
	unlink(file_path);
	close_streams();
}

/* Runs one line; %s in it is the configuration's path. */
static enum status line(const char *format)
{
	char text[256];

	snprintf(text, sizeof(text), format, file_path);
	close_streams();
	open_streams();
	shell_line(&context, text);
	fflush(context.output);
	fflush(context.error);
	return context.status;
}

static void expect(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in: %s", part, text);
}

static void run(const char *format)
{
	enum status status = line(format);

	ck_assert_msg(status == STATUS_OK, "%s: %d: %s", format, (int)status, error);
}

START_TEST(whole_life)
{
	json_t *list;

	run("create %s");
	run("list");
	expect(output, "Name                                        ID   Mem VCPUs     State");
	expect(output, "\ndeb                                          1     4     1 ");
	run("list --json");
	list = json_loads(output, 0, NULL);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "name")),
			 "deb");
	json_decref(list);
	run("list -l 1");
	expect(output, "\"kernel\": \"/proc/self/exe\"");
	run("domid deb");
	ck_assert_str_eq(output, "1\n");
	run("domname 1");
	ck_assert_str_eq(output, "deb\n");
	run("domid deb --json");
	expect(output, "\"domid\": 1");
	run("pause deb");
	run("list deb");
	expect(output, "--p---");
	run("unpause deb --json");
	expect(output, "\"name\": \"deb\"");
	run("domlog deb");
	run("mem-set deb 3m");
	run("mem-set 1 4096k --json");
	expect(output, "\"name\": \"deb\"");
	run("list deb --json");
	expect(output, "\"memory_target_mib\": 4");
	ck_assert_int_eq(line("mem-set deb 5"), STATUS_FAILED);
	expect(error, "expected 1 to 4 MiB, which it was created with, found 5");
	ck_assert_int_eq(line("mem-set deb 3x"), STATUS_USAGE);
	expect(error, "found '3x'");
	ck_assert_int_eq(line("mem-set deb -3"), STATUS_USAGE);
	ck_assert_int_eq(line("mem-set deb 99999999999999999999"), STATUS_USAGE);
	ck_assert_int_eq(line("mem-set deb"), STATUS_USAGE);
	run("destroy deb");
	run("list");
	ck_assert_ptr_null(strstr(output, "deb"));
	ck_assert_int_eq(line("destroy deb"), STATUS_FAILED);
	expect(error, "there is no domain 'deb'");
	ck_assert_int_eq(line("list deb"), STATUS_FAILED);
	ck_assert_int_eq(line("domid deb"), STATUS_FAILED);
	ck_assert_int_eq(line("pause"), STATUS_USAGE);
	ck_assert_int_eq(line("console"), STATUS_USAGE);
	ck_assert_int_eq(line("create"), STATUS_USAGE);
}
END_TEST

/* The client asks socled who it is, and the hypervisor itself for the counters. */
START_TEST(counters)
{
	json_t *data;

	run("create %s vcpus=2");
	context.handle = fake_start(SOCLE_VENDOR_SVM);
	context.opened = true;
	fake.exits[0][SOCLE_EXIT_IO] = 40;
	fake.exits[1][SOCLE_EXIT_IO] = 2;
	fake.exits[1][SOCLE_EXIT_HLT] = 7;
	run("stat deb --json");
	data = json_loads(output, 0, NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(data, "domid")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(data, "exits"), "io")),
			 42);
	ck_assert_uint_eq(json_array_size(json_object_get(data, "vcpu_list")), 2);
	json_decref(data);
	run("stat 1");
	expect(output, "EXIT REASON");
	expect(output, "hlt               7");
	ck_assert_ptr_null(strstr(output, "xsetbv"));
	ck_assert_int_eq(line("stat other"), STATUS_FAILED);
	expect(error, "there is no domain 'other'");
	ck_assert_int_eq(line("stat deb --count 2"), STATUS_USAGE);
	expect(error, "since its start only");
	context.opened = false;
}
END_TEST

START_TEST(create_with_console)
{
	write_config("poweroff");
	run("create -c %s");
	expect(output, "hello from deb");
	write_config("crash");
	ck_assert_int_eq(line("create -c %s --json"), STATUS_FAILED);
	expect(error, "deb crashed: as told");
	expect(output, "\"end\": \"crash\"");
	write_config("die");
	ck_assert_int_eq(line("create -c %s"), STATUS_FAILED);
	expect(error, "signal 9");
	run("list deb --json");
	expect(output, "\"state\": \"crashed\"");
	expect(output, "\"live\": false");
	run("list");
	ck_assert_ptr_null(strstr(output, "deb"));
	ck_assert_int_eq(line("create -c %s on_crash=preserve"), STATUS_FAILED);
	run("list");
	expect(output, "----c-");
	write_config("poweroff");
	run("create -c %s name=other serial=pty");
	write_config("refuse");
	ck_assert_int_eq(line("create -c %s name=third"), STATUS_FAILED);
	expect(error, "the kernel is no kernel");
}
END_TEST

START_TEST(bad_configurations)
{
	ck_assert_int_eq(line("create /nonexistent"), STATUS_CONFIG);
	expect(error, "cannot read /nonexistent: No such file");
	ck_assert_int_eq(line("create %s memory=x"), STATUS_CONFIG);
	expect(error, "command line: memory: expected a number from 2 to");
	ck_assert_int_eq(line("create %s extra"), STATUS_CONFIG);
	run("create -n %s vnc=1");
	expect(error, "warning: 'vnc' is not used");
	run("create -n %s --json memory=8");
	expect(output, "\"memory\": 8");
	ck_assert_int_eq(line("create %s memory=4096"), STATUS_FAILED);
	expect(error, "not enough memory: expected 4096 MiB in the pool, found");
	run("list");
	ck_assert_ptr_null(strstr(output, "deb"));
}
END_TEST

START_TEST(paused_and_console)
{
	run("create -p %s");
	run("list");
	expect(output, "--p---");
	run("unpause 1");
	run("shutdown deb");
	/* It ends by itself. */
	line("console deb");
	ck_assert_int_eq(line("console -t tty deb"), STATUS_USAGE);
	expect(error, "expected serial or pv, found 'tty'");
	run("create %s name=other");
	ck_assert_int_eq(line("console -t pv other"), STATUS_FAILED);
	expect(error, "has no pv console 0: its configuration has \"channel\" for them");
	ck_assert_int_eq(line("console -n 1 other"), STATUS_FAILED);
	expect(error, "has no serial console 1");
}
END_TEST

static size_t names(void *owner, char name[][COMPLETE_NAME_BYTES], size_t max)
{
	return client_domain_names(owner, name, max);
}

START_TEST(completes_domains)
{
	struct completion completion;

	run("create %s name=alpha");
	run("create %s name=alps");
	complete("pause al", 8, &completion);
	ck_assert_int_eq(completion.count, 0);
	complete_set_domains(names, &context);
	complete("pause al", 8, &completion);
	ck_assert_int_eq(completion.count, 2);
	ck_assert_str_eq(completion.insert, "p");
	complete("console alph", 12, &completion);
	ck_assert_str_eq(completion.insert, "a ");
	complete("create al", 9, &completion);
	ck_assert_int_eq(completion.count, 0);
	complete_set_domains(NULL, NULL);
}
END_TEST

START_TEST(no_daemon)
{
	const char *path = context.socket_path;

	context.socket_path = "/nonexistent/socket";
	ck_assert_int_eq(line("list"), STATUS_NO_DAEMON);
	expect(error, "cannot reach socled at /nonexistent/socket: No such file");
	ck_assert_int_eq(line("create %s"), STATUS_NO_DAEMON);
	context.socket_path = path;
	kill(server, SIGSTOP);
	kill(server, SIGCONT);
	run("list");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("domains");
	TCase *all = tcase_create("verbs");

	tcase_add_checked_fixture(all, start, stop);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, whole_life);
	tcase_add_test(all, counters);
	tcase_add_test(all, create_with_console);
	tcase_add_test(all, bad_configurations);
	tcase_add_test(all, paused_and_console);
	tcase_add_test(all, completes_domains);
	tcase_add_test(all, no_daemon);
	suite_add_tcase(suite, all);
	return suite;
}
