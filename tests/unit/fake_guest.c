/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-user/vmm/control.h"

struct fake_guest guest;
struct vmm *const fake_vmm = NULL;
static uint64_t random_state = 88172645463325252ull;

uint64_t fake_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull;
}

void fake_guest_start(void)
{
	memset(&guest, 0, sizeof(guest));
	guest.ram = calloc(1, FAKE_RAM_BYTES);
	if (guest.ram == NULL)
		abort();
}

void fake_guest_stop(void)
{
	free(guest.ram);
	guest.ram = NULL;
}

void *guest_memory(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	(void)vmm;
	guest.asked++;
	if (at >= FAKE_RAM_BYTES || bytes > FAKE_RAM_BYTES - at ||
	    (at < VMM_HOLE + VMM_HOLE_BYTES && at + bytes > VMM_HOLE))
		return NULL;
	return guest.ram + at;
}

uint64_t guest_memory_low(const struct vmm *vmm)
{
	(void)vmm;
	return FAKE_RAM_BYTES;
}

uint64_t guest_memory_high(const struct vmm *vmm)
{
	(void)vmm;
	return guest.high_bytes;
}

void guest_memory_dirty(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	(void)vmm;
	(void)at;
	(void)bytes;
	guest.dirty++;
}

uint64_t bus_do_read(struct vmm *vmm, enum bus bus, uint64_t address, unsigned bytes)
{
	uint64_t value = ~0ull;

	(void)vmm;
	if (bus == BUS_PORT)
		return guest.port_next++ * 0x9e3779b97f4a7c15ull >> (64 - 8 * bytes);
	if (address >= FAKE_MMIO_BASE && address - FAKE_MMIO_BASE <= FAKE_MMIO_BYTES - bytes) {
		value = 0;
		memcpy(&value, guest.mmio + (address - FAKE_MMIO_BASE), bytes);
		guest.reads++;
	}
	return bytes == 8 ? value : value & ((1ull << 8 * bytes) - 1);
}

void bus_do_write(struct vmm *vmm, enum bus bus, uint64_t address, unsigned bytes, uint64_t value)
{
	(void)vmm;
	if (bus == BUS_PORT) {
		guest.port_sum = guest.port_sum * 31 + (value ^ address << 32);
	} else if (address >= FAKE_MMIO_BASE &&
		   address - FAKE_MMIO_BASE <= FAKE_MMIO_BYTES - bytes) {
		memcpy(guest.mmio + (address - FAKE_MMIO_BASE), &value, bytes);
		guest.writes++;
	}
}

unsigned vmm_vcpus(const struct vmm *vmm)
{
	(void)vmm;
	return 3;
}

void vmm_log(struct vmm *vmm, const char *format, ...)
{
	va_list list;

	(void)vmm;
	va_start(list, format);
	vsnprintf(guest.log, sizeof(guest.log), format, list);
	va_end(list);
}
