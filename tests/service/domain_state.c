// SPDX-License-Identifier: BSD-2-Clause
/*
 * The system state of a guest: 64-bit mode entered from the area; a way from real mode to 64-bit
 * mode and back that the guest goes itself; registers that are switched; and states that no
 * processor takes, of which the VMM has to hear, and nobody else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "service_test.h"

#define FRAME	    SOCLE_FRAME_BYTES
#define CODE	    0x1000
#define PML4	    0x10000 /* and behind it a PDPT and a page directory: 2 MiB, identity */
#define GDT	    0x13000
#define GDT_POINTER 0x13100
#define AREA	    (FRAME - SOCLE_VCPU_AREA_BYTES)
#define ATTR_CODE   0x009b
#define ATTR_CODE64 0x0a9b
#define ATTR_DATA   0x0093
#define CR0_PG	    (1ull << 31)
#define EFER_LME    0x100ull
#define EFER_LMA    0x400ull

struct machine {
	struct socle_handle root, own;
	struct socle_info_memory memory;
	uint8_t *pool;
	uint32_t domain;
	struct socle_vcpu_area *area;
};

static void expect(int64_t result, int64_t wanted, const char *what)
{
	if (result != wanted)
		test_fail("%s: %llx, expected %llx", what, (long long)result, (long long)wanted);
}

static uint8_t *guest(struct machine *m, uint64_t address)
{
	return m->pool + FRAME + address;
}

static void create(struct machine *m)
{
	struct socle_domain_created created;
	uint64_t base = m->memory.pool_base;
	uint64_t entry;

	expect(socle_domain_create(&m->root, base, &created), SOCLE_OK, "create");
	m->domain = (uint32_t)created.domain;
	m->own = m->root;
	m->own.key = created.key;
	expect(socle_domain_assign(&m->root, m->domain, base + FRAME, FRAME), SOCLE_OK, "assign");
	expect(socle_map(&m->own, m->domain, 0, base + FRAME,
			 SOCLE_ACCESS_READ | SOCLE_ACCESS_WRITE | SOCLE_ACCESS_EXECUTE, FRAME),
	       FRAME, "map");
	memset(m->pool + FRAME, 0, FRAME);
	expect(socle_vcpu_create(&m->own, m->domain, 0, base + FRAME + AREA), SOCLE_OK,
	       "create vCPU");
	m->area = (void *)guest(m, AREA);
	entry = (PML4 + 0x1000) | 3;
	memcpy(guest(m, PML4), &entry, sizeof(entry));
	entry = (PML4 + 0x2000) | 3;
	memcpy(guest(m, PML4 + 0x1000), &entry, sizeof(entry));
	entry = 0x83;
	memcpy(guest(m, PML4 + 0x2000), &entry, sizeof(entry));
}

/* Real mode at CODE with a piece of code. */
static void load(struct machine *m, const void *code, size_t bytes)
{
	struct socle_segment data = {0, ATTR_DATA, 0xffff, 0};
	struct socle_system_state *s = &m->area->system;

	memset(guest(m, CODE), 0xf4, 256);
	memcpy(guest(m, CODE), code, bytes);
	memset(s, 0, sizeof(*s));
	s->es = s->ds = s->ss = s->fs = s->gs = data;
	s->cs = (struct socle_segment){0, ATTR_CODE, 0xffff, 0};
	s->ldtr = (struct socle_segment){0, 0x82, 0xffff, 0};
	s->tr = (struct socle_segment){0, 0x8b, 0xffff, 0};
	s->gdtr.limit = s->idtr.limit = 0xffff;
	s->cr0 = 0x10;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->pat = 0x0007040600070406;
	m->area->rip = CODE;
	m->area->rsp = 0x8000;
	m->area->rflags = 2;
	m->area->rax = m->area->rbx = m->area->rcx = m->area->rdx = 0;
	m->area->event = 0;
	m->area->load = SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
}

static void load64(struct machine *m, const void *code, size_t bytes)
{
	struct socle_system_state *s = &m->area->system;

	load(m, code, bytes);
	s->cs.attributes = ATTR_CODE64;
	s->cs.limit = 0xffffffff;
	s->cr0 = CR0_PG | 0x31;
	s->cr3 = PML4;
	s->cr4 = 0x20;
	s->efer = EFER_LME | EFER_LMA;
}

static int run(struct machine *m)
{
	int reason;

	do
		reason = socle_vcpu_run(&m->own, m->domain, 0);
	while (reason == SOCLE_EXIT_INTERRUPT);
	return reason;
}

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

	load64(m, code, sizeof(code));
	expect(run(m), SOCLE_EXIT_HLT, "64-bit mode: hlt");
	expect((int64_t)m->area->rbx, (int64_t)(CR0_PG | 0x31), "64-bit mode: cr0");
	expect((int64_t)m->area->rbp, 0x20, "64-bit mode: cr4");
	expect(run(m), SOCLE_EXIT_SHUTDOWN, "64-bit mode: end");
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

	load(m, code, sizeof(code));
	memcpy(guest(m, GDT), gdt, sizeof(gdt));
	memcpy(guest(m, GDT_POINTER), pointer, sizeof(pointer));
	m->area->system.ds.limit = 0xffffffff;
	expect(run(m), SOCLE_EXIT_HLT, "mode changes: hlt");
	expect((int64_t)m->area->r9, (int64_t)(EFER_LME | EFER_LMA), "mode changes: EFER");
	expect(run(m), SOCLE_EXIT_HLT, "mode changes: second hlt");
	expect((int64_t)m->area->rbx & 0xe0000001, 0xc0000001, "mode changes: CD in cr0");
	expect((int64_t)m->area->rbp, 0x60, "mode changes: MCE in cr4");
	/* QEMU 7.2 gives VMEXIT_INVALID in place of the #GP. */
	if (run(m) == SOCLE_EXIT_ENTRY_FAILURE)
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

		load64(m, hlt, sizeof(hlt));
		if (i == 0)
			s->cr0 &= ~1ull; /* paging without protection */
		if (i == 1)
			s->efer |= 1ull << 40;
		if (i == 2)
			s->dr7 |= 1ull << 40;
		expect(run(m), SOCLE_EXIT_ENTRY_FAILURE, "a bad state");
		load64(m, hlt, sizeof(hlt));
		expect(run(m), SOCLE_EXIT_HLT, "a good state behind a bad one");
	}
}

/* Values that would fault where the hypervisor has to write them itself: any end, but no panic. */
static void test_hostile_values(struct machine *m)
{
	static const uint8_t hlt[] = {0xf4};

	load64(m, hlt, sizeof(hlt));
	m->area->system.lstar = 1ull << 62;
	run(m);
	load64(m, hlt, sizeof(hlt));
	m->area->system.kernel_gs_base = 1ull << 62;
	run(m);
	load64(m, hlt, sizeof(hlt));
	m->area->system.sfmask = ~0ull;
	run(m);
	load64(m, hlt, sizeof(hlt));
	m->area->system.dr6 = ~0ull;
	m->area->system.dr7 = ~0ull;
	run(m);
	load64(m, hlt, sizeof(hlt));
	m->area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_NMI | 0x77;
	run(m);
	load64(m, hlt, sizeof(hlt));
	expect(run(m), SOCLE_EXIT_HLT, "after hostile values");
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{NULL, 0, 0}};
	struct machine m;
	int result;

	test_options(argc, argv, "domain-state", option);
	test_open(&m.root);
	expect(socle_info_memory(&m.root, &m.memory), SOCLE_OK, "info");
	m.pool = mmap(NULL, 2 * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED,
		      open("/dev/dax0.0", O_RDWR), 0);
	if (m.pool == MAP_FAILED)
		test_fail("cannot map the pool");
	create(&m);
	test_long_mode(&m);
	test_mode_changes(&m);
	test_bad_states(&m);
	test_hostile_values(&m);
	while ((result = socle_domain_destroy(&m.root, m.domain)) == SOCLE_AGAIN)
		;
	expect(result, SOCLE_OK, "destroy");
	test_pass("modes, registers, bad states");
}
