/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verbs: what "socle" can do. A verb is one file with one struct verb, listed in verbs.c; the
 * command line, the shell, its completion and "help" all work from that entry.
 */
#ifndef SOCLE_VERB_H
#define SOCLE_VERB_H

#include <stdbool.h>
#include <stddef.h>

#include "context.h"
#include "status.h"

#define VERB_OPTIONS_MAX 16
#define VERB_ALIASES_MAX 3

/* Beside these, every verb has --json and --help. */
struct verb_option {
	const char *name;    /* without the dashes */
	char letter;	     /* one-letter form, or 0 */
	const char *value;   /* what the value is called in the usage; NULL if it takes none */
	const char *summary; /* one line without a full stop */
};

/* A verb's words, taken apart. */
struct arguments {
	const char *option[VERB_OPTIONS_MAX]; /* by place in the verb's table: value, "" or NULL */
	bool json;
	bool help;
	int operands;
	char **operand;
};

struct verb {
	const char *name;
	const char *aliases[VERB_ALIASES_MAX + 1]; /* ended by NULL */
	const char *usage;			   /* what follows the name, without options */
	const char *summary;			   /* one line without a full stop */
	const char *details;			   /* more text for "help VERB", or NULL */
	const struct verb_option *options;	   /* ended by a NULL name; NULL: none */
	int operands_max;			   /* -1: any number */
	bool domains;				   /* the operands are domains: for completion */
	enum status (*run)(struct context *context, const struct arguments *arguments);
};

/* arguments.c ---------------------------------------------------------------------------------- */

/*
 * Takes apart the words after a verb: "--name", "--name=value", "--name value", "-x", "-xvalue",
 * "-x value", several letters in one word, and "--", after which everything is an operand.
 * Options and operands may come in any order.
 *
 * @words     reordered: the operands come to its front; arguments->operand points there
 * @arguments filled; it points into words
 *
 * Gives STATUS_OK, or STATUS_USAGE after a message on context->error.
 */
enum status arguments_parse(struct context *context, const struct verb *verb, int count,
			    char **words, struct arguments *arguments);

/*
 * Reads a number for an option; says what is wrong on context->error otherwise.
 *
 * @name    the option's name, for the message
 * @minimum the smallest and
 * @maximum the largest value allowed
 */
bool arguments_number(struct context *context, const char *name, const char *text, double minimum,
		      double maximum, double *out);
bool arguments_count(struct context *context, const char *name, const char *text,
		     unsigned long minimum, unsigned long maximum, unsigned long *out);

/* verbs.c -------------------------------------------------------------------------------------- */

extern const struct verb *const verbs[]; /* in the order of "help", ended by NULL */

/* The verb with that name or alias, or NULL. */
const struct verb *verb_find(const char *name);

/* The name or alias nearest to a misspelt one, or NULL if none is near. */
const char *verb_nearest(const char *name);

/* Says on context->error that there is no such verb; gives STATUS_UNKNOWN_VERB. */
enum status verb_unknown(struct context *context, const char *name);

/* Prints a verb's usage, options and details on context->output. */
void verb_print_help(struct context *context, const struct verb *verb);

extern const struct verb verb_create;
extern const struct verb verb_list;
extern const struct verb verb_console;
extern const struct verb verb_pause;
extern const struct verb verb_unpause;
extern const struct verb verb_shutdown;
extern const struct verb verb_destroy;
extern const struct verb verb_mem_set;
extern const struct verb verb_domid;
extern const struct verb verb_domname;
extern const struct verb verb_domlog;
extern const struct verb verb_info;
extern const struct verb verb_stat;
extern const struct verb verb_dmesg;
extern const struct verb verb_version;
extern const struct verb verb_poweroff;
extern const struct verb verb_reboot;
extern const struct verb verb_help;
extern const struct verb verb_exit;

/* execute.c ------------------------------------------------------------------------------------ */

/*
 * Runs a verb with its words, words[0] being its name (or "--help", "--version"), and makes sure
 * that all of its output was written.
 */
enum status execute(struct context *context, int count, char **words);

#endif
