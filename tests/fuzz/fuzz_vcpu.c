// SPDX-License-Identifier: BSD-2-Clause
/*
 * A whole VMM by the exits of its guest: ports, device registers reached by any instruction in any
 * mode, local APICs, MSRs, IPIs. What the hypervisor says of an exit is well-formed, as it is
 * trusted; what is the guest's own is noise. The machine is made once, as a VMM's is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "vmm/fake_machine.h"

#define VCPUS	2
#define STEPS	64
#define CODE	0x8000
#define CR0_PE	1ull
#define CR0_PG	(1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LM 0x500ull

static struct input *input;

/* Registers of a device, mostly. */
static uint64_t any_register(void)
{
	static const uint64_t bases[] = {0xfee00000, 0xfec00000, 0xfed00000, 0xb0000000,
					 0xe0000000, 0xc0000000, 0xa0000,    0x7ff000};
	uint64_t base = bases[input_take(input, 1) % 8];

	return base + input_below(input, 0x1000);
}

/* Where and how the guest is: 16, 32 or 64 bits, with or without paging, in its first megabyte. */
static void any_mode(struct socle_vcpu_area *area, uint64_t choice)
{
	struct socle_system_state *s = &area->system;

	s->cs.base = s->ds.base = s->es.base = s->ss.base = 0;
	s->cs.limit = s->ds.limit = s->es.limit = s->ss.limit = 0xffffffff;
	s->cs.attributes = choice & 1 ? 0xa9b : choice & 2 ? 0xc9b : 0x09b;
	s->cr0 = choice & 4 ? CR0_PE | CR0_PG : CR0_PE;
	s->cr4 = choice & 8 || choice & 1 ? CR4_PAE : 0;
	s->efer = choice & 1 ? EFER_LM : 0;
	if (choice & 1)
		s->cr0 |= CR0_PG;
	s->cr3 = choice & 16 ? input_number(input) : 0x1000;
}

static void any_code(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;
	uint8_t *ram = vcpu->vmm->ram.base;
	uint64_t *registers = &area->rax;

	any_mode(area, input_take(input, 1));
	/* One to one, in 2 MiB pages, for what has a PAE or long-mode table. */
	for (uint64_t i = 0; i < 4; i++) {
		memcpy(ram + 0x1000 + 8 * i, &(uint64_t){(0x2000 + 0x1000 * i) | 7}, 8);
		memcpy(ram + 0x2000 + 8 * i, &(uint64_t){i << 30 | 0x87}, 8);
	}
	for (unsigned i = 0; i < 3; i++)
		registers[input_take(input, 1) % 15] = any_register();
	registers[1] = input_take(input, 1);
	area->rip = CODE;
	for (unsigned i = 0; i < 16; i++)
		ram[CODE + i] = (uint8_t)input_take(input, 1);
}

/* Stands for the guest: its next exit. */
static int64_t guest_exits(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;
	uint64_t choice = input_take(input, 1);

	memset(area->info, 0, sizeof(area->info));
	switch (choice % 8) {
	case 0:
	case 1:
		area->info[0] = input_take(input, 2) | (1ull << choice / 8 % 3) << 16 |
				(choice & 0x40 ? SOCLE_IO_IN : 0);
		area->rax = input_number(input);
		return SOCLE_EXIT_IO;
	case 2:
	case 3:
	case 4:
		any_code(vcpu);
		area->info[0] = any_register();
		area->info[1] = choice & 0x80 ? SOCLE_ACCESS_WRITE : SOCLE_ACCESS_READ;
		return SOCLE_EXIT_SECOND_LEVEL;
	case 5:
		area->info[0] = choice & 0x80 ? input_take(input, 4) : input_take(input, 2);
		area->rax = input_number(input);
		area->rdx = choice & 0x40 ? input_number(input) : 0;
		return choice & 8 ? SOCLE_EXIT_MSR_READ : SOCLE_EXIT_MSR_WRITE;
	case 6:
		area->info[0] = input_number(input);
		return choice & 8 ? SOCLE_EXIT_IPI : SOCLE_EXIT_WAKE;
	default:
		if (choice & 8) {
			any_code(vcpu);
			return SOCLE_EXIT_CR_ACCESS;
		}
		area->info[0] = input_take(input, 1);
		return choice & 16 ? SOCLE_EXIT_EOI : SOCLE_EXIT_INTERRUPT_WINDOW;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input taken = {data, bytes};

	input = &taken;
	if (fake_machine.vmm.vcpu == NULL) {
		fake_machine_start(VCPUS);
		fake_machine.guest = guest_exits;
		/* What it says of exits that end a domain is of no use here. */
		if (freopen("/dev/null", "w", stdout) == NULL)
			abort();
	}
	for (unsigned step = 0; step < STEPS && taken.left != 0; step++) {
		struct vcpu *vcpu = &fake_machine.vmm.vcpu[step / 8 % VCPUS];

		/* One that waits would wait for ever: there is nobody else. */
		vcpu->state->run = VCPU_RUNNING;
		vcpu->state->pending = 0;
		vcpu->area->event = 0;
		vcpu_step(vcpu);
	}
	return 0;
}
