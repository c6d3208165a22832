/* SPDX-License-Identifier: BSD-2-Clause */
/* What becomes of the keys of xl.cfg(5). */
#ifndef SOCLE_KEYS_H
#define SOCLE_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum key_use {
	KEY_USED,
	KEY_IGNORED,	 /* warned about: the domain works without it */
	KEY_UNSUPPORTED, /* refused: the domain would not be what was asked for */
	KEY_UNKNOWN	 /* warned about */
};

enum key_use config_key_use(const char *key);

#endif
