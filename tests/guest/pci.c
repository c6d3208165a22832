/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI: ports and ECAM show the same, BARs tell their size, capability lists end. */
#include "lib/guest.h"

const char guest_name[] = "pci";

#define ECAM	   0xe0000000ull
#define ADDRESS	   0xcf8
#define DATA	   0xcfc
#define SLOTS	   32u
#define LINKS_MAX  48u
#define COMMAND	   0x04u
#define HEADER	   0x0cu
#define BAR	   0x10u
#define CAPABILITY 0x34u
#define HAS_LIST   (1u << 20) /* in the command and status registers */

static uint32_t by_ports(unsigned slot, unsigned offset)
{
	out32(ADDRESS, 1u << 31 | slot << 11 | offset);
	return in32(DATA);
}

static uint64_t ecam(unsigned slot, unsigned offset)
{
	return ECAM + (slot << 15) + offset;
}

static bool list_ends(unsigned slot)
{
	unsigned at = mmio_read(ecam(slot, CAPABILITY)) & 0xfc, links = 0;

	for (; at != 0 && links < LINKS_MAX; links++)
		at = mmio_read(ecam(slot, at)) >> 8 & 0xfc;
	return at == 0 && links > 0;
}

static void test_bar(unsigned slot, unsigned bar)
{
	uint64_t at = ecam(slot, BAR + 4 * bar);
	uint32_t before = mmio_read(at), flags = before & 1 ? 3 : 15, size;

	mmio_write(at, 0xffffffff);
	size = ~(mmio_read(at) & ~flags) + 1;
	mmio_write(at, before);
	check_equal("BAR: what it held is back", before, mmio_read(at));
	if (size != 0)
		check_equal("BAR: its size is a power of 2", 0, size & (size - 1));
}

static void test_function(unsigned slot)
{
	uint32_t command = mmio_read(ecam(slot, COMMAND));

	say("# slot %u: %x\n", slot, (uint64_t)mmio_read(ecam(slot, 0)));
	for (unsigned offset = 0; offset < 0x40; offset += 4)
		if (by_ports(slot, offset) != mmio_read(ecam(slot, offset)))
			check_equal("ports and ECAM agree", by_ports(slot, offset),
				    mmio_read(ecam(slot, offset)));
	mmio_write(ecam(slot, COMMAND), command & 0xfffc);
	for (unsigned bar = 0; bar < ((mmio_read(ecam(slot, HEADER)) >> 16 & 0x7f) == 0 ? 6 : 2);
	     bar++)
		test_bar(slot, bar);
	mmio_write(ecam(slot, COMMAND), command & 0xffff);
	if (command & HAS_LIST)
		check_true("its list of capabilities ends", list_ends(slot));
}

void guest_test(void)
{
	unsigned found = 0;

	for (unsigned slot = 0; slot < SLOTS; slot++) {
		uint32_t id = by_ports(slot, 0);

		if (id != mmio_read(ecam(slot, 0)))
			check_equal("ports and ECAM agree", id, mmio_read(ecam(slot, 0)));
		if ((id & 0xffff) == 0xffff)
			continue;
		found++;
		test_function(slot);
	}
	check_range("devices", 2, SLOTS, found);
}
