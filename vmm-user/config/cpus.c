/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

/* "0-3,^2,7" into set; false: it is none. */
static bool parse_cpus(const char *text, bool set[CONFIG_CPUS_MAX])
{
	bool any = false;

	memset(set, 0, CONFIG_CPUS_MAX * sizeof(bool));
	while (*text != 0) {
		unsigned long first, last;
		bool remove = *text == '^';
		char *end;

		text += remove;
		if (*text < '0' || *text > '9')
			return false;
		first = last = strtoul(text, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if (first > last || last >= CONFIG_CPUS_MAX || (*end != 0 && *end != ','))
			return false;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			set[cpu] = !remove;
		text = *end == ',' ? end + 1 : end;
	}
	for (unsigned int cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++)
		any = any || set[cpu];
	return any;
}

/* The set in the form that cpuset takes; false if it is too long. */
static bool format_cpus(const bool set[CONFIG_CPUS_MAX], char *out, size_t size)
{
	size_t used = 0;

	out[0] = 0;
	for (unsigned int cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++) {
		unsigned int first = cpu;

		if (!set[cpu])
			continue;
		while (cpu + 1 < CONFIG_CPUS_MAX && set[cpu + 1])
			cpu++;
		used += (size_t)snprintf(out + used, size - used, first == cpu ? "%s%u" : "%s%u-%u",
					 used > 0 ? "," : "", first, cpu);
		if (used >= size)
			return false;
	}
	return true;
}

bool config_cpus(const char *text, char *out, size_t size)
{
	bool set[CONFIG_CPUS_MAX];

	return parse_cpus(text, set) && format_cpus(set, out, size);
}
