/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUs in root mode, numbered from 0 without gaps. The set does not change once it is complete.
 */
#ifndef HV_CPUS_H
#define HV_CPUS_H

#include "hv/types.h"

struct cpu;

/* Adds the CPU that this runs on. Any CPU, while the machine boots. */
void cpus_add(struct cpu *cpu);

uint32_t cpus_online(void);

/* The CPU of a number, or NULL. The number may be anything. */
struct cpu *cpus_get(uint64_t number);

#endif
