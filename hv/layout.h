/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the hypervisor's memory is and what lies in it.
 *
 * The hypervisor keeps one physically contiguous, 2 MiB aligned region. It is mapped linearly at
 * HV_BASE, so that one addition turns a virtual address into a physical one:
 *
 *   image (text, read-only data, data, bss) | boot_info | page tables | per-CPU areas | page arena
 *
 * Nothing else is mapped, but for the framebuffer while the machine boots or panics.
 */
#ifndef HV_LAYOUT_H
#define HV_LAYOUT_H

#define HV_BASE		    0xffffffff80000000
#define HV_FRAMEBUFFER_BASE 0xffffffffc0000000

/*
 * The pool, from the 1 GiB boundary at or below its start; what is not the hypervisor's own is not
 * mapped. The last 1 GiB of the same part is the local APIC's.
 */
#define HV_POOL_BASE	  0xffffff0000000000
#define HV_APIC_BASE	  0xffffff7fc0000000
#define HV_POOL_MAX_BYTES 0x7e80000000 /* 506 GiB: a table, less what alignment may cost */

#define HV_MAX_CPUS 256

/*
 * A CPU's area: a guard page that is not mapped, the stack above it, then struct cpu. It is aligned
 * to its size, so the stack pointer alone tells which CPU the code runs on.
 */
#define HV_CPU_AREA_BYTES  0x10000
#define HV_CPU_STACK_END   0x5000
#define HV_CPU_STACK_BYTES 0x4000

/* Most bytes of the hypervisor's memory: one page directory of it. */
#define HV_MAX_BYTES 0x40000000

#endif
