/* SPDX-License-Identifier: BSD-2-Clause */
/* "info": what the hypervisor is, what it runs on, and its memory. */
#include <x86intrin.h>

#include "report.h"
#include "sample.h"
#include "verb.h"

static json_t *version_json(uint64_t version)
{
	return json_sprintf("%u.%u.%u", (unsigned int)(version >> 32),
			    (unsigned int)(version >> 16 & 0xffff),
			    (unsigned int)(version & 0xffff));
}

static json_t *features_json(uint64_t features)
{
	json_t *list = json_array();

	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *name = socle_feature_name(bit);

		if ((features >> bit & 1) == 0)
			continue;
		json_array_append_new(list, name != NULL ? json_string(name)
							 : json_sprintf("bit_%u", bit));
	}
	return list;
}

static json_t *info_json(const struct socle_info_general *general,
			 const struct socle_info_memory *memory)
{
	json_t *info = json_object();
	uint64_t now = __rdtsc();

	json_object_set_new(info, "version", version_json(general->hypervisor_version));
	json_object_set_new(info, "abi_version", json_integer(general->abi_version));
	json_object_set_new(info, "backend",
			    json_string(socle_vendor_name((enum socle_vendor)general->vendor)));
	json_object_set_new(info, "cpus", json_integer(general->cpus_online));
	json_object_set_new(info, "cpus_found", json_integer(general->cpus_found));
	json_object_set_new(info, "features", features_json(general->features));
	json_object_set_new(info, "pool_base", report_number(memory->pool_base));
	json_object_set_new(info, "pool_bytes", report_number(memory->pool_bytes));
	json_object_set_new(info, "pool_free_bytes", report_number(memory->pool_free_bytes));
	json_object_set_new(info, "hypervisor_base", report_number(memory->hypervisor_base));
	json_object_set_new(info, "hypervisor_bytes", report_number(memory->hypervisor_bytes));
	json_object_set_new(info, "log_bytes", report_number(memory->log_bytes));
	json_object_set_new(info, "tsc_hz", report_number(general->tsc_hz));
	json_object_set_new(info, "uptime_seconds",
			    json_real(sample_seconds(general, general->boot_tsc, now)));
	/* Without a valid key we would not have come so far. */
	json_object_set_new(info, "key_ok", json_true());
	return info;
}

static int add_cpus(const struct socle_handle *handle, uint32_t count, json_t *info)
{
	json_t *list = json_array();

	json_object_set_new(info, "cpu_list", list);
	for (uint32_t i = 0; i < count; i++) {
		struct socle_info_cpu cpu;
		int result = socle_info_cpu(handle, i, &cpu);
		json_t *entry;

		if (result != SOCLE_OK)
			return result;
		entry = json_object();
		json_object_set_new(entry, "cpu", json_integer(i));
		json_object_set_new(entry, "apic_id", json_integer(cpu.apic_id));
		json_array_append_new(list, entry);
	}
	return SOCLE_OK;
}

static void print_text(FILE *output, const json_t *info)
{
	static const struct column fields[] = {
		{"version", "Socle version", FORMAT_PLAIN},
		{"abi_version", "ABI version", FORMAT_PLAIN},
		{"backend", "back end", FORMAT_PLAIN},
		{"cpus", "CPUs in use", FORMAT_PLAIN},
		{"cpus_found", "CPUs found", FORMAT_PLAIN},
		{"features", "features", FORMAT_PLAIN},
		{"pool_base", "guest pool at", FORMAT_HEX},
		{"pool_bytes", "guest pool", FORMAT_BYTES},
		{"pool_free_bytes", "guest pool free", FORMAT_BYTES},
		{"hypervisor_base", "hypervisor at", FORMAT_HEX},
		{"hypervisor_bytes", "hypervisor", FORMAT_BYTES},
		{"log_bytes", "log", FORMAT_BYTES},
		{"tsc_hz", "TSC frequency", FORMAT_HERTZ},
		{"uptime_seconds", "up", FORMAT_SECONDS},
		{"key_ok", "key valid", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	static const struct column columns[] = {
		{"cpu", "CPU", FORMAT_PLAIN},
		{"apic_id", "APIC ID", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};

	report_fields(output, info, fields);
	fputc('\n', output);
	report_table(output, json_object_get(info, "cpu_list"), columns);
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	struct socle_info_general general;
	struct socle_info_memory memory;
	enum status status = context_open(context);
	json_t *info;
	int result;

	if (status != STATUS_OK)
		return status;
	result = socle_info_general(&context->handle, &general);
	if (result == SOCLE_OK)
		result = socle_info_memory(&context->handle, &memory);
	if (result != SOCLE_OK)
		return context_refused(context, "info", result);
	info = info_json(&general, &memory);
	result = add_cpus(&context->handle, general.cpus_online, info);
	if (result != SOCLE_OK)
		status = context_refused(context, "info", result);
	else if (arguments->json)
		report_json(context->output, info);
	else
		print_text(context->output, info);
	json_decref(info);
	return status;
}

const struct verb verb_info = {
	.name = "info",
	.usage = "",
	.summary = "Show the hypervisor's version, processors, features and memory",
	.run = run,
};
