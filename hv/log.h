/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: a ring of text that SOCLE_CALL_LOG_READ gives to the service VM. While the machine boots
 * each line also goes to the console.
 */
#ifndef HV_LOG_H
#define HV_LOG_H

#include "hv/types.h"
#include "socle_abi.h"

#define LOG_RING_BYTES 65536

enum log_level { LOG_ERROR = 0, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log {
	uint64_t end; /* bytes logged since the start */
	char ring[LOG_RING_BYTES];
};

/* Appends bytes to a log. The caller has the log to itself. */
void log_append(struct log *log, const char *text, size_t bytes);

/*
 * Copies up to SOCLE_LOG_CHUNK bytes that start at position, or at the oldest byte still held if
 * that is later, and stores in chunk->position where they start. Returns how many: 0 at the end.
 */
uint64_t log_copy(const struct log *log, uint64_t position, struct socle_log_chunk *chunk);

/* Sets what is logged (levels up to this one) and how ticks become the time that lines begin with.
 */
void log_init(enum log_level level, uint64_t tsc_hz, uint64_t boot_tsc);

/* Formats a line, appends it with the time and a newline to the one log. Any CPU, no lock held. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends finished text (the loader's own lines). */
void log_text(const char *text, size_t bytes);

/* log_copy() of the one log. */
uint64_t log_read(uint64_t position, struct socle_log_chunk *chunk);

#define log_error(...)	 log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_DEBUG, __VA_ARGS__)

#endif
