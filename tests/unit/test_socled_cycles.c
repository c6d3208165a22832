/* SPDX-License-Identifier: BSD-2-Clause */
/* Domains come and go, half of them by the death of their VMM at any moment. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "socled_rig.h"

TCase *cycles_case(void);

#define CYCLES 200

static void expect_empty(void)
{
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	ck_assert_uint_eq(fake_frames_free(), FAKE_FRAMES);
	ck_assert_uint_eq(fake_domains_count(), 0);
}

/* A few steps, so that the kill may come anywhere between the fork and the guest's run. */
static void kill_sometime(void)
{
	int steps = rand() % 40;

	for (int i = 0; i < steps; i++)
		daemon_step(&rig, rand() % 3);
	if (rig.domains != NULL && rig.domains->pid > 0)
		kill(rig.domains->pid, SIGKILL);
}

START_TEST(cycles)
{
	/* rig_stop() checks descriptors, processes and files. */
	srand(2026);
	for (int cycle = 0; cycle < CYCLES; cycle++) {
		json_t *reply, *request = json_pack("{ss so}", "do", "create", "config",
						    rig_config("a", "dirty", NULL, NULL));
		char *text = json_dumps(request, JSON_COMPACT);

		rig_send(rig_client, text, strlen(text));
		rig_send(rig_client, "\n", 1);
		if (cycle % 2 == 0)
			kill_sometime();
		reply = rig_receive(rig_client, NULL);
		if (json_is_true(json_object_get(reply, "ok")) && cycle % 2 != 0)
			json_decref(rig_ask(true, "{ss ss}", "do", "destroy", "domain", "a"));
		while (rig.domains != NULL) {
			daemon_step(&rig, 10);
			if (cycle % 2 == 0 && rig.domains != NULL && rig.domains->pid > 0)
				kill(rig.domains->pid, SIGKILL);
		}
		expect_empty();
		json_decref(reply);
		json_decref(request);
		free(text);
	}
}
END_TEST

/* Several at once, whatever state each is in. */
START_TEST(many)
{
	static const char *const words[] = {"",	      "poweroff", "crash", "die",
					    "refuse", "dirty",	  "reboot"};
	int asked = 0;

	srand(7);
	for (int round = 0; round < 400; round++) {
		char name[2] = {(char)('a' + rand() % 8), 0};
		struct domain *domain = daemon_find(&rig, name);
		json_t *request;
		char *text;

		if (domain != NULL && rand() % 3 == 0 && domain->pid > 0)
			kill(domain->pid, SIGKILL);
		request = domain == NULL
				  ? json_pack("{ss so}", "do", "create", "config",
					      rig_config(name, words[rand() % 7], NULL, NULL))
				  : json_pack("{ss ss}", "do",
					      rand() % 2 == 0	? "destroy"
					      : rand() % 2 == 0 ? "pause"
								: "unpause",
					      "domain", name);
		text = json_dumps(request, JSON_COMPACT);
		rig_send(rig_client, text, strlen(text));
		rig_send(rig_client, "\n", 1);
		asked++;
		free(text);
		json_decref(request);
		for (int i = rand() % 20; i > 0; i--)
			daemon_step(&rig, rand() % 2);
	}
	for (struct domain *domain = rig.domains; domain != NULL; domain = domain->next)
		domain_destroy(domain);
	/* Each request has its answer. */
	for (; asked > 0; asked--)
		json_decref(rig_receive(rig_client, NULL));
	while (rig.domains != NULL)
		daemon_step(&rig, 10);
	expect_empty();
}
END_TEST

/* What was in the pool is gone before a domain wants memory; what a domain has is left alone. */
START_TEST(scrubs_ahead)
{
	const size_t bytes = (size_t)RIG_FRAMES * SOCLE_FRAME_BYTES;
	int fd = open(rig.options.pool, O_RDWR);
	unsigned char *pool = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t used;

	ck_assert_ptr_ne(pool, MAP_FAILED);
	rig_do("{ss so}", "do", "create", "config", rig_config("a", "", NULL, NULL));
	used = RIG_FRAMES - rig.pool.frames.free;
	memset(pool, 0xaa, bytes);
	rig.pool.prepared = false;
	for (int i = 0; i < RIG_FRAMES; i++)
		daemon_step(&rig, 0);
	for (size_t at = 0; at < bytes; at += 4096) {
		bool taken = (rig.pool.frames.state[at / SOCLE_FRAME_BYTES] & FRAME_USED) != 0;

		ck_assert_uint_eq(pool[at], taken ? 0xaa : 0);
		used -= taken && at % SOCLE_FRAME_BYTES == 0;
	}
	ck_assert_uint_eq(used, 0);
	munmap(pool, bytes);
	close(fd);
}
END_TEST

TCase *cycles_case(void)
{
	TCase *cycle = tcase_create("cycles");

	tcase_add_checked_fixture(cycle, rig_start, rig_stop);
	tcase_set_timeout(cycle, 100);
	tcase_add_test(cycle, cycles);
	tcase_add_test(cycle, many);
	tcase_add_test(cycle, scrubs_ahead);
	return cycle;
}
