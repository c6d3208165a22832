/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "interrupt.h"
#include "verb.h"

/* The words that are verbs in option's clothing. */
static const char *plain_name(const char *name)
{
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return verb_help.name;
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return verb_version.name;
	return name;
}

enum status execute(struct context *context, int count, char **words)
{
	const struct verb *verb = verb_find(plain_name(words[0]));
	struct arguments arguments;
	enum status status;

	if (verb == NULL)
		return verb_unknown(context, words[0]);
	status = arguments_parse(context, verb, count - 1, words + 1, &arguments);
	if (status != STATUS_OK)
		return status;
	if (arguments.help)
		verb_print_help(context, verb);
	else
		status = verb->run(context, &arguments);
	if ((fflush(context->output) != 0 || ferror(context->output)) && !interrupt_pending()) {
		context_complain(context, "%s: cannot write the output: %s", verb->name,
				 strerror(errno));
		if (status == STATUS_OK)
			status = STATUS_FAILED;
	}
	clearerr(context->output);
	return interrupt_pending() && status == STATUS_OK ? STATUS_INTERRUPTED : status;
}
