/* SPDX-License-Identifier: BSD-2-Clause */
/* "socle": a verb on the command line, or the shell. */
#include <locale.h>

#include "interrupt.h"
#include "shell.h"
#include "verb.h"

int main(int argc, char **argv)
{
	struct context context = {.output = stdout, .error = stderr, .machine = &machine_real};

	/* Only characters: numbers keep their point, as JSON wants it. */
	setlocale(LC_CTYPE, "");
	if (argc < 2)
		return (int)shell_run(&context);
	interrupt_catch();
	return (int)execute(&context, argc - 1, argv + 1);
}
