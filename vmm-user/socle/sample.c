/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <x86intrin.h>

#include "report.h"
#include "sample.h"

enum status sample_take(struct context *context, struct sample *sample)
{
	const struct socle_handle *handle = &context->handle;
	enum status status = context_open(context);
	int result;

	if (status != STATUS_OK)
		return status;
	*sample = (struct sample){0};
	result = socle_info_general(handle, &sample->general);
	if (result != SOCLE_OK)
		return context_refused(context, "info", result);
	sample->cpu = calloc(sample->general.cpus_online, sizeof(*sample->cpu));
	if (sample->cpu == NULL) {
		context_complain(context, "out of memory for the counters of %u CPUs",
				 sample->general.cpus_online);
		return STATUS_FAILED;
	}
	sample->tsc = __rdtsc();
	for (uint32_t i = 0; i < sample->general.cpus_online && result == SOCLE_OK; i++) {
		result = socle_stats_cpu(handle, i, &sample->cpu[i].total);
		if (result == SOCLE_OK)
			result = socle_stats_exits(handle, i, SOCLE_VM_SERVICE,
						   sample->cpu[i].service);
	}
	if (result == SOCLE_OK)
		return STATUS_OK;
	sample_free(sample);
	return context_refused(context, "stats_read", result);
}

void sample_free(struct sample *sample)
{
	free(sample->cpu);
	sample->cpu = NULL;
}

double sample_seconds(const struct socle_info_general *general, uint64_t from, uint64_t to)
{
	return general->tsc_hz != 0 && to > from ? (double)(to - from) / (double)general->tsc_hz
						 : 0.0;
}

static void subtract(struct sample_cpu *from, const struct sample_cpu *what)
{
	from->total.exits -= what->total.exits;
	from->total.hypercalls -= what->total.hypercalls;
	from->total.hypercalls_denied -= what->total.hypercalls_denied;
	from->total.hypervisor_cycles -= what->total.hypervisor_cycles;
	for (int i = 0; i < SOCLE_EXIT_COUNT; i++)
		from->service[i] -= what->service[i];
}

static void add(struct sample_cpu *to, const struct sample_cpu *what)
{
	to->total.exits += what->total.exits;
	to->total.hypercalls += what->total.hypercalls;
	to->total.hypercalls_denied += what->total.hypercalls_denied;
	to->total.hypervisor_cycles += what->total.hypervisor_cycles;
	for (int i = 0; i < SOCLE_EXIT_COUNT; i++)
		to->service[i] += what->service[i];
}

/* Adds the counters of one CPU, or of all together, to an object. */
static void set_counters(json_t *object, const struct sample_cpu *counters,
			 enum socle_vendor vendor)
{
	json_t *service = json_object();
	json_t *exits = json_object();
	uint64_t total = 0;

	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++) {
		total += counters->service[i];
		json_object_set_new(exits, socle_exit_reason_name(vendor, i),
				    report_number(counters->service[i]));
	}
	json_object_set_new(service, "exits_total", report_number(total));
	json_object_set_new(service, "exits", exits);
	json_object_set_new(object, "service", service);
	json_object_set_new(object, "exits_total", report_number(counters->total.exits));
	json_object_set_new(object, "hypercalls_total", report_number(counters->total.hypercalls));
	json_object_set_new(object, "hypercalls_denied",
			    report_number(counters->total.hypercalls_denied));
	json_object_set_new(object, "hypervisor_cycles",
			    report_number(counters->total.hypervisor_cycles));
}

json_t *sample_json(const struct sample *before, const struct sample *now, enum socle_vendor vendor)
{
	const struct socle_info_general *general = &now->general;
	uint64_t start = before != NULL ? before->tsc : general->boot_tsc;
	double seconds = sample_seconds(general, start, now->tsc);
	double cycles = (double)(now->tsc - start) * general->cpus_online;
	struct sample_cpu sum = {0};
	json_t *object = json_object();
	json_t *cpus = json_array();

	for (uint32_t i = 0; i < general->cpus_online; i++) {
		struct sample_cpu counters = now->cpu[i];
		json_t *cpu = json_object();

		if (before != NULL && i < before->general.cpus_online)
			subtract(&counters, &before->cpu[i]);
		add(&sum, &counters);
		json_object_set_new(cpu, "cpu", json_integer(i));
		set_counters(cpu, &counters, vendor);
		json_array_append_new(cpus, cpu);
	}
	json_object_set_new(object, "seconds", json_real(seconds));
	set_counters(object, &sum, vendor);
	json_object_set_new(
		object, "hypervisor_percent",
		json_real(cycles > 0 ? 100.0 * (double)sum.total.hypervisor_cycles / cycles : 0.0));
	json_object_set_new(object, "cpus", cpus);
	return object;
}
