/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Takes one word from *line, which stands at its first character, to *out, ended by a zero byte.
 * Both pointers are moved on. Gives NULL, or what is wrong.
 */
static const char *take_word(const char **line, char **out)
{
	const char *in = *line;
	char *to = *out;
	char quote = 0;

	while (*in != 0 && (quote != 0 || !is_blank(*in))) {
		if (quote == 0 && (*in == '\'' || *in == '"')) {
			quote = *in++;
		} else if (*in == quote) {
			quote = 0;
			in++;
		} else if (*in == '\\' && quote != '\'') {
			if (in[1] == 0)
				return "nothing follows the backslash";
			if (quote == 0 || strchr("\"\\$`", in[1]) != NULL)
				in++;
			*to++ = *in++;
		} else {
			*to++ = *in++;
		}
	}
	if (quote == '\'')
		return "the closing ' is missing";
	if (quote == '"')
		return "the closing \" is missing";
	*to++ = 0;
	*line = in;
	*out = to;
	return NULL;
}

const char *words_split(const char *line, struct words *words)
{
	const char *wrong = NULL;
	char *out;

	/* A word with its zero byte is never longer than its text and the blank behind it. */
	*words = (struct words){.storage = malloc(strlen(line) + 1)};
	if (words->storage == NULL)
		return "out of memory";
	out = words->storage;
	while (wrong == NULL) {
		while (is_blank(*line))
			line++;
		if (*line == 0 || *line == '#')
			return NULL;
		if (words->count == WORDS_MAX) {
			wrong = "too many words";
		} else {
			words->word[words->count] = out;
			wrong = take_word(&line, &out);
			if (wrong == NULL)
				words->count++;
		}
	}
	words_free(words);
	return wrong;
}

void words_free(struct words *words)
{
	free(words->storage);
	*words = (struct words){0};
}
