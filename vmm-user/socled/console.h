/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A domain's serial or virtio console: what the guest said last, and whoever looks at it. It stays
 * while the domain is restarted. One of its readers may write, the first to come; when that one
 * goes, the next to come may.
 */
#ifndef SOCLED_CONSOLE_H
#define SOCLED_CONSOLE_H

#include "loop.h"
#include "ring.h"

#define CONSOLE_READERS_MAX 16
#define CONSOLE_INPUT_BYTES 4096

struct console;

struct console_reader {
	struct console *console;
	struct watch watch;
	uint64_t position; /* of the ring: what it is sent next */
};

struct console {
	struct loop *loop;
	struct ring ring;
	struct watch guest; /* our end of the device's socket */
	struct console_reader *reader[CONSOLE_READERS_MAX];
	struct console_reader *writer;	 /* NULL: nobody */
	char input[CONSOLE_INPUT_BYTES]; /* typed and not yet taken by the guest */
	size_t input_bytes;
};

/* It is zeroed before. */
void console_open(struct console *console, struct loop *loop);
void console_close(struct console *console);

/* Makes the device's socket; gives the end for the VMM (close-on-exec), or -1. */
int console_connect(struct console *console);

/* Takes what is still to be read, then closes our end. */
void console_disconnect(struct console *console);

/*
 * Adds a reader, which is sent the ring's content and all that follows; gives its end of a socket
 * (close-on-exec), or -1 with errno. *writer says whether it may write.
 */
int console_attach(struct console *console, bool *writer);

#endif
