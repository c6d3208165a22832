/* SPDX-License-Identifier: BSD-2-Clause */
/* XSETBV (SDM volume 1, section 13.3). */
#ifndef ARCH_X86_XCR_H
#define ARCH_X86_XCR_H

#include "hv/types.h"

/* True if a processor that offers the components `supported` takes value for XCR0. */
bool xcr0_valid(uint64_t value, uint64_t supported);

/* Does XSETBV on this CPU. False, and nothing done: the processor would raise #GP. */
bool xcr_write(uint32_t index, uint64_t value);

#endif
