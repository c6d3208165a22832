/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own descriptor tables. It takes no interrupts: exceptions, NMIs, machine checks.
 */
#ifndef ARCH_X86_INTERRUPTS_H
#define ARCH_X86_INTERRUPTS_H

#include "hv/cpu.h"

/* Loads the calling CPU's GDT, TSS and IDT. */
void interrupts_load(struct cpu *cpu);

/* Virtual address of the table that every CPU uses; VT-x loads it on each exit. */
uint64_t interrupts_idt(void);

#endif
