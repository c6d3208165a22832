/* SPDX-License-Identifier: BSD-2-Clause */
/* "stat": exits and hypercalls, since the start or from one interval to the next. */
#include "interrupt.h"
#include "report.h"
#include "sample.h"
#include "verb_stat.h"

#define INTERVAL_DEFAULT 1.0
#define INTERVAL_MINIMUM 0.01
#define INTERVAL_MAXIMUM 86400.0
#define COUNT_MAXIMUM	 1000000000ul

/* The heading comes again after this many lines, so that it stays on a screen of 24. */
#define LINES_PER_HEADING 20

enum { OPTION_INTERVAL, OPTION_COUNT };

static const struct verb_option options[] = {
	[OPTION_INTERVAL] = {"interval", 'i', "SECONDS", "print what is new every so many seconds"},
	[OPTION_COUNT] = {"count", 'n', "N", "end after so many intervals (default: Ctrl-C)"},
	{0},
};

static const struct column cpu_columns[] = {
	{"cpu", "CPU", FORMAT_PLAIN},
	{"exits_total", "EXITS", FORMAT_PLAIN},
	{"hypercalls_total", "HYPERCALLS", FORMAT_PLAIN},
	{"hypercalls_denied", "DENIED", FORMAT_PLAIN},
	{"hypervisor_cycles", "HYPERVISOR CYCLES", FORMAT_PLAIN},
	{NULL, NULL, FORMAT_PLAIN},
};

json_t *stat_reasons(json_t *exits)
{
	json_t *rows = json_array();
	const char *reason;
	json_t *count;

	json_object_foreach(exits, reason, count)
	{
		json_t *row;

		if (json_is_integer(count) && json_integer_value(count) == 0)
			continue;
		row = json_object();
		json_object_set_new(row, "reason", json_string(reason));
		json_object_set(row, "count", count);
		json_array_append_new(rows, row);
	}
	return rows;
}

static void print_text(FILE *output, json_t *data)
{
	static const struct column fields[] = {
		{"seconds", "seconds", FORMAT_SECONDS},
		{"exits_total", "exits", FORMAT_PLAIN},
		{"hypercalls_total", "hypercalls", FORMAT_PLAIN},
		{"hypercalls_denied", "hypercalls denied", FORMAT_PLAIN},
		{"hypervisor_cycles", "hypervisor cycles", FORMAT_PLAIN},
		{"hypervisor_percent", "hypervisor % of time", FORMAT_PERCENT},
		{NULL, NULL, FORMAT_PLAIN},
	};
	static const struct column columns[] = {
		{"reason", "EXIT REASON", FORMAT_PLAIN},
		{"count", "SERVICE VM", FORMAT_PLAIN},
		{NULL, NULL, FORMAT_PLAIN},
	};
	json_t *exits = json_object_get(json_object_get(data, "service"), "exits");
	json_t *rows = stat_reasons(exits);

	report_fields(output, data, fields);
	fputs("\nReasons that are not listed did not occur.\n", output);
	report_table(output, rows, columns);
	fputc('\n', output);
	report_table(output, json_object_get(data, "cpus"), cpu_columns);
	json_decref(rows);
}

static long long counted(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* One interval as one line of at most 80 columns. */
static void print_line(FILE *output, const json_t *data, unsigned long line)
{
	const json_t *service = json_object_get(data, "service");
	const json_t *exits = json_object_get(service, "exits");
	long long cpuid = counted(exits, "cpuid");
	long long hypercall = counted(exits, "hypercall");
	long long xsetbv = counted(exits, "xsetbv");
	long long total = counted(service, "exits_total");

	if (line % LINES_PER_HEADING == 0)
		fprintf(output, "%9s %10s %9s %9s %9s %9s %8s %8s\n", "SECONDS", "EXITS", "CPUID",
			"HYPERCALL", "XSETBV", "OTHER", "DENIED", "HV %");
	fprintf(output, "%9.3f %10lld %9lld %9lld %9lld %9lld %8lld %8.2f\n",
		json_real_value(json_object_get(data, "seconds")), total, cpuid, hypercall, xsetbv,
		total - cpuid - hypercall - xsetbv, counted(data, "hypercalls_denied"),
		json_real_value(json_object_get(data, "hypervisor_percent")));
	fflush(output);
}

/* count 0: until Ctrl-C. */
static enum status run_intervals(struct context *context, bool json, double interval,
				 unsigned long count)
{
	struct sample before, now;
	struct report_stream stream;
	enum status status = sample_take(context, &before);

	if (status != STATUS_OK)
		return status;
	if (json)
		report_stream_begin(&stream, context->output, JSON_INDENT(2));
	for (unsigned long i = 0; count == 0 || i < count; i++) {
		json_t *data;

		if (interrupt_wait(interval))
			break;
		status = sample_take(context, &now);
		if (status != STATUS_OK)
			break;
		data = sample_json(&before, &now, context->handle.vendor);
		if (json)
			report_stream_element(&stream, data);
		else
			print_line(context->output, data, i);
		json_decref(data);
		sample_free(&before);
		before = now;
	}
	if (json)
		report_stream_end(&stream);
	sample_free(&before);
	return status;
}

static enum status run_once(struct context *context, bool json)
{
	struct sample sample;
	enum status status = sample_take(context, &sample);
	json_t *data;

	if (status != STATUS_OK)
		return status;
	data = sample_json(NULL, &sample, context->handle.vendor);
	if (json)
		report_json(context->output, data);
	else
		print_text(context->output, data);
	json_decref(data);
	sample_free(&sample);
	return STATUS_OK;
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	const char *interval_text = arguments->option[OPTION_INTERVAL];
	const char *count_text = arguments->option[OPTION_COUNT];
	double interval = INTERVAL_DEFAULT;
	unsigned long count = 0;

	if (arguments->operands > 0) {
		if (interval_text == NULL && count_text == NULL)
			return stat_domain(context, arguments->operand[0], arguments->json);
		context_complain(context,
				 "stat: a domain's counters are shown since its start only");
		return STATUS_USAGE;
	}
	if (interval_text == NULL && count_text == NULL)
		return run_once(context, arguments->json);
	if (interval_text != NULL &&
	    !arguments_number(context, "interval", interval_text, INTERVAL_MINIMUM,
			      INTERVAL_MAXIMUM, &interval))
		return STATUS_USAGE;
	if (count_text != NULL &&
	    !arguments_count(context, "count", count_text, 1, COUNT_MAXIMUM, &count))
		return STATUS_USAGE;
	return run_intervals(context, arguments->json, interval, count);
}

const struct verb verb_stat = {
	.name = "stat",
	.aliases = {"stats"},
	.usage = "[DOMAIN]",
	.summary = "Show how often and why the hypervisor was entered",
	.details = "With a domain: the exits of its vCPUs since it was started last.\n"
		   "Without options: all since the hypervisor's start. The counters are never\n"
		   "reset; with --interval or --count their differences are printed, with --json\n"
		   "as an array.",
	.options = options,
	.operands_max = 1,
	.domains = true,
	.run = run,
};
