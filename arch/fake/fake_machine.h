/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for unit tests on the host, beside its CPU: memory for the hypervisor's own pages, a
 * pool of frames, hv/paging.h and hv/shootdown.h.
 *
 * The pool has two views. The service VM's (fake_pool()) always has all of it. The hypervisor's has
 * what paging_map_frame() and paging_map_pages() gave it; touching anything else ends the test.
 */
#ifndef ARCH_FAKE_FAKE_MACHINE_H
#define ARCH_FAKE_FAKE_MACHINE_H

#include "hv/boot_info.h"
#include "hv/cpu.h"

/*
 * Makes the hypervisor's memory (memory_init() is done) and the pool of boot->pool_bytes, all
 * zeros, at boot->pool_base. Once in a process.
 */
void fake_machine_start(const struct boot_info *boot);

/* Where a host-physical address of the pool is in the service VM's view. */
void *fake_pool(hpa_t at);

/* True if the hypervisor has the page, or any page of the frame, of that address mapped. */
bool fake_page_mapped(hpa_t at);
bool fake_frame_mapped(hpa_t at);

/* How often all CPUs were told to throw their translations away, and what is called then. */
unsigned fake_shootdowns(void);
void fake_on_shootdown(void (*function)(void));

/* Called before a frame is unmapped from the hypervisor's view. */
void fake_on_unmap(void (*function)(hpa_t frame));

/* The last deadline that timer_bound() was given. */
uint64_t fake_last_bound(void);

/* How often a CPU was asked to leave its guest, and which one last. */
unsigned fake_kicks(void);
const struct cpu *fake_last_kicked(void);

#endif
