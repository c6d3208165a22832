/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state region: everything the guest could notice of its devices, in one piece of memory that
 * outlives the process. A header, then sections, each with its own header, up to the first header
 * of zeros. The region is read by whoever takes over, so nothing in it is a pointer, and its
 * structure is checked once, when it is opened.
 */
#include <string.h>

#include "vmm-user/vmm/machine.h"

#define STATE_MAGIC   0x6574617453636f53ull /* "SocState" */
#define STATE_VERSION 1u
#define STATE_ALIGN   64u
#define NAME_BYTES    24

struct state_header {
	uint64_t magic;
	uint32_t version, reserved;
	uint64_t bytes; /* of the region */
	uint64_t reserved1[5];
};

struct section_header {
	char name[NAME_BYTES]; /* terminated */
	uint32_t instance, version;
	uint64_t bytes; /* of what follows, as asked for */
	uint64_t reserved[3];
};

_Static_assert(sizeof(struct state_header) == STATE_ALIGN, "state_header");
_Static_assert(sizeof(struct section_header) == STATE_ALIGN, "section_header");

static size_t whole(size_t bytes)
{
	return (bytes + STATE_ALIGN - 1) & ~(size_t)(STATE_ALIGN - 1);
}

static struct section_header *header_at(const struct state_region *state, size_t at)
{
	return (struct section_header *)(state->base + at);
}

/*
 * Where the section is, or where the next one would be (its name is empty then), or the region's
 * size if it is full.
 */
static size_t find(const struct state_region *state, const char *name, unsigned instance)
{
	size_t at = sizeof(struct state_header);

	while (at + sizeof(struct section_header) <= state->bytes) {
		const struct section_header *header = header_at(state, at);

		if (header->name[0] == 0 ||
		    (header->instance == instance && strcmp(header->name, name) == 0))
			return at;
		at += sizeof(*header) + whole(header->bytes);
	}
	return state->bytes;
}

static bool sections_fit(const struct state_region *state)
{
	size_t at = sizeof(struct state_header);

	while (at + sizeof(struct section_header) <= state->bytes) {
		const struct section_header *header = header_at(state, at);
		size_t room = state->bytes - at - sizeof(*header);

		if (header->name[0] == 0)
			return true;
		if (header->name[NAME_BYTES - 1] != 0 || header->bytes > room ||
		    whole(header->bytes) > room)
			return false;
		at += sizeof(*header) + whole(header->bytes);
	}
	return at <= state->bytes;
}

bool state_open(struct vmm *vmm, void *base, size_t bytes)
{
	struct state_header *header = base;

	if (bytes < sizeof(*header) || (uintptr_t)base % STATE_ALIGN != 0) {
		vmm_log(vmm, "state: a region of %zu bytes at %p cannot be used", bytes, base);
		return false;
	}
	vmm->state = (struct state_region){base, bytes};
	if (header->magic == 0) {
		*header = (struct state_header){
			.magic = STATE_MAGIC, .version = STATE_VERSION, .bytes = bytes};
		return true;
	}
	if (header->magic != STATE_MAGIC || header->version != STATE_VERSION ||
	    header->bytes != bytes) {
		vmm_log(vmm,
			"state: wanted magic %#llx, version %u and %zu bytes, found %#llx, %u, "
			"%llu",
			STATE_MAGIC, STATE_VERSION, bytes, (unsigned long long)header->magic,
			header->version, (unsigned long long)header->bytes);
		return false;
	}
	if (!sections_fit(&vmm->state)) {
		vmm_log(vmm, "state: a section reaches beyond the region: it is damaged");
		return false;
	}
	return true;
}

void *state_section(struct vmm *vmm, const char *name, unsigned instance, uint32_t version,
		    size_t bytes, bool *fresh)
{
	struct state_region *state = &vmm->state;
	size_t at = find(state, name, instance);
	size_t room = state->bytes - at;
	struct section_header *header = header_at(state, at);

	if (room < sizeof(*header) || bytes > state->bytes ||
	    whole(bytes) > room - sizeof(*header)) {
		vmm_log(vmm, "state: no room for %s %u of %zu bytes: %zu are left", name, instance,
			bytes, room);
		return NULL;
	}
	*fresh = header->name[0] == 0;
	if (*fresh) {
		if (strlen(name) >= NAME_BYTES) {
			vmm_log(vmm, "state: the name %s is too long", name);
			return NULL;
		}
		memset(header, 0, sizeof(*header) + whole(bytes));
		header->instance = instance;
		header->version = version;
		header->bytes = bytes;
		strcpy(header->name, name);
	} else if (header->version != version || header->bytes != bytes) {
		vmm_log(vmm,
			"state: %s %u was left in version %u with %llu bytes, wanted %u with %zu",
			name, instance, header->version, (unsigned long long)header->bytes, version,
			bytes);
		return NULL;
	}
	return header + 1;
}
