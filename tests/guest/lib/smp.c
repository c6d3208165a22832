/* SPDX-License-Identifier: BSD-2-Clause */
/* The other CPUs: each waits, spinning, for work. */
#include "lib/apic.h"

#define PATIENCE_MS 10000u

extern uint8_t guest_trampoline[], guest_trampoline_end[];
extern uint32_t guest_trampoline_cpu;

void guest_cpu_main(void);
void guest_cpu_main(void)
{
	struct cpu *cpu = this_cpu();

	trap_init_cpu(cpu);
	apic_enable(guest_cpus[0].x2apic);
	cpu->online = true;
	for (;;) {
		while (cpu->work == NULL)
			pause();
		cpu->work(cpu->argument);
		cpu->work = NULL;
	}
}

static bool wait_online(const struct cpu *cpu)
{
	uint64_t end = rdtsc() + tsc_khz() * PATIENCE_MS;

	while (!cpu->online)
		if (rdtsc() > end)
			return false;
	return true;
}

bool cpu_start(unsigned number)
{
	uint8_t *page = (uint8_t *)(uintptr_t)GUEST_TRAMPOLINE;
	size_t bytes = (size_t)(guest_trampoline_end - guest_trampoline);

	guest_cpus[number].online = false;
	guest_trampoline_cpu = number;
	memory_copy(page, guest_trampoline, bytes);
	apic_send(number, DELIVERY_INIT | ICR_ASSERT);
	wait_us(200);
	apic_send(number, DELIVERY_SIPI | ICR_ASSERT | GUEST_TRAMPOLINE >> 12);
	return wait_online(&guest_cpus[number]);
}

void cpu_begin(unsigned number, void (*work)(void *), void *argument)
{
	guest_cpus[number].argument = argument;
	guest_cpus[number].work = work;
}

bool cpu_finish(unsigned number)
{
	uint64_t end = rdtsc() + tsc_khz() * PATIENCE_MS;

	while (guest_cpus[number].work != NULL)
		if (rdtsc() > end)
			return false;
	return true;
}
