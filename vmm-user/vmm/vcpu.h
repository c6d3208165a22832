/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual CPU: its thread, the area that it shares with the hypervisor, and what other threads
 * may do to it.
 *
 * Who may touch what:
 * - the area's registers, system state and `apic`: the vCPU's thread while it is not inside
 *   SOCLE_CALL_VCPU_RUN; before its first run also who starts it;
 * - `posted` and the TMR words of `apic`: any thread, by atomic operations;
 * - `where`: see below; `pending`: any thread, by atomic operations;
 * - everything else: with the machine's lock.
 *
 * No lost wake-up. Whoever has something for the vCPU first makes it visible (posted, pending),
 * then reads `where`. The vCPU first writes `where`, then looks at posted and pending; all of it is
 * sequentially consistent. So either the vCPU sees the work, or the other sees where it went:
 *   VMM    nothing to do: it will look before it runs or sleeps;
 *   GUEST  a kick, which ends this run, or the next if this one has just ended;
 *   IDLE   where becomes VMM (by whoever is first) and the futex on it is woken.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include "vmm-user/vmm/machine.h"

/* vcpu.pending */
#define VCPU_PENDING_INIT (1u << 0)
#define VCPU_PENDING_SIPI (1u << 1) /* state.sipi_vector is its vector */
#define VCPU_PENDING_NMI  (1u << 2)
#define VCPU_PENDING_INTR (1u << 3) /* the PIC's output is, or was, high */
#define VCPU_PENDING_STOP (1u << 4) /* the domain pauses or ends: see machine.c */

enum vcpu_run_state { VCPU_RUNNING = 0, VCPU_WAIT_FOR_SIPI = 1, VCPU_HALTED = 2 };

#define MTRR_VARIABLE 8 /* pairs of base and mask */

/* What a vCPU is beside its area, in the state region. */
struct vcpu_state {
	uint32_t run, pending, sipi_vector, started;
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_variable[2 * MTRR_VARIABLE];
	uint64_t misc_enable, mcg_status, feature_control, microcode;
	uint64_t tsc_aux, kvm_time, reserved[15];
	struct socle_vectors vectors; /* of the last SOCLE_EXIT_SECOND_LEVEL */
};

struct vcpu {
	struct vmm *vmm;
	unsigned index; /* also its local APIC's id */
	struct socle_vcpu_area *area;
	struct vcpu_state *state;
	pthread_t thread;
	bool has_thread;
	bool window; /* the guest can take an interrupt where it is. Its thread's, until it runs */
	uint64_t waking;		  /* ns that waking up has taken lately. Its thread's */
	uint64_t exits[SOCLE_EXIT_COUNT]; /* its thread's */
};

/* vcpu.c ------------------------------------------------------------------------------------- */

/*
 * Makes the vCPUs: their areas lie at `areas` (SOCLE_VCPU_AREA_BYTES each), host-physical from
 * `physical` on. On a fresh start vCPU 0 is as after a reset and the others wait for a SIPI.
 * False: reported.
 */
bool vcpu_create_all(struct vmm *vmm, void *areas, uint64_t physical);
/* Starts the threads; waits for their end. The latter without the lock. */
bool vcpu_start_all(struct vmm *vmm);
void vcpu_join_all(struct vmm *vmm);
/* Something was made visible to it: see above. Any thread, with or without the lock. */
void vcpu_notify(struct vcpu *vcpu);
/* Adds VCPU_PENDING_* and notifies. */
void vcpu_signal(struct vcpu *vcpu, uint32_t pending);
/* Posts an interrupt of its local APIC. */
void vcpu_post(struct vcpu *vcpu, uint8_t vector, bool level);
/* The vCPU whose thread this is, or NULL. */
struct vcpu *vcpu_current(void);
/* One turn of the vCPU's thread: run, and deal with the exit. False: the thread is to end. */
bool vcpu_step(struct vcpu *vcpu);

/* vcpu_reset.c: the state after a reset or INIT (SDM volume 3, table 10-1). */
void vcpu_reset(struct vcpu *vcpu);
/* The same, but at vector * 0x1000 as a start-up IPI has it. */
void vcpu_start_at(struct vcpu *vcpu, uint8_t vector);

/* vcpu_vectors.c: gives the instruction emulator the vector registers. */
void vcpu_use_vectors(void);

/* vcpu_exit.c: deals with an exit for that reason, which the area describes. With the lock held. */
void vcpu_exit(struct vcpu *vcpu, unsigned reason);
/* The same for SOCLE_EXIT_IO, which comes most. */
void vcpu_exit_io(struct vcpu *vcpu);
/* Raises an exception at the next entry. */
void vcpu_exception(struct vcpu *vcpu, uint8_t vector, bool has_code, uint32_t code);

/* msr.c: false: the access faults. */
bool msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void msr_reset(struct vcpu *vcpu);

/* kvm_clock.c: KVM's clock, if the counter's frequency is known; false: the access faults. */
bool kvm_clock_is_there(const struct vmm *vmm);
bool kvm_clock_set_time(struct vcpu *vcpu, uint64_t value);
bool kvm_clock_set_wall(struct vcpu *vcpu, uint64_t value);

/* cpuid.c: fills the area's table. */
void cpuid_fill(struct vcpu *vcpu);

/* apic.c: the local APIC where the VMM has a part in it. -------------------------------------- */

#define APIC_BASE	     0xfee00000ull
#define APIC_BASE_BSP	     (1ull << 8)
#define APIC_BASE_X2APIC     (1ull << 10)
#define APIC_BASE_ENABLE     (1ull << 11)
#define APIC_DELIVERY_FIXED  0u
#define APIC_DELIVERY_LOWEST 1u
#define APIC_DELIVERY_SMI    2u
#define APIC_DELIVERY_NMI    4u
#define APIC_DELIVERY_INIT   5u
#define APIC_DELIVERY_SIPI   6u
#define APIC_DELIVERY_EXTINT 7u
#define APIC_BROADCAST	     0xffffffffu

/* An interrupt message, from whatever sent it. */
struct apic_message {
	uint32_t destination; /* APIC_BROADCAST: everyone */
	bool logical, level;
	uint8_t delivery, vector;
};

bool apic_create(struct vmm *vmm); /* the registers at 0xfee00000 */
void apic_reset(struct vcpu *vcpu);
/* IA32_APIC_BASE was written: the id has another form in x2APIC mode, and LDR is fixed there. */
void apic_mode_changed(struct vcpu *vcpu);
/* Delivers to every vCPU that the message addresses. With the lock held. */
void apic_send(struct vmm *vmm, const struct apic_message *message);
/* True if a vCPU has been sent that vector and not taken it yet. Any thread. */
bool apic_waits(const struct vmm *vmm, uint8_t vector);
/* What a write of the interrupt command register (x2APIC's layout) does. */
void apic_command(struct vcpu *vcpu, uint64_t icr);
/* True if a posted or requested interrupt is above the processor priority. Its own thread only. */
bool apic_has_interrupt(const struct vcpu *vcpu);
/* WRMSR of LVT LINT0 in x2APIC mode. False: the access faults. */
bool apic_write_lint0(struct vcpu *vcpu, uint64_t value);
/* The task priority register. Its own thread only. */
void apic_set_priority(struct vcpu *vcpu, uint8_t priority);
/* True if LVT LINT0 takes the PIC's output as ExtINT, or the local APIC is off. */
bool apic_takes_extint(const struct vcpu *vcpu);

#endif
