/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "report.h"

/* Enough for an exact double with the fewest digits that people expect: 0.1 stays 0.1. */
#define REAL_DIGITS JSON_REAL_PRECISION(15)

#define CELL_BYTES  160
#define COLUMNS_MAX 16

json_t *report_number(uint64_t value)
{
	char digits[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	return json_string(digits);
}

void report_json(FILE *output, const json_t *value)
{
	json_dumpf(value, output, JSON_INDENT(2) | REAL_DIGITS);
	fputc('\n', output);
}

void report_stream_begin(struct report_stream *stream, FILE *output, size_t flags)
{
	*stream = (struct report_stream){output, flags, 0};
	fputc('[', output);
}

void report_stream_element(struct report_stream *stream, const json_t *value)
{
	fputs(stream->elements++ == 0 ? "\n  " : ",\n  ", stream->output);
	json_dumpf(value, stream->output, stream->flags | REAL_DIGITS);
	fflush(stream->output);
}

void report_stream_end(struct report_stream *stream)
{
	fputs(stream->elements == 0 ? "]\n" : "\n]\n", stream->output);
}

static void format_bytes(uint64_t bytes, char *cell, size_t size)
{
	const uint64_t kib = 1024, mib = 1024 * 1024;

	if (bytes >= mib && bytes % mib == 0)
		snprintf(cell, size, "%" PRIu64 " MiB", bytes / mib);
	else if (bytes >= 10 * mib)
		snprintf(cell, size, "%.1f MiB", (double)bytes / (double)mib);
	else if (bytes >= kib && bytes % kib == 0)
		snprintf(cell, size, "%" PRIu64 " KiB", bytes / kib);
	else
		snprintf(cell, size, "%" PRIu64 " bytes", bytes);
}

static void format_list(const json_t *list, char *cell, size_t size)
{
	size_t i, used = 0;
	const json_t *item;

	snprintf(cell, size, "-");
	json_array_foreach(list, i, item)
	{
		if (used < size && json_is_string(item))
			used += (size_t)snprintf(cell + used, size - used, "%s%s", i > 0 ? " " : "",
						 json_string_value(item));
	}
}

static void format_plain(const json_t *value, char *cell, size_t size)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		snprintf(cell, size, "%s", json_string_value(value));
		break;
	case JSON_INTEGER:
		snprintf(cell, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(cell, size, "%.3f", json_real_value(value));
		break;
	case JSON_TRUE:
		snprintf(cell, size, "yes");
		break;
	case JSON_FALSE:
		snprintf(cell, size, "no");
		break;
	case JSON_ARRAY:
		format_list(value, cell, size);
		break;
	default:
		snprintf(cell, size, "-");
	}
}

static void format_cell(const json_t *value, enum format format, char *cell, size_t size)
{
	uint64_t integer = (uint64_t)json_integer_value(value);

	/* Strings stand for numbers that do not fit, null for what is not known. */
	if (!json_is_number(value))
		format = FORMAT_PLAIN;
	switch (format) {
	case FORMAT_PLAIN:
		format_plain(value, cell, size);
		break;
	case FORMAT_HEX:
		snprintf(cell, size, "0x%" PRIx64, integer);
		break;
	case FORMAT_BYTES:
		format_bytes(integer, cell, size);
		break;
	case FORMAT_HERTZ:
		snprintf(cell, size, "%.3f MHz", json_number_value(value) / 1e6);
		break;
	case FORMAT_SECONDS:
		snprintf(cell, size, "%.3f s", json_number_value(value));
		break;
	case FORMAT_PERCENT:
		snprintf(cell, size, "%.2f", json_number_value(value));
		break;
	}
}

void report_fields(FILE *output, const json_t *object, const struct column *columns)
{
	int width = 0;

	for (int i = 0; columns[i].key != NULL; i++) {
		int length = (int)strlen(columns[i].title);

		width = length > width ? length : width;
	}
	for (int i = 0; columns[i].key != NULL; i++) {
		const json_t *value = json_object_get(object, columns[i].key);
		char cell[CELL_BYTES];

		if (value == NULL)
			continue;
		format_cell(value, columns[i].format, cell, sizeof(cell));
		fprintf(output, "%-*s  %s\n", width, columns[i].title, cell);
	}
}

static void make_cell(const json_t *row, const struct column *column, char *cell, size_t size)
{
	const json_t *value = json_object_get(row, column->key);

	if (value == NULL)
		snprintf(cell, size, "-");
	else
		format_cell(value, column->format, cell, size);
}

/* A column is a column of numbers if its first cell is one. */
static bool is_numeric(const json_t *rows, const struct column *column)
{
	return json_is_number(json_object_get(json_array_get(rows, 0), column->key));
}

static void print_cell(FILE *output, const char *text, int width, bool right, bool last)
{
	if (right)
		fprintf(output, "%*s", width, text);
	else if (last)
		fputs(text, output);
	else
		fprintf(output, "%-*s", width, text);
	fputs(last ? "\n" : "  ", output);
}

void report_table(FILE *output, const json_t *rows, const struct column *columns)
{
	int width[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
	char cell[CELL_BYTES];
	int count = 0;
	size_t r;
	const json_t *row;

	for (; count < COLUMNS_MAX && columns[count].key != NULL; count++) {
		width[count] = (int)strlen(columns[count].title);
		right[count] = is_numeric(rows, &columns[count]);
		json_array_foreach(rows, r, row)
		{
			make_cell(row, &columns[count], cell, sizeof(cell));
			if ((int)strlen(cell) > width[count])
				width[count] = (int)strlen(cell);
		}
	}
	for (int c = 0; c < count; c++)
		print_cell(output, columns[c].title, width[c], right[c], c == count - 1);
	json_array_foreach(rows, r, row)
	{
		for (int c = 0; c < count; c++) {
			make_cell(row, &columns[c], cell, sizeof(cell));
			print_cell(output, cell, width[c], right[c], c == count - 1);
		}
	}
}
