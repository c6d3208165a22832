/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions and interrupts. */
#include "lib/apic.h"

#define GATE_INTERRUPT 0x8e
#define GATE_USER      0xee
#define VECTOR_USER    0x80
#define TSS_TYPE       0x89ull
#define STACK_BYTES    8192
#define IST_DOUBLE     1

struct cpu guest_cpus[GUEST_CPUS];
struct gate guest_idt[256];
extern const uint64_t guest_stubs[256];

static trap_handler *handlers[256];
static uint8_t trap_stacks[GUEST_CPUS][2][STACK_BYTES] __attribute__((aligned(16)));
static uint8_t user_stack[STACK_BYTES] __attribute__((aligned(16)));

void trap_handle(unsigned vector, trap_handler *handler)
{
	handlers[vector] = handler;
}

void gdt_set(unsigned selector, uint64_t descriptor)
{
	((volatile uint64_t *)guest_gdt)[selector / 8] = descriptor;
}

void guest_trap(struct frame *frame);
void guest_trap(struct frame *frame)
{
	struct cpu *cpu = this_cpu();
	unsigned vector = (unsigned)frame->vector & 255;

	if (handlers[vector] != NULL) {
		handlers[vector](frame);
		return;
	}
	if (vector >= 32 && vector != VECTOR_USER) {
		cpu->count[vector]++;
		apic_eoi();
		return;
	}
	if (cpu->recovery_rip == 0)
		give_up("exception %u code %x at %x, CR2 %x, RFLAGS %x", vector, frame->error,
			frame->rip, get_cr2(), frame->rflags);
	cpu->trap = (struct trap){true,		 vector,    frame->error, frame->rip,
				  frame->rflags, frame->cs, get_cr2(),	  get_dr6()};
	frame->rip = cpu->recovery_rip;
	frame->rsp = cpu->recovery_rsp;
	frame->cs = SELECTOR_CODE;
	frame->ss = SELECTOR_DATA;
	frame->rflags = 2;
}

static void fill_gates(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t at = guest_stubs[i];

		guest_idt[i] = (struct gate){.offset0 = (uint16_t)at,
					     .selector = SELECTOR_CODE,
					     .ist = i == VECTOR_DF ? IST_DOUBLE : 0,
					     .attributes = GATE_INTERRUPT,
					     .offset1 = (uint16_t)(at >> 16)};
	}
	guest_idt[VECTOR_USER].attributes = GATE_USER;
	guest_idt[VECTOR_BP].attributes = GATE_USER;
	guest_idt[VECTOR_OF].attributes = GATE_USER;
}

void trap_init_cpu(struct cpu *cpu)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		const void *base;
	} idtr = {sizeof(guest_idt) - 1, guest_idt};
	uint64_t base = (uint64_t)&cpu->tss, limit = sizeof(cpu->tss) - 1;
	unsigned selector;

	cpu->number = (unsigned)(cpu - guest_cpus);
	selector = SELECTOR_TSS + 16 * cpu->number;
	if (cpu->number == 0)
		fill_gates();
	cpu->tss.rsp[0] = (uint64_t)trap_stacks[cpu->number][0] + STACK_BYTES;
	cpu->tss.ist[IST_DOUBLE - 1] = (uint64_t)trap_stacks[cpu->number][1] + STACK_BYTES;
	cpu->tss.io_map = offsetof(struct tss, ports);
	cpu->tss.end = 0xff;
	memory_set(cpu->tss.ports, 0xff, sizeof(cpu->tss.ports));
	gdt_set(selector,
		limit | (base & 0xffffff) << 16 | TSS_TYPE << 40 | (base >> 24 & 0xff) << 56);
	gdt_set(selector + 8, base >> 32);
	__asm__ volatile("lidt %0; ltr %w1" : : "m"(idtr), "r"(selector) : "memory");
}

bool check_trap(const char *name, struct trap found, unsigned vector, uint64_t error)
{
	bool good = vector == NO_TRAP
			    ? !found.happened
			    : found.happened && found.vector == vector && found.error == error;

	if (check_outcome(name, good))
		return true;
	say("expected ");
	if (vector == NO_TRAP)
		say("no exception, ");
	else
		say("exception %u code %x, ", vector, error);
	if (found.happened)
		say("found exception %u code %x at %x\n", found.vector, found.error, found.rip);
	else
		say("found none\n");
	return false;
}

struct trap user_run(void (*code)(void))
{
	return TRY("pushq %1; pushq %2; pushfq; pushq %3; pushq %0; iretq",
		   :
		   : "r"(code), "i"(SELECTOR_USER_DATA), "r"(user_stack + sizeof(user_stack)),
		     "i"(SELECTOR_USER_CODE)
		   : "rax", "rcx", "rdx", "rbx", "rbp", "rsi", "rdi", "r10", "r11", "r12", "r13",
		     "r14", "r15", "memory", "cc");
}

void guest_main(void);
void guest_main(void)
{
	trap_init_cpu(&guest_cpus[0]);
	guest_run();
}
