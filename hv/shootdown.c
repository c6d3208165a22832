// SPDX-License-Identifier: BSD-2-Clause
#include "hv/shootdown.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "hv/cpus.h"
#include "hv/paging.h"

#define APIC_ICR_LOW  (0x300 / 4)
#define APIC_ICR_HIGH (0x310 / 4)
#define ICR_PENDING   (1u << 12)
#define ICR_NMI	      0x4400u /* NMI, level assert, physical destination */
#define SEND_POLLS    100000

static uint64_t generation; /* of translations: older ones are to be thrown away */

static void wait_sent(volatile uint32_t *apic)
{
	for (int i = 0; i < SEND_POLLS && (apic[APIC_ICR_LOW] & ICR_PENDING); i++)
		cpu_pause();
}

/* The service VM may be between its two writes to the ICR: it finds the high half as it was. */
static void send_nmi(struct cpu *cpu)
{
	volatile uint32_t *apic = paging_apic();
	uint32_t apic_id = cpu->apic_id;
	uint32_t high;

	__atomic_fetch_add(&cpu->nmis_expected, 1, __ATOMIC_ACQ_REL);

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
			send_nmi(cpus_get(i));
	for (uint32_t i = 0; i < cpus_online(); i++)
		while (__atomic_load_n(&cpus_get(i)->flushed, __ATOMIC_ACQUIRE) < wanted)
			cpu_pause();
}

void shootdown_kick(struct cpu *cpu)
{
	if (cpu != NULL && cpu != cpu_current())
		send_nmi(cpu);
}

bool shootdown_answer(struct cpu *cpu)
{
	uint32_t expected = __atomic_load_n(&cpu->nmis_expected, __ATOMIC_ACQUIRE);

	flush_if_asked(cpu);
	if (expected == 0)
		return false;
	__atomic_fetch_sub(&cpu->nmis_expected, 1, __ATOMIC_ACQ_REL); /* only this CPU takes away */
	return true;
}

void spin_lock_answering(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE) != 0) {
		flush_if_asked(cpu_current());
		cpu_pause();
	}
}
