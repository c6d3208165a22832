// SPDX-License-Identifier: BSD-2-Clause
#include "hv/shootdown.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "hv/cpus.h"
#include "hv/paging.h"
#include "hv/panic.h"

#define APIC_ICR_LOW  (0x300 / 4)
#define APIC_ICR_HIGH (0x310 / 4)
#define ICR_PENDING   (1u << 12)
#define ICR_NMI	      0x4400u /* NMI, level assert, physical destination */
#define SEND_POLLS    100000

/* TSC ticks after which an NMI is sent again, and after which its CPU is given up. An emulator may
 * hold a CPU for long. */
#define LOST_TICKS (1ull << 31)
#define DEAD_TICKS (1ull << 38)

static uint64_t generation; /* of translations: older ones are to be thrown away */

static void wait_sent(volatile uint32_t *apic)
{
	for (int i = 0; i < SEND_POLLS && (apic[APIC_ICR_LOW] & ICR_PENDING); i++)
		cpu_pause();
}

/* The service VM may be between its two writes to the ICR: it finds the high half as it was. */
static void send_nmi(uint32_t apic_id)
{
	volatile uint32_t *apic = paging_apic();
	uint32_t high;

	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) {
		wrmsr(MSR_X2APIC_ICR, (uint64_t)apic_id << 32 | ICR_NMI);
		return;
	}
	high = apic[APIC_ICR_HIGH];
	wait_sent(apic);
	apic[APIC_ICR_HIGH] = apic_id << 24;
	apic[APIC_ICR_LOW] = ICR_NMI;
	wait_sent(apic);
	apic[APIC_ICR_HIGH] = high;
}

/* Calls once more if the NMI seems lost (QEMU 7.2 can lose one). Should it come yet, it is a spare.
 */
static void call_again(struct cpu *cpu)
{
	if (!__atomic_load_n(&cpu->nmi_expected, __ATOMIC_SEQ_CST) ||
	    rdtsc() - __atomic_load_n(&cpu->nmi_sent, __ATOMIC_RELAXED) < LOST_TICKS)
		return;
	__atomic_store_n(&cpu->nmi_sent, rdtsc(), __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->nmi_spare, true, __ATOMIC_RELAXED);
	send_nmi(cpu->apic_id);
}

/*
 * One NMI of ours is under way to a CPU at most: the hardware would make one of two, and the CPU
 * could not tell whether the machine's own was among them. Whoever finds one under way has asked
 * before that CPU looks at what it is asked.
 */
static void call(struct cpu *cpu)
{
	if (__atomic_exchange_n(&cpu->nmi_expected, true, __ATOMIC_SEQ_CST)) {
		call_again(cpu);
		return;
	}
	__atomic_store_n(&cpu->nmi_sent, rdtsc(), __ATOMIC_RELAXED);
	send_nmi(cpu->apic_id);
}

/* Waits for a CPU to have thrown away what is older than `wanted`. */
static void wait_for(struct cpu *cpu, uint64_t wanted)
{
	uint64_t start = rdtsc();

	while (__atomic_load_n(&cpu->flushed, __ATOMIC_ACQUIRE) < wanted) {
		if (rdtsc() - start > DEAD_TICKS)
			panic("CPU %u does not answer NMIs", cpu->index);
		call_again(cpu);
		cpu_pause();
	}
}

static bool flush_if_asked(struct cpu *cpu)
{
	uint64_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);

	if (cpu->flushed == now)
		return false;
	arch->cpu_flush(cpu);
	write_cr3(read_cr3());
	__atomic_store_n(&cpu->flushed, now, __ATOMIC_RELEASE);
	return true;
}

void shootdown(void)
{
	struct cpu *self = cpu_current();
	uint64_t wanted = __atomic_add_fetch(&generation, 1, __ATOMIC_ACQ_REL);

	flush_if_asked(self);
	for (uint32_t i = 0; i < cpus_online(); i++)
		if (cpus_get(i) != self)
			call(cpus_get(i));
	for (uint32_t i = 0; i < cpus_online(); i++)
		wait_for(cpus_get(i), wanted);
}

void shootdown_kick(struct cpu *cpu)
{
	if (cpu != NULL && cpu != cpu_current())
		call(cpu);
}

bool shootdown_answer(struct cpu *cpu)
{
	/* First: what is asked for from here on comes with an NMI of its own. */
	bool ours = __atomic_exchange_n(&cpu->nmi_expected, false, __ATOMIC_SEQ_CST);

	if (!ours)
		ours = __atomic_exchange_n(&cpu->nmi_spare, false, __ATOMIC_RELAXED);
	flush_if_asked(cpu);
	return ours;
}

void spin_lock_answering(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE) != 0) {
		flush_if_asked(cpu_current());
		cpu_pause();
	}
}
