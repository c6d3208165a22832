/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys "serial" and "channel" of xl.cfg(5): which UARTs have a console, and virtio consoles.
 * Both are shown by "socle console".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

static bool refuse(const struct config_value *value, struct config_reporter *reporter,
		   const char *what, const char *expected, const char *found)
{
	config_error(reporter, value->place, "%s: expected %s, found '%.100s'", what, expected,
		     found);
	return false;
}

static bool serial_device(const struct config_value *value, bool *connected,
			  struct config_reporter *reporter)
{
	*connected = value->type == CONFIG_STRING && strcmp(value->text, "pty") == 0;
	if (*connected || (value->type == CONFIG_STRING && strcmp(value->text, "none") == 0))
		return true;
	config_error(reporter, value->place,
		     "serial: expected \"pty\", which 'socle console' shows, or \"none\", found %s",
		     config_describe(value));
	return false;
}

bool config_serial(const struct config_value *value, struct domain_config *config,
		   struct config_reporter *reporter)
{
	bool good = true;

	config->serial[0] = true;
	if (value == NULL)
		return true;
	if (value->type != CONFIG_LIST)
		return serial_device(value, &config->serial[0], reporter);
	if (value->items > CONFIG_SERIALS_MAX) {
		config_error(reporter, value->place,
			     "serial: expected a list of at most %d devices, found one of %zu",
			     CONFIG_SERIALS_MAX, value->items);
		return false;
	}
	for (size_t i = 0; i < value->items; i++)
		good = serial_device(&value->item[i], &config->serial[i], reporter) && good;
	return good;
}

static bool channel_pair(const struct config_value *value, char *name, size_t size, const char *key,
			 const char *word, struct config_reporter *reporter)
{
	if (strcmp(key, "name") == 0) {
		if (word[0] == 0 || strlen(word) >= size)
			return refuse(value, reporter, "channel: name", "1 to 63 characters", word);
		snprintf(name, size, "%s", word);
	} else if (strcmp(key, "connection") == 0) {
		if (strcmp(word, "pty") != 0)
			return refuse(value, reporter, "channel: connection",
				      "'pty', which 'socle console -t pv' shows", word);
	} else if (strcmp(key, "backend") == 0) {
		config_warn(reporter, value->place, "channel: 'backend' is not used");
	} else {
		return refuse(value, reporter, "channel: key", "name or connection", key);
	}
	return true;
}

static bool channel(const struct config_value *value, char *name, size_t size,
		    struct config_reporter *reporter)
{
	bool good = true;
	char *copy, *rest;

	name[0] = 0;
	if (value->type != CONFIG_STRING) {
		config_error(reporter, value->place,
			     "channel: expected a string \"name=...,connection=pty\", found %s",
			     config_describe(value));
		return false;
	}
	copy = strdup(value->text);
	rest = copy;
	while (good && rest != NULL) {
		char *word = config_next_word(&rest);
		char *text = config_cut_pair(word);

		if (text != NULL)
			good = channel_pair(value, name, size, word, text, reporter);
		else if (word[0] != 0)
			good = refuse(value, reporter, "channel: word", "'key=value'", word);
	}
	free(copy);
	if (good && name[0] == 0)
		return refuse(value, reporter, "channel", "name=...", value->text);
	return good;
}

bool config_channels(const struct config_value *value, struct domain_config *config,
		     struct config_reporter *reporter)
{
	bool good = true;

	if (value == NULL)
		return true;
	if (value->type != CONFIG_LIST || value->items > CONFIG_CHANNELS_MAX) {
		config_error(reporter, value->place,
			     "channel: expected a list of at most %d strings, found %s",
			     CONFIG_CHANNELS_MAX, config_describe(value));
		return false;
	}
	for (size_t i = 0; i < value->items; i++)
		good = channel(&value->item[i], config->channel[config->channels++],
			       sizeof(config->channel[0]), reporter) &&
		       good;
	return good;
}
