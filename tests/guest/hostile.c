/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that means harm: virtqueues of nonsense, then random registers, memory-mapped registers
 * and ports. It spares only what would end it. Afterwards its devices are to work as before; that
 * everybody else's do is for the test to see. "seed=N" chooses another run.
 */
#include "lib/guest.h"

const char guest_name[] = "hostile";

#define VIRTIO_ROUNDS 60u
#define MSR_ROUNDS    4000u
#define MEMORY_ROUNDS 3000u
#define PORT_ROUNDS   4000u

/* PCI */
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define VIRTIO_VENDOR  0x1af4u
#define CAP_POINTER    0x34
#define CAP_VENDOR     9
#define COMMAND	       4
#define COMMAND_MEMORY 6u /* and bus mastering */

/* virtio 1.2, sections 4.1.4.3 and 2.1 */
#define FEATURE_SELECT	      0x00
#define FEATURE		      0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE	      0x0c
#define CONFIG_VECTOR	      0x10
#define QUEUES		      0x12
#define STATUS		      0x14
#define QUEUE_SELECT	      0x16
#define QUEUE_SIZE	      0x18
#define QUEUE_VECTOR	      0x1a
#define QUEUE_ENABLE	      0x1c
#define QUEUE_DESCRIPTORS     0x20
#define QUEUE_DRIVER	      0x28
#define QUEUE_DEVICE	      0x30
#define STATUS_DRIVER	      3u
#define STATUS_FEATURES_OK    8u
#define STATUS_DRIVER_OK      4u
#define DEVICE_RNG	      0x1044u
#define DEVICE_BLK	      0x1042u

#define NEXT  1u
#define WRITE 2u

/* Memory that nobody minds: the upper half of 16 MiB. */
#define SPOILS	     0x800000ull
#define SPOILS_BYTES 0x800000ull
#define ARENA	     SPOILS
#define ARENA_BYTES  0x8000u

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

struct device {
	unsigned slot;
	uint32_t id;
	uint64_t common, isr, config, notify;
	uint32_t notify_each;
};

static uint64_t state;

static uint64_t noise(void)
{
	/* xorshift64* */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(uint64_t limit)
{
	return (noise() >> 16) % limit;
}

/* PCI ------------------------------------------------------------------------------------------ */

static uint32_t config_read(unsigned slot, unsigned offset)
{
	out32(CONFIG_ADDRESS, 0x80000000 | slot << 11 | (offset & 0xfc));
	return in32(CONFIG_DATA) >> 8 * (offset & 3);
}

static void config_write(unsigned slot, unsigned offset, uint32_t value)
{
	out32(CONFIG_ADDRESS, 0x80000000 | slot << 11 | (offset & 0xfc));
	out32(CONFIG_DATA, value);
}

static uint64_t bar_address(unsigned slot, unsigned bar)
{
	uint32_t low = config_read(slot, 0x10 + 4 * bar);
	uint64_t high = (low & 6) == 4 ? config_read(slot, 0x14 + 4 * bar) : 0;

	return high << 32 | (low & ~15u);
}

/* A place behind the first 4 GiB is reached through the window. */
static uint64_t reach(unsigned index, uint64_t physical)
{
	if (physical < 1ull << 32)
		return physical;
	return (uint64_t)window_map(index, (physical & ~4095ull) | PAGE_PRESENT | PAGE_WRITE) +
	       (physical & 4095);
}

static bool find_device(struct device *device, unsigned slot)
{
	uint32_t id = config_read(slot, 0);

	if ((id & 0xffff) != VIRTIO_VENDOR)
		return false;
	*device = (struct device){.slot = slot, .id = id >> 16};
	config_write(slot, COMMAND, config_read(slot, COMMAND) | COMMAND_MEMORY);
	for (unsigned at = config_read(slot, CAP_POINTER) & 0xfc; at != 0;
	     at = config_read(slot, at + 1) & 0xfc) {
		uint64_t base;

		if ((config_read(slot, at) & 0xff) != CAP_VENDOR)
			continue;
		base = bar_address(slot, config_read(slot, at + 4) & 7) + config_read(slot, at + 8);
		switch (config_read(slot, at + 3) & 0xff) {
		case 1:
			device->common = reach(4 * slot, base);
			break;
		case 2:
			device->notify = reach(4 * slot + 1, base);
			device->notify_each = config_read(slot, at + 16);
			break;
		case 3:
			device->isr = reach(4 * slot + 2, base);
			break;
		case 4:
			device->config = reach(4 * slot + 3, base);
			break;
		}
	}
	return device->common != 0 && device->notify != 0;
}

/* Virtio --------------------------------------------------------------------------------------- */

static void write8(uint64_t address, uint8_t value)
{
	*(volatile uint8_t *)address = value;
}

static void write16(uint64_t address, uint16_t value)
{
	*(volatile uint16_t *)address = value;
}

static uint8_t status(const struct device *device)
{
	return *(volatile uint8_t *)(device->common + STATUS);
}

static void set_status(const struct device *device, uint8_t value)
{
	write8(device->common + STATUS, value);
}

static void reset(const struct device *device)
{
	uint64_t end = rdtsc() + tsc_khz() * 5000;

	set_status(device, 0);
	while (status(device) != 0 && rdtsc() < end)
		pause();
}

static void set_address(const struct device *device, unsigned which, uint64_t address)
{
	mmio_write(device->common + which, (uint32_t)address);
	mmio_write(device->common + which + 4, (uint32_t)(address >> 32));
}

/* An address that a ring or a buffer may have: here, at the edges, nowhere. */
static uint64_t bad_address(const struct device *device)
{
	static const uint64_t places[] = {0xfed00000,	      0xfee00000,	  0xfec00000,
					  0xfff000,	      0xfffff8,		  0x1000000,
					  0xfffffffffffff000, 0xffffffffffffffff, 1ull << 63,
					  0xffffffff000,      0x100000000,	  0xa0000};

	switch (below(4)) {
	case 0:
		return places[below(ARRAY_COUNT(places))];
	case 1:
		return device->common;
	case 2:
		return SPOILS + below(SPOILS_BYTES);
	default:
		return ARENA + (below(ARENA_BYTES) & ~15ull);
	}
}

static uint32_t bad_length(void)
{
	static const uint32_t lengths[] = {0, 1, 16, 512, 4096, 0x7fffffff, 0x80000000, 0xffffffff};

	return below(3) == 0 ? (uint32_t)noise() : lengths[below(ARRAY_COUNT(lengths))];
}

/* Descriptors that lead to each other, and rings that count anything. */
static void fill_arena(const struct device *device)
{
	for (uint64_t at = ARENA; at < ARENA + ARENA_BYTES; at += sizeof(struct descriptor)) {
		struct descriptor *descriptor = (struct descriptor *)at;

		switch (below(3)) {
		case 0:
			((uint64_t *)at)[0] = SPOILS + below(SPOILS_BYTES);
			((uint64_t *)at)[1] = noise();
			break;
		case 1:
			for (unsigned i = 0; i < 8; i++)
				((uint16_t *)at)[i] = (uint16_t)below(300);
			descriptor->address |= SPOILS;
			break;
		default:
			*descriptor = (struct descriptor){bad_address(device), bad_length(),
							  (uint16_t)below(8), (uint16_t)below(40)};
			break;
		}
	}
}

static void set_queue(const struct device *device, unsigned queue)
{
	static const uint16_t sizes[] = {0, 1, 2, 3, 8, 16, 256, 0x8000, 0xffff};

	write16(device->common + QUEUE_SELECT, (uint16_t)queue);
	if (below(2) == 0)
		write16(device->common + QUEUE_SIZE, sizes[below(ARRAY_COUNT(sizes))]);
	write16(device->common + QUEUE_VECTOR, (uint16_t)noise());
	set_address(device, QUEUE_DESCRIPTORS, bad_address(device));
	set_address(device, QUEUE_DRIVER, bad_address(device));
	set_address(device, QUEUE_DEVICE, bad_address(device));
	write16(device->common + QUEUE_ENABLE, (uint16_t)(below(8) != 0));
}

static void ask_nonsense(const struct device *device)
{
	unsigned queues = (unsigned)*(volatile uint16_t *)(device->common + QUEUES);

	reset(device);
	set_status(device, STATUS_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t offered;

		mmio_write(device->common + FEATURE_SELECT, i);
		offered = mmio_read(device->common + FEATURE);
		mmio_write(device->common + DRIVER_FEATURE_SELECT, i);
		mmio_write(device->common + DRIVER_FEATURE,
			   below(8) == 0 ? (uint32_t)noise()
					 : (offered & (uint32_t)noise()) | (i & offered));
	}
	set_status(device, STATUS_DRIVER | STATUS_FEATURES_OK);
	write16(device->common + CONFIG_VECTOR, (uint16_t)noise());
	fill_arena(device);
	for (unsigned i = 0; i < queues + 1 && i < 8; i++)
		set_queue(device, i);
	set_status(device, STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	for (unsigned i = 0; i < 8; i++) {
		unsigned queue = (unsigned)below(queues + 2);

		write16(device->notify + queue * device->notify_each, (uint16_t)queue);
		if (device->config != 0)
			write8(device->config + below(64), (uint8_t)noise());
		if (device->isr != 0)
			(void)*(volatile uint8_t *)device->isr;
		write16(ARENA + 2 * below(ARENA_BYTES / 2), (uint16_t)noise());
	}
	if (below(4) == 0)
		set_status(device, (uint8_t)noise());
}

/* One good request; how many bytes the device says that it wrote, or ~0. */
static uint32_t ask_well(const struct device *device, const struct descriptor *chain,
			 unsigned count)
{
	struct descriptor *descriptors = (struct descriptor *)ARENA;
	volatile uint16_t *driver = (uint16_t *)(ARENA + 0x1000);
	volatile uint16_t *used = (uint16_t *)(ARENA + 0x2000);
	uint64_t end = rdtsc() + tsc_khz() * 10000;

	memory_set((void *)ARENA, 0, ARENA_BYTES);
	memory_copy(descriptors, chain, count * sizeof(*chain));
	reset(device);
	set_status(device, STATUS_DRIVER);
	mmio_write(device->common + DRIVER_FEATURE_SELECT, 0);
	mmio_write(device->common + DRIVER_FEATURE, 0);
	mmio_write(device->common + DRIVER_FEATURE_SELECT, 1);
	mmio_write(device->common + DRIVER_FEATURE, 1); /* VIRTIO_F_VERSION_1 */
	set_status(device, STATUS_DRIVER | STATUS_FEATURES_OK);
	if ((status(device) & STATUS_FEATURES_OK) == 0)
		return ~0u;
	write16(device->common + QUEUE_SELECT, 0);
	write16(device->common + QUEUE_SIZE, 8);
	set_address(device, QUEUE_DESCRIPTORS, ARENA);
	set_address(device, QUEUE_DRIVER, ARENA + 0x1000);
	set_address(device, QUEUE_DEVICE, ARENA + 0x2000);
	write16(device->common + QUEUE_ENABLE, 1);
	set_status(device, STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	driver[1] = 1;
	write16(device->notify, 0);
	while (used[1] != 1 && rdtsc() < end)
		pause();
	return used[1] == 1 ? used[4] | (uint32_t)used[5] << 16 : ~0u;
}

static void check_works(const struct device *device)
{
	const struct descriptor random = {ARENA + 0x4000, 64, WRITE, 0};
	/* Type "in", sector 0; a sector; the status. */
	const struct descriptor sector[] = {{ARENA + 0x3000, 16, NEXT, 1},
					    {ARENA + 0x4000, 512, NEXT | WRITE, 2},
					    {ARENA + 0x5000, 1, WRITE, 0}};

	if (device->id == DEVICE_RNG)
		check_equal("the random device works afterwards", 64, ask_well(device, &random, 1));
	else if (device->id == DEVICE_BLK)
		check_equal("the disk works afterwards", 513, ask_well(device, sector, 3));
	reset(device);
	check_equal("a device is reset", 0, status(device));
}

static void test_virtio(void)
{
	static struct device devices[32];
	unsigned count = 0;

	for (unsigned slot = 0; slot < 32; slot++)
		count += find_device(&devices[count], slot);
	check_range("there are devices", 1, 32, count);
	for (unsigned i = 0; i < count; i++) {
		say("# virtio device %x\n", (uint64_t)devices[i].id);
		for (unsigned round = 0; round < VIRTIO_ROUNDS; round++)
			ask_nonsense(&devices[i]);
		check_works(&devices[i]);
	}
}

/* Registers ------------------------------------------------------------------------------------ */

static bool is_own(uint32_t msr)
{
	return msr == MSR_EFER || msr == MSR_GS_BASE || msr == MSR_APIC_BASE;
}

static void test_msrs(void)
{
	static const uint32_t bases[] = {0, 0x800, 0xc0000000, 0xc0010000, 0x40000000, 0x4b564d00};
	unsigned refused = 0;

	for (unsigned i = 0; i < MSR_ROUNDS; i++) {
		uint32_t msr = bases[below(ARRAY_COUNT(bases))] +
			       (uint32_t)below(below(2) ? 0x2000 : 0x200);
		uint64_t value = below(2) ? noise() : below(256);
		struct trap trap = TRY("rdmsr", : : "c"(msr) : "rax", "rdx");

		refused += trap.happened;
		if (trap.happened && trap.vector != VECTOR_GP)
			check_trap("RDMSR", trap, VECTOR_GP, 0);
		if (is_own(msr))
			continue;
		trap = TRY("wrmsr",
			   :
			   : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
		if (trap.happened && trap.vector != VECTOR_GP)
			check_trap("WRMSR", trap, VECTOR_GP, 0);
	}
	check_range("some registers are there, most are not", MSR_ROUNDS / 4, MSR_ROUNDS - 1,
		    refused);
}

/* Memory --------------------------------------------------------------------------------------- */

/* Where writes are not the end: no IPI (it might be an INIT), no unmasked pin of the I/O APIC. */
static void access_memory(uint64_t at, bool write)
{
	uint64_t value = noise();

	if ((at & ~0xfffull) == 0xfee00000)
		write = write && (at & 0xff0) != 0x300 && (at & 0xff0) < 0x320;
	if ((at & ~0xfffull) == 0xfec00000)
		value |= 1u << 16;
	switch (below(4)) {
	case 0:
		if (write)
			*(volatile uint8_t *)at = (uint8_t)value;
		else
			(void)*(volatile uint8_t *)at;
		break;
	case 1:
		if (write)
			*(volatile uint16_t *)at = (uint16_t)value;
		else
			(void)*(volatile uint16_t *)at;
		break;
	case 2:
		if (write)
			*(volatile uint32_t *)at = (uint32_t)value;
		else
			(void)*(volatile uint32_t *)at;
		break;
	default:
		if (write)
			*(volatile uint64_t *)at = value;
		else
			(void)*(volatile uint64_t *)at;
		break;
	}
}

static void test_memory(void)
{
	static const uint64_t bases[] = {0xfed00000, 0xfee00000, 0xfec00000, 0xe0000000, 0xb0000000,
					 0xfeb00000, 0x1000000,	 0xa0000,    0xfffff000};

	uint64_t addresses = (1ull << (cpuid(0x80000008, 0).a & 0xff)) - 4096;

	for (unsigned i = 0; i < MEMORY_ROUNDS; i++) {
		uint64_t at = bases[below(ARRAY_COUNT(bases))] + below(0xff0);

		if (below(8) == 0) /* anywhere that a page table can say */
			at = reach(200, 1ull << 32 | (noise() & addresses)) + below(0xff0);
		access_memory(at, below(2));
	}
	check_true("memory-mapped registers", true);
}

/* Ports ---------------------------------------------------------------------------------------- */

/* The UART, what would reset the domain or switch it off, and what writes to its memory (fw_cfg).
 */
static bool is_fatal(uint16_t port)
{
	return (port >= 0x3f5 && port <= 0x3ff) || (port >= 0xf1 && port <= 0xf7) ||
	       (port >= 0x5fd && port <= 0x60f) || (port >= 0xcf5 && port <= 0xcff) ||
	       (port >= 0x8f && port <= 0x92) || (port >= 0x5d && port <= 0x64) ||
	       (port >= 0x50d && port <= 0x51b);
}

static void test_ports(void)
{
	static uint8_t buffer[64];

	for (unsigned i = 0; i < PORT_ROUNDS; i++) {
		uint16_t port = (uint16_t)below(below(2) ? 0x10000 : 0x800);
		uint8_t *to = buffer;
		uint64_t count = below(16);

		if (is_fatal(port))
			continue;
		switch (below(8)) {
		case 0:
			in8(port);
			break;
		case 1:
			in16(port);
			break;
		case 2:
			in32(port);
			break;
		case 3:
			out8(port, (uint8_t)noise());
			break;
		case 4:
			out16(port, (uint16_t)noise());
			break;
		case 5:
			out32(port, (uint32_t)noise());
			break;
		case 6:
			__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
			break;
		default:
			__asm__ volatile("rep outsw"
					 : "+S"(to), "+c"(count)
					 : "d"(port)
					 : "memory");
			break;
		}
	}
	check_true("ports", true);
}

static void nothing(struct frame *frame)
{
	(void)frame;
}

void guest_test(void)
{
	state = guest_number("seed", 1) * 0x9e3779b97f4a7c15ull + 1;
	trap_handle(VECTOR_NMI, nothing);
	tsc_khz();
	test_virtio();
	test_msrs();
	test_memory();
	test_ports();
}
