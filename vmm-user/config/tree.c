/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

void config_value_free(struct config_value *value)
{
	for (size_t i = 0; i < value->items; i++)
		config_value_free(&value->item[i]);
	free(value->item);
	free(value->text);
	*value = (struct config_value){0};
}

void config_tree_free(struct config_tree *tree)
{
	for (size_t i = 0; i < tree->entries; i++) {
		free(tree->entry[i].key);
		config_value_free(&tree->entry[i].value);
	}
	free(tree->entry);
	*tree = (struct config_tree){0};
}

static struct config_entry *find(const struct config_tree *tree, const char *key)
{
	for (size_t i = 0; i < tree->entries; i++) {
		if (strcmp(tree->entry[i].key, key) == 0)
			return &tree->entry[i];
	}
	return NULL;
}

const struct config_value *config_find(const struct config_tree *tree, const char *key)
{
	const struct config_entry *entry = find(tree, key);

	return entry != NULL ? &entry->value : NULL;
}

bool config_append(struct config_value *list, struct config_value *item)
{
	struct config_value *grown =
		realloc(list->item, (list->items + 1) * sizeof(struct config_value));

	if (grown == NULL)
		return false;
	list->item = grown;
	list->item[list->items++] = *item;
	*item = (struct config_value){0};
	return true;
}

const char *config_describe(const struct config_value *value)
{
	static char text[80];

	switch (value->type) {
	case CONFIG_STRING:
		if (strlen(value->text) > 48)
			snprintf(text, sizeof(text), "the string \"%.45s...\"", value->text);
		else
			snprintf(text, sizeof(text), "the string \"%s\"", value->text);
		break;
	case CONFIG_NUMBER:
		snprintf(text, sizeof(text), "the number %" PRId64, value->number);
		break;
	case CONFIG_LIST:
		return "a list";
	}
	return text;
}

/* Adds more to the end of value, which is of the same type. */
static bool extend(struct config_value *value, struct config_value *more)
{
	if (value->type == CONFIG_STRING) {
		size_t length = strlen(value->text), added = strlen(more->text);
		char *text;

		if (length + added > CONFIG_STRING_MAX)
			return false;
		text = realloc(value->text, length + added + 1);
		if (text == NULL)
			return false;
		memcpy(text + length, more->text, added + 1);
		value->text = text;
		return true;
	}
	for (size_t i = 0; i < more->items; i++) {
		if (!config_append(value, &more->item[i]))
			return false;
	}
	return true;
}

static bool add(struct config_tree *tree, struct config_place place, const char *key,
		struct config_value *value)
{
	struct config_entry *grown =
		realloc(tree->entry, (tree->entries + 1) * sizeof(struct config_entry));
	char *copy = strdup(key);

	if (grown != NULL)
		tree->entry = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		return false;
	}
	tree->entry[tree->entries++] = (struct config_entry){copy, place, *value};
	*value = (struct config_value){0};
	return true;
}

/* Another encoding could not be sent on: JSON has only this one. */
static bool is_utf8(const struct config_value *value)
{
	json_t *string;

	if (value->type == CONFIG_STRING) {
		string = json_string(value->text);
		json_decref(string);
		return string != NULL;
	}
	for (size_t i = 0; value->type == CONFIG_LIST && i < value->items; i++)
		if (!is_utf8(&value->item[i]))
			return false;
	return true;
}

bool config_set(struct config_tree *tree, struct config_reporter *reporter,
		struct config_place place, const char *key, struct config_value *value, bool append)
{
	struct config_entry *entry = find(tree, key);
	bool done = true;

	if (!is_utf8(value)) {
		config_error(reporter, place, "%s: expected text in UTF-8, found another encoding",
			     key);
		config_value_free(value);
		return false;
	}
	if (entry == NULL) {
		done = add(tree, place, key, value);
	} else if (append && (entry->value.type != value->type || value->type == CONFIG_NUMBER)) {
		config_error(reporter, place,
			     "%s: '+=' adds a string to a string or a list to a list; here it is "
			     "%s behind one of another kind",
			     key, config_describe(value));
		config_value_free(value);
		return false;
	} else if (append) {
		done = extend(&entry->value, value);
	} else {
		config_value_free(&entry->value);
		entry->value = *value;
		entry->place = place;
		*value = (struct config_value){0};
	}
	config_value_free(value);
	if (!done)
		config_error(reporter, place, "%s: too long", key);
	return done;
}

/* JSON ----------------------------------------------------------------------------------------- */

static json_t *value_json(const struct config_value *value)
{
	json_t *list;

	switch (value->type) {
	case CONFIG_STRING:
		return json_string(value->text);
	case CONFIG_NUMBER:
		return json_integer(value->number);
	case CONFIG_LIST:
		break;
	}
	list = json_array();
	for (size_t i = 0; i < value->items; i++)
		json_array_append_new(list, value_json(&value->item[i]));
	return list;
}

json_t *config_tree_json(const struct config_tree *tree)
{
	json_t *object = json_object();

	for (size_t i = 0; i < tree->entries; i++)
		json_object_set_new(object, tree->entry[i].key, value_json(&tree->entry[i].value));
	return object;
}

static bool value_from_json(struct config_tree *tree, const json_t *json, unsigned int depth,
			    struct config_value *value)
{
	*value = (struct config_value){0};
	if (++tree->values > CONFIG_VALUES_MAX || depth > CONFIG_DEPTH_MAX)
		return false;
	if (json_is_string(json)) {
		if (json_string_length(json) > CONFIG_STRING_MAX ||
		    strlen(json_string_value(json)) != json_string_length(json))
			return false;
		value->type = CONFIG_STRING;
		value->text = strdup(json_string_value(json));
		return value->text != NULL;
	}
	if (json_is_integer(json)) {
		value->type = CONFIG_NUMBER;
		value->number = json_integer_value(json);
		return true;
	}
	if (!json_is_array(json))
		return false;
	value->type = CONFIG_LIST;
	for (size_t i = 0; i < json_array_size(json); i++) {
		struct config_value item;
		bool good = value_from_json(tree, json_array_get(json, i), depth + 1, &item) &&
			    config_append(value, &item);

		if (!good) {
			config_value_free(&item);
			return false;
		}
	}
	return true;
}

bool config_tree_from_json(struct config_tree *tree, const json_t *object,
			   struct config_reporter *reporter)
{
	const struct config_place nowhere = {NULL, 0};
	const char *key;
	json_t *json;

	if (!json_is_object(object)) {
		config_error(reporter, nowhere, "the configuration is no JSON object");
		return false;
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, json)
	{
		struct config_value value;

		if (!value_from_json(tree, json, 0, &value)) {
			config_value_free(&value);
			config_error(reporter, nowhere,
				     "%.64s: expected a string of at most %u bytes, an integer or "
				     "a list of them",
				     key, CONFIG_STRING_MAX);
			return false;
		}
		if (!config_set(tree, reporter, nowhere, key, &value, false))
			return false;
	}
	return true;
}
