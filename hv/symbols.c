// SPDX-License-Identifier: BSD-2-Clause
#include "hv/symbols.h"

const char *symbol_find(uint64_t address, uint64_t *offset)
{
	const char *name = "?";

	*offset = address;
	for (size_t i = 0; i < symbols_count && symbols[i].address <= address; i++) {
		name = symbols[i].name;
		*offset = address - symbols[i].address;
	}
	return name;
}
