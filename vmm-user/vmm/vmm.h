/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual machine monitor: what its parts know of each other. One process a domain, one thread
 * a vCPU, one thread for everything else (the event loop).
 *
 * Locking: every device function (port and memory access, timer, file descriptor, PCI callback)
 * runs with the machine's one lock held; irq_set(), msi_send(), timers and guest memory may be used
 * there. Nothing blocks with the lock held.
 *
 * Device state: a device keeps all that the guest could notice in a section of the state region,
 * with no pointers in it, so that another process can take over where this one stopped. What can be
 * made anew (file descriptors, registrations) lives in the device's own structure.
 */
#ifndef VMM_VMM_H
#define VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmm;

/* state.c
 * ------------------------------------------------------------------------------------------ */

/*
 * The section `name`, instance `instance`, of the state region: found there if an earlier process
 * left it (*fresh false), else made, zeroed (*fresh true). `version` is of the section's layout;
 * one found with another version or size is an error, reported, and NULL. The name has at most 23
 * characters.
 */
void *state_section(struct vmm *vmm, const char *name, unsigned instance, uint32_t version,
		    size_t bytes, bool *fresh);

/* bus.c: ports and memory-mapped registers
 * ------------------------------------------------------------ */

/* offset is from the range's base; bytes is 1, 2, 4 or 8 and the access lies within the range. */
typedef uint64_t (*bus_read)(void *device, uint64_t offset, unsigned bytes);
typedef void (*bus_write)(void *device, uint64_t offset, unsigned bytes, uint64_t value);

struct bus_range {
	const char *name;
	uint64_t base, bytes;
	bus_read read;
	bus_write write;
	void *device;
};

enum bus { BUS_PORT, BUS_MEMORY };

/*
 * Adds a range; false, reported, if it overlaps another. It may lie within a wider one with another
 * base, and then takes the accesses that it holds as a whole (0xcf9 within 0xcf8-0xcff). The
 * structure is copied.
 */
bool bus_add(struct vmm *vmm, enum bus bus, const struct bus_range *range);
/* Removes the range at base (a BAR that moves). */
void bus_remove(struct vmm *vmm, enum bus bus, uint64_t base);
/* What a guest's access does. Nothing there: reads give ones, writes are lost; both are counted. */
uint64_t bus_do_read(struct vmm *vmm, enum bus bus, uint64_t address, unsigned bytes);
void bus_do_write(struct vmm *vmm, enum bus bus, uint64_t address, unsigned bytes, uint64_t value);

/* irq.c: interrupts
 * -------------------------------------------------------------------------------- */

/* Sets the level of global system interrupt 0 .. 23: the I/O APIC's pin and, below 16, the PIC's.
 */
void irq_set(struct vmm *vmm, unsigned gsi, bool level);
/*
 * True if the guest has not yet taken the edge that the line gave last: another one now would be
 * one and the same interrupt to it.
 */
bool irq_waits(struct vmm *vmm, unsigned gsi);
/* A message-signalled interrupt (SDM volume 3, section 11.11). */
void msi_send(struct vmm *vmm, uint64_t address, uint32_t data);
/* A local APIC acknowledged a level-triggered vector. */
void irq_eoi(struct vmm *vmm, uint8_t vector);

/* memory.c: the guest's memory
 * ------------------------------------------------------------------------ */

/* A pointer to [at, at + bytes) of guest-physical RAM, or NULL if not all of it is RAM, contiguous.
 */
void *guest_memory(struct vmm *vmm, uint64_t at, uint64_t bytes);
/* The guest-physical address of a pointer that guest_memory() gave, or of one behind that. */
uint64_t guest_memory_address(const struct vmm *vmm, const void *pointer);
/* Bytes of RAM below 4 GiB (from 0, with the hole at 640 KiB), and above (from 4 GiB). */
uint64_t guest_memory_low(const struct vmm *vmm);
uint64_t guest_memory_high(const struct vmm *vmm);
/* Tells the dirty log that the VMM wrote there. */
void guest_memory_dirty(struct vmm *vmm, uint64_t at, uint64_t bytes);

/* event.c: time and file descriptors
 * --------------------------------------------------------------------- */

/* Nanoseconds of the machine's clock: it stands still while the domain is paused, and goes on from
 * where it was after a restart. */
uint64_t vmm_now(struct vmm *vmm);

struct vmm_timer {
	void (*expired)(void *device);
	void *device;
	uint64_t deadline; /* nanoseconds of vmm_now(); 0: not set. event.c's */
	struct vmm_timer *next, **link;
};
void timer_set(struct vmm *vmm, struct vmm_timer *timer, uint64_t deadline);
void timer_clear(struct vmm *vmm, struct vmm_timer *timer);

/* Calls ready(device, events) when poll(2)'s events come at fd; events 0 removes it. */
bool event_watch(struct vmm *vmm, int fd, uint32_t events,
		 void (*ready)(void *device, uint32_t events), void *device);

/* machine.c: the domain as a whole
 * ------------------------------------------------------------------------ */

enum vmm_end { VMM_POWEROFF, VMM_REBOOT, VMM_CRASH };

/* Ends the domain; the text says why (for a crash: what was found). Returns; the end comes soon. */
void vmm_end(struct vmm *vmm, enum vmm_end how, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* One line to the domain's log. */
void vmm_log(struct vmm *vmm, const char *format, ...) __attribute__((format(printf, 2, 3)));

unsigned vmm_vcpus(const struct vmm *vmm);

/* Every device has one such function: it makes the device and adds it. False: reported. */
bool pic_create(struct vmm *vmm);
bool ioapic_create(struct vmm *vmm);
bool pit_create(struct vmm *vmm);
bool hpet_create(struct vmm *vmm);
bool rtc_create(struct vmm *vmm, bool local_time);
bool acpi_pm_create(struct vmm *vmm);
bool debug_exit_create(struct vmm *vmm);
bool i8042_create(struct vmm *vmm);
/* input and output: file descriptors, -1 for none. */
bool uart16550_create(struct vmm *vmm, unsigned index, int input, int output);

#endif
