// SPDX-License-Identifier: BSD-2-Clause
/* Apart from fuzz_config.c, as both parsers have a header and a structure named config. */
#define _GNU_SOURCE
#include "fuzz_xl.h"

#include <stdlib.h>
#include <string.h>

#include "vmm-user/config/config.h"

static void say(void *context, const char *message)
{
	(void)context;
	if (strlen(message) >= CONFIG_MESSAGE_BYTES)
		abort();
}

static void parse_json(struct config_tree *tree, const char *text, size_t bytes,
		       struct config_reporter *reporter)
{
	json_t *object = json_loadb(text, bytes, 0, NULL);

	if (object != NULL)
		config_tree_from_json(tree, object, reporter);
	json_decref(object);
}

static void parse_overrides(struct config_tree *tree, const char *text, size_t bytes,
			    struct config_reporter *reporter)
{
	char *copy = strndup(text, bytes), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		config_parse_override(tree, line, reporter);
	free(copy);
}

void fuzz_xl(char kind, const char *text, size_t bytes)
{
	static struct domain_config config;
	struct config_reporter reporter = {say, NULL, 0, 0};
	struct config_tree tree = {0}, again = {0};
	json_t *object;

	if (kind == 'J')
		parse_json(&tree, text, bytes, &reporter);
	else if (kind == 'O')
		parse_overrides(&tree, text, bytes, &reporter);
	else
		config_parse_text(&tree, "fuzz.cfg", text, bytes, &reporter);
	config_domain(&tree, "/etc/xen", &config, &reporter);
	object = config_tree_json(&tree);
	if (object != NULL && config_tree_from_json(&again, object, &reporter) &&
	    again.entries != tree.entries)
		abort();
	json_decref(object);
	config_tree_free(&tree);
	config_tree_free(&again);
}
