/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns the pool: every 2 MiB frame is free, donated to the hypervisor for a domain's metadata,
 * or assigned to a domain as its guest's memory. The callers hold the domains' lock.
 */
#ifndef HV_POOL_H
#define HV_POOL_H

#include "hv/boot_info.h"

enum frame_owner { FRAME_FREE = 0, FRAME_DONATED, FRAME_ASSIGNED };

struct frame {
	uint16_t domain;
	uint8_t owner;	/* enum frame_owner */
	uint8_t shared; /* vCPU areas in it are mapped by the hypervisor */
};

/* Makes the table of frames. Boot CPU. */
void pool_init(const struct boot_info *boot);

/* The frame that holds a host-physical address; NULL: not in the pool. */
struct frame *pool_frame(hpa_t at);

/* Changes a frame's owner and keeps count of the free ones. */
void pool_set(struct frame *frame, enum frame_owner owner, uint16_t domain);

/* True if [at, at + bytes) is in the pool and all of it assigned to the domain. */
bool pool_is_assigned(hpa_t at, uint64_t bytes, uint16_t domain);

uint64_t pool_free_bytes(void);
uint64_t pool_frames(void);
hpa_t pool_frame_address(uint64_t index);

#endif
