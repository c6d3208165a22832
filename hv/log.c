// SPDX-License-Identifier: BSD-2-Clause
#include "hv/log.h"

#include "arch/x86/asm.h"
#include "hv/console.h"
#include "hv/spinlock.h"
#include "hv/string.h"

/* Lock order: log_lock is taken last; nothing is called with it that takes another. */
static struct spinlock log_lock;
static struct log the_log;
static enum log_level log_limit = LOG_INFO;
static uint64_t ticks_per_microsecond = 1;
static uint64_t first_tick;

void log_append(struct log *log, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		log->ring[(log->end + i) % LOG_RING_BYTES] = text[i];
	log->end += bytes;
}

uint64_t log_copy(const struct log *log, uint64_t position, struct socle_log_chunk *chunk)
{
	uint64_t oldest = log->end > LOG_RING_BYTES ? log->end - LOG_RING_BYTES : 0;
	uint64_t bytes;

	memset(chunk, 0, sizeof(*chunk));
	if (position > log->end)
		position = log->end;
	if (position < oldest)
		position = oldest;
	chunk->position = position;
	bytes = min_u64(log->end - position, SOCLE_LOG_CHUNK);
	for (uint64_t i = 0; i < bytes; i++)
		chunk->text[i] = log->ring[(position + i) % LOG_RING_BYTES];
	return bytes;
}

void log_init(enum log_level level, uint64_t tsc_hz, uint64_t boot_tsc)
{
	log_limit = level;
	ticks_per_microsecond = tsc_hz / 1000000 != 0 ? tsc_hz / 1000000 : 1;
	first_tick = boot_tsc;
}

void log_text(const char *text, size_t bytes)
{
	spin_lock(&log_lock);
	log_append(&the_log, text, bytes);
	spin_unlock(&log_lock);
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[192];
	uint64_t time = (rdtsc() - first_tick) / ticks_per_microsecond;
	va_list arguments;
	size_t length;

	if (level > log_limit)
		return;
	length = format_text(line, sizeof(line), "[%5llu.%06llu] %s",
			     (unsigned long long)(time / 1000000),
			     (unsigned long long)(time % 1000000),
			     level == LOG_ERROR	    ? "error: "
			     : level == LOG_WARNING ? "warning: "
						    : "");
	va_start(arguments, format);
	length += format_text_v(line + length, sizeof(line) - 1 - length, format, arguments);
	va_end(arguments);
	line[length++] = '\n';

	spin_lock(&log_lock);
	log_append(&the_log, line, length);
	console_write(line, length);
	spin_unlock(&log_lock);
}

uint64_t log_read(uint64_t position, struct socle_log_chunk *chunk)
{
	uint64_t bytes;

	spin_lock(&log_lock);
	bytes = log_copy(&the_log, position, chunk);
	spin_unlock(&log_lock);
	return bytes;
}
