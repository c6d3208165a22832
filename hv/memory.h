/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own memory: addresses and the pages that nothing uses yet. */
#ifndef HV_MEMORY_H
#define HV_MEMORY_H

#include "ept/ept.h"
#include "hv/boot_info.h"

/* Takes over what the loader laid out. Called once, before anything else here. */
void memory_init(const struct boot_info *boot);

/* Host-physical address of something in the hypervisor's memory. */
hpa_t memory_physical(const void *at);

/*
 * The pages for the hypervisor's own tables and control blocks. Used by the boot CPU alone before
 * the service VM runs; afterwards, for the service VM's second-level tables, under the domains'
 * lock.
 */
struct page_arena *memory_arena(void);

/* A zeroed page for a control block. Panics if there is none: the loader sizes the arena. */
void *memory_page(void);

#endif
