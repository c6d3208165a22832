/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPUs' threads: run, deal with the exit, and sleep when there is nothing to run. Lock order:
 * the machine's lock is the only one, and the hypercall that runs the guest is made without it.
 * That no order of steps loses a wake-up is shown by tests/model/run.pml: vcpu_thread and notify
 * there.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "vmm-user/vmm/vcpu.h"

#define VCPU_STATE_VERSION 2u
#define RFLAGS_IF	   (1ull << 9)
#define VECTOR_NMI	   2
#define NANOSECONDS	   1000000000ull
#define SLEEP_MAX	   (3600 * NANOSECONDS)
#define WAKING_MAX	   20000u /* ns; so long at most a CPU is kept for looking */

static _Thread_local struct vcpu *current;

struct vcpu *vcpu_current(void)
{
	return current;
}

/* Waking and kicking ------------------------------------------------------------------------- */

static uint64_t where(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->area->where, __ATOMIC_SEQ_CST);
}

static void set_where(struct vcpu *vcpu, enum socle_where place)
{
	__atomic_store_n(&vcpu->area->where, (uint64_t)place, __ATOMIC_SEQ_CST);
}

static long futex(struct vcpu *vcpu, int operation, uint32_t value, const struct timespec *timeout)
{
	/* The low half of `where`; the high half is always 0. */
	return syscall(SYS_futex, &vcpu->area->where, operation | FUTEX_PRIVATE_FLAG, value,
		       timeout, NULL, 0);
}

void vcpu_notify(struct vcpu *vcpu)
{
	uint64_t idle = SOCLE_WHERE_IDLE;

	if (vcpu == current)
		return;
	switch (where(vcpu)) {
	case SOCLE_WHERE_IDLE:
		if (__atomic_compare_exchange_n(&vcpu->area->where, &idle, SOCLE_WHERE_VMM, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			futex(vcpu, FUTEX_WAKE, INT_MAX, NULL);
		break;
	case SOCLE_WHERE_GUEST:
		socle_vcpu_kick(&vcpu->vmm->handle, vcpu->vmm->config.domain, vcpu->index);
		break;
	}
}

void vcpu_signal(struct vcpu *vcpu, uint32_t pending)
{
	__atomic_fetch_or(&vcpu->state->pending, pending, __ATOMIC_SEQ_CST);
	vcpu_notify(vcpu);
}

void vcpu_post(struct vcpu *vcpu, uint8_t vector, bool level)
{
	uint32_t *tmr = &vcpu->area->apic[4 * (0x18 + vector / 32)];
	uint32_t bit = 1u << (vector % 32);

	/* First how the interrupt is to be acknowledged, then the interrupt itself. */
	if (level)
		__atomic_fetch_or(tmr, bit, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(tmr, ~bit, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&vcpu->area->posted[vector / 64], 1ull << (vector % 64),
			  __ATOMIC_SEQ_CST);
	vcpu_notify(vcpu);
}

/* Sleeping ----------------------------------------------------------------------------------- */

static uint32_t pending(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->state->pending, __ATOMIC_SEQ_CST);
}

static bool interruptible(const struct vcpu *vcpu)
{
	return (vcpu->area->rflags & RFLAGS_IF) != 0;
}

/* Nanoseconds until the local APIC's timer is due, at most SLEEP_MAX; 0: it is. */
static uint64_t until_deadline(const struct vcpu *vcpu)
{
	uint64_t deadline = vcpu->area->timer_deadline, now = __rdtsc();
	uint64_t nanoseconds;

	if (deadline == 0 || vcpu->state->run != VCPU_HALTED || !interruptible(vcpu))
		return SLEEP_MAX;
	if ((int64_t)(deadline - now) <= 0)
		return 0;
	nanoseconds = machine_tsc_to_ns(vcpu->vmm, deadline - now);
	return nanoseconds < SLEEP_MAX ? nanoseconds : SLEEP_MAX;
}

/* True if there is a reason for the vCPU not to sleep. */
static bool has_work(const struct vcpu *vcpu)
{
	uint32_t signals = pending(vcpu);

	if (vcpu->state->run == VCPU_RUNNING)
		return true;
	if (vcpu->state->run == VCPU_WAIT_FOR_SIPI)
		return (signals & (VCPU_PENDING_STOP | VCPU_PENDING_SIPI)) != 0;
	if (!interruptible(vcpu))
		return (signals & ~VCPU_PENDING_INTR) != 0;
	return signals != 0 || apic_has_interrupt(vcpu) || until_deadline(vcpu) == 0;
}

/*
 * Sleeps that long, or until somebody wakes the vCPU. Waking up takes Linux a while, so a timer's
 * sleep ends earlier by what it has been lately; the rest of the time is spent looking.
 */
static void sleep_for(struct vcpu *vcpu, uint64_t length)
{
	uint64_t shorter = length - vcpu->waking, start = __rdtsc(), took;
	struct timespec timeout = {(time_t)(shorter / NANOSECONDS), (long)(shorter % NANOSECONDS)};

	if (futex(vcpu, FUTEX_WAIT, SOCLE_WHERE_IDLE, &timeout) == 0 || errno != ETIMEDOUT)
		return;
	took = machine_tsc_to_ns(vcpu->vmm, __rdtsc() - start);
	took = took > shorter ? took - shorter : 0;
	vcpu->waking = (7 * vcpu->waking + (took < WAKING_MAX ? took : WAKING_MAX)) / 8;
}

static void sleep_until_work(struct vcpu *vcpu)
{
	while (!has_work(vcpu)) {
		uint64_t length = until_deadline(vcpu);

		if (length <= vcpu->waking) {
			_mm_pause();
			continue;
		}
		set_where(vcpu, SOCLE_WHERE_IDLE);
		if (!has_work(vcpu))
			sleep_for(vcpu, length);
		set_where(vcpu, SOCLE_WHERE_VMM);
	}
	if (vcpu->state->run == VCPU_HALTED && (pending(vcpu) & VCPU_PENDING_STOP) == 0) {
		vcpu->state->run = VCPU_RUNNING;
		/* No instruction's shadow reaches behind a HLT. */
		vcpu->window = interruptible(vcpu);
	}
}

/* What others want of it --------------------------------------------------------------------- */

/* Waits while the domain is paused. False: it ends. */
static bool park(struct vcpu *vcpu)
{
	struct vmm *vmm = vcpu->vmm;
	bool ending;

	vmm_lock(vmm);
	__atomic_fetch_and(&vcpu->state->pending, ~VCPU_PENDING_STOP, __ATOMIC_SEQ_CST);
	if (vmm->paused && !vmm->ending) {
		vmm->running--;
		event_wake(vmm);
		while (vmm->paused && !vmm->ending)
			condition_wait(&vmm->changed, &vmm->lock);
		vmm->running++;
	}
	ending = vmm->ending;
	vmm_unlock(vmm);
	return !ending;
}

static void take_init_sipi(struct vcpu *vcpu, uint32_t signals)
{
	if (signals & VCPU_PENDING_INIT) {
		vcpu_reset(vcpu);
		apic_reset(vcpu);
		/* INIT starts the bootstrap processor at the reset vector at once. */
		vcpu->state->run = vcpu->index == 0 ? VCPU_RUNNING : VCPU_WAIT_FOR_SIPI;
	}
	if ((signals & VCPU_PENDING_SIPI) && vcpu->state->run == VCPU_WAIT_FOR_SIPI) {
		vcpu_start_at(vcpu, (uint8_t)__atomic_load_n(&vcpu->state->sipi_vector,
							     __ATOMIC_SEQ_CST));
		vcpu->state->run = VCPU_RUNNING;
	}
}

/*
 * The PIC's interrupt can be given only when the guest takes one, and must be acknowledged only
 * then. Until then the signal stays pending, and the guest is run until it can: RFLAGS.IF does not
 * say so, as the instruction before may have been an STI, whose shadow only the hypervisor sees.
 */
static void take_intr(struct vcpu *vcpu)
{
	struct vmm *vmm = vcpu->vmm;

	vmm_lock(vmm);
	if (!pic_output(vmm) || !apic_takes_extint(vcpu)) {
		__atomic_fetch_and(&vcpu->state->pending, ~VCPU_PENDING_INTR, __ATOMIC_SEQ_CST);
	} else if (vcpu->window && vcpu->area->event == 0) {
		__atomic_fetch_and(&vcpu->state->pending, ~VCPU_PENDING_INTR, __ATOMIC_SEQ_CST);
		vcpu->area->event =
			SOCLE_EVENT_VALID | SOCLE_EVENT_INTERRUPT | pic_acknowledge(vmm);
		if (pic_output(vmm))
			irq_pic_changed(vmm);
	} else {
		vcpu->area->load |= SOCLE_LOAD_WINDOW;
	}
	vmm_unlock(vmm);
}

static void take_signals(struct vcpu *vcpu)
{
	uint32_t taken = VCPU_PENDING_INIT | VCPU_PENDING_SIPI;
	uint32_t signals = pending(vcpu);

	if (signals & taken) {
		__atomic_fetch_and(&vcpu->state->pending, ~(signals & taken), __ATOMIC_SEQ_CST);
		take_init_sipi(vcpu, signals);
	}
	if (vcpu->state->run == VCPU_WAIT_FOR_SIPI)
		return;
	if ((signals & VCPU_PENDING_NMI) && vcpu->area->event == 0) {
		__atomic_fetch_and(&vcpu->state->pending, ~VCPU_PENDING_NMI, __ATOMIC_SEQ_CST);
		vcpu->area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_NMI | VECTOR_NMI;
	}
	if (signals & VCPU_PENDING_INTR)
		take_intr(vcpu);
}

/* The thread --------------------------------------------------------------------------------- */

enum readiness { READY, NOT_READY, ENDING };

/* Waits until there is something to do, and does what others want. */
static __attribute__((noinline)) enum readiness get_ready(struct vcpu *vcpu)
{
	sleep_until_work(vcpu);
	if (pending(vcpu) != 0) {
		if ((pending(vcpu) & VCPU_PENDING_STOP) && !park(vcpu))
			return ENDING;
		take_signals(vcpu);
	}
	return vcpu->state->run == VCPU_RUNNING ? READY : NOT_READY;
}

/* True if there is something that the vCPU must not run before. */
static inline bool is_urgent(const struct vcpu *vcpu)
{
	uint32_t signals = pending(vcpu);
	uint32_t urgent = VCPU_PENDING_STOP | VCPU_PENDING_INIT | VCPU_PENDING_SIPI;

	if (__builtin_expect(signals == 0, true))
		return false;
	if (vcpu->area->event == 0)
		urgent |= VCPU_PENDING_NMI;
	if ((vcpu->area->load & SOCLE_LOAD_WINDOW) == 0)
		urgent |= VCPU_PENDING_INTR;
	return (signals & urgent) != 0;
}

static __attribute__((noinline)) void cannot_run(struct vcpu *vcpu, int error)
{
	vmm_end(vcpu->vmm, VMM_CRASH, "vCPU %u cannot run: %s", vcpu->index,
		socle_error_text(error));
}

/* Nobody has to kick it any more: gets ready, and takes it to the guest again. */
static __attribute__((noinline)) enum readiness get_ready_again(struct vcpu *vcpu)
{
	enum readiness readiness;

	set_where(vcpu, SOCLE_WHERE_VMM);
	readiness = get_ready(vcpu);
	if (readiness != READY)
		return readiness;
	set_where(vcpu, SOCLE_WHERE_GUEST);
	/* Between get_ready() and here somebody saw VMM, and did not kick. */
	if (!is_urgent(vcpu))
		return READY;
	set_where(vcpu, SOCLE_WHERE_VMM);
	return NOT_READY;
}

/* Anything but an access to a port, or no exit at all. */
static __attribute__((noinline)) void other_result(struct vcpu *vcpu, int result)
{
	struct vmm *vmm = vcpu->vmm;

	/* The hypervisor has written it if the guest was entered. */
	set_where(vcpu, SOCLE_WHERE_VMM);
	if (result == SOCLE_EXIT_INTERRUPT)
		return;
	vmm_lock(vmm);
	if (__builtin_expect(result < 0, false))
		cannot_run(vcpu, result);
	else
		vcpu_exit(vcpu, (unsigned)result);
	vmm_unlock(vmm);
}

static inline __attribute__((always_inline)) bool
step(struct vcpu *vcpu, struct vmm *vmm, struct socle_vcpu_area *area, struct vcpu_state *state)
{
	enum readiness readiness = READY;
	int result;

	if (__builtin_expect(state->run != VCPU_RUNNING, false))
		readiness = get_ready(vcpu);
	if (readiness == READY) {
		set_where(vcpu, SOCLE_WHERE_GUEST);
		if (__builtin_expect(pending(vcpu) != 0, false))
			readiness = get_ready_again(vcpu);
	}
	if (__builtin_expect(readiness != READY, false))
		return readiness != ENDING;
	vcpu->window = false;
	result = socle_vcpu_run_vectors(&vmm->handle, vmm->config.domain, vcpu->index,
					&state->vectors, area->load);
	if (__builtin_expect(result != SOCLE_EXIT_IO, false)) {
		other_result(vcpu, result);
		return true;
	}
	/* `where` is VMM: the hypervisor has written it. */
	vmm_lock(vmm);
	vcpu_exit_io(vcpu);
	vmm_unlock(vmm);
	return true;
}

bool vcpu_step(struct vcpu *vcpu)
{
	current = vcpu;
	return step(vcpu, vcpu->vmm, vcpu->area, vcpu->state);
}

static void *thread(void *argument)
{
	struct vcpu *vcpu = argument;
	struct socle_vcpu_area *area = vcpu->area;
	struct vcpu_state *state = vcpu->state;
	struct vmm *vmm = vcpu->vmm;

	current = vcpu;
	while (step(vcpu, vmm, area, state))
		;
	vmm_lock(vcpu->vmm);
	vcpu->vmm->running--;
	event_wake(vcpu->vmm);
	vmm_unlock(vcpu->vmm);
	return NULL;
}

bool vcpu_create_all(struct vmm *vmm, void *areas, uint64_t physical)
{
	vcpu_use_vectors();
	vmm->vcpu = calloc(vmm->config.vcpus, sizeof(*vmm->vcpu));
	if (vmm->vcpu == NULL) {
		vmm_log(vmm, "no memory for %u vCPUs", vmm->config.vcpus);
		return false;
	}
	for (unsigned i = 0; i < vmm->config.vcpus; i++) {
		struct vcpu *vcpu = &vmm->vcpu[i];
		size_t offset = (size_t)i * SOCLE_VCPU_AREA_BYTES;
		bool fresh;
		int result;

		vcpu->vmm = vmm;
		vcpu->index = i;
		vcpu->area = (struct socle_vcpu_area *)((uint8_t *)areas + offset);
		vcpu->state = state_section(vmm, "vcpu", i, VCPU_STATE_VERSION,
					    sizeof(*vcpu->state), &fresh);
		if (vcpu->state == NULL)
			return false;
		if (fresh) {
			vcpu->state->run = i == 0 ? VCPU_RUNNING : VCPU_WAIT_FOR_SIPI;
			msr_reset(vcpu);
			cpuid_fill(vcpu);
			vcpu_reset(vcpu);
			apic_reset(vcpu);
		}
		set_where(vcpu, SOCLE_WHERE_VMM);
		result = socle_vcpu_create(&vmm->handle, vmm->config.domain, i, physical + offset);
		/* One that exists is what an earlier VMM left. */
		if (result < 0 && !(result == SOCLE_ERROR_BUSY && !fresh)) {
			vmm_log(vmm, "vCPU %u: %s", i, socle_error_text(result));
			return false;
		}
	}
	return true;
}

bool vcpu_start_all(struct vmm *vmm)
{
	for (unsigned i = 0; i < vmm->config.vcpus; i++) {
		struct vcpu *vcpu = &vmm->vcpu[i];
		int error;

		vmm->running++;
		error = pthread_create(&vcpu->thread, NULL, thread, vcpu);
		if (error != 0) {
			vmm->running--;
			vmm_log(vmm, "vCPU %u: %s", i, strerror(error));
			return false;
		}
		vcpu->has_thread = true;
	}
	return true;
}

void vcpu_join_all(struct vmm *vmm)
{
	for (unsigned i = 0; vmm->vcpu != NULL && i < vmm->config.vcpus; i++)
		if (vmm->vcpu[i].has_thread)
			pthread_join(vmm->vcpu[i].thread, NULL);
}
