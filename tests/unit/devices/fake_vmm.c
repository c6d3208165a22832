/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_BYTES 0x40000
#define WATCHES	    16

struct fake_vmm fake_vmm;

static struct {
	int fd;
	uint32_t events;
	void (*ready)(void *device, uint32_t events);
	void *device;
} watch[WATCHES];

static void *state, *ram;

struct vmm *fake_vmm_start(void)
{
	memset(&fake_vmm, 0, sizeof(fake_vmm));
	state = aligned_alloc(64, STATE_BYTES);
	memset(state, 0, STATE_BYTES);
	ram = calloc(1, FAKE_RAM_BYTES);
	fake_vmm.now = 1;
	return fake_vmm_restart();
}

struct vmm *fake_vmm_restart(void)
{
	struct vmm *vmm = &fake_vmm.vmm;

	bus_destroy(vmm);
	memset(vmm, 0, sizeof(*vmm));
	memset(watch, 0, sizeof(watch));
	vmm->config.vcpus = 2;
	if (!state_open(vmm, state, STATE_BYTES))
		abort();
	vmm->ram = (struct guest_ram){.base = ram, .low = FAKE_RAM_BYTES};
	return vmm;
}

void fake_vmm_stop(void)
{
	bus_destroy(&fake_vmm.vmm);
	free(state);
	free(ram);
}

/* Time --------------------------------------------------------------------------------------- */

uint64_t vmm_now(struct vmm *vmm)
{
	(void)vmm;
	fake_vmm.now += fake_vmm.look;
	return fake_vmm.now;
}

int64_t vmm_wall_clock(struct vmm *vmm)
{
	(void)vmm;
	return fake_vmm.wall;
}

void timer_clear(struct vmm *vmm, struct vmm_timer *timer)
{
	struct vmm_timer **link = &vmm->events.timers;

	while (*link != NULL && *link != timer)
		link = &(*link)->next;
	if (*link == timer)
		*link = timer->next;
	timer->deadline = 0;
}

void timer_set(struct vmm *vmm, struct vmm_timer *timer, uint64_t deadline)
{
	struct vmm_timer **link = &vmm->events.timers;

	timer_clear(vmm, timer);
	timer->deadline = deadline;
	while (*link != NULL && (*link)->deadline <= deadline)
		link = &(*link)->next;
	timer->next = *link;
	*link = timer;
}

void fake_vmm_pass(uint64_t nanoseconds)
{
	uint64_t end = fake_vmm.now + nanoseconds;
	struct vmm_timer *timer;

	while ((timer = fake_vmm.vmm.events.timers) != NULL && timer->deadline <= end) {
		if (timer->deadline > fake_vmm.now)
			fake_vmm.now = timer->deadline;
		timer_clear(&fake_vmm.vmm, timer);
		timer->expired(timer->device);
	}
	fake_vmm.now = end;
}

/* File descriptors --------------------------------------------------------------------------- */

bool event_watch(struct vmm *vmm, int fd, uint32_t events,
		 void (*ready)(void *device, uint32_t events), void *device)
{
	unsigned place = WATCHES;

	(void)vmm;
	for (unsigned i = WATCHES; i-- > 0;)
		if (watch[i].events == 0)
			place = i;
	for (unsigned i = 0; i < WATCHES; i++)
		if (watch[i].events != 0 && watch[i].fd == fd)
			place = i;
	watch[place].fd = fd;
	watch[place].events = events;
	watch[place].ready = ready;
	watch[place].device = device;
	return true;
}

unsigned fake_vmm_poll(void)
{
	unsigned calls = 0;

	for (unsigned i = 0; i < WATCHES; i++) {
		struct pollfd pollfd = {.fd = watch[i].fd, .events = (short)watch[i].events};

		if (watch[i].events != 0 && poll(&pollfd, 1, 0) == 1) {
			watch[i].ready(watch[i].device, (uint32_t)pollfd.revents);
			calls++;
		}
	}
	return calls;
}

/* Interrupts --------------------------------------------------------------------------------- */

void irq_set(struct vmm *vmm, unsigned gsi, bool level)
{
	if (level && !fake_vmm.level[gsi])
		fake_vmm.rises[gsi]++;
	fake_vmm.level[gsi] = level;
	if (fake_vmm.through_controllers) {
		ioapic_set(vmm, gsi == 0 ? 2 : gsi, level);
		if (gsi < 16)
			pic_set(vmm, gsi, level);
	}
}

bool irq_waits(struct vmm *vmm, unsigned gsi)
{
	(void)vmm;
	return gsi < FAKE_GSIS && fake_vmm.waits[gsi];
}

bool apic_waits(const struct vmm *vmm, uint8_t vector)
{
	(void)vmm;
	(void)vector;
	return false;
}

void apic_send(struct vmm *vmm, const struct apic_message *message)
{
	(void)vmm;
	fake_vmm.message[fake_vmm.messages++ % FAKE_MESSAGES] = *message;
}

void msi_send(struct vmm *vmm, uint64_t address, uint32_t data)
{
	struct apic_message message = {.destination = (uint32_t)(address >> 12 & 0xff),
				       .vector = (uint8_t)data};

	apic_send(vmm, &message);
}

void irq_pic_changed(struct vmm *vmm)
{
	(void)vmm;
	fake_vmm.pic_changes++;
}

/* The machine -------------------------------------------------------------------------------- */

void *guest_memory(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	return at < vmm->ram.low && bytes <= vmm->ram.low - at ? vmm->ram.base + at : NULL;
}

uint64_t guest_memory_address(const struct vmm *vmm, const void *pointer)
{
	return (uint64_t)((const uint8_t *)pointer - vmm->ram.base);
}

uint64_t guest_memory_low(const struct vmm *vmm)
{
	return vmm->ram.low;
}

uint64_t guest_memory_high(const struct vmm *vmm)
{
	return vmm->ram.high;
}

void guest_memory_dirty(struct vmm *vmm, uint64_t at, uint64_t bytes)
{
	(void)vmm;
	(void)at;
	(void)bytes;
}

void vmm_end(struct vmm *vmm, enum vmm_end how, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fake_vmm.text, sizeof(fake_vmm.text), format, arguments);
	va_end(arguments);
	fake_vmm.ended = vmm->ending = true;
	fake_vmm.how = how;
}

void vmm_log(struct vmm *vmm, const char *format, ...)
{
	va_list arguments;

	(void)vmm;
	va_start(arguments, format);
	vsnprintf(fake_vmm.text, sizeof(fake_vmm.text), format, arguments);
	va_end(arguments);
}

unsigned vmm_vcpus(const struct vmm *vmm)
{
	return vmm->config.vcpus;
}

/* Accesses ----------------------------------------------------------------------------------- */

uint64_t in(uint64_t port, unsigned bytes)
{
	return bus_do_read(&fake_vmm.vmm, BUS_PORT, port, bytes);
}

void out(uint64_t port, unsigned bytes, uint64_t value)
{
	bus_do_write(&fake_vmm.vmm, BUS_PORT, port, bytes, value);
}

uint8_t in8(uint64_t port)
{
	return (uint8_t)in(port, 1);
}

void out8(uint64_t port, uint8_t value)
{
	out(port, 1, value);
}

uint64_t mmio_read(uint64_t address, unsigned bytes)
{
	return bus_do_read(&fake_vmm.vmm, BUS_MEMORY, address, bytes);
}

void mmio_write(uint64_t address, unsigned bytes, uint64_t value)
{
	bus_do_write(&fake_vmm.vmm, BUS_MEMORY, address, bytes, value);
}
