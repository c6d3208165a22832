/* SPDX-License-Identifier: BSD-2-Clause */
/* The last bytes of a stream. A position counts the bytes since the start. */
#ifndef SOCLED_RING_H
#define SOCLED_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_BYTES 65536u

struct ring {
	uint64_t end; /* bytes put so far */
	char data[RING_BYTES];
};

void ring_put(struct ring *ring, const char *data, size_t bytes);

/* The position of the oldest byte that is still there. */
uint64_t ring_start(const struct ring *ring);

/*
 * A pointer to the bytes from *position on, as many as lie in one piece; *position is moved up to
 * the oldest byte first if that is later. Gives their number, 0 at the end.
 */
size_t ring_peek(const struct ring *ring, uint64_t *position, const char **data);

/* Copies the last `size` - 1 bytes or fewer, ended by a zero byte; gives their number. */
size_t ring_copy(const struct ring *ring, char *text, size_t size);

#endif
