/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMM that runs no guest: it speaks the control protocol (vmm-user/vmm/control.h) and does what
 * the words of its guest's command line say:
 *
 *     poweroff, reboot, crash   ends so when it is started
 *     die, refuse, hang         kills itself; exits with a message; never is ready
 *     babble, flood             says what is no event; a line without an end
 *     dirty                     writes into its memory
 *     liar                      says that it has more memory than it was given
 *     deaf                      answers no pause and no quit
 *     net                       hears nothing from the passt of its networks: exits
 *
 * Without any of the first three it waits to be told to quit, and echoes what its console says.
 *
 * Called as passt(1) is, it plays that: it says who it is, and ends when the socket is closed.
 */
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "abi/socle_abi.h"
#include "vmm-user/vmm/control.h"

static json_t *config;
static int control, serial = -1;

static long long number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (long long)json_integer_value(value) : -1;
}

static int has(const char *word)
{
	const char *cmdline = json_string_value(json_object_get(config, "cmdline"));

	return strstr(cmdline, word) != NULL;
}

static void say(const char *text)
{
	dprintf(control, "%s\n", text);
}

static void end(const char *how)
{
	dprintf(control, "{\"event\": \"ended\", \"how\": \"%s\", \"reason\": \"as told\"}\n", how);
	exit(0);
}

/* Every frame is there and zero: then it is filled. */
static void check_memory(void)
{
	int fd = (int)number(config, "memory_fd");
	size_t total = 0, i;
	unsigned more;
	json_t *run;

	json_array_foreach(json_object_get(config, "memory"), i, run)
	{
		size_t bytes = (size_t)number(run, "bytes");
		unsigned char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					     (off_t)number(run, "offset"));

		if (memory == MAP_FAILED) {
			perror("fake_vmm: mmap");
			exit(3);
		}
		for (size_t at = 0; at < bytes; at += 4096) {
			if (memory[at] != 0) {
				fprintf(stderr, "memory is not clean at %zu\n", at);
				exit(4);
			}
			if (has("dirty"))
				memory[at] = 0xaa;
		}
		munmap(memory, bytes);
		total += bytes;
	}
	more = vmm_control_frames((unsigned)number(config, "vcpus"),
				  (unsigned)(json_array_size(json_object_get(config, "disks")) +
					     json_array_size(json_object_get(config, "nets"))));
	if (total != (size_t)(number(config, "memory_mib") + 2 * more) << 20) {
		fprintf(stderr, "memory of %zu bytes\n", total);
		exit(5);
	}
}

static int play_passt(int argc, char **argv)
{
	char byte;

	for (int i = 1; i + 1 < argc; i++) {
		int fd = atoi(argv[i + 1]);

		if (strcmp(argv[i], "--fd") != 0)
			continue;
		dprintf(fd, "passt as %u\n", getuid());
		return read(fd, &byte, 1) == 0 ? 0 : 11;
	}
	return 12;
}

static void check_nets(void)
{
	json_t *net;
	size_t i;

	json_array_foreach(json_object_get(config, "nets"), i, net)
	{
		char text[64] = "", expected[64];

		/* socled_rig.c's first user; passt is as many above as there may be domains. */
		snprintf(expected, sizeof(expected), "passt as %u\n",
			 getuid() == 0 ? 0 : getuid() + SOCLE_MAX_DOMAINS);
		if (read((int)number(net, "fd"), text, sizeof(text) - 1) <= 0 ||
		    strcmp(text, expected) != 0) {
			fprintf(stderr, "network %zu says: %s\n", i, text);
			exit(13);
		}
	}
}

/* The balloon of a guest that does what it is told, and then has 1 MiB to spare. */
static void set_memory(long long mib)
{
	if (has("liar"))
		dprintf(control, "{\"event\": \"memory\", \"mib\": 99999, \"free_mib\": -7}\n");
	else
		dprintf(control, "{\"event\": \"memory\", \"mib\": %lld, \"free_mib\": 1}\n", mib);
}

static void greet_channels(void)
{
	json_t *channel;
	size_t i;

	if (number(config, "serial2_fd") >= 0)
		dprintf((int)number(config, "serial2_fd"), "hello from serial 2\n");
	json_array_foreach(json_object_get(config, "channels"), i, channel)
	{
		dprintf((int)number(channel, "fd"), "hello from channel %zu, %s\n", i,
			json_string_value(json_object_get(channel, "name")));
	}
}

static void on_command(const char *line)
{
	json_t *object = json_loads(line, 0, NULL);
	const char *what = json_string_value(json_object_get(object, "do"));

	if (what == NULL)
		exit(6);
	if (strcmp(what, VMM_DO_START) == 0) {
		say("{\"event\": \"started\", \"more\": [1]}");
		if (has("poweroff"))
			end("poweroff");
		if (has("reboot"))
			end("reboot");
		if (has("crash"))
			end("crash");
		if (has("die"))
			kill(getpid(), SIGKILL);
	} else if (strcmp(what, VMM_DO_SHUTDOWN) == 0) {
		end("poweroff");
	} else if (has("deaf")) {
		return;
	} else if (strcmp(what, VMM_DO_MEMORY) == 0) {
		set_memory(number(object, "mib"));
	} else if (strcmp(what, VMM_DO_PAUSE) == 0) {
		say("{\"event\": \"paused\"}");
	} else if (strcmp(what, VMM_DO_UNPAUSE) == 0) {
		say("{\"event\": \"unpaused\"}");
	} else if (strcmp(what, VMM_DO_QUIT) == 0) {
		end("destroy");
	}
	json_decref(object);
}

static void read_control(void)
{
	static char line[VMM_CONTROL_LINE_BYTES];
	static size_t used;
	ssize_t got = read(control, line + used, sizeof(line) - used - 1);
	char *newline;

	if (got <= 0)
		exit(0);
	used += (size_t)got;
	line[used] = 0;
	while ((newline = strchr(line, '\n')) != NULL) {
		*newline = 0;
		on_command(line);
		used -= (size_t)(newline + 1 - line);
		memmove(line, newline + 1, used + 1);
	}
}

static void misbehave(void)
{
	if (has("refuse")) {
		fprintf(stderr, "one line\nthe kernel is no kernel\n");
		exit(7);
	}
	if (has("babble"))
		say("{\"event\": 5}");
	while (has("flood"))
		if (write(control, "xxxxxxxx", 8) < 0)
			exit(8);
	while (has("hang"))
		pause();
}

int main(int argc, char **argv)
{
	struct pollfd fds[2];
	FILE *file;

	if (argc > 1 && strcmp(argv[1], "--foreground") == 0)
		return play_passt(argc, argv);
	/* Nothing may be left when a test dies. */
	if (argc != 3 || strcmp(argv[1], "--config") != 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 9;
	file = fdopen(atoi(argv[2]), "r");
	config = file != NULL ? json_loadf(file, 0, NULL) : NULL;
	if (config == NULL)
		return 10;
	fclose(file);
	control = (int)number(config, "control_fd");
	serial = (int)number(config, "serial_fd");
	misbehave();
	check_memory();
	if (has("net"))
		check_nets();
	if (serial >= 0)
		dprintf(serial, "hello from %s as %u\n",
			json_string_value(json_object_get(config, "name")), getuid());
	greet_channels();
	say("{\"event\": \"ready\"}");
	fds[0] = (struct pollfd){control, POLLIN, 0};
	fds[1] = (struct pollfd){serial, POLLIN, 0};
	for (;;) {
		char text[256];
		ssize_t got;

		poll(fds, 2, -1);
		if (fds[0].revents != 0)
			read_control();
		if (serial >= 0 && (fds[1].revents & POLLIN) != 0 &&
		    (got = read(serial, text, sizeof(text))) > 0)
			dprintf(serial, "you said %.*s", (int)got, text);
	}
}
