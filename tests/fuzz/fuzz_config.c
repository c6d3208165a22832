// SPDX-License-Identifier: BSD-2-Clause
/*
 * xl.cfg as text, as a command line's overrides and as JSON; and socle.conf. The first byte says
 * which. What is accepted is made into a configuration, and goes through JSON and back.
 */
#include <stdlib.h>

#include "boot/uefi/config.h"
#include "fuzz.h"
#include "fuzz_xl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct config config;
	char error[160];

	if (bytes == 0)
		return 0;
	if (data[0] != 'B')
		fuzz_xl(data[0], (const char *)data + 1, bytes - 1);
	else if (!config_parse((const char *)data + 1, bytes - 1, &config, error, sizeof(error)) &&
		 memchr(error, 0, sizeof(error)) == NULL)
		abort();
	return 0;
}
