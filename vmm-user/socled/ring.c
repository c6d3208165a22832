/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "ring.h"

void ring_put(struct ring *ring, const char *data, size_t bytes)
{
	while (bytes > 0) {
		size_t at = ring->end % RING_BYTES;
		size_t now = RING_BYTES - at < bytes ? RING_BYTES - at : bytes;

		memcpy(ring->data + at, data, now);
		ring->end += now;
		data += now;
		bytes -= now;
	}
}

uint64_t ring_start(const struct ring *ring)
{
	return ring->end > RING_BYTES ? ring->end - RING_BYTES : 0;
}

size_t ring_peek(const struct ring *ring, uint64_t *position, const char **data)
{
	size_t at, left;

	if (*position < ring_start(ring))
		*position = ring_start(ring);
	at = *position % RING_BYTES;
	left = (size_t)(ring->end - *position);
	*data = ring->data + at;
	return left < RING_BYTES - at ? left : RING_BYTES - at;
}

size_t ring_copy(const struct ring *ring, char *text, size_t size)
{
	uint64_t position = ring->end > size - 1 ? ring->end - (size - 1) : 0;
	size_t used = 0, got;
	const char *data;

	while ((got = ring_peek(ring, &position, &data)) > 0) {
		memcpy(text + used, data, got);
		used += got;
		position += got;
	}
	text[used] = 0;
	return used;
}
