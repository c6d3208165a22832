/* SPDX-License-Identifier: BSD-2-Clause */
/* "version": of this program and, if there is one, of the hypervisor. */
#include "report.h"
#include "verb.h"

static json_t *hypervisor_version(struct context *context)
{
	struct socle_handle handle;
	struct socle_info_general general;

	if (context->opened)
		handle = context->handle;
	else if (socle_open(context->key_path, &handle, NULL) != SOCLE_OPEN_OK)
		return json_null();
	if (socle_info_general(&handle, &general) != SOCLE_OK)
		return json_null();
	return json_sprintf("%u.%u.%u", (unsigned int)(general.hypervisor_version >> 32),
			    (unsigned int)(general.hypervisor_version >> 16 & 0xffff),
			    (unsigned int)(general.hypervisor_version & 0xffff));
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	static const struct column fields[] = {
		{"version", "socle", FORMAT_PLAIN},
		{"abi_version", "ABI", FORMAT_PLAIN},
		{"hypervisor_version", "hypervisor", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	json_t *data = json_object();

	json_object_set_new(data, "version",
			    json_sprintf("%d.%d.%d", SOCLE_VERSION_MAJOR, SOCLE_VERSION_MINOR,
					 SOCLE_VERSION_PATCH));
	json_object_set_new(data, "abi_version", json_integer(SOCLE_ABI_VERSION));
	json_object_set_new(data, "hypervisor_version", hypervisor_version(context));
	if (arguments->json)
		report_json(context->output, data);
	else
		report_fields(context->output, data, fields);
	json_decref(data);
	return STATUS_OK;
}

const struct verb verb_version = {
	.name = "version",
	.usage = "",
	.summary = "Show the versions of this program and of the hypervisor",
	.details = "The hypervisor's is null (-) where it cannot be asked; that is no error.",
	.run = run,
};
