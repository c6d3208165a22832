/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config.h"
#include "keys.h"
#include "socle_abi.h"

struct reader {
	const struct config_tree *tree;
	const char *directory;
	struct domain_config *config;
	struct config_reporter *reporter;
};

static bool refuse(struct reader *reader, const struct config_value *value, const char *key,
		   const char *expected)
{
	config_error(reader->reporter, value->place, "%s: expected %s, found %s", key, expected,
		     config_describe(value));
	return false;
}

/* A number, also as a string of digits, which xl takes for one. */
static bool is_number(const struct config_value *value, int64_t *number)
{
	char *end;

	*number = value->number;
	if (value->type != CONFIG_STRING)
		return value->type == CONFIG_NUMBER;
	if (value->text[0] < '0' || value->text[0] > '9' || strlen(value->text) > 18)
		return false;
	*number = strtoll(value->text, &end, 10);
	return *end == 0;
}

/* *out stays as it is if the key is not there. False: reported. */
static bool read_number(struct reader *reader, const char *key, uint32_t minimum, uint32_t maximum,
			uint32_t *out)
{
	const struct config_value *value = config_find(reader->tree, key);
	char expected[64];
	int64_t number;

	if (value == NULL)
		return true;
	if (is_number(value, &number) && number >= minimum && number <= maximum) {
		*out = (uint32_t)number;
		return true;
	}
	snprintf(expected, sizeof(expected), "a number from %u to %u", minimum, maximum);
	return refuse(reader, value, key, expected);
}

static bool read_string(struct reader *reader, const char *key, const char **out)
{
	const struct config_value *value = config_find(reader->tree, key);

	*out = NULL;
	if (value == NULL)
		return true;
	if (value->type != CONFIG_STRING)
		return refuse(reader, value, key, "a string");
	*out = value->text;
	return true;
}

static bool read_path(struct reader *reader, const char *key, char out[CONFIG_PATH_MAX + 1])
{
	const char *path;

	if (!read_string(reader, key, &path))
		return false;
	return path == NULL || path[0] == 0 ||
	       config_path(out, CONFIG_PATH_MAX + 1, path, reader->directory,
			   config_find(reader->tree, key)->place, reader->reporter);
}

/* Name, UUID, type ----------------------------------------------------------------------------- */

bool config_name_valid(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t length = strlen(name), digits = strspn(name, "0123456789");

	if (length == 0 || length > CONFIG_NAME_MAX || digits == length ||
	    strchr(letters, name[0]) == NULL)
		return false;
	for (size_t i = 1; i < length; i++) {
		if (strchr(letters, name[i]) == NULL && strchr("-_.+", name[i]) == NULL)
			return false;
	}
	return true;
}

static bool read_name(struct reader *reader)
{
	const char *name;

	if (!read_string(reader, "name", &name))
		return false;
	if (name == NULL) {
		config_error(
			reader->reporter, (struct config_place){NULL, 0},
			"name: expected a name for the domain, found none: add name = \"...\"");
		return false;
	}
	if (!config_name_valid(name))
		return refuse(reader, config_find(reader->tree, "name"), "name",
			      "1 to 63 letters, digits and any of - _ . + behind the first, not "
			      "digits alone");
	snprintf(reader->config->name, sizeof(reader->config->name), "%s", name);
	return true;
}

void config_format_uuid(const uint8_t uuid[16], char text[37])
{
	char *at = text;

	for (int i = 0; i < 16; i++)
		at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      uuid[i]);
}

static bool parse_uuid(const char *text, uint8_t uuid[16])
{
	char again[37];

	if (strlen(text) != 36)
		return false;
	for (int i = 0, at = 0; i < 16; i++, at += 2) {
		unsigned int byte;

		at += i == 4 || i == 6 || i == 8 || i == 10;
		if (sscanf(text + at, "%2x", &byte) != 1)
			return false;
		uuid[i] = (uint8_t)byte;
	}
	config_format_uuid(uuid, again);
	return strcasecmp(text, again) == 0;
}

static bool read_uuid(struct reader *reader)
{
	uint8_t *uuid = reader->config->uuid;
	const char *text;

	if (!read_string(reader, "uuid", &text))
		return false;
	if (text != NULL && !parse_uuid(text, uuid))
		return refuse(reader, config_find(reader->tree, "uuid"), "uuid",
			      "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
	if (text == NULL) {
		if (getrandom(uuid, 16, 0) != 16)
			return false;
		/* RFC 4122, section 4.4: version 4, variant 1. */
		uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
		uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	}
	return true;
}

static bool read_type(struct reader *reader)
{
	const char *key = config_find(reader->tree, "type") != NULL ? "type" : "builder";
	const char *type;

	if (!read_string(reader, key, &type))
		return false;
	reader->config->type = type != NULL && strcmp(type, "pvh") == 0 ? DOMAIN_PVH : DOMAIN_HVM;
	if (type == NULL || strcmp(type, "hvm") == 0 || strcmp(type, "pvh") == 0)
		return true;
	return refuse(reader, config_find(reader->tree, key), key,
		      "\"hvm\" or \"pvh\" (there are no paravirtualized domains)");
}

/* Memory and processors ------------------------------------------------------------------------ */

static bool read_memory(struct reader *reader)
{
	struct domain_config *config = reader->config;
	uint32_t maximum = 0;
	const struct config_value *value = config_find(reader->tree, "maxmem");

	config->memory_mib = 0;
	if (!read_number(reader, "memory", 2, CONFIG_MEMORY_MAX, &config->memory_mib) ||
	    !read_number(reader, "maxmem", 2, CONFIG_MEMORY_MAX, &maximum))
		return false;
	if (config->memory_mib == 0)
		config->memory_mib = maximum;
	if (config->memory_mib == 0) {
		config_error(reader->reporter, (struct config_place){NULL, 0},
			     "memory: expected the domain's memory in MiB, found none: add memory "
			     "= 512");
		return false;
	}
	if (maximum != 0 && maximum < config->memory_mib)
		return refuse(reader, value, "maxmem", "no less than memory");
	if (maximum > config->memory_mib)
		config_warn(reader->reporter, value->place,
			    "maxmem: memory cannot grow while the domain runs: it has %u MiB",
			    config->memory_mib);
	config->memory_mib += config->memory_mib % 2;
	return true;
}

static bool read_vcpus(struct reader *reader)
{
	uint32_t maximum = 0;
	const struct config_value *value = config_find(reader->tree, "maxvcpus");

	reader->config->vcpus = 0;
	if (!read_number(reader, "vcpus", 1, SOCLE_MAX_VCPUS, &reader->config->vcpus) ||
	    !read_number(reader, "maxvcpus", 1, SOCLE_MAX_VCPUS, &maximum))
		return false;
	if (reader->config->vcpus == 0)
		reader->config->vcpus = maximum != 0 ? maximum : 1;
	if (maximum != 0 && maximum < reader->config->vcpus)
		return refuse(reader, value, "maxvcpus", "no less than vcpus");
	if (maximum > reader->config->vcpus)
		config_warn(reader->reporter, value->place,
			    "maxvcpus: vCPUs cannot be added while the domain runs: it has %u",
			    reader->config->vcpus);
	return true;
}

static bool read_cpus(struct reader *reader)
{
	const struct config_value *value = config_find(reader->tree, "cpus");

	reader->config->cpu_weight = 256;
	if (!read_number(reader, "cpu_weight", 1, 65535, &reader->config->cpu_weight) ||
	    !read_number(reader, "cap", 0, 100 * CONFIG_CPUS_MAX, &reader->config->cap))
		return false;
	if (value == NULL || (value->type == CONFIG_STRING && strcmp(value->text, "all") == 0))
		return true;
	if (value->type == CONFIG_NUMBER && value->number >= 0 && value->number < CONFIG_CPUS_MAX) {
		snprintf(reader->config->cpus, sizeof(reader->config->cpus), "%" PRId64,
			 value->number);
		return true;
	}
	if (value->type != CONFIG_STRING ||
	    !config_cpus(value->text, reader->config->cpus, sizeof(reader->config->cpus)))
		return refuse(reader, value, "cpus",
			      "a string such as \"0-3,^2\" or \"all\" for all of the vCPUs");
	return true;
}

/* What is started ------------------------------------------------------------------------------ */

static bool read_cmdline(struct reader *reader)
{
	const char *root, *extra, *cmdline;
	int length;

	if (!read_string(reader, "root", &root) || !read_string(reader, "extra", &extra) ||
	    !read_string(reader, "cmdline", &cmdline))
		return false;
	if (cmdline != NULL && (root != NULL || extra != NULL))
		config_warn(reader->reporter, config_find(reader->tree, "cmdline")->place,
			    "cmdline: 'root' and 'extra' are not used beside it");
	if (cmdline != NULL)
		length = snprintf(reader->config->cmdline, sizeof(reader->config->cmdline), "%s",
				  cmdline);
	else
		length = snprintf(reader->config->cmdline, sizeof(reader->config->cmdline),
				  "%s%s%s%s", root != NULL ? "root=" : "", root != NULL ? root : "",
				  root != NULL && extra != NULL ? " " : "",
				  extra != NULL ? extra : "");
	if (length <= CONFIG_CMDLINE_MAX)
		return true;
	config_error(reader->reporter, (struct config_place){NULL, 0},
		     "expected a kernel command line of at most %u bytes, found one of %d",
		     CONFIG_CMDLINE_MAX, length);
	return false;
}

static bool read_image(struct reader *reader)
{
	struct domain_config *config = reader->config;
	const char *firmware;

	if (!read_path(reader, "kernel", config->kernel) ||
	    !read_path(reader, "ramdisk", config->ramdisk) ||
	    !read_string(reader, "firmware", &firmware) || !read_cmdline(reader))
		return false;
	if (firmware != NULL && (strcmp(firmware, "uefi") == 0 || strcmp(firmware, "ovmf") == 0))
		snprintf(config->firmware, sizeof(config->firmware), "uefi");
	else if (!read_path(reader, "firmware", config->firmware))
		return false;
	if (config->kernel[0] != 0 || config->firmware[0] != 0)
		return true;
	config_error(reader->reporter, (struct config_place){NULL, 0},
		     "expected a kernel or a firmware, found neither: add kernel = \"PATH\" or "
		     "firmware = \"uefi\"");
	return false;
}

/* Devices -------------------------------------------------------------------------------------- */

/* A list of at most `maximum` items, or NULL with *good saying whether that is fine. */
static const struct config_value *read_list(struct reader *reader, const char *key, size_t maximum,
					    bool *good)
{
	const struct config_value *value = config_find(reader->tree, key);
	char expected[48];

	*good = true;
	if (value == NULL || (value->type == CONFIG_LIST && value->items <= maximum))
		return value;
	snprintf(expected, sizeof(expected), "a list of at most %zu strings", maximum);
	*good = refuse(reader, value, key, expected);
	return NULL;
}

static bool read_disks(struct reader *reader)
{
	struct domain_config *config = reader->config;
	bool good;
	const struct config_value *list = read_list(reader, "disk", CONFIG_DISKS_MAX, &good);

	for (size_t i = 0; list != NULL && i < list->items; i++) {
		struct disk_config *disk = &config->disk[config->disks];

		if (!config_disk(&list->item[i], reader->directory, disk, reader->reporter)) {
			good = false;
			continue;
		}
		for (unsigned int other = 0; other < config->disks; other++) {
			if (strcmp(config->disk[other].vdev, disk->vdev) != 0)
				continue;
			config_error(reader->reporter, list->item[i].place,
				     "disk: vdev: expected each once, found a second '%s'",
				     disk->vdev);
			good = false;
		}
		config->disks++;
	}
	return good;
}

static bool read_nets(struct reader *reader)
{
	bool good;
	const struct config_value *list = read_list(reader, "vif", CONFIG_NETS_MAX, &good);

	for (size_t i = 0; list != NULL && i < list->items; i++) {
		if (config_net(&list->item[i], &reader->config->net[reader->config->nets],
			       reader->reporter))
			reader->config->nets++;
		else
			good = false;
	}
	return good;
}

static bool read_consoles(struct reader *reader)
{
	bool good = config_serial(config_find(reader->tree, "serial"), reader->config,
				  reader->reporter);

	return config_channels(config_find(reader->tree, "channel"), reader->config,
			       reader->reporter) &&
	       good;
}

/* Actions -------------------------------------------------------------------------------------- */

static const char *const action_name[] = {
	[ACTION_DESTROY] = "destroy",
	[ACTION_RESTART] = "restart",
	[ACTION_PRESERVE] = "preserve",
	[ACTION_RENAME_RESTART] = "rename-restart",
};

const char *domain_action_name(enum domain_action action)
{
	return action_name[action];
}

static bool read_action(struct reader *reader, const char *key, enum domain_action *out)
{
	const char *text;

	if (!read_string(reader, key, &text))
		return false;
	if (text == NULL)
		return true;
	for (unsigned int i = 0; i < sizeof(action_name) / sizeof(action_name[0]); i++) {
		if (strcmp(text, action_name[i]) == 0) {
			*out = (enum domain_action)i;
			return true;
		}
	}
	if (strncmp(text, "coredump-", 9) == 0 || strcmp(text, "soft-reset") == 0) {
		config_error(reader->reporter, config_find(reader->tree, key)->place,
			     "%s: \"%s\" is not supported: %s", key, text,
			     text[0] == 'c'
				     ? "no dump is written; take what is behind \"coredump-\""
				     : "take \"restart\"");
		return false;
	}
	return refuse(reader, config_find(reader->tree, key), key,
		      "\"destroy\", \"restart\", \"rename-restart\" or \"preserve\"");
}

static bool read_actions(struct reader *reader)
{
	struct domain_config *config = reader->config;
	bool good;

	/* The defaults of xl.cfg(5). */
	config->on_poweroff = config->on_crash = config->on_watchdog = ACTION_DESTROY;
	config->on_reboot = ACTION_RESTART;
	good = read_action(reader, "on_poweroff", &config->on_poweroff);
	good = read_action(reader, "on_reboot", &config->on_reboot) && good;
	good = read_action(reader, "on_crash", &config->on_crash) && good;
	return read_action(reader, "on_watchdog", &config->on_watchdog) && good;
}

/* 0, "", "0" or []: a key that switches nothing on asks for what there is. */
static bool is_off(const struct config_value *value)
{
	switch (value->type) {
	case CONFIG_NUMBER:
		return value->number == 0;
	case CONFIG_STRING:
		return value->text[0] == 0 || strcmp(value->text, "0") == 0;
	default:
		return value->items == 0;
	}
}

static bool check_keys(struct reader *reader)
{
	bool good = true;

	for (size_t i = 0; i < reader->tree->entries; i++) {
		const struct config_entry *entry = &reader->tree->entry[i];

		if (config_key_use(entry->key) != KEY_UNKNOWN && is_off(&entry->value))
			continue;
		switch (config_key_use(entry->key)) {
		case KEY_USED:
			break;
		case KEY_IGNORED:
			config_warn(reader->reporter, entry->place, "'%s' is not used", entry->key);
			break;
		case KEY_UNSUPPORTED:
			config_error(reader->reporter, entry->place,
				     "'%s' is not supported: take it out", entry->key);
			good = false;
			break;
		case KEY_UNKNOWN:
			config_warn(reader->reporter, entry->place, "unknown key '%s'", entry->key);
			break;
		}
	}
	return good;
}

bool config_domain(const struct config_tree *tree, const char *directory,
		   struct domain_config *config, struct config_reporter *reporter)
{
	static bool (*const readers[])(struct reader *) = {
		check_keys, read_name,	read_uuid,  read_type, read_memory,   read_vcpus,
		read_cpus,  read_image, read_disks, read_nets, read_consoles, read_actions,
	};
	struct reader reader = {tree, directory, config, reporter};
	uint32_t local = 0;
	bool good = true;

	*config = (struct domain_config){0};
	/* All of them, so that one run tells all that is wrong. */
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		good = readers[i](&reader) && good;
	good = read_number(&reader, "localtime", 0, 1, &local) && good;
	config->local_time = local != 0;
	return good;
}
