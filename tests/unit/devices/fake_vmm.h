/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for device models: a real bus and state region, a clock that moves when it is told to,
 * and interrupt lines and messages that are only remembered.
 */
#ifndef UNIT_FAKE_VMM_H
#define UNIT_FAKE_VMM_H

#include "vmm-user/vmm/vcpu.h"

#define FAKE_GSIS      24
#define FAKE_MESSAGES  64
#define FAKE_RAM_BYTES (4u << 20)
#define FAKE_SECOND    1000000000ull

struct fake_vmm {
	struct vmm vmm;
	uint64_t now;
	uint64_t look; /* nanoseconds that pass with each look at the clock */
	int64_t wall;
	bool level[FAKE_GSIS];
	unsigned rises[FAKE_GSIS]; /* of the line */
	bool waits[FAKE_GSIS];	   /* what irq_waits() says */
	struct apic_message message[FAKE_MESSAGES];
	unsigned messages;
	unsigned pic_changes;
	bool ended;
	enum vmm_end how;
	char text[256];		  /* the last log line or reason */
	bool through_controllers; /* irq_set() goes on to the PIC and the I/O APIC */
};

extern struct fake_vmm fake_vmm;

/* A new machine at time 0. */
struct vmm *fake_vmm_start(void);
void fake_vmm_stop(void);
/* A new process: devices are to be created again, on the state that the old one left. */
struct vmm *fake_vmm_restart(void);

/* Lets nanoseconds pass, and the timers within them expire at their time. */
void fake_vmm_pass(uint64_t nanoseconds);
/* Handles what poll(2) says about the watched descriptors now; the number of calls. */
unsigned fake_vmm_poll(void);

uint8_t in8(uint64_t port);
void out8(uint64_t port, uint8_t value);
uint64_t in(uint64_t port, unsigned bytes);
void out(uint64_t port, unsigned bytes, uint64_t value);
uint64_t mmio_read(uint64_t address, unsigned bytes);
void mmio_write(uint64_t address, unsigned bytes, uint64_t value);

#endif
