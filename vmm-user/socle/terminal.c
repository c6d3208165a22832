/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "interrupt.h"
#include "terminal.h"

#define BLOCK_BYTES 4096

enum status terminal_attach(struct context *context, const char *domain, const char *type,
			    unsigned long number, int *console)
{
	json_t *request = json_pack("{ss ss sI}", "do", "console", "domain", domain, "number",
				    (json_int_t)number);
	struct client client;
	json_t *reply = NULL;
	enum status status = client_open(context, &client);

	*console = -1;
	if (type != NULL)
		json_object_set_new(request, "type", json_string(type));
	if (status != STATUS_OK) {
		json_decref(request);
		return status;
	}
	status = client_send(context, &client, request);
	if (status == STATUS_OK)
		status = client_receive(context, &client, &reply, console);
	if (status == STATUS_OK && *console < 0) {
		context_complain(context, "socled's reply makes no sense");
		status = STATUS_FAILED;
	}
	if (status == STATUS_OK && !json_is_true(json_object_get(reply, "writer")))
		context_complain(context, "somebody else is at this console: you can only read");
	json_decref(reply);
	client_close(&client);
	return status;
}

/* Shows what the console has now or, if it has nothing, waits for it unless flags say not to. */
static ssize_t show(struct context *context, int console, int flags)
{
	char block[BLOCK_BYTES];
	ssize_t got = recv(console, block, sizeof(block), flags);

	if (got > 0) {
		fwrite(block, 1, (size_t)got, context->output);
		fflush(context->output);
	}
	return got;
}

static bool send_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		data += sent;
		bytes -= (size_t)sent;
	}
	return true;
}

/* Takes what was typed; true: the escape key was in it. *input becomes -1 at its end. */
static bool type(int *input, int console)
{
	char block[BLOCK_BYTES];
	ssize_t got = read(*input, block, sizeof(block));
	char *escape;

	if (got <= 0) {
		if (got == 0 || (errno != EINTR && errno != EAGAIN))
			*input = -1;
		return false;
	}
	escape = memchr(block, TERMINAL_ESCAPE, (size_t)got);
	if (escape != NULL)
		got = escape - block;
	/* If it has gone, reading from it says so. */
	send_all(console, block, (size_t)got);
	return escape != NULL;
}

static enum terminal_end copy(struct context *context, int input, int console, int wait)
{
	for (;;) {
		struct pollfd fds[] = {{console, POLLIN, 0}, {input, POLLIN, 0}, {wait, POLLIN, 0}};

		if (poll(fds, 3, -1) < 0) {
			if (errno != EINTR)
				return TERMINAL_FAILED;
			if (interrupt_pending())
				return TERMINAL_LEFT;
			continue;
		}
		if (fds[0].revents != 0 && show(context, console, 0) <= 0)
			return TERMINAL_CLOSED;
		if (fds[1].revents != 0 && type(&input, console))
			return TERMINAL_LEFT;
		if (fds[2].revents != 0) {
			while (show(context, console, MSG_DONTWAIT) > 0)
				;
			return TERMINAL_WAITED;
		}
	}
}

enum terminal_end terminal_run(struct context *context, int input, int console, int wait)
{
	struct termios before, raw;
	bool is_terminal = tcgetattr(input, &before) == 0;
	enum terminal_end end;

	if (is_terminal) {
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(input, TCSADRAIN, &raw);
	}
	end = copy(context, input, console, wait);
	if (is_terminal) {
		tcsetattr(input, TCSADRAIN, &before);
		/* The guest leaves the cursor anywhere. */
		fputs("\r\n", context->output);
		fflush(context->output);
	}
	return end;
}
