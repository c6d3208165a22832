/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "config.h"

static void say(struct config_reporter *reporter, struct config_place place, const char *kind,
		const char *format, va_list arguments)
{
	char message[CONFIG_MESSAGE_BYTES];
	int used = 0;

	if (place.source != NULL && place.line > 0)
		used = snprintf(message, sizeof(message), "%.200s:%u: ", place.source, place.line);
	else if (place.source != NULL)
		used = snprintf(message, sizeof(message), "%.200s: ", place.source);
	used += snprintf(message + used, sizeof(message) - (size_t)used, "%s", kind);
	vsnprintf(message + used, sizeof(message) - (size_t)used, format, arguments);
	reporter->say(reporter->context, message);
}

void config_error(struct config_reporter *reporter, struct config_place place, const char *format,
		  ...)
{
	va_list arguments;

	reporter->errors++;
	va_start(arguments, format);
	say(reporter, place, "", format, arguments);
	va_end(arguments);
}

void config_warn(struct config_reporter *reporter, struct config_place place, const char *format,
		 ...)
{
	va_list arguments;

	reporter->warnings++;
	va_start(arguments, format);
	say(reporter, place, "warning: ", format, arguments);
	va_end(arguments);
}
