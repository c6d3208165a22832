/* SPDX-License-Identifier: BSD-2-Clause */
/* "stat DOMAIN": why a domain's vCPUs were left, since its start. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "report.h"
#include "verb_stat.h"

/* What socled knows of the domain; NULL: reported. */
static json_t *find_domain(struct context *context, const char *name, enum status *status)
{
	json_t *reply = NULL, *domain;

	*status =
		client_ask(context, json_pack("{ss s[s]}", "do", "list", "domains", name), &reply);
	if (*status != STATUS_OK)
		return NULL;
	domain = json_incref(json_array_get(json_object_get(reply, "domains"), 0));
	json_decref(reply);
	if (domain != NULL && json_is_integer(json_object_get(domain, "domid")))
		return domain;
	if (domain != NULL)
		context_complain(context, "the domain '%s' has ended", name);
	else
		context_complain(context, "there is no domain '%s'", name);
	json_decref(domain);
	*status = STATUS_FAILED;
	return NULL;
}

static uint64_t sum_of(const uint64_t count[SOCLE_EXIT_COUNT])
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++)
		sum += count[i];
	return sum;
}

static json_t *exits_json(const struct socle_handle *handle, const uint64_t count[SOCLE_EXIT_COUNT])
{
	json_t *exits = json_object();

	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++)
		json_object_set_new(exits, socle_exit_reason_name(handle->vendor, i),
				    report_number(count[i]));
	return exits;
}

/*
 * Adds the counters to the domain's object. A vCPU that the VMM has not made yet has none; a domain
 * that has gone meanwhile has none at all.
 */
static enum status add_counters(struct context *context, json_t *domain)
{
	const struct socle_handle *handle = &context->handle;
	uint32_t number = (uint32_t)json_integer_value(json_object_get(domain, "domid"));
	json_int_t vcpus = json_integer_value(json_object_get(domain, "vcpus"));
	uint64_t total[SOCLE_EXIT_COUNT] = {0}, count[SOCLE_EXIT_COUNT];
	json_t *list = json_array();

	for (json_int_t i = 0; i < vcpus; i++) {
		int result = socle_stats_exits(handle, (uint32_t)i, number, count);
		json_t *vcpu;

		if (result == SOCLE_ERROR_ARGUMENT)
			continue;
		if (result != SOCLE_OK) {
			json_decref(list);
			return context_refused(context, "stats_read", result);
		}
		for (unsigned int reason = 0; reason < SOCLE_EXIT_COUNT; reason++)
			total[reason] += count[reason];
		vcpu = json_object();
		json_object_set_new(vcpu, "vcpu", json_integer(i));
		json_object_set_new(vcpu, "exits_total", report_number(sum_of(count)));
		json_object_set_new(vcpu, "exits", exits_json(handle, count));
		json_array_append_new(list, vcpu);
	}
	json_object_set_new(domain, "exits_total", report_number(sum_of(total)));
	json_object_set_new(domain, "exits", exits_json(handle, total));
	json_object_set_new(domain, "vcpu_list", list);
	return STATUS_OK;
}

static void print_text(FILE *output, json_t *domain)
{
	static const struct column fields[] = {
		{"name", "name", FORMAT_PLAIN},
		{"domid", "number", FORMAT_PLAIN},
		{"state", "state", FORMAT_PLAIN},
		{"uptime_seconds", "up", FORMAT_SECONDS},
		{"time_seconds", "processor time", FORMAT_SECONDS},
		{"memory_mib", "memory in MiB", FORMAT_PLAIN},
		{"exits_total", "exits", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	static const struct column reasons[] = {
		{"reason", "EXIT REASON", FORMAT_PLAIN},
		{"count", "DOMAIN", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	static const struct column vcpus[] = {
		{"vcpu", "VCPU", FORMAT_PLAIN},
		{"exits_total", "EXITS", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	json_t *rows = stat_reasons(json_object_get(domain, "exits"));

	report_fields(output, domain, fields);
	fputs("\nReasons that are not listed did not occur.\n", output);
	report_table(output, rows, reasons);
	fputc('\n', output);
	report_table(output, json_object_get(domain, "vcpu_list"), vcpus);
	json_decref(rows);
}

enum status stat_domain(struct context *context, const char *name, bool json)
{
	enum status status = context_open(context);
	json_t *domain = status == STATUS_OK ? find_domain(context, name, &status) : NULL;

	if (domain == NULL)
		return status;
	status = add_counters(context, domain);
	if (status == STATUS_OK && json)
		report_json(context->output, domain);
	else if (status == STATUS_OK)
		print_text(context->output, domain);
	json_decref(domain);
	return status;
}
