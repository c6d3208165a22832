/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "fake_domains.h"

struct fake_domains fake_domains;

void fake_domains_start(void)
{
	memset(&fake_domains, 0, sizeof(fake_domains));
}

unsigned int fake_frames_free(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < FAKE_FRAMES; i++)
		count += fake_domains.owner[i] == 0;
	return count;
}

unsigned int fake_domains_count(void)
{
	unsigned int count = 0;

	for (size_t i = 1; i < FAKE_DOMAINS_MAX; i++)
		count += fake_domains.domain[i].used;
	return count;
}

/* The place in owner[] of the frame that holds an address, or -1 if it is outside the pool. */
static int64_t frame_index(uint64_t at)
{
	uint64_t index = (at - fake.memory.pool_base) / SOCLE_FRAME_BYTES;

	return at >= fake.memory.pool_base && index < FAKE_FRAMES ? (int64_t)index : -1;
}

static bool take(uint64_t at, uint64_t domain, bool donate)
{
	int64_t i = frame_index(at);

	if (i < 0 || fake_domains.owner[i] != 0)
		return false;
	fake_domains.owner[i] = (uint8_t)domain;
	fake_domains.donated[i] = donate;
	if (donate)
		fake_domains.domain[domain].info.donated_frames++;
	else
		fake_domains.domain[domain].info.assigned_frames++;
	return true;
}

static int64_t create(uint64_t frame, struct socle_reply *reply)
{
	struct socle_domain_created created = {.domain = 1};
	struct fake_domain *domain;

	while (created.domain < FAKE_DOMAINS_MAX && fake_domains.domain[created.domain].used)
		created.domain++;
	if (created.domain == FAKE_DOMAINS_MAX)
		return SOCLE_ERROR_LIMIT;
	domain = &fake_domains.domain[created.domain];
	memset(domain, 0, sizeof(*domain));
	if (!take(frame, created.domain, true))
		return SOCLE_ERROR_OWNER;
	created.key = (struct socle_key){{++fake_domains.created, ~fake_domains.created}};
	domain->used = true;
	domain->key = created.key;
	memcpy(reply, &created, sizeof(*reply));
	return SOCLE_OK;
}

static int64_t assign(uint64_t number, uint64_t first, uint64_t count)
{
	if (count == 0 || count > SOCLE_ASSIGN_FRAMES || first % SOCLE_FRAME_BYTES != 0)
		return SOCLE_ERROR_ARGUMENT;
	for (uint64_t i = 0; i < count; i++) {
		int64_t at = frame_index(first + i * SOCLE_FRAME_BYTES);

		if (at < 0 || fake_domains.owner[at] != 0)
			return SOCLE_ERROR_OWNER;
	}
	for (uint64_t i = 0; i < count; i++)
		take(first + i * SOCLE_FRAME_BYTES, number, false);
	return SOCLE_OK;
}

static int64_t destroy(uint64_t number)
{
	unsigned int done = 0;

	fake_domains.domain[number].dying = true;
	for (size_t i = 0; i < FAKE_FRAMES; i++) {
		if (fake_domains.owner[i] != number)
			continue;
		if (done++ == FAKE_DESTROY_STEP)
			return SOCLE_AGAIN;
		fake_domains.owner[i] = 0;
	}
	fake_domains.domain[number].used = false;
	return SOCLE_OK;
}

static int64_t vcpu_create(struct fake_domain *domain, uint64_t number, uint64_t vcpu,
			   uint64_t area)
{
	int64_t at = frame_index(area);

	if (vcpu >= SOCLE_MAX_VCPUS || area % SOCLE_VCPU_AREA_BYTES != 0)
		return SOCLE_ERROR_ARGUMENT;
	if (at < 0 || fake_domains.owner[at] != number || fake_domains.donated[at])
		return SOCLE_ERROR_OWNER;
	if (domain->area[vcpu] != 0)
		return SOCLE_ERROR_BUSY;
	domain->area[vcpu] = area;
	domain->info.vcpus++;
	return SOCLE_OK;
}

/* Like the hypervisor, in parts: at most one frame a call. */
static int64_t part(uint64_t bytes)
{
	return (int64_t)(bytes < SOCLE_FRAME_BYTES ? bytes : SOCLE_FRAME_BYTES);
}

static int64_t root_call(uint64_t call, uint64_t number, const uint64_t argument[4],
			 struct socle_reply *reply)
{
	struct fake_domain *domain = &fake_domains.domain[number];

	switch (call) {
	case SOCLE_CALL_DOMAIN_DONATE:
		return take(argument[1] * SOCLE_FRAME_BYTES, number, true) ? SOCLE_OK
									   : SOCLE_ERROR_OWNER;
	case SOCLE_CALL_DOMAIN_ASSIGN:
		return assign(number, argument[1] * SOCLE_FRAME_BYTES, argument[2]);
	case SOCLE_CALL_DOMAIN_DESTROY:
		return destroy(number);
	default:
		memcpy(reply, &domain->info, sizeof(*reply));
		return SOCLE_OK;
	}
}

static int64_t dirty_log(const uint64_t argument[4], struct socle_reply *reply)
{
	uint64_t first = argument[1] / 4096, count = argument[2] / 4096;

	if (count > SOCLE_DIRTY_PAGES || argument[3] > SOCLE_DIRTY_FLUSH)
		return SOCLE_ERROR_ARGUMENT;
	fake_domains.flushes += argument[3] == SOCLE_DIRTY_FLUSH;
	if (count != 0 && first >= FAKE_DIRTY_END)
		return SOCLE_ERROR_MEMORY;
	if (first + count > FAKE_DIRTY_END)
		count = FAKE_DIRTY_END - first;
	for (uint64_t i = 0; i < count; i++)
		if ((first + i) % 100 == 0)
			reply->word[i / 64] |= 1ull << i % 64;
	return (int64_t)(count * 4096);
}

static int64_t domain_call(uint64_t call, uint64_t number, const uint64_t argument[4],
			   struct socle_reply *reply)
{
	struct fake_domain *domain = &fake_domains.domain[number];
	int64_t at;

	switch (call) {
	case SOCLE_CALL_MAP:
		at = frame_index(argument[2]);
		if (at < 0 || fake_domains.owner[at] != number || fake_domains.donated[at])
			return SOCLE_ERROR_OWNER;
		return part(argument[3]);
	case SOCLE_CALL_UNMAP:
		return part(argument[2]);
	case SOCLE_CALL_DIRTY_LOG:
		return dirty_log(argument, reply);
	case SOCLE_CALL_VCPU_CREATE:
		return vcpu_create(domain, number, argument[1], argument[2]);
	case SOCLE_CALL_VCPU_RUN:
	case SOCLE_CALL_VCPU_KICK:
		if (argument[1] >= SOCLE_MAX_VCPUS || domain->area[argument[1]] == 0)
			return SOCLE_ERROR_ARGUMENT;
		domain->kicks += call == SOCLE_CALL_VCPU_KICK;
		return call == SOCLE_CALL_VCPU_RUN ? SOCLE_EXIT_HLT : SOCLE_OK;
	default:
		return SOCLE_ERROR_CALL;
	}
}

int64_t fake_domains_call(uint64_t call, const struct socle_key *key, const uint64_t argument[4],
			  struct socle_reply *reply)
{
	bool root = memcmp(key, &fake.key, sizeof(*key)) == 0;
	bool exists = argument[0] < FAKE_DOMAINS_MAX && fake_domains.domain[argument[0]].used;
	struct fake_domain *domain = exists ? &fake_domains.domain[argument[0]] : NULL;

	*reply = (struct socle_reply){0};
	if (call <= SOCLE_CALL_DOMAIN_INFO) {
		if (!root)
			return SOCLE_ERROR_KEY;
		if (call == SOCLE_CALL_DOMAIN_CREATE)
			return create(argument[0] * SOCLE_FRAME_BYTES, reply);
		if (domain == NULL || (domain->dying && call != SOCLE_CALL_DOMAIN_DESTROY))
			return SOCLE_ERROR_DOMAIN;
		return root_call(call, argument[0], argument, reply);
	}
	if (domain == NULL || memcmp(key, &domain->key, sizeof(*key)) != 0)
		return SOCLE_ERROR_KEY;
	return domain->dying ? SOCLE_ERROR_DOMAIN : domain_call(call, argument[0], argument, reply);
}
