/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "socle.h"

int64_t socle_log_read(const struct socle_handle *handle, uint64_t *position, char *buffer,
		       size_t size, uint64_t *lost)
{
	size_t filled = 0;

	while (size - filled >= SOCLE_LOG_CHUNK) {
		const uint64_t argument[4] = {*position};
		struct socle_reply reply;
		struct socle_log_chunk chunk;
		int64_t result = socle_hypercall(handle, SOCLE_CALL_LOG_READ, argument, &reply);

		if (result < 0)
			return result;
		if (result == 0)
			break;
		memcpy(&chunk, &reply, sizeof(chunk));
		/* The log never goes back: a reply that does would make the caller loop for ever.
		 */
		if (result > SOCLE_LOG_CHUNK || chunk.position < *position)
			return SOCLE_ERROR_REPLY;
		if (lost != NULL)
			*lost += chunk.position - *position;
		memcpy(buffer + filled, chunk.text, (size_t)result);
		filled += (size_t)result;
		*position = chunk.position + (uint64_t)result;
	}
	return (int64_t)filled;
}
