/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verb.h"

struct parser {
	struct context *context;
	const struct verb *verb;
	int count;
	char **words;
	int next; /* the word that is looked at next */
	struct arguments *arguments;
};

static enum status wrong(struct parser *parser, const char *what, const char *word)
{
	context_complain(parser->context, "%s: %s '%s'; 'help %s' shows the usage",
			 parser->verb->name, what, word, parser->verb->name);
	return STATUS_USAGE;
}

static int find_option(const struct verb *verb, const char *name, size_t length, char letter)
{
	for (int i = 0; verb->options != NULL && verb->options[i].name != NULL; i++) {
		const struct verb_option *option = &verb->options[i];

		if (letter != 0 ? option->letter == letter
				: strlen(option->name) == length &&
					  memcmp(option->name, name, length) == 0)
			return i;
	}
	return -1;
}

/*
 * Notes option number i. attached is the text that came with it ("=value", "-xvalue"), or NULL.
 */
static enum status take_option(struct parser *parser, int i, const char *attached, const char *word)
{
	const char **slot = &parser->arguments->option[i];

	if (parser->verb->options[i].value == NULL) {
		if (attached != NULL)
			return wrong(parser, "no value is allowed in", word);
		*slot = "";
	} else if (attached != NULL) {
		*slot = attached;
	} else if (parser->next < parser->count) {
		*slot = parser->words[parser->next++];
	} else {
		return wrong(parser, "a value is missing after", word);
	}
	return STATUS_OK;
}

static enum status take_long(struct parser *parser, const char *word)
{
	const char *name = word + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
	int i = find_option(parser->verb, name, length, 0);

	if (i >= 0)
		return take_option(parser, i, equals != NULL ? equals + 1 : NULL, word);
	if (strcmp(name, "json") == 0)
		parser->arguments->json = true;
	else if (strcmp(name, "help") == 0)
		parser->arguments->help = true;
	else
		return wrong(parser, "no such option", word);
	return STATUS_OK;
}

static enum status take_letters(struct parser *parser, const char *word)
{
	for (const char *letter = word + 1; *letter != 0; letter++) {
		int i = find_option(parser->verb, NULL, 0, *letter);
		enum status status;

		if (i < 0 && *letter == 'h') {
			parser->arguments->help = true;
			continue;
		}
		if (i < 0)
			return wrong(parser, "no such option", word);
		if (parser->verb->options[i].value != NULL)
			return take_option(parser, i, letter[1] != 0 ? letter + 1 : NULL, word);
		status = take_option(parser, i, NULL, word);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

enum status arguments_parse(struct context *context, const struct verb *verb, int count,
			    char **words, struct arguments *arguments)
{
	struct parser parser = {context, verb, count, words, 0, arguments};
	enum status status = STATUS_OK;
	bool only_operands = false;

	*arguments = (struct arguments){.operand = words};
	while (parser.next < count && status == STATUS_OK) {
		char *word = words[parser.next++];

		if (only_operands || word[0] != '-' || word[1] == 0)
			words[arguments->operands++] = word;
		else if (strcmp(word, "--") == 0)
			only_operands = true;
		else if (word[1] == '-')
			status = take_long(&parser, word);
		else
			status = take_letters(&parser, word);
	}
	if (status == STATUS_OK && !arguments->help && verb->operands_max >= 0 &&
	    arguments->operands > verb->operands_max)
		status = wrong(&parser, "nothing can be done with", words[verb->operands_max]);
	return status;
}

bool arguments_number(struct context *context, const char *name, const char *text, double minimum,
		      double maximum, double *out)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != 0 || !isfinite(value) || value < minimum || value > maximum) {
		context_complain(context, "--%s: expected a number from %g to %g, found '%s'", name,
				 minimum, maximum, text);
		return false;
	}
	*out = value;
	return true;
}

bool arguments_count(struct context *context, const char *name, const char *text,
		     unsigned long minimum, unsigned long maximum, unsigned long *out)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	/* strtoul takes a sign and blanks in front; we do not. */
	if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0 || value < minimum ||
	    value > maximum) {
		context_complain(context,
				 "--%s: expected a whole number from %lu to %lu, found '%s'", name,
				 minimum, maximum, text);
		return false;
	}
	*out = value;
	return true;
}
