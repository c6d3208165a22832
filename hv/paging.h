/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of the hypervisor's page tables that changes: frames of the pool that domains donated,
 * and the vCPU areas shared with their VMMs. A place in the pool always has the same virtual
 * address. The local APIC is the one device that is mapped.
 *
 * Nothing here locks: the callers hold the domains' lock.
 */
#ifndef HV_PAGING_H
#define HV_PAGING_H

#include "hv/boot_info.h"

/* Makes the tables. Boot CPU, before any other CPU runs on them. */
void paging_init(const struct boot_info *boot);

/* Where a host-physical address of the pool is, or would be, mapped. */
void *paging_pool_address(hpa_t at);
hpa_t paging_pool_physical(const void *at);

/* Maps a whole frame, 2 MiB aligned, for the hypervisor alone. */
void paging_map_frame(hpa_t frame);

/*
 * Maps pages of a frame that is shared. If nothing of the frame is mapped yet, *table, a zeroed
 * page, becomes its page table and is set to NULL.
 */
void paging_map_pages(hpa_t at, uint64_t bytes, void **table);

/* Unmaps a frame, whichever way it was mapped. Other CPUs may know it until their next flush. */
void paging_unmap_frame(hpa_t frame);

/* The local APIC's registers, for CPUs in xAPIC mode. */
volatile uint32_t *paging_apic(void);

#endif
