/* SPDX-License-Identifier: BSD-2-Clause */
/* Ctrl-C: it ends what runs, not the shell. */
#ifndef SOCLE_INTERRUPT_H
#define SOCLE_INTERRUPT_H

#include <stdbool.h>

/* From here on SIGINT sets a flag and interrupts system calls, in place of ending the process. */
void interrupt_catch(void);

/* Gives SIGINT its default action again, in a child before exec. */
void interrupt_default(void);

/* While it is ignored (a child has the terminal), SIGINT does not set the flag. */
void interrupt_ignore(bool ignore);

void interrupt_clear(void);
bool interrupt_pending(void);

/* Sleeps for some seconds; gives true, at once, if there was or is an interrupt. */
bool interrupt_wait(double seconds);

#endif
