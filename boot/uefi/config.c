// SPDX-License-Identifier: BSD-2-Clause
#include "boot/uefi/config.h"

#include "hv/layout.h"
#include "hv/string.h"

#define POOL_DEFAULT_MIB  512
#define POOL_MIN_MIB	  2
#define POOL_MAX_MIB	  (HV_POOL_MAX_BYTES >> 20)
#define SERIAL_DEFAULT	  0x3f8
#define LOG_LEVEL_DEFAULT 2
#define SHOWN_BYTES	  40 /* of a wrong key or value in a message */
#define KEYS		  "kernel, initramfs, cmdline, pool, cpus, log, serial, selftest"

/* A piece of the file. */
struct span {
	const char *text;
	size_t bytes;
};

struct parser {
	struct config *config;
	unsigned line;
	char *error;
	size_t error_bytes;
};

/* Names of enum log_level and enum boot_selftest, in their order. */
static const char *const log_names[] = {"error", "warning", "info", "debug"};
static const char *const selftest_names[] = {"none", "exception", "panic"};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
	while (s.bytes != 0 && is_space(s.text[0])) {
		s.text++;
		s.bytes--;
	}
	while (s.bytes != 0 && is_space(s.text[s.bytes - 1]))
		s.bytes--;
	return s;
}

static bool equals(struct span s, const char *word)
{
	for (size_t i = 0; i < s.bytes; i++)
		if (word[i] == '\0' || word[i] != s.text[i])
			return false;
	return word[s.bytes] == '\0';
}

/* A span as a string for a message; control characters are shown as dots. */
static const char *shown(struct span s, char *buffer)
{
	size_t bytes = s.bytes < SHOWN_BYTES ? s.bytes : SHOWN_BYTES;

	for (size_t i = 0; i < bytes; i++)
		buffer[i] = s.text[i] >= ' ' && s.text[i] <= '~' ? s.text[i] : '.';
	buffer[bytes] = '\0';
	return buffer;
}

static bool bad(struct parser *parser, const char *what, struct span found, const char *expected)
{
	char text[SHOWN_BYTES + 1];

	format_text(parser->error, parser->error_bytes, "line %u: %s \"%s\": expected %s",
		    parser->line, what, shown(found, text), expected);
	return false;
}

static bool copy(struct parser *parser, struct span from, char *to, size_t bytes, const char *what)
{
	if (from.bytes + 1 > bytes) {
		format_text(parser->error, parser->error_bytes,
			    "line %u: %s has %zu characters: expected at most %zu", parser->line,
			    what, from.bytes, bytes - 1);
		return false;
	}
	memcpy(to, from.text, from.bytes);
	to[from.bytes] = '\0';
	return true;
}

static bool copy_path(struct parser *parser, struct span value, char *to)
{
	if (value.bytes == 0 || value.text[0] != '\\')
		return bad(parser, "path", value,
			   "one that begins with \\, like \\EFI\\socle\\vmlinuz");
	return copy(parser, value, to, CONFIG_PATH_BYTES, "the path");
}

/* A decimal number, or a hexadecimal one after 0x. */
static bool number(struct span value, uint64_t *result)
{
	bool hexadecimal = value.bytes > 2 && value.text[0] == '0' && value.text[1] == 'x';
	uint64_t base = hexadecimal ? 16 : 10;

	*result = 0;
	if (value.bytes == 0)
		return false;
	for (size_t i = hexadecimal ? 2 : 0; i < value.bytes; i++) {
		char c = value.text[i];
		uint64_t digit = 16;

		if (c >= '0' && c <= '9')
			digit = (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint64_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (uint64_t)(c - 'A') + 10;
		if (digit >= base || *result > UINT32_MAX)
			return false;
		*result = *result * base + digit;
	}
	return true;
}

static bool set_pool(struct parser *parser, struct span value)
{
	uint64_t mib;

	if (!number(value, &mib) || mib < POOL_MIN_MIB || mib > POOL_MAX_MIB || mib % 2 != 0)
		return bad(parser, "pool", value, "an even number of MiB, 2 or more");
	parser->config->pool_bytes = MIB(mib);
	return true;
}

static bool set_cpus(struct parser *parser, struct span value)
{
	uint64_t cpus;

	if (!number(value, &cpus) || cpus < 1 || cpus > HV_MAX_CPUS)
		return bad(parser, "cpus", value, "a number from 1 to 256");
	parser->config->cpus = (uint32_t)cpus;
	return true;
}

/* The place of a word in a list. */
static bool word(struct span value, const char *const *words, uint32_t count, uint32_t *index)
{
	for (*index = 0; *index < count; (*index)++)
		if (equals(value, words[*index]))
			return true;
	return false;
}

static bool set_log(struct parser *parser, struct span value)
{
	return word(value, log_names, ARRAY_COUNT(log_names), &parser->config->log_level) ||
	       bad(parser, "log", value, "error, warning, info or debug");
}

static bool set_selftest(struct parser *parser, struct span value)
{
	return word(value, selftest_names, ARRAY_COUNT(selftest_names),
		    &parser->config->selftest) ||
	       bad(parser, "selftest", value, "none, exception or panic");
}

static bool set_serial(struct parser *parser, struct span value)
{
	uint64_t port;

	if (equals(value, "none")) {
		parser->config->serial = 0;
		return true;
	}
	if (!number(value, &port) || port == 0 || port > 0xfff8)
		return bad(parser, "serial", value, "an I/O port like 0x3f8, or none");
	parser->config->serial = (uint32_t)port;
	return true;
}

static bool set(struct parser *parser, struct span key, struct span value)
{
	struct config *config = parser->config;

	if (equals(key, "kernel"))
		return copy_path(parser, value, config->kernel);
	if (equals(key, "initramfs")) {
		if (config->initramfs_count == CONFIG_MAX_INITRAMFS)
			return bad(parser, "initramfs", value, "at most 4 of them");
		return copy_path(parser, value, config->initramfs[config->initramfs_count++]);
	}
	if (equals(key, "cmdline"))
		return copy(parser, value, config->cmdline, sizeof(config->cmdline),
			    "the command line");
	if (equals(key, "pool"))
		return set_pool(parser, value);
	if (equals(key, "cpus"))
		return set_cpus(parser, value);
	if (equals(key, "log"))
		return set_log(parser, value);
	if (equals(key, "serial"))
		return set_serial(parser, value);
	if (equals(key, "selftest"))
		return set_selftest(parser, value);
	return bad(parser, "unknown key", key, "one of " KEYS);
}

static bool parse_line(struct parser *parser, struct span line)
{
	struct span key;
	size_t at = 0;

	line = trim(line);
	if (line.bytes == 0 || line.text[0] == '#')
		return true;
	while (at < line.bytes && line.text[at] != '=')
		at++;
	if (at == line.bytes)
		return bad(parser, "found", line, "key = value");
	key = trim((struct span){line.text, at});
	return set(parser, key, trim((struct span){line.text + at + 1, line.bytes - at - 1}));
}

bool config_parse(const char *text, uint64_t bytes, struct config *config, char *error,
		  size_t error_bytes)
{
	struct parser parser = {config, 0, error, error_bytes};

	memset(config, 0, sizeof(*config));
	config->pool_bytes = MIB(POOL_DEFAULT_MIB);
	config->cpus = HV_MAX_CPUS;
	config->log_level = LOG_LEVEL_DEFAULT;
	config->serial = SERIAL_DEFAULT;

	for (uint64_t at = 0; at < bytes;) {
		uint64_t end = at;

		while (end < bytes && text[end] != '\n')
			end++;
		parser.line++;
		if (!parse_line(&parser, (struct span){text + at, end - at}))
			return false;
		at = end + 1;
	}
	if (config->kernel[0] == '\0') {
		format_text(error, error_bytes,
			    "no kernel is named: expected a line kernel = \\EFI\\socle\\vmlinuz");
		return false;
	}
	return true;
}
