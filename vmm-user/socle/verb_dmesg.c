/* SPDX-License-Identifier: BSD-2-Clause */
/* "dmesg": the hypervisor's log. */
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "report.h"
#include "verb.h"

/* Text read at once; log lines longer than this are cut into several. */
#define BLOCK_BYTES    4000
#define LINE_BYTES_MAX 1000

#define FOLLOW_SECONDS 0.25

enum { OPTION_FOLLOW };

static const struct verb_option options[] = {
	[OPTION_FOLLOW] = {"follow", 'f', NULL, "wait for new lines until Ctrl-C"},
	{0},
};

struct reader {
	struct context *context;
	bool json;
	struct report_stream stream;
	uint64_t position;
	uint64_t lost;
	char line[LINE_BYTES_MAX + 1];
	size_t length;
};

/*
 * A line as JSON. Its time is what stands between brackets at its start, "[    0.123456] text";
 * without such a start the time is null and the text the whole line.
 */
static json_t *line_json(const char *line)
{
	json_t *object = json_object();
	char *end = NULL;
	double seconds = line[0] == '[' ? strtod(line + 1, &end) : 0;

	if (end != NULL && end != line + 1 && end[0] == ']' && end[1] == ' ') {
		json_object_set_new(object, "time_seconds", json_real(seconds));
		line = end + 2;
	} else {
		json_object_set_new(object, "time_seconds", json_null());
	}
	json_object_set_new(object, "text", json_string(line));
	return object;
}

static void put_line(struct reader *reader)
{
	reader->line[reader->length] = 0;
	reader->length = 0;
	if (reader->json) {
		json_t *object = line_json(reader->line);

		report_stream_element(&reader->stream, object);
		json_decref(object);
	} else {
		fprintf(reader->context->output, "%s\n", reader->line);
	}
}

static void put_text(struct reader *reader, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '\n' || reader->length == LINE_BYTES_MAX)
			put_line(reader);
		/* The log is ASCII; whatever else is in it shall not reach the terminal. */
		if (c != '\n' && c != '\r')
			reader->line[reader->length++] =
				(c >= ' ' && c <= '~') || c == '\t' ? c : '?';
	}
}

/* Prints what is new; nothing new is success, too. */
static enum status read_new(struct reader *reader)
{
	char block[BLOCK_BYTES];
	int64_t got;

	do {
		uint64_t lost = 0;

		got = socle_log_read(&reader->context->handle, &reader->position, block,
				     sizeof(block), &lost);
		if (got < 0)
			return context_refused(reader->context, "log_read", got);
		if (lost > 0 && reader->length > 0)
			put_line(reader);
		reader->lost += lost;
		put_text(reader, block, (size_t)got);
	} while (got > 0 && !interrupt_pending());
	return STATUS_OK;
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	struct reader reader = {.context = context, .json = arguments->json};
	enum status status = context_open(context);

	if (status != STATUS_OK)
		return status;
	if (reader.json)
		report_stream_begin(&reader.stream, context->output, 0);
	status = read_new(&reader);
	while (status == STATUS_OK && arguments->option[OPTION_FOLLOW] != NULL) {
		if (fflush(context->output) != 0 || interrupt_wait(FOLLOW_SECONDS))
			break;
		status = read_new(&reader);
	}
	if (reader.length > 0)
		put_line(&reader);
	if (reader.json)
		report_stream_end(&reader.stream);
	if (reader.lost > 0)
		context_complain(context,
				 "%llu bytes of older log had been overwritten before they were "
				 "read",
				 (unsigned long long)reader.lost);
	return status;
}

const struct verb verb_dmesg = {
	.name = "dmesg",
	.aliases = {"log"},
	.usage = "",
	.summary = "Print the hypervisor's log",
	.details = "With --json: an array of {time_seconds, text}; the time is null for a line\n"
		   "that does not start with one.",
	.options = options,
	.run = run,
};
