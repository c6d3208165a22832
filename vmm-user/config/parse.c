/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of xl.cfg(5), "SYNTAX":
 *
 *   file    := { [ setting ] ( NEWLINE | ';' ) }
 *   setting := KEY ( '=' | '+=' ) value
 *   value   := STRING | NUMBER | '[' [ value { ',' value } [ ',' ] ] ']'
 *
 * Inside brackets, newlines are blanks. '#' begins a comment up to the end of the line. A number is
 * decimal, or hexadecimal with 0x, or octal with 0. In a string, a backslash stands before \ ' " a
 * b f n r t v, xHH or up to three octal digits, as in C.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define KEY_MAX 63

struct parser {
	struct config_tree *tree;
	struct config_reporter *reporter;
	struct config_place place; /* of the character at `at` */
	const char *at, *end;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The character at the place, 0 at the end (a zero byte in the text is an error elsewhere). */
static char peek(const struct parser *parser)
{
	return parser->at < parser->end ? *parser->at : 0;
}

static bool wrong(struct parser *parser, const char *expected)
{
	const unsigned char c = (unsigned char)peek(parser);

	if (parser->at == parser->end)
		config_error(parser->reporter, parser->place, "expected %s, found the end of %s",
			     expected, parser->place.line > 0 ? "the file" : "the text");
	else if (c == '\n')
		config_error(parser->reporter, parser->place,
			     "expected %s, found the end of the line", expected);
	else if (c < ' ' || c > '~')
		config_error(parser->reporter, parser->place, "expected %s, found the byte 0x%02x",
			     expected, c);
	else
		config_error(parser->reporter, parser->place, "expected %s, found '%c'", expected,
			     c);
	return false;
}

static void skip(struct parser *parser, bool newlines)
{
	while (parser->at < parser->end) {
		char c = *parser->at;

		if (c == '#') {
			while (parser->at < parser->end && *parser->at != '\n')
				parser->at++;
		} else if (c == '\n' && newlines) {
			parser->at++;
			parser->place.line++;
		} else if (c == ' ' || c == '\t' || c == '\r') {
			parser->at++;
		} else {
			return;
		}
	}
}

static unsigned int hex_digit(char c)
{
	if (is_digit(c))
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (unsigned int)(c - 'A' + 10);
	return 16;
}

/* What follows a backslash; 0 if that is nothing we know. Moves behind it. */
static char parse_escape(struct parser *parser)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *known;
	unsigned int value = 0, digits = 0;
	char c = peek(parser);

	known = c != 0 ? strchr(from, c) : NULL;
	if (known != NULL) {
		parser->at++;
		return to[known - from];
	}
	if (c == 'x') {
		parser->at++;
		for (; digits < 2 && hex_digit(peek(parser)) < 16; digits++)
			value = value * 16 + hex_digit(*parser->at++);
		return (char)value;
	}
	for (; digits < 3 && hex_digit(peek(parser)) < 8; digits++)
		value = value * 8 + hex_digit(*parser->at++);
	return value <= 255 ? (char)value : 0;
}

static bool parse_string(struct parser *parser, struct config_value *value)
{
	char buffer[CONFIG_STRING_MAX + 1];
	size_t length = 0;
	char quote = *parser->at++;

	while (peek(parser) != quote) {
		char c = peek(parser);

		if (parser->at == parser->end || c == '\n')
			return wrong(parser, quote == '"' ? "a closing \"" : "a closing '");
		parser->at++;
		if (c == '\\') {
			c = parse_escape(parser);
			if (c == 0)
				return wrong(parser, "one of \\ ' \" a b f n r t v xHH or octal "
						     "digits behind the backslash");
		}
		if (c == 0) {
			parser->at--;
			return wrong(parser, "text");
		}
		if (length == CONFIG_STRING_MAX) {
			config_error(parser->reporter, parser->place,
				     "expected a string of at most %u bytes, found a longer one",
				     CONFIG_STRING_MAX);
			return false;
		}
		buffer[length++] = c;
	}
	parser->at++;
	buffer[length] = 0;
	value->type = CONFIG_STRING;
	value->text = strdup(buffer);
	return value->text != NULL;
}

static bool parse_number(struct parser *parser, struct config_value *value)
{
	char digits[32];
	size_t length = 0;
	char *end;

	while (length < sizeof(digits) - 1 &&
	       (is_digit(peek(parser)) || is_letter(peek(parser)) || (length == 0)))
		digits[length++] = *parser->at++;
	digits[length] = 0;
	errno = 0;
	value->type = CONFIG_NUMBER;
	value->number = strtoll(digits, &end, 0);
	if (errno == 0 && *end == 0 && end != digits && length < sizeof(digits) - 1)
		return true;
	config_error(parser->reporter, parser->place, "expected a number, found '%s'%s", digits,
		     is_digit(digits[0]) ? "; a string has quotes around it" : "");
	return false;
}

static bool parse_value(struct parser *parser, unsigned int depth, struct config_value *value);

static bool parse_list(struct parser *parser, unsigned int depth, struct config_value *list)
{
	list->type = CONFIG_LIST;
	parser->at++;
	for (;;) {
		struct config_value item;

		skip(parser, true);
		if (peek(parser) == ']')
			break;
		if (!parse_value(parser, depth + 1, &item) || !config_append(list, &item)) {
			config_value_free(&item);
			return false;
		}
		skip(parser, true);
		if (peek(parser) == ',')
			parser->at++;
		else if (peek(parser) != ']')
			return wrong(parser, "',' or ']'");
	}
	parser->at++;
	return true;
}

static bool parse_value(struct parser *parser, unsigned int depth, struct config_value *value)
{
	char c = peek(parser);

	*value = (struct config_value){.place = parser->place};
	if (++parser->tree->values > CONFIG_VALUES_MAX || depth > CONFIG_DEPTH_MAX) {
		config_error(parser->reporter, parser->place,
			     "expected at most %u values and lists %u deep, found more",
			     CONFIG_VALUES_MAX, CONFIG_DEPTH_MAX);
		return false;
	}
	if (c == '"' || c == '\'')
		return parse_string(parser, value);
	if (is_digit(c) || c == '-')
		return parse_number(parser, value);
	if (c == '[')
		return parse_list(parser, depth, value);
	if (is_letter(c))
		return wrong(parser, "a number, a list or a string in quotes");
	return wrong(parser, "a value");
}

static bool parse_key(struct parser *parser, char key[KEY_MAX + 1], bool *append)
{
	size_t length = 0;

	if (!is_letter(peek(parser)))
		return wrong(parser, "a key");
	while (is_letter(peek(parser)) || is_digit(peek(parser)) || peek(parser) == '-') {
		if (length == KEY_MAX)
			return wrong(parser, "a key of at most 63 characters");
		key[length++] = *parser->at++;
	}
	key[length] = 0;
	skip(parser, false);
	*append = peek(parser) == '+';
	if (*append)
		parser->at++;
	if (peek(parser) != '=')
		return wrong(parser, *append ? "'=' behind '+'" : "'=' behind the key");
	parser->at++;
	skip(parser, false);
	return true;
}

static bool parse_setting(struct parser *parser)
{
	const struct config_place place = parser->place;
	char key[KEY_MAX + 1];
	struct config_value value = {0};
	bool append;

	if (!parse_key(parser, key, &append))
		return false;
	if (!parse_value(parser, 0, &value)) {
		config_value_free(&value);
		return false;
	}
	skip(parser, false);
	if (parser->at < parser->end && peek(parser) != '\n' && peek(parser) != ';') {
		config_value_free(&value);
		return wrong(parser, "the end of the line or ';'");
	}
	return config_set(parser->tree, parser->reporter, place, key, &value, append);
}

bool config_parse_text(struct config_tree *tree, const char *source, const char *text, size_t bytes,
		       struct config_reporter *reporter)
{
	struct parser parser = {tree, reporter, {source, 1}, text, text + bytes};
	bool good = true;

	if (bytes > CONFIG_TEXT_BYTES_MAX) {
		config_error(reporter, (struct config_place){source, 0},
			     "expected at most %u bytes, found %zu", CONFIG_TEXT_BYTES_MAX, bytes);
		return false;
	}
	for (;;) {
		skip(&parser, true);
		if (peek(&parser) == ';') {
			parser.at++;
		} else if (parser.at == parser.end) {
			return good;
		} else if (!parse_setting(&parser)) {
			good = false;
			while (parser.at < parser.end && *parser.at != '\n')
				parser.at++;
		}
	}
}

bool config_parse_override(struct config_tree *tree, const char *text,
			   struct config_reporter *reporter)
{
	struct parser parser = {
		tree, reporter, {"command line", 0}, text, text + strlen(text),
	};
	char key[KEY_MAX + 1];
	struct config_value value = {.place = parser.place};
	bool append, good;

	if (!parse_key(&parser, key, &append))
		return false;
	/* "0-3" is no number. */
	if (peek(&parser) == 0 || (strchr("\"'[", peek(&parser)) == NULL &&
				   (strspn(parser.at, "0123456789") != strlen(parser.at)))) {
		value.type = CONFIG_STRING;
		value.text = strndup(parser.at, CONFIG_STRING_MAX);
		good = value.text != NULL;
	} else {
		good = parse_value(&parser, 0, &value);
		skip(&parser, true);
		if (good && parser.at != parser.end)
			good = wrong(&parser, "nothing behind the value");
	}
	if (!good) {
		config_value_free(&value);
		return false;
	}
	return config_set(tree, reporter, parser.place, key, &value, append);
}
