/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU for unit tests on the host: its registers are tables that a test fills. What the CPU lacks
 * is an error of the test's subject: a real processor would raise #GP in the hypervisor.
 */
#ifndef ARCH_FAKE_FAKE_CPU_H
#define ARCH_FAKE_FAKE_CPU_H

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "hv/cpu.h"

/* A CPU without any MSR, whose CPUID leaves are all zero. */
void fake_cpu_reset(void);

/* Gives the CPU an MSR, with this value. */
void fake_msr(uint32_t msr, uint64_t value);
uint64_t fake_msr_value(uint32_t msr);

/* WRMSRs so far. */
unsigned fake_msr_writes(void);

void fake_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_result result);

void fake_tsc(uint64_t now);

/* Each look at the TSC, and each PAUSE, takes that many ticks from now on. */
void fake_tsc_step(uint64_t ticks);

/* Called at each PAUSE: what happens while the code under test waits. */
void fake_on_pause(void (*function)(void));

/*
 * A CPU with its area (hv/layout.h), all zeros. fake_cpu_is() makes it the one that the code runs
 * on, to cpu_current().
 */
struct cpu *fake_cpu_new(uint32_t index, uint32_t apic_id);
void fake_cpu_is(struct cpu *cpu);

/* How often CR3 was written. */
unsigned fake_flushes(void);

/* What INB finds at a port; and the OUTBs so far: how many, and each one's port << 8 | value. */
void fake_port(uint16_t port, uint8_t value);
unsigned fake_outs(void);
uint32_t fake_out(unsigned index);

/* XCR0, 0 if never written, and how often XSETBV and WBINVD were executed. */
uint64_t fake_xcr0(void);
unsigned fake_xsetbv_count(void);
unsigned fake_wbinvd_count(void);

/* What console_write() got, as text. */
const char *fake_console(void);

/*
 * A vendor for the common code: fake_ops records faults and keeps registers and MSRs in tables.
 * fake_start() makes it the one in use.
 */
extern const struct arch_ops fake_ops;
void fake_start(void);

/* The faults that vcpu_fault() was asked for, and the last one. */
unsigned fake_faults(void);
uint8_t fake_fault_vector(void);
uint32_t fake_fault_code(void);

/* What vcpu_read() finds. */
void fake_register(enum vcpu_register which, uint64_t value);

/* The one MSR that msr_read() and msr_write() allow, and its value. */
#define FAKE_MSR 0x1234
uint64_t fake_vendor_msr(void);
void fake_vendor_msr_set(uint64_t value);

/*
 * Guests: CPUs between guest_load() and guest_leave(), the last load bits and the last event taken.
 * The event with the vector FAKE_BAD_EVENT is refused.
 */
#define FAKE_BAD_EVENT 0x66
unsigned fake_guests_inside(void);
uint64_t fake_guest_load_bits(void);
uint64_t fake_guest_last_event(void);

/* How many interrupts guests took, and the last one's vector. While the window is shut they take
 * none. */
unsigned fake_guest_interrupts(void);
uint8_t fake_guest_last_interrupt(void);
void fake_guest_window(bool open);

/* From now on, guest_init() fails. */
void fake_guest_init_fails(void);

/*
 * Runs function(argument) and tells whether it ended in panic(), in a reset of the machine, or in
 * cpu_stop(). The text of the panic is then in fake_panic_text(), "reset", "stop" or "triple fault"
 * if it was none. These functions of hv/panic.h, and console_write(), give way to the real ones
 * where a test has them.
 */
bool fake_panics(void (*function)(void *argument), void *argument);
const char *fake_panic_text(void);

#endif
