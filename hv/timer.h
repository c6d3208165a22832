/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaving a guest in time for its timer, on processors without a timer of the hypervisor's own: the
 * local APIC's timer is the service VM's; it is brought forward where its next interrupt would come
 * too late. That interrupt ends the guest's run. To Linux it is one that comes early: it finds
 * nothing due and sets the timer again.
 */
#ifndef HV_TIMER_H
#define HV_TIMER_H

#include "hv/types.h"

/*
 * Measures the local APIC timer's rate against the TSC, for a millisecond. The boot CPU, once,
 * before the service VM runs: the timer stops. tsc_hz: ticks a second.
 */
void timer_init(uint64_t tsc_hz);

/*
 * Makes this CPU's local APIC interrupt at `deadline` (host TSC) at the latest, if that is less
 * than 10 ms away: the service VM's tick comes before a later one. Nothing happens before
 * timer_init(), or while the service VM has the timer masked or periodic.
 */
void timer_bound(uint64_t deadline);

#endif
