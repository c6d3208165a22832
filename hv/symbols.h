/* SPDX-License-Identifier: BSD-2-Clause */
/* Function names for call traces. The table is made from the linked image by symbols.sh. */
#ifndef HV_SYMBOLS_H
#define HV_SYMBOLS_H

#include "hv/types.h"

struct symbol {
	uint64_t address;
	const char *name;
};

extern const struct symbol symbols[];
extern const size_t symbols_count;

/* Name of the function that holds an address, "?" if none does; *offset: how far into it. */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif
