/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hypercalls on a fake machine with a pool, for tests of domains: what a client of the service VM
 * can do, and what it can reach.
 */
#ifndef DOMAIN_CALLS_H
#define DOMAIN_CALLS_H

#include "arch/fake/fake_cpu.h"
#include "arch/fake/fake_machine.h"
#include "hv/domain.h"
#include "hv/pool.h"

#define CALLS_CPUS	4
#define CALLS_POOL_BASE (GIB(2) + MIB(6)) /* on no boundary that a table has */

extern struct cpu calls_cpu[CALLS_CPUS];
extern const struct socle_key calls_root_key;

/* Starts the machine, with a pool of that many frames and second-level tables of that format. */
void calls_start(uint64_t frames, const struct ept_format *format);

/* A hypercall from ring 3 of the service VM on that CPU, which runs no guest. Gives RAX. */
int64_t calls_on(unsigned cpu, struct socle_key key, uint64_t number, uint64_t a0, uint64_t a1,
		 uint64_t a2, uint64_t a3);

/* The same on CPU 0; and there with the root key. */
int64_t calls_with(struct socle_key key, uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2,
		   uint64_t a3);
int64_t calls_root(uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2);

/* The reply of the last one. */
struct socle_reply calls_reply(void);
struct socle_domain_info calls_info(uint64_t domain);

/* The guest that a CPU runs exits for that reason. */
void calls_exit(unsigned cpu, enum socle_exit_reason reason);

/* Frames of the pool: address and number as calls take it. */
hpa_t calls_frame(uint64_t index);
uint64_t calls_frame_number(uint64_t index);

/* What the service VM has at a frame. */
enum calls_view { VIEW_IDENTITY, VIEW_HOLE, VIEW_OTHER };
enum calls_view calls_service_view(uint64_t index);

/* Fills a frame, or checks that all of it is zero, by the service VM's view. */
void calls_fill(uint64_t index, uint8_t with);
bool calls_is_zero(uint64_t index);

#endif
