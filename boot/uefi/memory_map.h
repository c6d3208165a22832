/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory map: UEFI's in (UEFI 2.9, section 7.2), the service VM's UEFI map and E820 map out,
 * with the guest pool in both as soft-reserved memory.
 */
#ifndef BOOT_MEMORY_MAP_H
#define BOOT_MEMORY_MAP_H

#include "hv/types.h"

/* EFI_MEMORY_DESCRIPTOR without what a later version may append. */
struct memory_descriptor {
	uint32_t type; /* EFI_MEMORY_TYPE */
	uint32_t pad;
	uint64_t start; /* physical, bytes */
	uint64_t virtual_start;
	uint64_t pages; /* of 4 KiB */
	uint64_t attribute;
};

#define MEMORY_TYPE_RESERVED	 0
#define MEMORY_TYPE_LOADER_CODE	 1
#define MEMORY_TYPE_LOADER_DATA	 2
#define MEMORY_TYPE_BOOT_CODE	 3
#define MEMORY_TYPE_BOOT_DATA	 4
#define MEMORY_TYPE_CONVENTIONAL 7
#define MEMORY_TYPE_UNUSABLE	 8
#define MEMORY_TYPE_ACPI_RECLAIM 9
#define MEMORY_TYPE_ACPI_NVS	 10
#define MEMORY_TYPE_PERSISTENT	 14
#define MEMORY_ATTRIBUTE_SP	 0x40000ull /* EFI_MEMORY_SP: specific purpose */

struct memory_map {
	struct memory_descriptor *entry;
	uint32_t count, capacity;
};

#define E820_RAM	   1
#define E820_RESERVED	   2
#define E820_ACPI	   3
#define E820_NVS	   4
#define E820_UNUSABLE	   5
#define E820_PERSISTENT	   7
#define E820_SOFT_RESERVED 0xefffffff

struct __attribute__((packed)) e820_entry {
	uint64_t start, bytes;
	uint32_t type;
};

/* Sorts the entries by address. */
void memory_map_sort(struct memory_map *map);

/*
 * Finds the highest 2 MiB aligned place for the pool in conventional memory. The map is sorted.
 * False: none is large enough, and *start is the size of the largest place, in bytes.
 */
bool memory_map_find_pool(const struct memory_map *map, uint64_t bytes, uint64_t *start);

/* Bytes of memory that a kernel can use as ordinary RAM, without the pool. */
uint64_t memory_map_usable(const struct memory_map *map);

/*
 * Marks [start, start + bytes), part of one conventional entry, as specific-purpose memory,
 * splitting that entry. False: no room for the new entries, or it is not part of one.
 */
bool memory_map_mark_pool(struct memory_map *map, uint64_t start, uint64_t bytes);

/* Writes the E820 map, neighbours of one type merged. Returns the entries, or 0 if capacity is
 * short. */
uint32_t memory_map_to_e820(const struct memory_map *map, struct e820_entry *e820,
			    uint32_t capacity);

#endif
