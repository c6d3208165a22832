/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "socle.h"

int64_t socle_hypercall(const struct socle_handle *handle, uint64_t call,
			const uint64_t argument[4], struct socle_reply *reply)
{
	return handle->raw(call, &handle->key, argument, reply);
}

/*
 * A call whose reply is one structure of the ABI; static assertions in the ABI hold that each of
 * these is as large as the reply.
 */
static int call_structure(const struct socle_handle *handle, enum socle_call call,
			  const uint64_t argument[4], void *out)
{
	struct socle_reply reply;
	int64_t result = socle_hypercall(handle, call, argument, &reply);

	if (result < 0)
		return (int)result;
	memcpy(out, &reply, sizeof(reply));
	return SOCLE_OK;
}

int socle_info_general(const struct socle_handle *handle, struct socle_info_general *out)
{
	const uint64_t argument[4] = {SOCLE_INFO_GENERAL};

	return call_structure(handle, SOCLE_CALL_INFO, argument, out);
}

int socle_info_memory(const struct socle_handle *handle, struct socle_info_memory *out)
{
	const uint64_t argument[4] = {SOCLE_INFO_MEMORY};

	return call_structure(handle, SOCLE_CALL_INFO, argument, out);
}

int socle_info_cpu(const struct socle_handle *handle, uint32_t cpu, struct socle_info_cpu *out)
{
	const uint64_t argument[4] = {SOCLE_INFO_CPU, cpu};

	return call_structure(handle, SOCLE_CALL_INFO, argument, out);
}

int socle_stats_cpu(const struct socle_handle *handle, uint32_t cpu, struct socle_stats_cpu *out)
{
	const uint64_t argument[4] = {SOCLE_STATS_CPU, cpu};

	return call_structure(handle, SOCLE_CALL_STATS_READ, argument, out);
}

int socle_stats_exits(const struct socle_handle *handle, uint32_t cpu, uint32_t vm,
		      uint64_t out[SOCLE_EXIT_COUNT])
{
	const unsigned int words = sizeof(struct socle_reply) / sizeof(uint64_t);
	uint64_t count[SOCLE_EXIT_COUNT];

	for (unsigned int reason = 0; reason < SOCLE_EXIT_COUNT; reason += words) {
		const uint64_t argument[4] = {SOCLE_STATS_EXITS, cpu, vm, reason};
		struct socle_reply reply;
		int64_t result = socle_hypercall(handle, SOCLE_CALL_STATS_READ, argument, &reply);

		if (result < 0)
			return (int)result;
		for (unsigned int i = 0; i < words && reason + i < SOCLE_EXIT_COUNT; i++)
			count[reason + i] = reply.word[i];
	}
	memcpy(out, count, sizeof(count));
	return SOCLE_OK;
}

int socle_poke(const struct socle_handle *handle, uint64_t value, uint64_t *out)
{
	const uint64_t argument[4] = {value};
	struct socle_reply reply;
	int64_t result = socle_hypercall(handle, SOCLE_CALL_POKE, argument, &reply);

	if (result < 0)
		return (int)result;
	*out = reply.word[0];
	return SOCLE_OK;
}
