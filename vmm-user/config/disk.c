/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xl-disk-configuration(5): "target, format, vdev, access, key=value ...", where each of the first
 * four can also be given by its name, and "target=" takes all that follows. The deprecated prefixes
 * "phy:", "file:" and "raw:" in front of the target take the place of the format.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

enum { TARGET, FORMAT, VDEV, ACCESS, POSITIONS };

struct draft {
	const struct config_value *value;
	struct config_reporter *reporter;
	const char *part[POSITIONS];
	struct disk_config *disk;
};

static const char *const part_name[POSITIONS] = {"target", "format", "vdev", "access"};

static bool refuse(struct draft *draft, const char *what, const char *expected, const char *found)
{
	config_error(draft->reporter, draft->value->place, "disk: %s: expected %s, found '%.100s'",
		     what, expected, found);
	return false;
}

/* Keys that do not change what a guest sees here. */
static bool is_ignored(const char *key)
{
	static const char *const ignored[] = {
		"backendtype",	 "backend",   "discard", "no-discard", "direct-io-safe",
		"specification", "removable", "devid",	 "trusted",
	};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
		if (strcmp(ignored[i], key) == 0)
			return true;
	}
	return false;
}

static bool take_pair(struct draft *draft, const char *key, const char *value)
{
	for (int i = 0; i < POSITIONS; i++) {
		if (strcmp(key, part_name[i]) != 0)
			continue;
		if (draft->part[i] != NULL)
			return refuse(draft, key, "it once", value);
		draft->part[i] = value;
		return true;
	}
	if (strcmp(key, "devtype") == 0) {
		if (strcmp(value, "cdrom") != 0 && strcmp(value, "disk") != 0)
			return refuse(draft, key, "'cdrom' or 'disk'", value);
		draft->disk->cdrom = strcmp(value, "cdrom") == 0;
		return true;
	}
	if (is_ignored(key)) {
		config_warn(draft->reporter, draft->value->place, "disk: '%s' is not used", key);
		return true;
	}
	return refuse(draft, "key",
		      "target, format, vdev, access, devtype, cdrom, snapshot or backendtype", key);
}

static bool take_flag(struct draft *draft, const char *word)
{
	if (strcmp(word, "cdrom") == 0)
		draft->disk->cdrom = true;
	else if (strcmp(word, "snapshot") == 0)
		draft->disk->snapshot = true;
	else if (is_ignored(word))
		config_warn(draft->reporter, draft->value->place, "disk: '%s' is not used", word);
	else
		return false;
	return true;
}

static bool take_words(struct draft *draft, char *text)
{
	int position = TARGET;
	char *rest = text;

	while (rest != NULL) {
		char *start = rest + strspn(rest, " \t");
		char *word, *value;

		/* What follows "target=" may have commas in it. */
		if (strncmp(start, "target", 6) == 0 && start[6 + strspn(start + 6, " \t")] == '=')
			rest = NULL;
		word = rest != NULL ? config_next_word(&rest) : start;
		value = config_cut_pair(word);
		if (value != NULL) {
			if (!take_pair(draft, word, value))
				return false;
		} else if (position > TARGET && take_flag(draft, word)) {
			continue;
		} else {
			while (position < POSITIONS && draft->part[position] != NULL)
				position++;
			if (position == POSITIONS)
				return refuse(draft, "word", "'key=value', 'cdrom' or 'snapshot'",
					      word);
			draft->part[position++] = word;
		}
	}
	return true;
}

/* "phy:/dev/x,xvda,w": the format stands in front and the positions behind it move up. */
static char *cut_prefix(char *text)
{
	static const char *const prefix[] = {"phy:", "file:", "raw:"};

	for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++) {
		if (strncmp(text, prefix[i], strlen(prefix[i])) == 0)
			return text + strlen(prefix[i]);
	}
	return NULL;
}

static bool check_format(struct draft *draft)
{
	static const char *const known[] = {"qcow", "qcow2", "qed", "vhd", "vmdk"};
	const char *format = draft->part[FORMAT];

	snprintf(draft->disk->format, sizeof(draft->disk->format), "raw");
	if (format == NULL || format[0] == 0 || strcmp(format, "raw") == 0)
		return true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i], format) != 0)
			continue;
		config_error(draft->reporter, draft->value->place,
			     "disk: format '%s' is not supported yet; convert the image: "
			     "qemu-img convert -O raw",
			     format);
		return false;
	}
	return refuse(draft, "format", "'raw'", format);
}

static bool check_vdev(struct draft *draft)
{
	const char *vdev = draft->part[VDEV];
	size_t prefix = 0, letters;

	if (vdev == NULL || vdev[0] == 0)
		return refuse(draft, "vdev", "a device such as xvda", "");
	if (strncmp(vdev, "xvd", 3) == 0)
		prefix = 3;
	else if (strncmp(vdev, "hd", 2) == 0 || strncmp(vdev, "sd", 2) == 0 ||
		 strncmp(vdev, "vd", 2) == 0)
		prefix = 2;
	letters = strspn(vdev + prefix, "abcdefghijklmnopqrstuvwxyz");
	if (prefix == 0 || letters == 0 || letters > 2 || vdev[prefix + letters] != 0)
		return refuse(draft, "vdev", "a whole disk: xvda, vda, sda or hda", vdev);
	snprintf(draft->disk->vdev, sizeof(draft->disk->vdev), "%s", vdev);
	return true;
}

static bool check_access(struct draft *draft)
{
	const char *access = draft->part[ACCESS];

	if (access == NULL || access[0] == 0) {
		draft->disk->readonly = draft->disk->cdrom;
	} else if (strcmp(access, "r") == 0 || strcmp(access, "ro") == 0) {
		draft->disk->readonly = true;
	} else if (strcmp(access, "w") != 0 && strcmp(access, "rw") != 0) {
		return refuse(draft, "access", "r, ro, w or rw", access);
	}
	if (draft->disk->cdrom && !draft->disk->readonly)
		return refuse(draft, "access", "'ro' for a cdrom", access);
	return true;
}

bool config_disk(const struct config_value *value, const char *directory, struct disk_config *disk,
		 struct config_reporter *reporter)
{
	struct draft draft = {.value = value, .reporter = reporter, .disk = disk};
	char *copy, *text;
	bool good;

	*disk = (struct disk_config){0};
	if (value->type != CONFIG_STRING) {
		config_error(reporter, value->place,
			     "disk: expected a string \"target,format,vdev,access\", found %s",
			     config_describe(value));
		return false;
	}
	copy = strdup(value->text);
	if (copy == NULL)
		return false;
	text = cut_prefix(copy);
	if (text != NULL)
		draft.part[FORMAT] = "raw";
	good = take_words(&draft, text != NULL ? text : copy) && check_format(&draft) &&
	       check_vdev(&draft) && check_access(&draft);
	if (good && (draft.part[TARGET] == NULL || draft.part[TARGET][0] == 0)) {
		if (!disk->cdrom)
			good = refuse(&draft, "target", "a path", "");
	} else if (good) {
		good = config_path(disk->target, sizeof(disk->target), draft.part[TARGET],
				   directory, value->place, reporter);
	}
	free(copy);
	return good;
}
