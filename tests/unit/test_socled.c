/* SPDX-License-Identifier: BSD-2-Clause */
/* socled: the life of a domain, the protocol, the console. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socled_rig.h"

TCase *cycles_case(void); /* test_socled_cycles.c */

#define CREATE(config)	    "{ss so}", "do", "create", "config", config
#define VERB(verb, name)    "{ss ss}", "do", verb, "domain", name
#define DOMAIN(name, words) CREATE(rig_config(name, words, NULL, NULL))

static void expect_string(const json_t *object, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(object, key));

	ck_assert_msg(value != NULL, "%s is no string", key);
	ck_assert_str_eq(value, text);
}

static void send_text(const char *text)
{
	rig_send(rig_client, text, strlen(text));
}

/* Running or blocked: which, is up to the host. */
static void expect_alive(const char *name)
{
	json_t *entry = rig_entry(name);
	const char *state = json_string_value(json_object_get(entry, "state"));

	ck_assert(state != NULL &&
		  (strcmp(state, "running") == 0 || strcmp(state, "blocked") == 0));
	json_decref(entry);
}

/* Its state and, unless NULL, its reason. */
static void expect_entry(const char *name, const char *state, const char *reason)
{
	json_t *entry = rig_entry(name);

	ck_assert_ptr_nonnull(entry);
	expect_string(entry, "state", state);
	if (reason != NULL)
		ck_assert_ptr_nonnull(
			strstr(json_string_value(json_object_get(entry, "reason")), reason));
	json_decref(entry);
}

/* Life ----------------------------------------------------------------------------------------- */

START_TEST(lives)
{
	json_t *entry;

	rig_do(DOMAIN("a", "dirty"));
	expect_alive("a");
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES - 3);
	ck_assert_uint_eq(fake_frames_free(), FAKE_FRAMES - 3);
	entry = rig_entry("1");
	expect_string(entry, "name", "a");
	ck_assert_int_eq(json_integer_value(json_object_get(entry, "memory_mib")), 4);
	json_decref(entry);
	rig_do(VERB("pause", "a"));
	expect_entry("a", "paused", NULL);
	rig_do(VERB("pause", "1"));
	rig_do(VERB("unpause", "a"));
	expect_alive("a");
	rig_refuse("there is a domain 'a' already", DOMAIN("a", ""));
	rig_do(VERB("destroy", "a"));
	ck_assert_ptr_null(rig_entry("a"));
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	rig_refuse("there is no domain 'a'", VERB("destroy", "a"));
	rig_refuse("expected a domain", "{ss}", "do", "pause");
}
END_TEST

START_TEST(starts_paused)
{
	rig_do("{ss so sb}", "do", "create", "config", rig_config("a", "", NULL, NULL), "paused",
	       1);
	expect_entry("a", "paused", NULL);
	rig_do(VERB("unpause", "a"));
	expect_alive("a");
	rig_do(VERB("shutdown", "a"));
	rig_until("a", "shutdown");
}
END_TEST

/* What is left of it is its record; its memory is free at once. */
START_TEST(crashes)
{
	rig_do(DOMAIN("a", "crash"));
	rig_until("a", "crashed");
	expect_entry("a", "crashed", "as told");
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	rig_do(DOMAIN("b", "die"));
	rig_until("b", "crashed");
	expect_entry("b", "crashed", "signal 9");
	/* Another of its name, or "destroy", makes the record go. */
	rig_do(DOMAIN("a", ""));
	expect_alive("a");
	rig_do(VERB("destroy", "b"));
	ck_assert_ptr_null(rig_entry("b"));
}
END_TEST

START_TEST(preserves)
{
	json_t *reply;

	rig_do(CREATE(rig_config("a", "crash", "on_crash", "preserve")));
	rig_until("a", "crashed");
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES - 3);
	rig_refuse("does not run", VERB("pause", "a"));
	reply = rig_ask(true, VERB("wait", "a"));
	expect_string(reply, "end", "crash");
	json_decref(reply);
	rig_do(VERB("destroy", "a"));
	ck_assert_ptr_null(rig_entry("a"));
	rig_do(CREATE(rig_config("b", "poweroff", "on_poweroff", "preserve")));
	rig_until("b", "shutdown");
}
END_TEST

START_TEST(restarts)
{
	json_t *entry, *reply;

	/* Again and again, until that is too often. */
	rig_do(DOMAIN("a", "reboot dirty"));
	reply = rig_ask(true, VERB("wait", "a"));
	expect_string(reply, "end", "crash");
	json_decref(reply);
	expect_entry("a", "crashed", "it ended 6 times within 10 seconds");
	entry = rig_entry("a");
	ck_assert_int_eq(json_integer_value(json_object_get(entry, "restarts")), RESTART_LIMIT);
	json_decref(entry);
	rig_do(CREATE(rig_config("b", "poweroff", "on_poweroff", "restart")));
	rig_do(VERB("destroy", "b"));
}
END_TEST

/* Each that ended stays under a name of its own, up to the last, which keeps the given one. */
START_TEST(renames)
{
	json_t *reply, *domain;
	unsigned kept = 0;
	size_t i;

	rig_do(CREATE(rig_config("a", "crash", "on_crash", "rename-restart")));
	for (double end = daemon_now() + 10; kept < RESTART_LIMIT + 1;) {
		ck_assert_msg(daemon_now() < end, "%u", kept);
		daemon_step(&rig, 10);
		kept = 0;
		reply = rig_ask(true, "{ss}", "do", "list");
		json_array_foreach(json_object_get(reply, "domains"), i, domain)
		{
			const char *name = json_string_value(json_object_get(domain, "name"));
			const char *state = json_string_value(json_object_get(domain, "state"));

			ck_assert_int_eq(name[0], 'a');
			kept += strcmp(state, "crashed") == 0 &&
				json_is_true(json_object_get(domain, "live"));
		}
		json_decref(reply);
	}
	expect_entry("a", "crashed", "it ended 6 times");
	expect_entry("1", "crashed", "as told");
	rig_refuse("there is a domain 'a' already", DOMAIN("a", ""));
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES - 3 * (RESTART_LIMIT + 1));
}
END_TEST

START_TEST(waits_for_end)
{
	json_t *reply;

	rig_do("{ss so sb}", "do", "create", "config", rig_config("a", "poweroff", NULL, NULL),
	       "paused", 1);
	send_text("{\"do\":\"wait\",\"domain\":\"a\",\"id\":7}\n"
		  "{\"do\":\"unpause\",\"domain\":\"a\",\"id\":\"x\"}\n");
	/* The two may come in either order: the domain ends as soon as it runs. */
	for (int i = 0; i < 2; i++) {
		reply = rig_receive(rig_client, NULL);
		ck_assert(json_is_true(json_object_get(reply, "ok")));
		if (json_is_integer(json_object_get(reply, "id"))) {
			expect_string(reply, "end", "poweroff");
			expect_string(reply, "reason", "as told");
		}
		json_decref(reply);
	}
}
END_TEST

/* A VMM that never comes up: an error, and nothing is left, not even a record. */
START_TEST(bad_starts)
{
	rig_refuse("the kernel is no kernel", DOMAIN("a", "refuse"));
	rig_refuse("no event", DOMAIN("a", "babble"));
	rig_refuse("too long", DOMAIN("a", "flood"));
	rig_refuse("kernel: cannot open /nonexistent: No such file",
		   CREATE(rig_config("a", "", "kernel", "/nonexistent")));
	rig_refuse("expected a file or a block device",
		   CREATE(rig_config("a", "", "ramdisk", "/dev/null")));
	rig_refuse("name: expected", CREATE(rig_config("a b", "", NULL, NULL)));
	rig_refuse("expected an absolute path", CREATE(rig_config("a", "", "ramdisk", "x")));
	rig_refuse("no JSON object", "{ss si}", "do", "create", "config", 5);
	rig_refuse("no JSON object", "{ss}", "do", "create");
	ck_assert_ptr_null(rig_entry("a"));
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	rig.options.vmm = "/nonexistent";
	rig_refuse("cannot start the VMM: /nonexistent: No such file", DOMAIN("a", ""));
}
END_TEST

/* A network in user mode: a passt of its own, which goes with the domain (see rig_stop). */
START_TEST(networks)
{
	static const char *const ends[] = {"net", "net poweroff", "net crash", "net die"};
	json_t *config;

	for (unsigned i = 0; i < 4; i++) {
		config = rig_config("a", ends[i], NULL, NULL);
		json_object_set_new(config, "vif",
				    json_pack("[s, s]", "", "mac=02:00:00:00:00:01"));
		rig_do(CREATE(config));
		if (i == 0)
			expect_alive("a");
		else
			rig_until("a", i == 1 ? "shutdown" : "crashed");
		rig_do(VERB("destroy", "a"));
		ck_assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	}
	rig.options.passt = "/nonexistent";
	config = rig_config("a", "", NULL, NULL);
	json_object_set_new(config, "vif", json_pack("[s]", ""));
	rig_refuse("vif: cannot start /nonexistent: No such file", CREATE(config));
	config = rig_config("a", "", NULL, NULL);
	json_object_set_new(config, "vif", json_pack("[s]", "bridge=nonexistent"));
	rig_refuse("on bridge nonexistent: ", CREATE(config));
}
END_TEST

START_TEST(deadlines)
{
	struct domain *domain;
	double now = daemon_now();

	rig_do(DOMAIN("a", "deaf"));
	domain = daemon_find(&rig, "a");
	domain_destroy(domain);
	domain->deadline = now;
	rig_until("a", NULL);
	send_text("{\"do\":\"create\",\"config\":{\"name\":\"b\",\"memory\":4,"
		  "\"kernel\":\"/proc/self/exe\",\"extra\":\"hang\"}}\n");
	while ((domain = daemon_find(&rig, "b")) == NULL || domain->deadline <= 0)
		daemon_step(&rig, 10);
	ck_assert(domain->deadline > now + VMM_READY_SECONDS - 1);
	domain->deadline = now;
	rig_expect_error(rig_receive(rig_client, NULL), "not ready in time");
}
END_TEST

START_TEST(memory_in_pieces)
{
	json_t *config = rig_config("big", "dirty", NULL, NULL);
	char name[2] = "a";

	/* Frames 0-1, 2-3, ... and then every other domain goes. */
	for (; name[0] < 'i'; name[0]++)
		rig_do(DOMAIN(name, ""));
	for (name[0] = 'a'; name[0] < 'i'; name[0] = (char)(name[0] + 2))
		rig_do(VERB("destroy", name));
	json_object_set_new(config, "memory", json_integer(2 * 28));
	rig_do(CREATE(config));
	ck_assert_uint_gt(daemon_find(&rig, "big")->part.runs, 1);
	config = rig_config("more", "", NULL, NULL);
	json_object_set_new(config, "memory", json_integer(2 * RIG_FRAMES));
	rig_refuse("not enough memory: expected 96 MiB in the pool, found", CREATE(config));
}
END_TEST

/* Whatever the hypervisor refuses, and whenever. */
START_TEST(hypervisor_refuses)
{
	static const int64_t calls[] = {SOCLE_CALL_DOMAIN_CREATE, SOCLE_CALL_DOMAIN_ASSIGN};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		fake.fail_call = calls[i];
		fake.fail_result = SOCLE_ERROR_OWNER;
		rig_refuse("the hypervisor refused", DOMAIN("a", ""));
		ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	}
	fake.fail_call = -1;
	rig_do(DOMAIN("a", ""));
}
END_TEST

/* What an earlier socled left is taken apart at the start. */
START_TEST(takes_leftovers)
{
	struct socle_domain_created created;
	char error[POOL_ERROR_BYTES];

	close(rig_client);
	daemon_close(&rig);
	ck_assert_int_eq(socle_domain_create(&rig.handle, fake.memory.pool_base, &created), 0);
	rig.domains = NULL;
	ck_assert(daemon_open(&rig, error));
	rig_client = rig_connect();
	ck_assert_uint_eq(fake_domains_count(), 0);
	rig_do(DOMAIN("a", ""));
}
END_TEST

/* Console -------------------------------------------------------------------------------------- */

static int attach_to(const char *name, const char *more, bool *writer)
{
	char line[128];
	int fd = -1;
	json_t *reply;

	snprintf(line, sizeof(line), "{\"do\":\"console\",\"domain\":\"%s\"%s}\n", name, more);
	rig_send(rig_client, line, strlen(line));
	reply = rig_receive(rig_client, &fd);
	ck_assert(fd >= 0);
	*writer = json_is_true(json_object_get(reply, "writer"));
	json_decref(reply);
	return fd;
}

static int attach(const char *name, bool *writer)
{
	return attach_to(name, "", writer);
}

/* Works until the text has come. */
static void expect_text(int fd, const char *text)
{
	char seen[4096] = "";
	size_t used = 0;
	double end = daemon_now() + 10;

	while (strstr(seen, text) == NULL) {
		ssize_t got = recv(fd, seen + used, sizeof(seen) - used - 1, MSG_DONTWAIT);

		ck_assert_msg(got != 0 && daemon_now() < end, "'%s' does not come: %s", text, seen);
		if (got > 0)
			used += (size_t)got;
		daemon_step(&rig, 5);
	}
}

START_TEST(consoles)
{
	bool writer;
	int first, second;

	rig_do(DOMAIN("a", ""));
	first = attach("a", &writer);
	ck_assert(writer);
	second = attach("a", &writer);
	ck_assert(!writer);
	expect_text(first, geteuid() == 0 ? "hello from a as 200000001\n" : "hello from a");
	expect_text(second, "hello from a");
	rig_send(second, "nobody hears\n", 13);
	rig_send(first, "abc\n", 4);
	expect_text(first, "you said abc");
	expect_text(second, "you said abc");
	close(first);
	for (int i = 0; i < 5; i++)
		daemon_step(&rig, 5);
	first = attach("a", &writer);
	ck_assert(writer);
	expect_text(first, "you said abc");
	close(second);
	rig_do(VERB("destroy", "a"));
	ck_assert_int_eq(recv(first, (char[1]){0}, 1, 0), 0);
	close(first);
	rig_do(CREATE(rig_config("a", "", "serial", "none")));
	rig_refuse("has no console", VERB("console", "a"));
}
END_TEST

/* The second UART, and channels; without a type it is the first that there is. */
START_TEST(more_consoles)
{
	json_t *config = rig_config("a", "", NULL, NULL);
	bool writer;
	int fd;

	json_object_set_new(config, "serial", json_pack("[ss]", "none", "pty"));
	json_object_set_new(config, "channel", json_pack("[ss]", "name=x", "name=y"));
	rig_do(CREATE(config));
	fd = attach("a", &writer);
	ck_assert(writer);
	expect_text(fd, "hello from serial 2\n");
	close(fd);
	fd = attach_to("a", ",\"type\":\"pv\",\"number\":1", &writer);
	ck_assert(writer);
	expect_text(fd, "hello from channel 1, y\n");
	close(fd);
	rig_refuse("has no pv console 2", "{ss ss ss si}", "do", "console", "domain", "a", "type",
		   "pv", "number", 2);
	rig_refuse("has no serial console 0", "{ss ss ss}", "do", "console", "domain", "a", "type",
		   "serial");
	rig_refuse("has no pv console -1", "{ss ss ss si}", "do", "console", "domain", "a", "type",
		   "pv", "number", -1);
}
END_TEST

static json_int_t memory_of(const char *name, const char *key)
{
	json_t *entry = rig_entry(name);
	json_int_t value = json_integer_value(json_object_get(entry, key));

	json_decref(entry);
	return value;
}

/* What the guest says about it by its VMM is believed within bounds only. */
START_TEST(memory)
{
	double end = daemon_now() + 10;

	rig_do(DOMAIN("a", ""));
	ck_assert_int_eq(memory_of("a", "memory_mib"), 4);
	rig_do("{ss ss si}", "do", "memory", "domain", "a", "mib", 3);
	ck_assert_int_eq(memory_of("a", "memory_target_mib"), 3);
	while (memory_of("a", "memory_mib") != 3) {
		ck_assert(daemon_now() < end);
		daemon_step(&rig, 5);
	}
	ck_assert_int_eq(memory_of("a", "memory_free_mib"), 1);
	ck_assert_int_eq(memory_of("a", "memory_max_mib"), 4);
	rig_refuse("expected 1 to 4 MiB", "{ss ss si}", "do", "memory", "domain", "a", "mib", 5);
	rig_refuse("expected 1 to 4 MiB", "{ss ss si}", "do", "memory", "domain", "a", "mib", 0);
	rig_refuse("expected an integer", "{ss ss ss}", "do", "memory", "domain", "a", "mib", "1");
	rig_refuse("there is no domain", "{ss ss si}", "do", "memory", "domain", "b", "mib", 1);
	rig_do(DOMAIN("b", "liar"));
	rig_do("{ss ss si}", "do", "memory", "domain", "b", "mib", 2);
	rig_do(VERB("pause", "b")); /* what it said before has come */
	ck_assert_int_eq(memory_of("b", "memory_mib"), 4);
	ck_assert_int_eq(memory_of("b", "memory_free_mib"), 0);
}
END_TEST

/* A reader that does not read holds nobody up. */
START_TEST(slow_reader)
{
	static char block[5000];
	bool writer;
	int slow, fast;

	rig_do(DOMAIN("a", ""));
	slow = attach("a", &writer);
	fast = attach("a", &writer);
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 300; i++) {
		ring_put(&daemon_find(&rig, "a")->console[0]->ring, block, sizeof(block));
		rig_send(slow, "z", 1);
		while (recv(fast, block, sizeof(block), MSG_DONTWAIT) > 0)
			;
	}
	rig_do(VERB("pause", "a"));
	close(slow);
	close(fast);
}
END_TEST

/* Protocol ------------------------------------------------------------------------------------- */

START_TEST(bad_requests)
{
	static const char *const bad[] = {
		"x",
		"",
		"[]",
		"5",
		"{}",
		"{\"do\":5}",
		"{\"do\":\"nosuch\"}",
		"{\"do\":\"list\"",
		"{\"do\":\"list\",\"do\":\"list\"}",
		"{\"do\":\"pause\",\"domain\":5}",
		"{\"do\":\"pause\",\"domain\":\"\"}",
		"{\"do\":\"console\",\"domain\":\"99999999\"}",
		"\xff\xfe",
		"{\"do\":\"\\u0000\"}",
		"{\"do\":\"log\",\"domain\":\"\xc3\xa9\"}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *reply;

		rig_send(rig_client, bad[i], strlen(bad[i]));
		rig_send(rig_client, "\n", 1);
		reply = rig_receive(rig_client, NULL);
		ck_assert_msg(json_is_false(json_object_get(reply, "ok")), "%s", bad[i]);
		json_decref(reply);
	}
	rig_do("{ss}", "do", "list");
}
END_TEST

START_TEST(too_long_a_line)
{
	static char text[SERVER_LINE_BYTES_MAX + 100];
	json_t *reply;

	memset(text, '[', sizeof(text));
	rig_send(rig_client, text, sizeof(text));
	reply = rig_receive(rig_client, NULL);
	ck_assert(reply == NULL || json_is_false(json_object_get(reply, "ok")));
	json_decref(reply);
	for (int i = 0; i < 10; i++)
		daemon_step(&rig, 1);
	close(rig_client);
	rig_client = rig_connect();
	rig_do("{ss}", "do", "pool");
}
END_TEST

/* Clients that send garbage, go away at any time, or are too many. */
START_TEST(hostile_clients)
{
	int fd[SERVER_CLIENTS_MAX + 20];
	const int count = (int)(sizeof(fd) / sizeof(fd[0]));

	srand(3);
	rig_do(DOMAIN("a", ""));
	for (int i = 0; i < count; i++) {
		fd[i] = rig_connect();
		daemon_step(&rig, 10);
	}
	for (int round = 0; round < 2000; round++) {
		static const char *const piece[] = {
			"{\"do\":\"list\"}\n",
			"{\"do\":\"console\",\"domain\":\"a\"}\n",
			"{\"do\":\"wait\",\"domain\":\"a\"}\n",
			"{\"do\":\"pause\",\"domain\":\"a\"}\n{\"do\":\"unpause\",\"domain\":\"a\"}"
			"\n",
			"{\"do\":\"create\",\"config\":{\"name\":\"",
			"\n",
			"\"}}\n",
			"\xff{[",
		};
		int i = rand() % count;
		const char *text = piece[(size_t)rand() % (sizeof(piece) / sizeof(piece[0]))];

		send(fd[i], text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (rand() % 10 == 0) {
			close(fd[i]);
			fd[i] = rig_connect();
		}
		daemon_step(&rig, 0);
	}
	for (int i = 0; i < count; i++)
		close(fd[i]);
	for (int i = 0; i < 400; i++)
		daemon_step(&rig, 0);
	rig_do(VERB("destroy", "a"));
}
END_TEST

/* A domain that a client asks for while socled ends goes as well: rig_stop() waits for that. */
START_TEST(asked_while_ending)
{
	int fd = rig_connect();
	json_t *request =
		json_pack("{ss so}", "do", "create", "config", rig_config("b", "", NULL, NULL));
	char *text = json_dumps(request, JSON_COMPACT);

	rig_ends_at_once = true;
	rig_do(DOMAIN("a", ""));
	ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	ck_assert_int_eq(send(fd, "\n", 1, 0), 1);
	close(fd);
	free(text);
	json_decref(request);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("socled");
	TCase *all = tcase_create("socled");

	signal(SIGPIPE, SIG_IGN);
	tcase_add_checked_fixture(all, rig_start, rig_stop);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, lives);
	tcase_add_test(all, starts_paused);
	tcase_add_test(all, crashes);
	tcase_add_test(all, preserves);
	tcase_add_test(all, restarts);
	tcase_add_test(all, renames);
	tcase_add_test(all, waits_for_end);
	tcase_add_test(all, bad_starts);
	tcase_add_test(all, networks);
	tcase_add_test(all, deadlines);
	tcase_add_test(all, memory_in_pieces);
	tcase_add_test(all, hypervisor_refuses);
	tcase_add_test(all, takes_leftovers);
	tcase_add_test(all, consoles);
	tcase_add_test(all, more_consoles);
	tcase_add_test(all, memory);
	tcase_add_test(all, slow_reader);
	tcase_add_test(all, bad_requests);
	tcase_add_test(all, too_long_a_line);
	tcase_add_test(all, hostile_clients);
	tcase_add_test(all, asked_while_ending);
	suite_add_tcase(suite, all);
	suite_add_tcase(suite, cycles_case());
	return suite;
}
