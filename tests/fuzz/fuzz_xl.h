/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_XL_H
#define FUZZ_XL_H

#include <stddef.h>

/* A domain's configuration: 'J' is JSON, 'O' one override a line, anything else a file. */
void fuzz_xl(char kind, const char *text, size_t bytes);

#endif
