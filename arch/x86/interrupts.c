// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/interrupts.h"

#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "hv/panic.h"
#include "hv/string.h"

#define VECTORS	       32
#define GATE_INTERRUPT 0x8e
#define IST_EMERGENCY  1
#define GDT_CODE64     0x00af9b000000ffffull
#define GDT_DATA       0x00cf93000000ffffull
#define GDT_TSS_LOW    0x0000890000000000ull
#define TSS_IST1       36 /* offset of the first interrupt stack (SDM volume 3, figure 8-11) */
#define TSS_IOPB       102

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

extern const uint64_t exception_entries[VECTORS];
void cpu_load_tables(const void *gdt, const void *idt, uint16_t tss);
void hv_exception(const struct exception_frame *frame);

static struct gate idt[VECTORS] __attribute__((aligned(16)));

uint64_t interrupts_idt(void)
{
	return (uint64_t)idt;
}

/*
 * AMD-V leaves the VM's TR in place on an exit, so no gate may use an interrupt stack there; VT-x
 * reloads it. Every CPU writes the same bytes.
 */
static void fill_idt(bool have_ist)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		uint64_t entry = exception_entries[i];
		bool own_stack = i == VECTOR_NMI || i == VECTOR_DF || i == VECTOR_MC;

		idt[i] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = HV_SELECTOR_CODE,
			.ist = have_ist && own_stack ? IST_EMERGENCY : 0,
			.type = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
}

void interrupts_load(struct cpu *cpu)
{
	struct descriptor_table gdtr = {sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt};
	struct descriptor_table idtr = {sizeof(idt) - 1, (uint64_t)idt};
	uint64_t tss = (uint64_t)cpu->tss;
	uint64_t stack = (uint64_t)(cpu->emergency_stack + sizeof(cpu->emergency_stack));

	fill_idt(arch == &vmx_ops);
	memset(cpu->tss, 0, sizeof(cpu->tss));
	memcpy(cpu->tss + TSS_IST1, &stack, sizeof(stack));
	cpu->tss[TSS_IOPB] = CPU_TSS_BYTES;
	cpu->gdt[0] = 0;
	cpu->gdt[HV_SELECTOR_CODE / 8] = GDT_CODE64;
	cpu->gdt[HV_SELECTOR_DATA / 8] = GDT_DATA;
	cpu->gdt[HV_SELECTOR_TSS / 8] = GDT_TSS_LOW | (CPU_TSS_BYTES - 1) | (tss & 0xffffff) << 16 |
					(tss >> 24 & 0xff) << 56;
	cpu->gdt[HV_SELECTOR_TSS / 8 + 1] = tss >> 32;
	cpu_load_tables(&gdtr, &idtr, HV_SELECTOR_TSS);
}

/*
 * Every exception of the hypervisor. An NMI is the service VM's; an #SX is an INIT that AMD-V
 * turned into it; a machine check ends the machine, as does anything else.
 */
void hv_exception(const struct exception_frame *frame)
{
	switch (frame->vector) {
	case VECTOR_NMI:
		arch->cpu_nmi(cpu_current());
		return;
	case VECTOR_SX:
		return;
	default:
		panic_exception(frame);
	}
}
