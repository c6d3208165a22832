// SPDX-License-Identifier: BSD-2-Clause
#include "hv/cpus.h"

#include "hv/layout.h"

static struct cpu *cpus[HV_MAX_CPUS];
static uint32_t count;

void cpus_add(struct cpu *cpu)
{
	cpus[__atomic_fetch_add(&count, 1, __ATOMIC_ACQ_REL)] = cpu;
}

uint32_t cpus_online(void)
{
	return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

struct cpu *cpus_get(uint64_t number)
{
	return number < cpus_online() ? cpus[number] : NULL;
}
