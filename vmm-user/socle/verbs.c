/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "verb.h"

/* Names further apart than this are not taken for each other. */
#define NEAR_DISTANCE 2

/* Longer names than this are never misspelt verbs. */
#define NAME_MAX_BYTES 31

const struct verb *const verbs[] = {
	&verb_create,	&verb_list,    &verb_console, &verb_pause, &verb_unpause,
	&verb_shutdown, &verb_destroy, &verb_mem_set, &verb_domid, &verb_domname,
	&verb_domlog,	&verb_info,    &verb_stat,    &verb_dmesg, &verb_version,
	&verb_poweroff, &verb_reboot,  &verb_help,    &verb_exit,  NULL,
};

/* The i-th name of a verb: its own, then its aliases, then NULL. */
static const char *verb_name(const struct verb *verb, int i)
{
	return i == 0 ? verb->name : verb->aliases[i - 1];
}

const struct verb *verb_find(const char *name)
{
	for (int v = 0; verbs[v] != NULL; v++) {
		for (int i = 0; verb_name(verbs[v], i) != NULL; i++) {
			if (strcmp(verb_name(verbs[v], i), name) == 0)
				return verbs[v];
		}
	}
	return NULL;
}

static unsigned int smaller(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/*
 * The number of characters to insert, remove, replace or swap with their neighbour to make a of b
 * (Damerau-Levenshtein distance, optimal string alignment).
 */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int d[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1];
	size_t rows = strlen(a), columns = strlen(b);

	if (rows > NAME_MAX_BYTES || columns > NAME_MAX_BYTES)
		return NAME_MAX_BYTES;
	for (unsigned int i = 0; i <= rows; i++) {
		for (unsigned int j = 0; j <= columns; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = smaller(smaller(d[i - 1][j] + 1, d[i][j - 1] + 1),
					  d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = smaller(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[rows][columns];
}

const char *verb_nearest(const char *name)
{
	const char *nearest = NULL;
	unsigned int best = NEAR_DISTANCE + 1;
	size_t length = strlen(name);

	for (int v = 0; length > 1 && verbs[v] != NULL; v++) {
		for (int i = 0; verb_name(verbs[v], i) != NULL; i++) {
			const char *known = verb_name(verbs[v], i);
			unsigned int away = distance(name, known);

			/* An abbreviation is nearer than any misspelling. */
			if (strncmp(known, name, length) == 0)
				away = 0;
			if (away < best && away < length) {
				best = away;
				nearest = known;
			}
		}
	}
	return nearest;
}

enum status verb_unknown(struct context *context, const char *name)
{
	const char *nearest = verb_nearest(name);

	if (nearest != NULL)
		context_complain(context,
				 "unknown verb '%s': did you mean '%s'? 'help' lists all verbs",
				 name, nearest);
	else
		context_complain(context, "unknown verb '%s': 'help' lists all verbs", name);
	return STATUS_UNKNOWN_VERB;
}

static void print_option(FILE *output, char letter, const char *name, const char *value,
			 const char *summary)
{
	char left[40];

	snprintf(left, sizeof(left), "--%s%s%s", name, value != NULL ? " " : "",
		 value != NULL ? value : "");
	if (letter != 0)
		fprintf(output, "  -%c, %-20s  %s\n", letter, left, summary);
	else
		fprintf(output, "      %-20s  %s\n", left, summary);
}

void verb_print_help(struct context *context, const struct verb *verb)
{
	FILE *output = context->output;

	fprintf(output, "usage: %s [OPTION...]%s%s\n\n%s.\n", verb->name,
		verb->usage[0] != 0 ? " " : "", verb->usage, verb->summary);
	if (verb->details != NULL)
		fprintf(output, "%s\n", verb->details);
	if (verb->aliases[0] != NULL) {
		fputs("\naliases:", output);
		for (int i = 0; verb->aliases[i] != NULL; i++)
			fprintf(output, " %s", verb->aliases[i]);
		fputc('\n', output);
	}
	fputs("\noptions:\n", output);
	for (int i = 0; verb->options != NULL && verb->options[i].name != NULL; i++) {
		const struct verb_option *option = &verb->options[i];

		print_option(output, option->letter, option->name, option->value, option->summary);
	}
	print_option(output, 0, "json", NULL, "print one JSON document");
	print_option(output, 'h', "help", NULL, "print this text");
}
