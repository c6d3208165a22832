/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "config.h"

#define BLANKS " \t\r\n"

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strlen(text);
	while (length > 0 && strchr(BLANKS, text[length - 1]) != NULL)
		text[--length] = 0;
	return text;
}

char *config_next_word(char **rest)
{
	char *word = *rest, *comma;

	if (word == NULL)
		return NULL;
	comma = strchr(word, ',');
	*rest = comma != NULL ? comma + 1 : NULL;
	if (comma != NULL)
		*comma = 0;
	return trim(word);
}

char *config_cut_pair(char *word)
{
	size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyz_-");
	size_t blanks = strspn(word + length, BLANKS);

	if (length == 0 || word[length + blanks] != '=')
		return NULL;
	word[length] = 0;
	return trim(word + length + blanks + 1);
}

bool config_path(char *out, size_t size, const char *path, const char *directory,
		 struct config_place place, struct config_reporter *reporter)
{
	int length;

	if (path[0] != '/' && directory == NULL) {
		config_error(reporter, place, "expected an absolute path, found '%.100s'", path);
		return false;
	}
	if (path[0] == '/')
		length = snprintf(out, size, "%s", path);
	else
		length = snprintf(out, size, "%s/%s", directory, path);
	if (length < 0 || (size_t)length >= size) {
		config_error(reporter, place,
			     "expected a path of at most %zu bytes, found one of %d", size - 1,
			     length);
		return false;
	}
	return true;
}
