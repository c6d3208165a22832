/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "socle.h"

#define PAGE 4096ull

static int64_t call(const struct socle_handle *handle, enum socle_call number, uint64_t argument0,
		    uint64_t argument1, uint64_t argument2, uint64_t argument3)
{
	const uint64_t argument[4] = {argument0, argument1, argument2, argument3};
	struct socle_reply reply;

	return socle_hypercall(handle, number, argument, &reply);
}

int socle_domain_create(const struct socle_handle *handle, uint64_t donated,
			struct socle_domain_created *out)
{
	const uint64_t argument[4] = {donated / SOCLE_FRAME_BYTES};
	struct socle_reply reply;
	int64_t result;

	if (donated % SOCLE_FRAME_BYTES != 0)
		return SOCLE_ERROR_ARGUMENT;
	result = socle_hypercall(handle, SOCLE_CALL_DOMAIN_CREATE, argument, &reply);
	if (result < 0)
		return (int)result;
	memcpy(out, &reply, sizeof(reply));
	/* A number that is none would make every later call another domain's. */
	if (out->domain == SOCLE_VM_SERVICE || out->domain >= SOCLE_MAX_DOMAINS)
		return SOCLE_ERROR_REPLY;
	return SOCLE_OK;
}

int socle_domain_donate(const struct socle_handle *handle, uint32_t domain, uint64_t physical)
{
	if (physical % SOCLE_FRAME_BYTES != 0)
		return SOCLE_ERROR_ARGUMENT;
	return (int)call(handle, SOCLE_CALL_DOMAIN_DONATE, domain, physical / SOCLE_FRAME_BYTES, 0,
			 0);
}

int socle_domain_assign(const struct socle_handle *handle, uint32_t domain, uint64_t physical,
			uint64_t bytes)
{
	uint64_t left = bytes / SOCLE_FRAME_BYTES;

	if (physical % SOCLE_FRAME_BYTES != 0 || bytes % SOCLE_FRAME_BYTES != 0)
		return SOCLE_ERROR_ARGUMENT;
	while (left > 0) {
		uint64_t now = left < SOCLE_ASSIGN_FRAMES ? left : SOCLE_ASSIGN_FRAMES;
		int64_t result = call(handle, SOCLE_CALL_DOMAIN_ASSIGN, domain,
				      physical / SOCLE_FRAME_BYTES, now, 0);

		if (result < 0)
			return (int)result;
		physical += now * SOCLE_FRAME_BYTES;
		left -= now;
	}
	return SOCLE_OK;
}

int socle_domain_destroy(const struct socle_handle *handle, uint32_t domain)
{
	return (int)call(handle, SOCLE_CALL_DOMAIN_DESTROY, domain, 0, 0, 0);
}

int socle_domain_info(const struct socle_handle *handle, uint32_t domain,
		      struct socle_domain_info *out)
{
	const uint64_t argument[4] = {domain};
	struct socle_reply reply;
	int64_t result = socle_hypercall(handle, SOCLE_CALL_DOMAIN_INFO, argument, &reply);

	if (result < 0)
		return (int)result;
	memcpy(out, &reply, sizeof(reply));
	return SOCLE_OK;
}

int64_t socle_map(const struct socle_handle *handle, uint32_t domain, uint64_t guest,
		  uint64_t physical, unsigned int access, uint64_t bytes)
{
	uint64_t done = 0;

	if (((guest | physical | bytes) & 0xfff) != 0 || access == 0 || access > 7)
		return SOCLE_ERROR_ARGUMENT;
	while (done < bytes) {
		int64_t result = call(handle, SOCLE_CALL_MAP, domain, guest + done,
				      (physical + done) | access, bytes - done);

		if (result < 0)
			return result;
		/* No progress would keep us here for ever. */
		if (result == 0 || (uint64_t)result > bytes - done)
			return SOCLE_ERROR_REPLY;
		done += (uint64_t)result;
	}
	return (int64_t)done;
}

int64_t socle_unmap(const struct socle_handle *handle, uint32_t domain, uint64_t guest,
		    uint64_t bytes)
{
	uint64_t done = 0;

	if (((guest | bytes) & 0xfff) != 0)
		return SOCLE_ERROR_ARGUMENT;
	while (done < bytes) {
		int64_t result =
			call(handle, SOCLE_CALL_UNMAP, domain, guest + done, bytes - done, 0);

		if (result < 0)
			return result;
		if (result == 0 || (uint64_t)result > bytes - done)
			return SOCLE_ERROR_REPLY;
		done += (uint64_t)result;
	}
	return (int64_t)done;
}

/* One call; *result is its result, and what it found is added to the bits from page `page` on. */
static void take_dirty(const struct socle_handle *handle, const uint64_t argument[4], uint64_t page,
		       uint64_t *bits, int64_t *result)
{
	struct socle_reply reply;

	*result = socle_hypercall(handle, SOCLE_CALL_DIRTY_LOG, argument, &reply);
	if (*result > (int64_t)argument[2])
		*result = SOCLE_ERROR_REPLY;
	/* One call's pages are whole words. */
	for (uint64_t i = 0; *result > 0 && i < ((uint64_t)*result / PAGE + 63) / 64; i++)
		bits[page / 64 + i] |= reply.word[i];
}

int64_t socle_dirty_log(const struct socle_handle *handle, uint32_t domain, uint64_t guest,
			uint64_t bytes, uint64_t *bits)
{
	const uint64_t flush[4] = {domain, 0, 0, SOCLE_DIRTY_FLUSH};
	uint64_t done = 0;
	int64_t result = 0, flushed;

	if (((guest | bytes) & (PAGE - 1)) != 0)
		return SOCLE_ERROR_ARGUMENT;
	while (done < bytes && result >= 0) {
		uint64_t now = bytes - done, most = SOCLE_DIRTY_PAGES * PAGE;
		const uint64_t argument[4] = {domain, guest + done, now < most ? now : most, 0};

		take_dirty(handle, argument, done / PAGE, bits, &result);
		/* A part of a call is done only where the next one fails. */
		if (result >= 0 && (uint64_t)result < argument[2])
			result = SOCLE_ERROR_MEMORY;
		done += result >= 0 ? (uint64_t)result : 0;
	}
	take_dirty(handle, flush, 0, bits, &flushed);
	if (result >= 0)
		result = flushed;
	return result < 0 ? result : (int64_t)done;
}

int socle_vcpu_create(const struct socle_handle *handle, uint32_t domain, uint32_t vcpu,
		      uint64_t area)
{
	return (int)call(handle, SOCLE_CALL_VCPU_CREATE, domain, vcpu, area, 0);
}

int socle_vcpu_run(const struct socle_handle *handle, uint32_t domain, uint32_t vcpu)
{
	const uint64_t argument[4] = {domain, vcpu};
	struct socle_reply reply;

	/* Not by the others' way: this one is made a million times a second. */
	return (int)handle->raw(SOCLE_CALL_VCPU_RUN, &handle->key, argument, &reply);
}

int socle_vcpu_kick(const struct socle_handle *handle, uint32_t domain, uint32_t vcpu)
{
	return (int)call(handle, SOCLE_CALL_VCPU_KICK, domain, vcpu, 0, 0);
}
