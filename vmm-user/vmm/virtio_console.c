/* SPDX-License-Identifier: BSD-2-Clause */
/* Console (virtio 1.2, section 5.3) with one port: a stream of bytes each way. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm-user/vmm/virtio.h"

#define CONSOLE_CLASS  0x078000u
#define CONSOLE_QUEUE  64u
#define CONSOLE_BUDGET 64u

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUES };

/* In the state region. */
struct console_state {
	uint64_t sent; /* bytes of the chain that is next to be transmitted */
};

struct virtio_console {
	struct virtio_device virtio;
	struct console_state *state;
	int input, output;
	bool reading, writing; /* waiting for what */
	struct virtq_chain chain;
	struct iovec part[VIRTQ_CHAIN_MAX];
};

static void ready(void *device, uint32_t events);

/* Input and output may be one descriptor, which has one watch. */
static void watch(struct virtio_console *console)
{
	struct vmm *vmm = console->virtio.vmm;
	uint32_t in = console->reading ? POLLIN : 0, out = console->writing ? POLLOUT : 0;

	if (console->input == console->output) {
		if (console->input >= 0)
			event_watch(vmm, console->input, in | out, ready, console);
		return;
	}
	if (console->input >= 0)
		event_watch(vmm, console->input, in, ready, console);
	if (console->output >= 0)
		event_watch(vmm, console->output, out, ready, console);
}

static void wait_for(struct virtio_console *console, bool reading, bool writing)
{
	if (console->reading == reading && console->writing == writing)
		return;
	console->reading = reading;
	console->writing = writing;
	watch(console);
}

/* Nobody is there any more: what the guest says is lost, and it hears nothing. */
static void hang_up(struct virtio_console *console)
{
	wait_for(console, false, false);
	console->input = console->output = -1;
}

static void receive(struct virtio_console *console)
{
	struct virtq *queue = &console->virtio.queue[QUEUE_RECEIVE];
	struct virtq_chain *chain = &console->chain;
	bool more = console->input >= 0;

	for (unsigned budget = CONSOLE_BUDGET; more && budget != 0; budget--) {
		ssize_t bytes;

		if (!virtq_take(queue, chain)) {
			more = false;
			break;
		}
		bytes = chain->in_bytes == 0
				? 0
				: readv(console->input, chain->iov + chain->outs, (int)chain->ins);
		if (bytes > 0 || chain->in_bytes == 0) {
			virtq_dirty(queue, chain->iov + chain->outs, chain->ins, (uint64_t)bytes);
			virtq_give(queue, chain->head, (uint32_t)bytes);
			continue;
		}
		virtq_untake(queue, chain->head);
		if (bytes == 0 || (errno != EAGAIN && errno != EINTR))
			hang_up(console);
		more = console->input >= 0;
		break;
	}
	virtq_signal(queue);
	wait_for(console, more, console->writing);
}

/* Writes what is left of a chain; false: not all of it, yet. */
static bool send_chain(struct virtio_console *console)
{
	struct virtq_chain *chain = &console->chain;
	uint64_t *sent = &console->state->sent;

	while (console->output >= 0 && *sent < chain->out_bytes) {
		unsigned count = iov_part(console->part, chain->iov, chain->outs, *sent,
					  chain->out_bytes - *sent);
		ssize_t bytes = writev(console->output, console->part, (int)count);

		if (bytes > 0)
			*sent += (uint64_t)bytes;
		else if (bytes < 0 && errno == EAGAIN)
			return false;
		else if (bytes == 0 || errno != EINTR)
			hang_up(console);
	}
	*sent = 0;
	return true;
}

static void transmit(struct virtio_console *console)
{
	struct virtq *queue = &console->virtio.queue[QUEUE_TRANSMIT];
	unsigned budget = CONSOLE_BUDGET;
	bool wait = false;

	for (; budget != 0 && virtq_take(queue, &console->chain); budget--) {
		if (!send_chain(console)) {
			virtq_untake(queue, console->chain.head);
			wait = true;
			break;
		}
		virtq_give(queue, console->chain.head, 0);
	}
	virtq_signal(queue);
	wait_for(console, console->reading, wait);
	if (budget == 0)
		virtio_later(&console->virtio, QUEUE_TRANSMIT);
}

static void ready(void *device, uint32_t events)
{
	struct virtio_console *console = device;

	if (events & POLLOUT || (events & (POLLHUP | POLLERR) && console->writing))
		transmit(console);
	if (events & POLLIN || (events & (POLLHUP | POLLERR) && console->reading))
		receive(console);
	if (events & (POLLHUP | POLLERR) && !console->reading)
		hang_up(console);
}

static void notify(void *device, unsigned queue)
{
	if (queue == QUEUE_RECEIVE)
		receive(device);
	else
		transmit(device);
}

static bool reset(void *device)
{
	struct virtio_console *console = device;

	console->state->sent = 0;
	wait_for(console, false, false);
	return true;
}

static bool unblock(int fd)
{
	int flags = fd < 0 ? 0 : fcntl(fd, F_GETFL);

	return fd < 0 || (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

/* Makes a console. NULL, reported: a descriptor is none, or no slot is free. */
struct virtio_console *virtio_console_create(struct vmm *vmm, int input, int output)
{
	struct virtio_console *console = calloc(1, sizeof(*console));

	if (console == NULL)
		return NULL;
	console->input = input;
	console->output = output;
	if (!unblock(input) || !unblock(output)) {
		vmm_log(vmm, "virtio-console: %s", strerror(errno));
		free(console);
		return NULL;
	}
	console->virtio = (struct virtio_device){.vmm = vmm,
						 .name = "virtio-console",
						 .type = VIRTIO_TYPE_CONSOLE,
						 .class = CONSOLE_CLASS,
						 .queues = QUEUES,
						 .queue_size = {CONSOLE_QUEUE, CONSOLE_QUEUE},
						 .own_bytes = sizeof(*console->state),
						 .device = console,
						 .notify = notify,
						 .reset = reset};
	if (!virtio_add(&console->virtio))
		return NULL;
	console->state = console->virtio.own;
	return console;
}
