/* SPDX-License-Identifier: BSD-2-Clause */
/* Splitting a line of the shell into words. */
#ifndef SOCLE_WORDS_H
#define SOCLE_WORDS_H

#define WORDS_MAX 256

struct words {
	int count;
	char *word[WORDS_MAX + 1]; /* ended by NULL */
	char *storage;		   /* what the words point into */
};

/*
 * Splits a line as sh does (POSIX, "Quoting"), without any expansion: blanks separate words;
 * 'x' is taken as it stands; in "x" a backslash protects only " \ $ ` and itself; elsewhere it
 * protects any character; # at the start of a word begins a comment.
 *
 * @words filled on success; to be given to words_free
 *
 * Gives NULL on success, else what is wrong.
 */
const char *words_split(const char *line, struct words *words);

void words_free(struct words *words);

#endif
