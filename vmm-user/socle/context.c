/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>

#include "context.h"

enum status context_open(struct context *context)
{
	struct socle_open_error error;

	if (context->opened)
		return STATUS_OK;
	switch (socle_open(context->key_path, &context->handle, &error)) {
	case SOCLE_OPEN_OK:
		context->opened = true;
		return STATUS_OK;
	case SOCLE_OPEN_ABSENT:
		context_complain(context, "%s", error.message);
		return STATUS_NOT_SOCLE;
	case SOCLE_OPEN_PERMISSION:
		context_complain(context, "%s", error.message);
		return STATUS_PERMISSION;
	case SOCLE_OPEN_ABI:
		context_complain(context, "%s", error.message);
		return STATUS_ABI;
	case SOCLE_OPEN_DAMAGED:
		context_complain(context, "%s", error.message);
		return STATUS_DAMAGED;
	case SOCLE_OPEN_IO:
		break;
	}
	context_complain(context, "%s", error.message);
	return STATUS_FAILED;
}

void context_complain(struct context *context, const char *format, ...)
{
	va_list arguments;

	/* What was written before must come out before: both often go to one terminal. */
	fflush(context->output);
	fputs("socle: ", context->error);
	va_start(arguments, format);
	vfprintf(context->error, format, arguments);
	va_end(arguments);
	fputc('\n', context->error);
	fflush(context->error);
}

enum status context_refused(struct context *context, const char *what, int64_t result)
{
	context_complain(context, "the hypervisor refused '%s': %s (error %lld)%s", what,
			 socle_error_text(result), (long long)result,
			 result == SOCLE_ERROR_KEY
				 ? "; the key in the ACPI table is not the hypervisor's: "
				   "restart the machine"
				 : "");
	return STATUS_REFUSED;
}
