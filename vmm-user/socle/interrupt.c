/* SPDX-License-Identifier: BSD-2-Clause */
#include <signal.h>
#include <stddef.h>
#include <sys/select.h>
#include <time.h>

#include "interrupt.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static void set_action(void (*handler)(int))
{
	/* No SA_RESTART: a read of the terminal has to come back. */
	struct sigaction action = {.sa_handler = handler};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
}

void interrupt_catch(void)
{
	set_action(on_interrupt);
}

void interrupt_default(void)
{
	set_action(SIG_DFL);
}

void interrupt_ignore(bool ignore)
{
	set_action(ignore ? SIG_IGN : on_interrupt);
}

void interrupt_clear(void)
{
	interrupted = 0;
}

bool interrupt_pending(void)
{
	return interrupted != 0;
}

bool interrupt_wait(double seconds)
{
	struct timespec now, end, left;
	sigset_t block, old;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)seconds;
	end.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	/* Only inside pselect can the signal come: none is missed between the test and the sleep.
	 */
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, &old);
	while (!interrupted) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = end.tv_sec - now.tv_sec;
		left.tv_nsec = end.tv_nsec - now.tv_nsec;
		if (left.tv_nsec < 0) {
			left.tv_sec--;
			left.tv_nsec += 1000000000;
		}
		if (left.tv_sec < 0 || pselect(0, NULL, NULL, NULL, &left, &old) == 0)
			break;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return interrupted != 0;
}
