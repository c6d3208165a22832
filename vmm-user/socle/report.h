/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output: a verb gathers its data as JSON once, then prints it as JSON or as text made from it.
 */
#ifndef SOCLE_REPORT_H
#define SOCLE_REPORT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

enum format {
	FORMAT_PLAIN,	/* strings, numbers, yes and no, lists */
	FORMAT_HEX,	/* 0x1234 */
	FORMAT_BYTES,	/* 512 bytes, 64 KiB, 1024 MiB */
	FORMAT_HERTZ,	/* 2400.000 MHz */
	FORMAT_SECONDS, /* 12.345 s */
	FORMAT_PERCENT	/* 0.12 */
};

struct column {
	const char *key;   /* of the object that is the row */
	const char *title; /* heading, or label of the line */
	enum format format;
};

/*
 * A number that JSON shows exactly. Jansson's integers are signed: what does not fit (nothing
 * that the hypervisor counts in practice) becomes a string of its decimal digits.
 */
json_t *report_number(uint64_t value);

/* Prints a value as one document, indented by two, and a newline. */
void report_json(FILE *output, const json_t *value);

/* An array of which the elements are printed as they come. */
struct report_stream {
	FILE *output;
	size_t flags; /* of jansson, for the elements */
	int elements;
};

void report_stream_begin(struct report_stream *stream, FILE *output, size_t flags);
void report_stream_element(struct report_stream *stream, const json_t *value);
void report_stream_end(struct report_stream *stream);

/* Prints an object as lines "label   value"; columns end with a NULL key, absent keys are left out.
 */
void report_fields(FILE *output, const json_t *object, const struct column *columns);

/*
 * Prints an array of objects as a table with headings: numbers to the right, text to the left,
 * columns two blanks apart and as wide as their widest cell. An absent key gives "-".
 */
void report_table(FILE *output, const json_t *rows, const struct column *columns);

#endif
