/* SPDX-License-Identifier: BSD-2-Clause */
/* An instruction's memory operands: segmentation, paging, RAM or the bus. */
#include <string.h>

#include "vmm-user/vmm/insn_internal.h"

#define CR0_PE		  1ull
#define ATTRIBUTE_WRITE	  (1u << 1) /* data: writable; code: readable */
#define ATTRIBUTE_EXPAND  (1u << 2) /* data: expands down */
#define ATTRIBUTE_CODE	  (1u << 3)
#define ATTRIBUTE_PRESENT (1u << 7)
#define ATTRIBUTE_BIG	  (1u << 10)
#define CANONICAL(linear) ((linear) + (1ull << 47) < 1ull << 48)
#define PAGE_LEFT(linear) (4096 - (unsigned)((linear)&4095))

/* Limit and type of a segment outside 64-bit mode (SDM volume 3, sections 5.3 and 5.5). */
static bool segment_allows(const struct execution *execution, const struct socle_segment *segment,
			   uint64_t offset, unsigned bytes, unsigned access)
{
	unsigned attributes = segment->attributes;
	uint64_t last = offset + bytes - 1, lowest = 0, highest = segment->limit;

	if ((execution->area->system.cr0 & CR0_PE) && !(execution->area->rflags & FLAG_VM)) {
		if (!(attributes & ATTRIBUTE_PRESENT))
			return false;
		if (attributes & ATTRIBUTE_CODE) {
			if ((access & WALK_WRITE) || !(attributes & ATTRIBUTE_WRITE))
				return false;
		} else {
			if ((access & WALK_WRITE) && !(attributes & ATTRIBUTE_WRITE))
				return false;
			if (attributes & ATTRIBUTE_EXPAND) {
				lowest = (uint64_t)segment->limit + 1;
				highest = attributes & ATTRIBUTE_BIG ? 0xffffffff : 0xffff;
			}
		}
	}
	return offset >= lowest && last <= highest;
}

bool insn_linear(struct execution *execution, unsigned segment, uint64_t offset, unsigned bytes,
		 unsigned access, uint64_t *linear)
{
	const struct socle_segment *at = insn_segment(execution->area, segment);
	bool good;

	if (execution->mode == MODE_64) {
		*linear = (segment >= SEGMENT_FS ? at->base : 0) + offset;
		good = CANONICAL(*linear) && CANONICAL(*linear + bytes - 1);
	} else {
		*linear = (uint32_t)(at->base + offset);
		good = segment_allows(execution, at, offset, bytes, access);
	}
	if (!good)
		insn_raise(execution->area,
			   segment == SEGMENT_SS ? INSN_STACK_FAULT : INSN_GENERAL_PROTECTION, 0);
	return good;
}

static bool translate(struct execution *execution, uint64_t linear, unsigned access, uint64_t *gpa)
{
	unsigned needs = access & WALK_WRITE ? SOCLE_ACCESS_WRITE : SOCLE_ACCESS_READ;
	uint32_t error;

	/* A write has the rights of a read, too. */
	if ((execution->exit_access & (needs | SOCLE_ACCESS_WRITE)) &&
	    !((execution->exit_gpa ^ linear) & 4095)) {
		*gpa = execution->exit_gpa;
		return true;
	}
	access |= execution->user | (execution->area->rflags & FLAG_AC ? WALK_AC : 0);
	if (walk(execution->vmm, &execution->registers, linear, access, gpa, &error))
		return true;
	execution->area->system.cr2 = linear;
	insn_raise(execution->area, INSN_PAGE_FAULT, error);
	return false;
}

bool insn_resolve(struct execution *execution, unsigned segment, uint64_t offset, unsigned bytes,
		  unsigned access, struct place *place)
{
	uint64_t linear;

	if (!insn_linear(execution, segment, offset, bytes, access, &linear))
		return false;
	place->bytes = place->first = bytes;
	if (PAGE_LEFT(linear) >= bytes)
		return translate(execution, linear, access, &place->gpa[0]);
	/* The exit's address may be of either page. */
	execution->exit_access = 0;
	place->first = PAGE_LEFT(linear);
	if (!translate(execution, linear, access, &place->gpa[0]))
		return false;
	linear += place->first;
	if (execution->mode != MODE_64)
		linear = (uint32_t)linear;
	return translate(execution, linear, access, &place->gpa[1]);
}

/* The largest access that the bus knows, of at most `bytes`. */
static unsigned piece(unsigned bytes)
{
	return bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
}

static void part_load(struct execution *execution, uint64_t gpa, unsigned bytes, uint8_t *value)
{
	while (bytes != 0) {
		unsigned now = piece(bytes);
		const void *memory = guest_memory(execution->vmm, gpa, now);
		uint64_t read;

		if (memory != NULL) {
			/* In one piece each, as other vCPUs may expect of an aligned access. */
			switch (now) {
			case 8:
				memcpy(value, memory, 8);
				break;
			case 4:
				memcpy(value, memory, 4);
				break;
			case 2:
				memcpy(value, memory, 2);
				break;
			default:
				memcpy(value, memory, 1);
				break;
			}
		} else {
			read = bus_do_read(execution->vmm, BUS_MEMORY, gpa, now);
			memcpy(value, &read, now);
		}
		gpa += now;
		value += now;
		bytes -= now;
	}
}

static void part_store(struct execution *execution, uint64_t gpa, unsigned bytes,
		       const uint8_t *value)
{
	while (bytes != 0) {
		unsigned now = piece(bytes);
		void *memory = guest_memory(execution->vmm, gpa, now);
		uint64_t written = 0;

		if (memory != NULL) {
			switch (now) {
			case 8:
				memcpy(memory, value, 8);
				break;
			case 4:
				memcpy(memory, value, 4);
				break;
			case 2:
				memcpy(memory, value, 2);
				break;
			default:
				memcpy(memory, value, 1);
				break;
			}
			guest_memory_dirty(execution->vmm, gpa, now);
		} else {
			memcpy(&written, value, now);
			bus_do_write(execution->vmm, BUS_MEMORY, gpa, now, written);
		}
		gpa += now;
		value += now;
		bytes -= now;
	}
}

void insn_load_bytes(struct execution *execution, const struct place *place, void *value)
{
	uint8_t *to = value;

	part_load(execution, place->gpa[0], place->first, to);
	part_load(execution, place->gpa[1], place->bytes - place->first, to + place->first);
}

void insn_store_bytes(struct execution *execution, const struct place *place, const void *value)
{
	const uint8_t *from = value;

	part_store(execution, place->gpa[0], place->first, from);
	part_store(execution, place->gpa[1], place->bytes - place->first, from + place->first);
}

uint64_t insn_load(struct execution *execution, const struct place *place)
{
	uint64_t value = 0;

	insn_load_bytes(execution, place, &value);
	return value;
}

void insn_store(struct execution *execution, const struct place *place, uint64_t value)
{
	insn_store_bytes(execution, place, &value);
}
