/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <x86intrin.h>

#include "fake_domains.h"

#define FAKE_TSC_HZ 1000000000ull

struct fake_hypervisor fake;

static int64_t fake_info(const uint64_t argument[4], struct socle_reply *reply)
{
	struct socle_info_cpu cpu = {0};

	switch (argument[0]) {
	case SOCLE_INFO_GENERAL:
		memcpy(reply, &fake.general, sizeof(*reply));
		return SOCLE_OK;
	case SOCLE_INFO_MEMORY:
		memcpy(reply, &fake.memory, sizeof(*reply));
		return SOCLE_OK;
	case SOCLE_INFO_CPU:
		if (argument[1] >= FAKE_CPUS)
			return SOCLE_ERROR_ARGUMENT;
		cpu.apic_id = fake.apic_id[argument[1]];
		memcpy(reply, &cpu, sizeof(*reply));
		return SOCLE_OK;
	default:
		return SOCLE_ERROR_ARGUMENT;
	}
}

static int64_t fake_log_read(const uint64_t argument[4], struct socle_reply *reply)
{
	uint64_t oldest = fake.log_end > FAKE_LOG_BYTES ? fake.log_end - FAKE_LOG_BYTES : 0;
	struct socle_log_chunk chunk = {.position = argument[0]};
	int64_t bytes = 0;

	if (chunk.position < oldest)
		chunk.position = oldest;
	while (bytes < SOCLE_LOG_CHUNK && chunk.position + (uint64_t)bytes < fake.log_end) {
		chunk.text[bytes] = fake.log[(chunk.position + (uint64_t)bytes) % FAKE_LOG_BYTES];
		bytes++;
	}
	memcpy(reply, &chunk, sizeof(*reply));
	return bytes;
}

static int64_t fake_stats(const uint64_t argument[4], struct socle_reply *reply)
{
	if (argument[1] >= FAKE_CPUS)
		return SOCLE_ERROR_ARGUMENT;
	switch (argument[0]) {
	case SOCLE_STATS_CPU:
		memcpy(reply, &fake.stats[argument[1]], sizeof(*reply));
		return SOCLE_OK;
	case SOCLE_STATS_EXITS:
		if (argument[2] > FAKE_VM_MAX || argument[3] >= SOCLE_EXIT_COUNT)
			return SOCLE_ERROR_ARGUMENT;
		*reply = (struct socle_reply){0};
		for (uint64_t i = 0; i < 6 && argument[3] + i < SOCLE_EXIT_COUNT; i++)
			reply->word[i] = fake.exits[argument[1]][argument[3] + i];
		return SOCLE_OK;
	default:
		return SOCLE_ERROR_ARGUMENT;
	}
}

static int64_t fake_dispatch(uint64_t call, const struct socle_key *key, const uint64_t argument[4],
			     struct socle_reply *reply)
{
	if ((int64_t)call == fake.fail_call)
		return fake.fail_result;
	if (call >= SOCLE_CALL_DOMAIN_CREATE && call < SOCLE_CALL_COUNT)
		return fake_domains_call(call, key, argument, reply);
	if (memcmp(key, &fake.key, sizeof(*key)) != 0)
		return SOCLE_ERROR_KEY;
	switch (call) {
	case SOCLE_CALL_INFO:
		return fake_info(argument, reply);
	case SOCLE_CALL_LOG_READ:
		return fake_log_read(argument, reply);
	case SOCLE_CALL_STATS_READ:
		return fake_stats(argument, reply);
	case SOCLE_CALL_POKE:
		*reply = (struct socle_reply){{argument[0]}};
		return SOCLE_OK;
	default:
		return SOCLE_ERROR_CALL;
	}
}

static int64_t fake_call(uint64_t call, const struct socle_key *key, const uint64_t argument[4],
			 struct socle_reply *reply)
{
	struct socle_reply written;
	int64_t result = fake_dispatch(call, key, argument, &written);

	fake.stats[0].exits += 1 + fake.per_call;
	fake.stats[0].hypercalls++;
	fake.stats[0].hypercalls_denied += result == SOCLE_ERROR_KEY;
	fake.exits[0][SOCLE_EXIT_HYPERCALL]++;
	fake.exits[0][SOCLE_EXIT_CPUID] += fake.per_call;
	if (result >= 0)
		*reply = written;
	return result;
}

struct socle_handle fake_start(enum socle_vendor vendor)
{
	fake_domains_start();
	fake = (struct fake_hypervisor){
		.key = {{0x1111222233334444, 0x5555666677778888}},
		.general = {.abi_version = SOCLE_ABI_VERSION,
			    .vendor = vendor,
			    .hypervisor_version = SOCLE_VERSION_PACK(1, 2, 3),
			    .features = SOCLE_FEATURE_PAGE_1G | SOCLE_FEATURE_ASID | 1ull << 40,
			    .cpus_online = FAKE_CPUS,
			    .cpus_found = FAKE_CPUS + 1,
			    .tsc_hz = FAKE_TSC_HZ,
			    .boot_tsc = __rdtsc() - 5 * FAKE_TSC_HZ},
		.memory = {.pool_base = 0x123456800000,
			   .pool_bytes = FAKE_POOL_BYTES,
			   .pool_free_bytes = FAKE_POOL_BYTES - 12345,
			   .hypervisor_base = 0x3f000000,
			   .hypervisor_bytes = 16 << 20,
			   .log_bytes = FAKE_LOG_BYTES},
		.apic_id = {0, 2, 4000000000},
		.fail_call = -1,
	};
	return (struct socle_handle){.raw = fake_call, .key = fake.key, .vendor = vendor};
}

void fake_log(const char *text)
{
	for (; *text != 0; text++)
		fake.log[fake.log_end++ % FAKE_LOG_BYTES] = *text;
}
