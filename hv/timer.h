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
 * than 10 ms away: the service VM's tick comes before a later one. Nothing happens, and it is
 * false, before timer_init(), or while the service VM has the timer masked or periodic.
 */
bool timer_bound(uint64_t deadline);

/*
 * A guest is left `early` ticks before its deadline, as the way through the service VM takes time.
 * True: the deadline has come, or will in *left ticks, no more than these. What is to be done then
 * can be done now; timer_wait() comes last.
 */
bool timer_near(uint64_t deadline, uint64_t early, uint64_t *left);

/*
 * Waits for a deadline that is near. From what was left of the time, or missing, it learns by how
 * many ticks to be early the next time, and gives that: at most 5 us.
 */
uint64_t timer_wait(uint64_t deadline, uint64_t early);

#endif
