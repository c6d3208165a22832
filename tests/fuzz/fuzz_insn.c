// SPDX-License-Identifier: BSD-2-Clause
/*
 * The instruction emulator and the page table walk: a random area, random instruction bytes and
 * random page tables. Modes are sensible ones, with bits changed.
 */
#include <stdlib.h>

#include "fake_guest.h"
#include "fuzz.h"
#include "vmm-user/vmm/insn.h"
#include "vmm-user/vmm/walk.h"

#define CODE	     0x8000u
#define TABLES	     0x100000u
#define VECTOR_LIMIT 32

static uint64_t xmm[16][2];

static bool get_vector(struct vmm *vmm, struct socle_vcpu_area *area, unsigned number,
		       uint64_t value[2])
{
	(void)vmm;
	(void)area;
	if (number >= 16)
		abort();
	memcpy(value, xmm[number], sizeof(xmm[number]));
	return true;
}

static bool set_vector(struct vmm *vmm, struct socle_vcpu_area *area, unsigned number,
		       const uint64_t value[2])
{
	(void)vmm;
	(void)area;
	if (number >= 16)
		abort();
	memcpy(xmm[number], value, sizeof(xmm[number]));
	return true;
}

static void put64(uint64_t at, uint64_t value)
{
	memcpy(guest.ram + at, &value, sizeof(value));
}

/* The first GiB, and the device, one to one; then a few entries as the input has them. */
static void make_tables(struct input *input)
{
	for (uint64_t i = 0; i < 4; i++)
		put64(TABLES + 0x1000 + 8 * i, (TABLES + 0x2000 + i * 4096) | 7);
	put64(TABLES, (TABLES + 0x1000) | 7);
	for (uint64_t i = 0; i < 2048; i++)
		put64(TABLES + 0x2000 + 8 * i, i << 21 | 0x87);
	for (uint64_t n = input_take(input, 1) % 4; n != 0; n--) {
		uint64_t at = TABLES + input_below(input, 0x6000 - 8);

		put64(at, input_number(input));
	}
}

static void make_mode(struct socle_vcpu_area *area, struct input *input)
{
	static const struct {
		uint16_t code, data;
		uint64_t cr0, cr4, efer;
	} modes[] = {
		{0x9b, 0x93, 0x10, 0, 0},
		{0xc9b, 0xc93, 0x11, 0, 0},
		{0xc9b, 0xc93, 0x80010011, 0x10, 0},
		{0xc9b, 0xc93, 0x80010011, 0x20, 0x800},
		{0xa9b, 0xc93, 0x80010011, 0x20, 0xd00},
		{0xc9b, 0xc93, 0x80010011, 0x20, 0xd00},
		{0xf3, 0xf3, 0x11, 0, 0},
	};
	unsigned n = (unsigned)input_below(input, sizeof(modes) / sizeof(modes[0]));
	struct socle_segment *segment = &area->system.es;

	for (unsigned i = 0; i < 6; i++)
		segment[i] = (struct socle_segment){8, modes[n].data, 0xffffffff, 0};
	area->system.cs.attributes = modes[n].code;
	area->system.cr0 = modes[n].cr0;
	area->system.cr3 = TABLES;
	area->system.cr4 = modes[n].cr4;
	area->system.efer = modes[n].efer;
	area->rip = CODE;
	area->rsp = 0x20000;
	area->rflags = 2;
	area->cpuid[SOCLE_CPUID_EXTENDED + 8].eax = 40;
	for (unsigned i = 0; i < 15; i++)
		(&area->rax)[i] = FAKE_MMIO_BASE + 16 * i;
}

/* Words of registers and system state as the input has them. */
static void change_area(struct socle_vcpu_area *area, struct input *input)
{
	uint64_t *registers = &area->rax, *system = (uint64_t *)&area->system;

	for (uint64_t n = input_take(input, 1) % 8; n != 0; n--) {
		uint64_t at = input_below(input, 20 + sizeof(area->system) / 8);
		uint64_t value = input_number(input);

		*(at < 20 ? registers + at : system + at - 20) = value;
	}
}

static void run(struct socle_vcpu_area *area, struct input *input)
{
	uint64_t how = input_take(input, 1), rip = area->rip;
	char text[INSN_TEXT_BYTES];
	enum insn_result result;

	if (how & 1)
		result = insn_string_io(fake_vmm, area, input_take(input, 4) | SOCLE_IO_STRING);
	else
		result = insn_execute(fake_vmm, area,
				      how & 2 ? FAKE_MMIO_BASE + input_below(input, 0x1000)
					      : input_number(input),
				      how & 4 ? SOCLE_ACCESS_WRITE : SOCLE_ACCESS_READ);
	if (result == INSN_UNSUPPORTED) {
		if (area->rip != rip)
			abort();
		if (strlen(insn_describe(fake_vmm, area, text)) >= sizeof(text))
			abort();
	}
	if (result == INSN_FAULT &&
	    (!(area->event & SOCLE_EVENT_VALID) || (area->event & 0xff) >= VECTOR_LIMIT))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct insn_vectors vectors = {get_vector, set_vector};
	static struct socle_vcpu_area area;
	struct input input = {data, bytes};
	uint64_t flags;

	if (guest.ram == NULL)
		fake_guest_start();
	memset(&area, 0, sizeof(area));
	flags = input_take(&input, 1);
	insn_use_vectors(flags & 1 ? &vectors : NULL);
	make_mode(&area, &input);
	make_tables(&input);
	change_area(&area, &input);
	for (unsigned i = 0; i < 2 * INSN_BYTES_MAX; i++)
		guest.ram[CODE + i] = (uint8_t)input_take(&input, 1);
	for (unsigned i = 0; i < 4; i++) {
		run(&area, &input);
		area.event = 0;
	}
	return 0;
}
