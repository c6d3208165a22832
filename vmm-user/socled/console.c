/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console.h"

#define BLOCK_BYTES 4096

static void update_guest(struct console *console);

/* Makes a pair of sockets: ours, which never blocks, and the other, which is as usual. */
static bool make_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0)
		return true;
	close(pair[0]);
	close(pair[1]);
	return false;
}

void console_open(struct console *console, struct loop *loop)
{
	console->loop = loop;
	console->guest.fd = -1;
}

static void detach(struct console_reader *reader)
{
	struct console *console = reader->console;

	for (int i = 0; i < CONSOLE_READERS_MAX; i++) {
		if (console->reader[i] == reader)
			console->reader[i] = NULL;
	}
	if (console->writer == reader)
		console->writer = NULL;
	loop_drop(console->loop, &reader->watch);
	free(reader);
}

/* Sends what the reader has not seen yet, as much as it takes; false: it has gone. */
static bool feed(struct console_reader *reader)
{
	const char *data;
	size_t bytes;

	while ((bytes = ring_peek(&reader->console->ring, &reader->position, &data)) > 0) {
		ssize_t sent = send(reader->watch.fd, data, bytes, MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		reader->position += (uint64_t)sent;
	}
	return true;
}

/* Takes what a reader typed: the writer's goes to the guest, the others' is lost. */
static bool take(struct console_reader *reader)
{
	struct console *console = reader->console;
	char scratch[BLOCK_BYTES];
	bool writer = console->writer == reader;
	char *to = writer ? console->input + console->input_bytes : scratch;
	size_t room = writer ? sizeof(console->input) - console->input_bytes : sizeof(scratch);
	ssize_t got;

	if (room == 0)
		return true;
	got = recv(reader->watch.fd, to, room, 0);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	if (writer)
		console->input_bytes += (size_t)got;
	return true;
}

static void reader_ready(void *owner, uint32_t events);

static void update_reader(struct console_reader *reader)
{
	struct console *console = reader->console;
	bool full = console->writer == reader && console->input_bytes == sizeof(console->input);
	uint32_t events = (full ? 0 : (uint32_t)EPOLLIN) |
			  (reader->position < console->ring.end ? (uint32_t)EPOLLOUT : 0);

	loop_watch(console->loop, &reader->watch, reader->watch.fd, events, reader_ready, reader);
}

static void reader_ready(void *owner, uint32_t events)
{
	struct console_reader *reader = owner;
	struct console *console = reader->console;
	/* After a hangup, what was typed before it is still there to be read. */
	bool stays = (events & EPOLLIN) != 0 ? take(reader) : (events & EPOLLHUP) == 0;

	if (stays && (events & EPOLLOUT) != 0)
		stays = feed(reader);
	if (stays)
		update_reader(reader);
	else
		detach(reader);
	update_guest(console);
}

static void tell_readers(struct console *console)
{
	for (int i = 0; i < CONSOLE_READERS_MAX; i++) {
		struct console_reader *reader = console->reader[i];

		if (reader == NULL)
			continue;
		if (feed(reader))
			update_reader(reader);
		else
			detach(reader);
	}
}

/* Reads what the guest says into the ring; false: the VMM has gone. */
static bool hear_guest(struct console *console)
{
	char block[BLOCK_BYTES];
	ssize_t got = recv(console->guest.fd, block, sizeof(block), 0);

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	ring_put(&console->ring, block, (size_t)got);
	return true;
}

static void guest_ready(void *owner, uint32_t events)
{
	struct console *console = owner;

	if ((events & EPOLLOUT) != 0 && console->input_bytes > 0) {
		ssize_t sent =
			send(console->guest.fd, console->input, console->input_bytes, MSG_NOSIGNAL);

		if (sent > 0) {
			console->input_bytes -= (size_t)sent;
			memmove(console->input, console->input + sent, console->input_bytes);
			if (console->writer != NULL)
				update_reader(console->writer);
		}
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !hear_guest(console)) {
		loop_drop(console->loop, &console->guest);
		console->input_bytes = 0;
	}
	tell_readers(console);
	update_guest(console);
}

static void update_guest(struct console *console)
{
	if (console->guest.fd >= 0)
		loop_watch(console->loop, &console->guest, console->guest.fd,
			   (uint32_t)EPOLLIN | (console->input_bytes > 0 ? (uint32_t)EPOLLOUT : 0),
			   guest_ready, console);
}

int console_connect(struct console *console)
{
	int pair[2];

	console_disconnect(console);
	if (!make_pair(pair))
		return -1;
	if (!loop_watch(console->loop, &console->guest, pair[0], EPOLLIN, guest_ready, console)) {
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	return pair[1];
}

void console_disconnect(struct console *console)
{
	uint64_t before;

	if (console->guest.fd < 0)
		return;
	do {
		before = console->ring.end;
	} while (hear_guest(console) && console->ring.end > before);
	loop_drop(console->loop, &console->guest);
	console->input_bytes = 0;
	tell_readers(console);
}

int console_attach(struct console *console, bool *writer)
{
	struct console_reader *reader;
	int pair[2], place = 0;

	while (place < CONSOLE_READERS_MAX && console->reader[place] != NULL)
		place++;
	if (place == CONSOLE_READERS_MAX) {
		errno = EUSERS;
		return -1;
	}
	reader = calloc(1, sizeof(*reader));
	if (reader == NULL || !make_pair(pair)) {
		free(reader);
		return -1;
	}
	reader->console = console;
	reader->position = ring_start(&console->ring);
	if (!loop_watch(console->loop, &reader->watch, pair[0], EPOLLIN, reader_ready, reader)) {
		close(pair[0]);
		close(pair[1]);
		free(reader);
		return -1;
	}
	console->reader[place] = reader;
	if (console->writer == NULL)
		console->writer = reader;
	*writer = console->writer == reader;
	if (feed(reader))
		update_reader(reader);
	return pair[1];
}

void console_close(struct console *console)
{
	console_disconnect(console);
	for (int i = 0; i < CONSOLE_READERS_MAX; i++) {
		if (console->reader[i] != NULL)
			detach(console->reader[i]);
	}
}
