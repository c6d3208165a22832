// SPDX-License-Identifier: BSD-2-Clause
/*
 * The system state of a guest: 64-bit mode entered from the area; a way from real mode to 64-bit
 * mode and back that the guest goes itself; registers that are switched; and states that no
 * processor takes, of which the VMM has to hear, and nobody else.
 */
#include <stdio.h>
#include <string.h>

#include "domain_machine.h"

#define GDT	    0x13000
#define GDT_POINTER 0x13100

/* A triple fault brings the state into the area: what a test ends with. */
#define TRIPLE_FAULT 0x0f, 0x0b

static void test_long_mode(struct machine *m)
{
	static const uint8_t code[] = {
		0x0f,	      0x20, 0xc3,	      /* mov rbx, cr0 */
		0x0f,	      0x20, 0xe5,	      /* mov rbp, cr4 */
		0xb9,	      0x82, 0x00, 0x00, 0xc0, /* mov ecx, IA32_LSTAR */
		0xb8,	      0x78, 0x56, 0x34, 0x12, /* mov eax, 0x12345678 */
		0xba,	      0xff, 0xff, 0xff, 0xff, /* mov edx, -1 */
		0x0f,	      0x30,		      /* wrmsr */
		0xb9,	      0x02, 0x01, 0x00, 0xc0, /* mov ecx, IA32_KERNEL_GS_BASE */
		0xb8,	      0x44, 0x33, 0x22, 0x11, /* mov eax, 0x11223344 */
		0x31,	      0xd2,		      /* xor edx, edx */
		0x0f,	      0x30,		      /* wrmsr */
		0xf4,				      /* hlt */
		0xb9,	      0x82, 0x00, 0x00, 0xc0, /* mov ecx, IA32_LSTAR */
		0x0f,	      0x32,		      /* rdmsr */
		0x41,	      0x89, 0xc0,	      /* mov r8d, eax */
		0xb9,	      0x80, 0x00, 0x00, 0xc0, /* mov ecx, IA32_EFER */
		0x0f,	      0x32,		      /* rdmsr */
		TRIPLE_FAULT,
	};

	machine_load64(m, code, sizeof(code));
	expect(machine_run(m), SOCLE_EXIT_HLT, "64-bit mode: hlt");
	expect((int64_t)m->area->rbx, (int64_t)(CR0_PG | 0x31), "64-bit mode: cr0");
	expect((int64_t)m->area->rbp, 0x20, "64-bit mode: cr4");
	expect(machine_run(m), SOCLE_EXIT_SHUTDOWN, "64-bit mode: end");
	expect((int64_t)m->area->r8, 0x12345678, "64-bit mode: LSTAR in the guest");
	expect((int64_t)m->area->rax, (int64_t)(EFER_LME | EFER_LMA), "64-bit mode: EFER");
	expect((int64_t)m->area->system.lstar, (int64_t)0xffffffff12345678, "64-bit mode: LSTAR");
	expect((int64_t)m->area->system.kernel_gs_base, 0x11223344, "64-bit mode: KERNEL_GS_BASE");
	expect((int64_t)m->area->system.efer, (int64_t)(EFER_LME | EFER_LMA), "64-bit mode: state");
	expect((int64_t)m->area->system.cs.attributes & 0x2ff, ATTR_CODE64 & 0x2ff,
	       "64-bit mode: cs");
}

/* Real mode, EFER.LME, PAE, then PE and PG at once, a far jump to 64-bit code, and paging's end. */
static void test_mode_changes(struct machine *m)
{
	static const uint64_t gdt[] = {0, 0x00209b0000000000, 0x00cf9b000000ffff,
				       0x00cf93000000ffff};
	static const uint8_t pointer[6] = {sizeof(gdt) - 1, 0,	       GDT & 0xff,
					   GDT >> 8 & 0xff, GDT >> 16, 0};
	static const uint8_t code[] = {
		0x66, 0xbb, 0x00, 0x31, 0x01, 0x00,	  /* mov ebx, GDT_POINTER */
		0x67, 0x66, 0x0f, 0x01, 0x13,		  /* o32 lgdt [ebx] */
		0x66, 0xb8, 0x20, 0x00, 0x00, 0x00,	  /* mov eax, CR4.PAE */
		0x0f, 0x22, 0xe0,			  /* mov cr4, eax */
		0x66, 0xb8, 0x00, 0x00, 0x01, 0x00,	  /* mov eax, PML4 */
		0x0f, 0x22, 0xd8,			  /* mov cr3, eax */
		0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,	  /* mov ecx, IA32_EFER */
		0x66, 0xb8, 0x00, 0x01, 0x00, 0x00,	  /* mov eax, LME */
		0x66, 0x31, 0xd2,			  /* xor edx, edx */
		0x0f, 0x30,				  /* wrmsr */
		0x66, 0xb8, 0x11, 0x00, 0x00, 0x80,	  /* mov eax, PG | ET | PE */
		0x0f, 0x22, 0xc0,			  /* mov cr0, eax */
		0x66, 0xea, 0x3f, 0x10, 0x00, 0x00, 0x08, /* jmp 8: the next one */
		0x00,
		/* 0x103f: 64-bit code */
		0xb9, 0x80, 0x00, 0x00, 0xc0, /* mov ecx, IA32_EFER */
		0x0f, 0x32,		      /* rdmsr */
		0x49, 0x89, 0xc1,	      /* mov r9, rax */
		0x0f, 0xa2,		      /* cpuid */
		0xf4,			      /* hlt */
		0x0f, 0x20, 0xc0,	      /* mov rax, cr0 */
		0x0d, 0x00, 0x00, 0x00, 0x40, /* or eax, CD */
		0x0f, 0x22, 0xc0,	      /* mov cr0, rax */
		0x0f, 0x20, 0xc3,	      /* mov rbx, cr0 */
		0x0f, 0x20, 0xe0,	      /* mov rax, cr4 */
		0x83, 0xc8, 0x40,	      /* or eax, MCE */
		0x0f, 0x22, 0xe0,	      /* mov cr4, rax */
		0x0f, 0x20, 0xe5,	      /* mov rbp, cr4 */
		0xf4,			      /* hlt */
		0x0f, 0xba, 0xe8, 0x0d,	      /* bts eax, 13 (VMXE) */
		0x0f, 0x22, 0xe0,	      /* mov cr4, rax: #GP, and no IDT */
	};

	machine_load(m, code, sizeof(code));
	memcpy(machine_memory(m, GDT), gdt, sizeof(gdt));
	memcpy(machine_memory(m, GDT_POINTER), pointer, sizeof(pointer));
	m->area->system.ds.limit = 0xffffffff;
	expect(machine_run(m), SOCLE_EXIT_HLT, "mode changes: hlt");
	expect((int64_t)m->area->r9, (int64_t)(EFER_LME | EFER_LMA), "mode changes: EFER");
	expect(machine_run(m), SOCLE_EXIT_HLT, "mode changes: second hlt");
	expect((int64_t)m->area->rbx & 0xe0000001, 0xc0000001, "mode changes: CD in cr0");
	expect((int64_t)m->area->rbp, 0x60, "mode changes: MCE in cr4");
	/* QEMU 7.2 gives VMEXIT_INVALID in place of the #GP. */
	if (machine_run(m) == SOCLE_EXIT_ENTRY_FAILURE)
		return;
	expect((int64_t)m->area->exit_reason, SOCLE_EXIT_SHUTDOWN, "mode changes: VMXE");
	expect((int64_t)m->area->system.cr4, 0x60, "mode changes: cr4 in the state");
	expect((int64_t)m->area->system.efer, (int64_t)(EFER_LME | EFER_LMA),
	       "mode changes: EFER in the state");
}

/* Each is one that both vendors refuse. The vCPU runs again when it has a good one. */
static void test_bad_states(struct machine *m)
{
	static const uint8_t hlt[] = {0xf4};

	for (int i = 0; i < 3; i++) {
		struct socle_system_state *s = &m->area->system;

		machine_load64(m, hlt, sizeof(hlt));
		if (i == 0)
			s->cr0 &= ~1ull; /* paging without protection */
		if (i == 1)
			s->efer |= 1ull << 40;
		if (i == 2)
			s->dr7 |= 1ull << 40;
		expect(machine_run(m), SOCLE_EXIT_ENTRY_FAILURE, "a bad state");
		machine_load64(m, hlt, sizeof(hlt));
		expect(machine_run(m), SOCLE_EXIT_HLT, "a good state behind a bad one");
	}
}

/* Values that would fault where the hypervisor has to write them itself: any end, but no panic. */
static void test_hostile_values(struct machine *m)
{
	static const uint8_t hlt[] = {0xf4};

	machine_load64(m, hlt, sizeof(hlt));
	m->area->system.lstar = 1ull << 62;
	machine_run(m);
	machine_load64(m, hlt, sizeof(hlt));
	m->area->system.kernel_gs_base = 1ull << 62;
	machine_run(m);
	machine_load64(m, hlt, sizeof(hlt));
	m->area->system.sfmask = ~0ull;
	machine_run(m);
	machine_load64(m, hlt, sizeof(hlt));
	m->area->system.dr6 = ~0ull;
	m->area->system.dr7 = ~0ull;
	machine_run(m);
	machine_load64(m, hlt, sizeof(hlt));
	m->area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_NMI | 0x77;
	machine_run(m);
	machine_load64(m, hlt, sizeof(hlt));
	expect(machine_run(m), SOCLE_EXIT_HLT, "after hostile values");
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{NULL, 0, 0}};
	struct machine m;

	test_options(argc, argv, "domain-state", option);
	machine_create(&m);
	test_long_mode(&m);
	test_mode_changes(&m);
	test_bad_states(&m);
	test_hostile_values(&m);
	machine_destroy(&m);
	test_pass("modes, registers, bad states");
}
