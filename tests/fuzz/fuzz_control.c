// SPDX-License-Identifier: BSD-2-Clause
/*
 * socled's socket: what clients send, in pieces, on two connections at once. 0xff changes the
 * connection, 0xfe lets socled work. VMMs are a program that ends at once. Afterwards all domains
 * go, and all frames are free.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "socled_rig.h"

#define STEPS	64 /* more than the connections have to tell */
#define SECONDS 15 /* that VMMs may take to end; libFuzzer gives an input 20 */

static int clients[2];

static void clean_up(void)
{
	double end = daemon_now() + SECONDS;

	for (int i = 0; i < 2; i++)
		close(clients[i]);
	/* A step does one thing: what the clients sent may be read, and make domains, only now. */
	for (int i = 0; i < STEPS || (rig.domains != NULL && daemon_now() < end); i++) {
		for (struct domain *domain = rig.domains; domain != NULL; domain = domain->next)
			domain_destroy(domain);
		daemon_step(&rig, i < STEPS ? 0 : 10);
	}
	ck_assert_ptr_null(rig.domains);
	ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	ck_assert_uint_eq(fake_domains_count(), 0);
	daemon_step(&rig, 0);
}

/* Whatever is there for a client, so that socled's queue does not only grow. */
static void drain(int fd)
{
	char text[4096];

	while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static bool started;
	int client = 0;

	if (!started) {
		rig_start();
		/* What socled says of each domain is of no use here. */
		if (freopen("/dev/null", "w", stdout) == NULL)
			abort();
	}
	started = true;
	clients[0] = rig_connect();
	clients[1] = rig_connect();
	for (size_t at = 0; at < bytes;) {
		size_t end = at;

		while (end < bytes && data[end] < 0xfe)
			end++;
		rig_send(clients[client], (const char *)data + at, end - at);
		daemon_step(&rig, 0);
		drain(clients[client]);
		if (end < bytes && data[end] == 0xff)
			client ^= 1;
		at = end + 1;
	}
	daemon_step(&rig, 0);
	clean_up();
	return 0;
}
