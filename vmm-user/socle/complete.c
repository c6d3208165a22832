/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "complete.h"
#include "verb.h"

#define NAME_BYTES 64

static complete_domains *find_domains;
static void *find_owner;

struct word {
	const char *text;
	size_t length;
};

static void offer(struct completion *completion, const char *name, const struct word *start)
{
	if (completion->count < COMPLETE_MAX && strncmp(name, start->text, start->length) == 0)
		completion->candidate[completion->count++] = name;
}

static void offer_verbs(struct completion *completion, const struct word *start)
{
	for (int i = 0; verbs[i] != NULL; i++)
		offer(completion, verbs[i]->name, start);
}

void complete_set_domains(complete_domains *domains, void *owner)
{
	find_domains = domains;
	find_owner = owner;
}

static void offer_domains(struct completion *completion, const struct word *start)
{
	size_t count =
		find_domains != NULL ? find_domains(find_owner, completion->name, COMPLETE_MAX) : 0;

	for (size_t i = 0; i < count; i++)
		offer(completion, completion->name[i], start);
}

static void offer_options(struct completion *completion, const struct verb *verb,
			  const struct word *start)
{
	for (int i = 0; verb->options != NULL && verb->options[i].name != NULL; i++)
		offer(completion, verb->options[i].name, start);
	offer(completion, "json", start);
	offer(completion, "help", start);
	completion->dashes = "--";
}

/* What all candidates have in common after the first done characters, and a blank if it is one. */
static void make_insert(struct completion *completion, size_t done)
{
	size_t common;

	if (completion->count == 0)
		return;
	common = strlen(completion->candidate[0]);
	for (int i = 1; i < completion->count; i++) {
		size_t same = 0;

		while (same < common &&
		       completion->candidate[i][same] == completion->candidate[0][same])
			same++;
		common = same;
	}
	snprintf(completion->insert, sizeof(completion->insert), "%.*s%s", (int)(common - done),
		 completion->candidate[0] + done, completion->count == 1 ? " " : "");
}

/* Takes the first word of the line from *at on; *at is moved behind it. */
static struct word next_word(const char *line, size_t end, size_t *at)
{
	struct word word;

	while (*at < end && (line[*at] == ' ' || line[*at] == '\t'))
		++*at;
	word.text = line + *at;
	while (*at < end && line[*at] != ' ' && line[*at] != '\t')
		++*at;
	word.length = (size_t)(line + *at - word.text);
	return word;
}

void complete(const char *line, size_t cursor, struct completion *completion)
{
	size_t at = 0;
	struct word first = next_word(line, cursor, &at);
	struct word last = first;
	const struct verb *verb;
	char name[NAME_BYTES];
	size_t done;

	*completion = (struct completion){.dashes = ""};
	if (first.length > 0 && (first.text[0] == '!' || first.text[0] == '#'))
		return;
	while (at < cursor)
		last = next_word(line, cursor, &at);
	done = last.length;
	if (last.text == first.text) {
		offer_verbs(completion, &last);
	} else {
		snprintf(name, sizeof(name), "%.*s", (int)first.length, first.text);
		verb = verb_find(name);
		if (verb == NULL)
			return;
		if (verb == &verb_help && (last.length == 0 || last.text[0] != '-')) {
			offer_verbs(completion, &last);
		} else if (last.length >= 2 && last.text[0] == '-' && last.text[1] == '-') {
			last.text += 2;
			last.length -= 2;
			done -= 2;
			offer_options(completion, verb, &last);
		} else if (verb->domains) {
			offer_domains(completion, &last);
		}
	}
	make_insert(completion, done);
}
