// SPDX-License-Identifier: BSD-2-Clause
#include "boot/uefi/memory_map.h"

static uint64_t end_of(const struct memory_descriptor *d)
{
	return d->start + d->pages * PAGE_BYTES;
}

void memory_map_sort(struct memory_map *map)
{
	for (uint32_t i = 1; i < map->count; i++) {
		struct memory_descriptor moved = map->entry[i];
		uint32_t at = i;

		for (; at > 0 && map->entry[at - 1].start > moved.start; at--)
			map->entry[at] = map->entry[at - 1];
		map->entry[at] = moved;
	}
}

static bool is_free(const struct memory_descriptor *d)
{
	return d->type == MEMORY_TYPE_CONVENTIONAL && !(d->attribute & MEMORY_ATTRIBUTE_SP);
}

bool memory_map_find_pool(const struct memory_map *map, uint64_t bytes, uint64_t *start)
{
	uint64_t largest = 0;

	for (uint32_t i = map->count; i-- > 0;) {
		const struct memory_descriptor *d = &map->entry[i];
		uint64_t first = align_up(d->start, LARGE_PAGE_BYTES);
		uint64_t end = align_down(end_of(d), LARGE_PAGE_BYTES);

		if (!is_free(d) || end <= first)
			continue;
		if (end - first >= bytes) {
			*start = end - bytes;
			return true;
		}
		if (end - first > largest)
			largest = end - first;
	}
	*start = largest;
	return false;
}

static uint32_t e820_type(const struct memory_descriptor *d)
{
	switch (d->type) {
	case MEMORY_TYPE_CONVENTIONAL:
		return d->attribute & MEMORY_ATTRIBUTE_SP ? E820_SOFT_RESERVED : E820_RAM;
	case MEMORY_TYPE_LOADER_CODE:
	case MEMORY_TYPE_LOADER_DATA:
	case MEMORY_TYPE_BOOT_CODE:
	case MEMORY_TYPE_BOOT_DATA:
		return E820_RAM;
	case MEMORY_TYPE_UNUSABLE:
		return E820_UNUSABLE;
	case MEMORY_TYPE_ACPI_RECLAIM:
		return E820_ACPI;
	case MEMORY_TYPE_ACPI_NVS:
		return E820_NVS;
	case MEMORY_TYPE_PERSISTENT:
		return E820_PERSISTENT;
	default:
		return E820_RESERVED;
	}
}

uint64_t memory_map_usable(const struct memory_map *map)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < map->count; i++)
		if (e820_type(&map->entry[i]) == E820_RAM)
			bytes += map->entry[i].pages * PAGE_BYTES;
	return bytes;
}

/* Opens a gap of one entry at an index. */
static void insert(struct memory_map *map, uint32_t at)
{
	for (uint32_t i = map->count; i > at; i--)
		map->entry[i] = map->entry[i - 1];
	map->count++;
}

bool memory_map_mark_pool(struct memory_map *map, uint64_t start, uint64_t bytes)
{
	for (uint32_t i = 0; i < map->count; i++) {
		struct memory_descriptor whole = map->entry[i];

		if (!is_free(&whole) || start < whole.start || start >= end_of(&whole))
			continue;
		if (bytes > end_of(&whole) - start || map->count + 2 > map->capacity)
			return false;
		if (start > whole.start) {
			insert(map, i);
			map->entry[i].pages = (start - whole.start) / PAGE_BYTES;
			i++;
		}
		map->entry[i].start = start;
		map->entry[i].pages = bytes / PAGE_BYTES;
		map->entry[i].attribute |= MEMORY_ATTRIBUTE_SP;
		if (start + bytes < end_of(&whole)) {
			insert(map, i + 1);
			map->entry[i + 1] = whole;
			map->entry[i + 1].start = start + bytes;
			map->entry[i + 1].pages = (end_of(&whole) - start - bytes) / PAGE_BYTES;
		}
		return true;
	}
	return false;
}

uint32_t memory_map_to_e820(const struct memory_map *map, struct e820_entry *e820,
			    uint32_t capacity)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < map->count; i++) {
		const struct memory_descriptor *d = &map->entry[i];
		struct e820_entry next = {d->start, d->pages * PAGE_BYTES, e820_type(d)};
		struct e820_entry *last = count != 0 ? &e820[count - 1] : NULL;

		if (next.bytes == 0)
			continue;
		if (last != NULL && last->type == next.type &&
		    last->start + last->bytes == next.start) {
			last->bytes += next.bytes;
			continue;
		}
		if (count == capacity)
			return 0;
		e820[count++] = next;
	}
	return count;
}
