/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core's parts share: the machine itself. Devices see vmm.h only, but for the interrupt
 * controllers, whose lines are here.
 *
 * Locks: `lock` guards everything below but what a vCPU's own thread keeps (vcpu.h). It is the only
 * lock.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <pthread.h>

#include "socle.h"
#include "vmm-user/vmm/config.h"
#include "vmm-user/vmm/lock.h"
#include "vmm-user/vmm/vmm.h"

/* state.c: the region is a header and sections one behind the other. */
struct state_region {
	uint8_t *base;
	size_t bytes;
};

/*
 * Takes [base, base + bytes), zeroed or left by an earlier process, as the state region.
 * False, reported: it is neither, or damaged.
 */
bool state_open(struct vmm *vmm, void *base, size_t bytes);

/* bus.c */
#define BUS_HITS 16 /* a power of two */

/* Where an access was found to go. */
struct bus_hit {
	uint64_t what; /* address << 4 | bytes; 0: nowhere */
	const struct bus_range *range;
};

/* A port read that was made before, in the words of SOCLE_EXIT_IO: who answers it. */
struct port_hit {
	uint64_t what; /* SOCLE_IO_*, without SOCLE_IO_STRING; all ones: nothing */
	bus_read read;
	void *device;
	uint64_t offset;
};

struct bus_map {
	struct bus_range *range; /* by base */
	unsigned count, room;
	uint64_t lost;		      /* accesses to nothing */
	struct bus_hit hit[BUS_HITS]; /* of the ranges as they are */
	struct port_hit port[BUS_HITS];
};
void bus_destroy(struct vmm *vmm);

static inline struct bus_hit *bus_hit_of(struct bus_map *map, uint64_t address)
{
	return &map->hit[(address ^ address >> 4) % BUS_HITS];
}

/* What is kept of an access; no two have the same: addresses end below 2^60. */
static inline uint64_t bus_hit_key(uint64_t address, unsigned bytes)
{
	return address << 4 | bytes;
}

/* The range of an access that was made before, or NULL: bus_do_read() or bus_do_write() finds out.
 */
static inline const struct bus_range *bus_hit(struct bus_map *map, uint64_t address, unsigned bytes)
{
	const struct bus_hit *hit = bus_hit_of(map, address);

	return hit->what == bus_hit_key(address, bytes) ? hit->range : NULL;
}

/* memory.c */
#define MEMORY_LOW_MAX	 0xc0000000ull	/* RAM below 4 GiB ends here at the latest */
#define MEMORY_HIGH_BASE 0x100000000ull /* and goes on here */

struct guest_ram {
	uint8_t *base; /* of low, then high, without a gap */
	uint64_t low, high;
	uint64_t *dirty; /* a bit for each 4 KiB page of the mapping; NULL: no log is kept */
};

/* Takes `bytes` of memory mapped at base as the guest's. */
void memory_set(struct vmm *vmm, void *base, uint64_t bytes);

/* event.c */
struct event_watch;

struct events {
	int epoll, timer, wake;	   /* file descriptors */
	struct vmm_timer *timers;  /* by deadline */
	struct event_watch *watch; /* by file descriptor */
	unsigned watches;
	struct event_clock *clock; /* in the state region */
};

/* Nanoseconds since 1970 in UTC, by the service VM's clock. */
int64_t vmm_wall_clock(struct vmm *vmm);

bool event_open(struct vmm *vmm);
void event_close(struct vmm *vmm);
/* Waits for one event and handles it; takes the lock. False: it cannot wait any more. */
bool event_step(struct vmm *vmm);
/* Makes event_step() return soon. From any thread, without the lock too. */
void event_wake(struct vmm *vmm);
/* Stops and starts vmm_now(). With the lock held. */
void event_clock_stop(struct vmm *vmm);
void event_clock_start(struct vmm *vmm);

/* devices/pic.c */
void pic_set(struct vmm *vmm, unsigned irq, bool level);
/* True if the line's request is neither masked nor acknowledged. */
bool pic_waits(const struct vmm *vmm, unsigned irq);
/* True if the pair asks for an interrupt: the level of INTR. */
bool pic_output(struct vmm *vmm);
/* Interrupt acknowledge: the vector. */
uint8_t pic_acknowledge(struct vmm *vmm);

/* devices/ioapic.c */
void ioapic_set(struct vmm *vmm, unsigned pin, bool level);
void ioapic_eoi(struct vmm *vmm, uint8_t vector);
/* True if the pin's last edge is still requested of a local APIC. */
bool ioapic_waits(const struct vmm *vmm, unsigned pin);

/* devices/pit.c, devices/rtc.c: the HPET's legacy replacement keeps their interrupts off. */
void pit_legacy_replaced(struct vmm *vmm, bool replaced);
void rtc_legacy_replaced(struct vmm *vmm, bool replaced);

/* devices/acpi_pm.c: somebody presses the power button. With the lock held. */
void acpi_pm_power_button(struct vmm *vmm);

/* irq.c: INTR changed: the vCPU whose local APIC takes it must look. */
void irq_pic_changed(struct vmm *vmm);

struct vcpu;
struct virtio_balloon;

struct vmm {
	struct lock lock;
	struct condition changed; /* paused, ending */
	struct vmm_config config;
	struct state_region state;
	struct bus_map bus[2];
	struct guest_ram ram;
	struct events events;
	void *pic, *ioapic, *pit, *rtc, *acpi_pm;
	struct virtio_balloon *balloon;
	struct socle_handle handle;	 /* with the domain's key */
	uint64_t tsc_start, clock_start; /* two clocks at the same time: machine_tsc_to_ns() */
	struct vcpu *vcpu;		 /* config.vcpus of them */
	unsigned next_lowest; /* the vCPU that is first asked for a lowest-priority interrupt */
	bool paused, ending;
	unsigned running; /* vCPU threads that are not waiting for the pause to end */
	enum vmm_end end;
	uint32_t status; /* what the guest gave to the debug exit port */
	char reason[256];
	char last_log[256]; /* the last line of vmm_log(): the reason if the machine cannot be made
			     */
};

/* machine.c ---------------------------------------------------------------------------------- */

/*
 * Makes the machine that vmm->config describes, up to its vCPUs, which do not run yet: maps the
 * memory here and for the guest, opens the state region, creates the devices. False: reported.
 */
bool machine_create(struct vmm *vmm);
/* Nanoseconds that so many ticks of the TSC last. */
uint64_t machine_tsc_to_ns(const struct vmm *vmm, uint64_t ticks);
/* With the lock held. A pause has come about when `running` is 0. */
void machine_pause(struct vmm *vmm);
void machine_unpause(struct vmm *vmm);

/* boot.c: PCI devices as the configuration has them; the kernel into memory. False: reported. */
bool boot_create_devices(struct vmm *vmm);
bool boot_load(struct vmm *vmm);

/* ram_target.c: how much of its memory the guest is to use. */
bool ram_target_create(struct vmm *vmm);
/* With the lock held: asks the guest to use only that many bytes. */
void ram_target_set(struct vmm *vmm, uint64_t bytes);
/* What it uses now; *free_bytes is what it does not need of that. False: it has not told. */
uint64_t ram_target_actual(const struct vmm *vmm);
bool ram_target_free(const struct vmm *vmm, uint64_t *free_bytes);

/* control.c: talks to socled. */
bool control_open(struct vmm *vmm);
/* Runs the domain to its end, and says how it ended. */
void control_run(struct vmm *vmm);
/* Tells what ram_target.c knows. With the lock held. */
void control_memory(struct vmm *vmm);
/* Says that it ended; text NULL: the machine's reason. */
void control_ended(struct vmm *vmm, const char *how, const char *reason);

/*
 * sandbox.c: gives up what is not needed from here on. Descriptors: all but those of the
 * configuration and 0 .. 2 are closed, before anything else is opened. System calls: only those on
 * a list, for this thread and those it will start; another ends the process. False: reported.
 */
void sandbox_close_others(const struct vmm_config *config, int also);
bool sandbox_enter(struct vmm *vmm);

/* Where a port read is kept that SOCLE_EXIT_IO describes. */
static inline struct port_hit *port_hit_of(struct vmm *vmm, uint64_t information)
{
	return &vmm->bus[BUS_PORT].port[(information ^ information >> 4) % BUS_HITS];
}

/* Does such a read, and keeps who answers. */
uint64_t bus_port_read(struct vmm *vmm, uint64_t information);

static inline void vmm_lock(struct vmm *vmm)
{
	lock_take(&vmm->lock);
}
static inline void vmm_unlock(struct vmm *vmm)
{
	lock_drop(&vmm->lock);
}

#endif
