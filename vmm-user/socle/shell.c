/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "client.h"
#include "complete.h"
#include "interrupt.h"
#include "shell.h"
#include "words.h"

#define HISTORY_LINES 500

/* The status of a command that a signal ended, as in sh. */
#define STATUS_SIGNAL 128

struct editor {
	struct context *context;
	EditLine *line;
	History *history;
	struct termios terminal; /* as it was at the start */
};

/* Commands for /bin/sh ------------------------------------------------------------------------- */

static enum status wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return STATUS_FAILED;
	}
	return (enum status)(WIFEXITED(status) ? WEXITSTATUS(status)
					       : STATUS_SIGNAL + WTERMSIG(status));
}

static enum status run_command(struct context *context, const char *command)
{
	enum status status;
	pid_t child;

	fflush(context->output);
	/* Ctrl-C is the child's: we only wait. */
	interrupt_ignore(true);
	child = fork();
	if (child == 0) {
		interrupt_default();
		signal(SIGTTOU, SIG_DFL);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (child < 0) {
		context_complain(context, "cannot start /bin/sh: %s", strerror(errno));
		status = STATUS_FAILED;
	} else {
		status = wait_for(child);
	}
	interrupt_ignore(false);
	return status;
}

void shell_line(struct context *context, const char *line)
{
	struct words words;
	const char *wrong;

	line += strspn(line, " \t\r\n");
	if (*line == '!') {
		context->status = run_command(context, line + 1);
		return;
	}
	wrong = words_split(line, &words);
	if (wrong != NULL) {
		context_complain(context, "%s", wrong);
		context->status = STATUS_USAGE;
		return;
	}
	if (words.count > 0)
		context->status = execute(context, words.count, words.word);
	words_free(&words);
}

/* Without a terminal --------------------------------------------------------------------------- */

static enum status run_plain(struct context *context)
{
	char *line = NULL;
	size_t size = 0;

	while (!context->leave && getline(&line, &size, stdin) >= 0) {
		shell_line(context, line);
		if (context->status == STATUS_INTERRUPTED)
			break;
	}
	free(line);
	return interrupt_pending() ? STATUS_INTERRUPTED : context->status;
}

/* With a terminal ------------------------------------------------------------------------------ */

const char *shell_prompt(enum status status)
{
	static char prompt[32];

	if (status == STATUS_OK)
		return "socle> ";
	snprintf(prompt, sizeof(prompt), "socle [%d]> ", (int)status);
	return prompt;
}

static char *prompt_of(EditLine *line)
{
	struct editor *editor = NULL;

	el_get(line, EL_CLIENTDATA, &editor);
	return (char *)(uintptr_t)shell_prompt(editor->context->status);
}

/* The Tab key. */
static unsigned char complete_word(EditLine *line, int key)
{
	struct editor *editor = NULL;
	const LineInfo *info = el_line(line);
	struct completion completion;
	bool list;

	(void)key;
	el_get(line, EL_CLIENTDATA, &editor);
	complete(info->buffer, (size_t)(info->cursor - info->buffer), &completion);
	if (completion.count == 0)
		return CC_REFRESH_BEEP;
	list = completion.count > 1 && completion.insert[0] == 0;
	if (completion.insert[0] != 0 && el_insertstr(line, completion.insert) != 0)
		return CC_REFRESH_BEEP;
	if (!list)
		return CC_REFRESH;
	fputc('\n', editor->context->output);
	for (int i = 0; i < completion.count; i++)
		fprintf(editor->context->output, "%s%s%s", i > 0 ? "  " : "", completion.dashes,
			completion.candidate[i]);
	fputc('\n', editor->context->output);
	fflush(editor->context->output);
	return CC_REDISPLAY;
}

_Static_assert(CLIENT_NAME_BYTES == COMPLETE_NAME_BYTES, "one may be filled as the other");

static size_t domain_names(void *context, char name[][COMPLETE_NAME_BYTES], size_t max)
{
	return client_domain_names(context, name, max);
}

/*
 * An init that is a shell script starts us in its own session with a terminal that belongs to
 * nobody: then Ctrl-C would reach nobody either. Make it ours.
 */
static void take_terminal(void)
{
	if (tcgetsid(STDIN_FILENO) >= 0)
		return;
	if (getsid(0) != getpid() && setsid() < 0)
		return;
	ioctl(STDIN_FILENO, TIOCSCTTY, 0);
}

static bool editor_open(struct editor *editor, struct context *context)
{
	HistEvent event;

	*editor = (struct editor){.context = context};
	editor->line = el_init("socle", stdin, stdout, stderr);
	if (editor->line == NULL)
		return false;
	editor->history = history_init();
	el_set(editor->line, EL_CLIENTDATA, editor);
	el_set(editor->line, EL_PROMPT, prompt_of);
	el_set(editor->line, EL_EDITOR, "emacs");
	el_set(editor->line, EL_SIGNAL, 1);
	el_set(editor->line, EL_ADDFN, "complete-word", "Complete verbs and options",
	       complete_word);
	el_set(editor->line, EL_BIND, "^I", "complete-word", NULL);
	el_set(editor->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_set(editor->line, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
	if (editor->history != NULL) {
		history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
		history(editor->history, &event, H_SETUNIQUE, 1);
		el_set(editor->line, EL_HIST, history, editor->history);
	}
	return true;
}

static void editor_close(struct editor *editor)
{
	el_end(editor->line);
	if (editor->history != NULL)
		history_end(editor->history);
}

/* Makes the terminal ready for the prompt after a command. */
static void recover_terminal(struct editor *editor, const char *line)
{
	/* /bin/sh and its children may have left it in any state, and to another group. */
	line += strspn(line, " \t\r\n");
	if (*line == '!') {
		tcsetpgrp(STDIN_FILENO, getpgrp());
		tcsetattr(STDIN_FILENO, TCSADRAIN, &editor->terminal);
	}
	/* The terminal's echo of Ctrl-C stands where the prompt belongs. */
	if (*line != 0 && editor->context->status == STATUS_INTERRUPTED) {
		fputc('\n', editor->context->output);
		fflush(editor->context->output);
	}
}

/*
 * Gives the next line, NULL at the end of input, or "" if Ctrl-C took the line away. It is valid
 * until the next call.
 */
static const char *read_line(struct editor *editor)
{
	int length = 0;
	const char *line;

	interrupt_clear();
	/* Before the prompt is out: whoever types as soon as it is seen would be echoed twice. */
	el_set(editor->line, EL_PREP_TERM, 1);
	line = el_gets(editor->line, &length);
	if (interrupt_pending()) {
		fputs("^C\n", editor->context->output);
		fflush(editor->context->output);
		interrupt_clear();
		return "";
	}
	return line != NULL && length > 0 ? line : NULL;
}

static enum status run_terminal(struct context *context)
{
	struct editor editor;
	const char *line;
	HistEvent event;

	take_terminal();
	signal(SIGTTOU, SIG_IGN);
	setenv("TERM", "vt100", 0);
	if (!editor_open(&editor, context)) {
		context_complain(context, "cannot set up line editing");
		return STATUS_FAILED;
	}
	complete_set_domains(domain_names, context);
	tcgetattr(STDIN_FILENO, &editor.terminal);
	fprintf(context->output,
		"Socle %d.%d.%d. 'help' lists the verbs; '!COMMAND' runs a Linux command.\n",
		SOCLE_VERSION_MAJOR, SOCLE_VERSION_MINOR, SOCLE_VERSION_PATCH);
	fflush(context->output);
	while (!context->leave && (line = read_line(&editor)) != NULL) {
		if (editor.history != NULL && line[strspn(line, " \t\r\n")] != 0)
			history(editor.history, &event, H_ENTER, line);
		shell_line(context, line);
		recover_terminal(&editor, line);
	}
	if (!context->leave)
		fprintf(context->output,
			"\nLeaving the shell; 'poweroff' switches the machine off.\n");
	fflush(context->output);
	complete_set_domains(NULL, NULL);
	editor_close(&editor);
	return context->status;
}

enum status shell_run(struct context *context)
{
	interrupt_catch();
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return run_terminal(context);
	return run_plain(context);
}
