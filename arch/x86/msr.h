/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks of MSR writes that both vendors share. */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#include "hv/types.h"

/*
 * True if the processor would take a write of value to EFER, given its present value and CR0: no
 * reserved bit, none that this CPU lacks, no change of LME while paging is on.
 */
bool msr_efer_valid(uint64_t efer, uint64_t cr0, uint64_t value);

/* True if all eight entries of a PAT value are memory types (SDM volume 3, section 12.12.2). */
bool msr_pat_valid(uint64_t value);

/*
 * Writes IA32_APIC_BASE of this CPU for the service VM. The APIC stays where it is: moved over the
 * hypervisor's memory, it would take that memory's place. It stays on, too. False: refused, or an
 * invalid change of mode.
 */
bool msr_apic_base_write(uint64_t value);

#endif
