/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports and memory-mapped registers: sorted ranges, found by bisection. */
#include <stdlib.h>
#include <string.h>

#include "vmm-user/vmm/machine.h"

#define PORTS 0x10000ull

static uint64_t ones(unsigned bytes)
{
	return ~0ull >> ((64 - 8 * bytes) & 63);
}

/* The number of ranges whose base is at most `address`. */
static unsigned upto(const struct bus_map *map, uint64_t address)
{
	unsigned low = 0, high = map->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (map->range[middle].base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool contains(const struct bus_range *range, uint64_t at, uint64_t bytes)
{
	return at >= range->base && at - range->base < range->bytes &&
	       bytes <= range->bytes - (at - range->base);
}

static bool apart(const struct bus_range *a, const struct bus_range *b)
{
	return a->base < b->base ? b->base - a->base >= a->bytes : a->base - b->base >= b->bytes;
}

/*
 * The innermost range that holds the whole access. Usually the first one looked at; only an access
 * beside a nested range, or to nothing, looks at more.
 */
static const struct bus_range *search(const struct bus_map *map, uint64_t address, unsigned bytes)
{
	for (unsigned i = upto(map, address); i > 0; i--)
		if (contains(&map->range[i - 1], address, bytes))
			return &map->range[i - 1];
	return NULL;
}

/* The same, and it is kept: guests use few registers often. */
static const struct bus_range *find(struct bus_map *map, uint64_t address, unsigned bytes)
{
	const struct bus_range *range = search(map, address, bytes);

	if (range != NULL && address >> 60 == 0)
		*bus_hit_of(map, address) = (struct bus_hit){bus_hit_key(address, bytes), range};
	return range;
}

static void forget(struct bus_map *map)
{
	memset(map->hit, 0, sizeof(map->hit));
	memset(map->port, 0xff, sizeof(map->port));
}

bool bus_add(struct vmm *vmm, enum bus bus, const struct bus_range *range)
{
	struct bus_map *map = &vmm->bus[bus];
	uint64_t end = bus == BUS_PORT ? PORTS : 0;
	unsigned at = upto(map, range->base);

	if (range->bytes == 0 || range->base + (range->bytes - 1) < range->base ||
	    (end != 0 && !(range->base < end && range->bytes <= end - range->base))) {
		vmm_log(vmm, "bus: %s at %#llx: %#llx bytes are not a range", range->name,
			(unsigned long long)range->base, (unsigned long long)range->bytes);
		return false;
	}
	for (unsigned i = 0; i < map->count; i++) {
		const struct bus_range *other = &map->range[i];
		bool nested =
			other->base != range->base && (contains(other, range->base, range->bytes) ||
						       contains(range, other->base, other->bytes));

		if (!apart(other, range) && !nested) {
			vmm_log(vmm, "bus: %s at %#llx overlaps %s at %#llx", range->name,
				(unsigned long long)range->base, other->name,
				(unsigned long long)other->base);
			return false;
		}
	}
	if (map->count == map->room) {
		unsigned room = map->room == 0 ? 64 : 2 * map->room;
		struct bus_range *grown = realloc(map->range, room * sizeof(*grown));

		if (grown == NULL) {
			vmm_log(vmm, "bus: no memory for %s", range->name);
			return false;
		}
		map->range = grown;
		map->room = room;
	}
	memmove(&map->range[at + 1], &map->range[at], (map->count - at) * sizeof(*map->range));
	map->range[at] = *range;
	map->count++;
	forget(map);
	return true;
}

void bus_remove(struct vmm *vmm, enum bus bus, uint64_t base)
{
	struct bus_map *map = &vmm->bus[bus];
	unsigned at = upto(map, base);

	if (at == 0 || map->range[at - 1].base != base)
		return;
	memmove(&map->range[at - 1], &map->range[at], (map->count - at) * sizeof(*map->range));
	map->count--;
	forget(map);
}

void bus_destroy(struct vmm *vmm)
{
	for (unsigned bus = 0; bus < 2; bus++) {
		free(vmm->bus[bus].range);
		vmm->bus[bus] = (struct bus_map){0};
	}
}

/* An access that no range holds as a whole goes byte by byte, as on the ISA bus. */
static __attribute__((noinline)) uint64_t read_anew(struct vmm *vmm, enum bus bus, uint64_t address,
						    unsigned bytes)
{
	struct bus_map *map = &vmm->bus[bus];
	const struct bus_range *range = find(map, address, bytes);
	uint64_t value = 0;

	if (range != NULL)
		return range->read(range->device, address - range->base, bytes) & ones(bytes);
	if (bytes == 1) {
		map->lost++;
		return 0xff;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= bus_do_read(vmm, bus, address + i, 1) << (8 * i);
	return value;
}

static __attribute__((noinline)) void write_anew(struct vmm *vmm, enum bus bus, uint64_t address,
						 unsigned bytes, uint64_t value)
{
	struct bus_map *map = &vmm->bus[bus];
	const struct bus_range *range = find(map, address, bytes);

	if (range != NULL) {
		range->write(range->device, address - range->base, bytes, value & ones(bytes));
		return;
	}
	if (bytes == 1) {
		map->lost++;
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		bus_do_write(vmm, bus, address + i, 1, value >> (8 * i));
}

/*
 * A range's function may add and remove ranges (a BAR that moves), so nothing of the map is used
 * after it.
 */
uint64_t bus_do_read(struct vmm *vmm, enum bus bus, uint64_t address, unsigned bytes)
{
	const struct bus_range *range = bus_hit(&vmm->bus[bus], address, bytes);

	if (range == NULL)
		return read_anew(vmm, bus, address, bytes);
	return range->read(range->device, address - range->base, bytes) & ones(bytes);
}

void bus_do_write(struct vmm *vmm, enum bus bus, uint64_t address, unsigned bytes, uint64_t value)
{
	const struct bus_range *range = bus_hit(&vmm->bus[bus], address, bytes);

	if (range != NULL)
		range->write(range->device, address - range->base, bytes, value & ones(bytes));
	else
		write_anew(vmm, bus, address, bytes, value);
}

uint64_t bus_port_read(struct vmm *vmm, uint64_t information)
{
	uint64_t port = SOCLE_IO_PORT(information);
	unsigned bytes = SOCLE_IO_BYTES(information);
	const struct bus_range *range = search(&vmm->bus[BUS_PORT], port, bytes);

	if (range != NULL)
		*port_hit_of(vmm, information) = (struct port_hit){
			information, range->read, range->device, port - range->base};
	return bus_do_read(vmm, BUS_PORT, port, bytes);
}
