#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Writes the table of function names for symbols.c. Argument: the linked image, or none for the empty
# table of the first link. The second link puts the table behind everything else, so that no function
# moves.
set -eu
echo '// SPDX-License-Identifier: BSD-2-Clause'
echo '#include "hv/symbols.h"'
echo 'const struct symbol symbols[] __attribute__((section(".rodata.symbols"))) = {'
if [ $# -eq 1 ]; then
	nm "$1" | LC_ALL=C sort | awk '$2 ~ /^[tT]$/ && $3 !~ /\./ {printf "{0x%sull, \"%s\"},\n", $1, $3}'
else
	echo '{0, "?"},'
fi
echo '};'
echo 'const size_t symbols_count __attribute__((section(".rodata.symbols"))) ='
echo '        sizeof(symbols) / sizeof(symbols[0]);'
