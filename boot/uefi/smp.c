// SPDX-License-Identifier: BSD-2-Clause
/* Starting the other CPUs (SDM volume 3, section 9.4.4) and leaving for the hypervisor. */
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "hv/string.h"

#define APIC_ICR_LOW	    0x300
#define APIC_ICR_HIGH	    0x310
#define ICR_PENDING	    (1u << 12)
#define ICR_INIT	    0x4500 /* INIT, level assert */
#define ICR_SIPI	    0x4600
#define INIT_MICROSECONDS   10000
#define SIPI_MICROSECONDS   200
#define ANSWER_MICROSECONDS 1000000
#define POLL_MICROSECONDS   20
#define TRAMPOLINE_LIMIT    0x9ffff

struct __attribute__((packed)) trampoline_data {
	uint16_t gdt_limit;
	uint64_t gdt;
	uint32_t code32;
	uint16_t code32_selector, reserved1;
	uint32_t code64;
	uint16_t code64_selector, reserved2;
	uint64_t cr3;
	uint64_t entry;
	uint64_t boot_info;
};

struct trampoline_offsets {
	uint32_t gdt, code32, code64, data, boot_cpu;
};

extern const uint8_t trampoline[], trampoline_end[];
extern const struct trampoline_offsets trampoline_offsets;

void prepare_trampoline(struct loader *loader)
{
	const struct trampoline_offsets *o = &trampoline_offsets;
	struct trampoline_data *data;
	uint32_t page;

	loader->trampoline = allocate("the CPUs' first code", PAGE_BYTES, PAGE_BYTES,
				      TRAMPOLINE_LIMIT, EfiLoaderData);
	page = (uint32_t)loader->trampoline.at;
	memcpy((void *)loader->trampoline.at, trampoline, (size_t)(trampoline_end - trampoline));
	data = (struct trampoline_data *)(loader->trampoline.at + o->data);
	data->gdt = page + o->gdt;
	data->code32 = page + o->code32;
	data->code64 = page + o->code64;
	data->cr3 = loader->cr3;
	data->entry = loader->entry;
	data->boot_info = (uint64_t)loader->boot - loader->hypervisor.at + HV_BASE;
}

static void send(uint32_t apic_id, uint32_t command)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	volatile uint32_t *apic = (volatile uint32_t *)(base & APIC_BASE_ADDRESS);

	if (base & APIC_BASE_X2APIC) {
		wrmsr(MSR_X2APIC_ICR, (uint64_t)apic_id << 32 | command);
		return;
	}
	apic[APIC_ICR_HIGH / 4] = apic_id << 24;
	apic[APIC_ICR_LOW / 4] = command;
	for (int i = 0; i < 100000 && (apic[APIC_ICR_LOW / 4] & ICR_PENDING); i++)
		cpu_pause();
}

static bool arrived(struct loader *loader, const struct boot_cpu *cpu, uint64_t microseconds)
{
	for (uint64_t waited = 0;; waited += POLL_MICROSECONDS) {
		if (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == BOOT_CPU_ARRIVED)
			return true;
		if (waited >= microseconds)
			return false;
		delay_microseconds(loader, POLL_MICROSECONDS);
	}
}

static void start_cpu(struct loader *loader, uint32_t index)
{
	struct boot_cpu *cpu = &loader->boot->cpu[index];
	uint32_t vector = (uint32_t)(loader->trampoline.at >> PAGE_SHIFT);
	uint32_t starting = BOOT_CPU_STARTING;

	send(cpu->apic_id, ICR_SIPI | vector);
	if (!arrived(loader, cpu, SIPI_MICROSECONDS))
		send(cpu->apic_id, ICR_SIPI | vector);
	if (arrived(loader, cpu, ANSWER_MICROSECONDS))
		return;
	if (__atomic_compare_exchange_n(&cpu->state, &starting, BOOT_CPU_FAILED, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		report("warning: CPU %u (APIC id %u) did not answer INIT and SIPI within %u ms: "
		       "going "
		       "on without it",
		       index, cpu->apic_id, ANSWER_MICROSECONDS / 1000);
}

void start_cpus(struct loader *loader)
{
	struct boot_info *boot = loader->boot;
	uint32_t started = 1;

	for (uint32_t i = 0; i < boot->cpu_count; i++)
		boot->cpu[i].state = BOOT_CPU_STARTING; /* until it enters */
	for (uint32_t i = 1; i < boot->cpu_count; i++)
		send(boot->cpu[i].apic_id, ICR_INIT);
	delay_microseconds(loader, INIT_MICROSECONDS);
	for (uint32_t i = 1; i < boot->cpu_count; i++) {
		start_cpu(loader, i);
		started += boot->cpu[i].state == BOOT_CPU_ARRIVED;
	}
	report("CPUs: %u of %u started", started, boot->cpus_found);
}

_Noreturn void enter_hypervisor(struct loader *loader)
{
	void (*enter)(uint64_t) __attribute__((sysv_abi)) =
		(void *)(loader->trampoline.at + trampoline_offsets.boot_cpu);

	enter(loader->trampoline.at);
	__builtin_unreachable();
}
