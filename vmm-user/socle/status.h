/* SPDX-License-Identifier: BSD-2-Clause */
/* Exit statuses of "socle": of the program, of every verb, and in the shell's prompt. */
#ifndef SOCLE_STATUS_H
#define SOCLE_STATUS_H

enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NOT_SOCLE = 3,
	STATUS_PERMISSION = 4,
	STATUS_REFUSED = 5,
	STATUS_ABI = 6,
	STATUS_DAMAGED = 7,
	STATUS_NO_DAEMON = 8,
	STATUS_CONFIG = 9,
	STATUS_REBOOTED = 10,
	STATUS_DESTROYED = 11,
	STATUS_UNKNOWN_VERB = 127,
	STATUS_INTERRUPTED = 130
};

struct status_text {
	enum status status;
	const char *meaning;
};

/* All of them in ascending order, ended by an entry whose meaning is NULL. */
extern const struct status_text status_texts[];

#endif
