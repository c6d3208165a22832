/* SPDX-License-Identifier: BSD-2-Clause */
/* "mem-set": how much of its memory a guest uses. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "report.h"

#define MIB_MAX (1ull << 30)

/* A number with one of xl's units behind it, "512", "512m", "1g": MiB. False: it is none. */
static bool parse_size(const char *text, unsigned long long *mib)
{
	static const struct {
		char unit;
		unsigned long long bytes;
	} units[] = {{'b', 1},
		     {'k', 1ull << 10},
		     {'m', 1ull << 20},
		     {'g', 1ull << 30},
		     {'t', 1ull << 40}};
	unsigned long long number, bytes = 1ull << 20;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end != 0) {
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
			if (tolower((unsigned char)*end) == units[i].unit && end[1] == 0) {
				bytes = units[i].bytes;
				end++;
				break;
			}
		}
	}
	if (*end != 0 || errno != 0 || number > MIB_MAX * (1ull << 20) / bytes)
		return false;
	*mib = number * bytes >> 20;
	return true;
}

static enum status run(struct context *context, const struct arguments *arguments)
{
	unsigned long long mib;
	json_t *reply = NULL;
	enum status status;

	if (arguments->operands != 2) {
		context_complain(context, "mem-set: expected a domain and an amount of memory");
		return STATUS_USAGE;
	}
	if (!parse_size(arguments->operand[1], &mib)) {
		context_complain(context,
				 "mem-set: expected MiB, or a number with one of b, k, m, g, t "
				 "behind it, found '%s'",
				 arguments->operand[1]);
		return STATUS_USAGE;
	}
	status = client_ask(context,
			    json_pack("{ss ss sI}", "do", "memory", "domain", arguments->operand[0],
				      "mib", (json_int_t)mib),
			    &reply);
	if (status != STATUS_OK)
		return status;
	json_object_del(reply, "ok");
	if (arguments->json)
		report_json(context->output, reply);
	json_decref(reply);
	return STATUS_OK;
}

const struct verb verb_mem_set = {
	.name = "mem-set",
	.usage = "DOMAIN MIB",
	.summary = "Ask a guest to use so much of its memory",
	.details =
		"Its balloon driver does it by and by; 'list' shows how far it is. At most what\n"
		"the domain was created with. A unit may be behind the number: b, k, m, g, t.",
	.operands_max = 2,
	.domains = true,
	.run = run,
};
