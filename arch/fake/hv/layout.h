/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hv/layout.h for unit tests on the host: the pool and the local APIC are where a process may map
 * memory. It has an include guard of its own, as the real one comes with it.
 */
#ifndef ARCH_FAKE_HV_LAYOUT_H
#define ARCH_FAKE_HV_LAYOUT_H

#include_next "hv/layout.h"

#undef HV_POOL_BASE
#undef HV_APIC_BASE
#define HV_POOL_BASE 0x500000000000
#define HV_APIC_BASE 0x507fc0000000

#endif
