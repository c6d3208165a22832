// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a guest's state is beside modes and registers: PAE's PDPTEs, XCR0, NMIs that come while one
 * is being handled, the local APIC's timer while the guest computes, instructions that are kept
 * from it; and states at random, of which nobody but the domain may notice anything.
 */
#include <stdio.h>
#include <string.h>

#include "domain_machine.h"

#define HANDLER	      0x1200
#define MMIO_BYTES    7 /* of the instruction in the NMI handler */
#define ATTR_CODE32   0x0c9b
#define ATTR_DATA32   0x0c93
#define PDPT	      0x14000
#define PAGES	      0x15000 /* the page directory behind it */
#define VALUE_AT      0x13000
#define VALUE	      0x5ca1ab1e
#define CR4_OSXSAVE   (1ull << 18)
#define APIC_SVR      0x0f
#define APIC_X2APIC   0xfee00d00ull /* enabled, of the bootstrap processor, in x2APIC mode */
#define TIMER_VECTOR  0x40
#define TIMER_ROUNDS  21
#define RUNS_MAX      3
#define CHANGES_MAX   4
#define STATE_WORDS   (sizeof(struct socle_system_state) / 8)
#define NMI_BLOCKED   1
#define NMI_WAITS     2
#define STACK_BASE    0x1f4000
#define STACK_FRAMES  0x4000 /* RSP with memory there */
#define STACK_NOWHERE 0xd000 /* and behind it */
#define RFLAGS_TF     (1ull << 8)
#define VECTORS_BYTES 4 /* of an entry of real mode's interrupt table */

static void put32(struct machine *m, uint64_t address, uint32_t value)
{
	memcpy(machine_memory(m, address), &value, sizeof(value));
}

/* PAE paging ----------------------------------------------------------------------------------- */

static void load_pae(struct machine *m)
{
	static const uint8_t code[] = {
		0xa1, 0x00, 0x30, 0x01, 0x00, /* mov eax, [VALUE_AT] */
		0xf4,			      /* hlt */
		0xa3, 0x00, 0x00, 0x30, 0x00, /* mov [0x300000], eax: not there for the domain */
	};
	struct socle_segment data = {0, ATTR_DATA32, 0xffffffff, 0};
	struct socle_system_state *s = &m->area->system;

	machine_load(m, code, sizeof(code));
	s->cs = (struct socle_segment){0, ATTR_CODE32, 0xffffffff, 0};
	s->ds = s->es = s->ss = data;
	s->idtr.limit = 0;
	s->cr0 = CR0_PG | 0x11;
	s->cr3 = PDPT;
	s->cr4 = 0x20;
	s->pdpte[0] = PAGES | 1;
	put32(m, PDPT, PAGES | 1);
	put32(m, PAGES, 0x83);
	put32(m, PAGES + 8, FRAME | 0x83);
	put32(m, VALUE_AT, VALUE);
}

static void test_pae(struct machine *m)
{
	load_pae(m);
	expect(machine_run(m), SOCLE_EXIT_HLT, "PAE: hlt");
	expect((int64_t)m->area->rax, VALUE, "PAE: memory");
	expect(machine_run(m), SOCLE_EXIT_SECOND_LEVEL, "PAE: end");
	if (m->own.vendor == SOCLE_VENDOR_VMX)
		expect((int64_t)m->area->system.pdpte[0], PAGES | 1, "PAE: PDPTE in the state");
	/* As it was saved: again. */
	m->area->rax = 0;
	m->area->rip = CODE;
	m->area->load = SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
	expect(machine_run(m), SOCLE_EXIT_HLT, "PAE: hlt with the saved state");
	expect((int64_t)m->area->rax, VALUE, "PAE: memory with the saved state");
}

/* XCR0 ----------------------------------------------------------------------------------------- */

static int run_with_xcr0(struct machine *m, uint64_t xcr0)
{
	static const uint8_t code[] = {
		0x31, 0xc9,	  /* xor ecx, ecx */
		0x0f, 0x01, 0xd0, /* xgetbv */
		0xf4,		  /* hlt */
	};

	machine_load64(m, code, sizeof(code));
	m->area->system.cr4 |= CR4_OSXSAVE;
	m->area->system.xcr0 = xcr0;
	return machine_run(m);
}

static void test_xcr0(struct machine *m)
{
	expect(run_with_xcr0(m, 3), SOCLE_EXIT_HLT, "XCR0 3");
	expect((int64_t)m->area->rax, 3, "XCR0 3: in the guest");
	expect(run_with_xcr0(m, 0), SOCLE_EXIT_HLT, "XCR0 not given");
	expect((int64_t)m->area->rax, 3, "XCR0 not given: in the guest");
	expect(run_with_xcr0(m, 2), SOCLE_ERROR_ARGUMENT, "XCR0 without x87");
	expect(run_with_xcr0(m, 1ull << 62 | 1), SOCLE_ERROR_ARGUMENT, "XCR0 of no processor");
	expect(run_with_xcr0(m, 1), SOCLE_EXIT_HLT, "XCR0 1");
	expect((int64_t)m->area->rax, 1, "XCR0 1: in the guest");
}

/* Instructions --------------------------------------------------------------------------------- */

/* IA32_TSC_AUX is the service VM's: what is not shown in CPUID is not there. */
static void test_no_tsc_aux(struct machine *m)
{
	static const uint8_t code[] = {0x0f, 0x01, 0xf9, 0xf4}; /* rdtscp; hlt */

	machine_load64(m, code, sizeof(code));
	m->area->system.idtr.limit = 0;
	expect(machine_run(m), SOCLE_EXIT_SHUTDOWN, "rdtscp");
}

/* NMIs ----------------------------------------------------------------------------------------- */

/* Past the access of the handler to memory that is not there. */
static void skip_access(struct machine *m)
{
	m->area->rip += MMIO_BYTES;
	m->area->load |= SOCLE_LOAD_RUN;
}

static void raise_nmi(struct machine *m)
{
	m->area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_NMI;
}

/* The handler is left by IRET only, so RSP is the same in it each time if one follows the other. */
static void test_nmis(struct machine *m)
{
	static const uint8_t code[] = {0xf4, 0xeb, 0xfd}; /* hlt, for ever */
	static const uint8_t handler[] = {
		0x43,					  /* inc bx */
		0xf4,					  /* hlt */
		0x67, 0x66, 0xa1, 0x00, 0x00, 0x30, 0x00, /* mov eax, [0x300000] */
		0xcf,					  /* iret */
	};
	uint64_t rsp;

	machine_load(m, code, sizeof(code));
	m->area->system.ds.limit = 0xffffffff;
	memcpy(machine_memory(m, HANDLER), handler, sizeof(handler));
	put32(m, 2 * VECTORS_BYTES, HANDLER);
	expect(machine_run(m), SOCLE_EXIT_HLT, "NMI: before it");
	raise_nmi(m);
	expect(machine_run(m), SOCLE_EXIT_HLT, "NMI: handler");
	expect((int64_t)m->area->rbx, 1, "NMI: count");
	rsp = m->area->rsp;
	raise_nmi(m);
	expect(machine_run(m), SOCLE_EXIT_SECOND_LEVEL, "NMI: the second while in the handler");
	expect((int64_t)m->area->system.nmi_blocked, NMI_BLOCKED | NMI_WAITS, "NMI: it waits");
	skip_access(m);
	expect(machine_run(m), SOCLE_EXIT_HLT, "NMI: handler, for the second");
	expect((int64_t)m->area->rbx, 2, "NMI: count of two");
	expect((int64_t)m->area->rsp, (int64_t)rsp, "NMI: one behind the other");
	expect(machine_run(m), SOCLE_EXIT_SECOND_LEVEL, "NMI: in the handler for the second");
	expect((int64_t)m->area->system.nmi_blocked, NMI_BLOCKED, "NMI: none waits");
	/* A state without a waiting NMI takes it back; one with brings it. */
	raise_nmi(m);
	expect(machine_run(m), SOCLE_EXIT_SECOND_LEVEL, "NMI: the third while in the handler");
	m->area->system.nmi_blocked = NMI_BLOCKED;
	skip_access(m);
	m->area->load |= SOCLE_LOAD_SYSTEM;
	expect(machine_run(m), SOCLE_EXIT_HLT, "NMI: behind the handler");
	expect((int64_t)m->area->rbx, 2, "NMI: the third was taken back");
	expect((int64_t)m->area->rip, CODE + 1, "NMI: back where it came");
	machine_load(m, code, sizeof(code));
	m->area->system.nmi_blocked = NMI_WAITS;
	expect(machine_run(m), SOCLE_EXIT_HLT, "NMI: in the state");
	expect((int64_t)m->area->rbx, 1, "NMI: raised from the state");
}

/* An NMI that comes when the IRET of the one before has begun waits for its end all the same. */
static void test_nmi_at_iret(struct machine *m)
{
	static const uint8_t code[] = {0xf4, 0xeb, 0xfd};    /* hlt, for ever */
	static const uint8_t handler[] = {0x43, 0xf4, 0xcf}; /* inc bx; hlt; iret */
	uint64_t rsp;

	machine_load(m, code, sizeof(code));
	memcpy(machine_memory(m, HANDLER), handler, sizeof(handler));
	put32(m, 2 * VECTORS_BYTES, HANDLER);
	m->area->system.ss.base = STACK_BASE;
	m->area->rsp = STACK_FRAMES;
	expect(machine_run(m), SOCLE_EXIT_HLT, "IRET: before the NMI");
	raise_nmi(m);
	expect(machine_run(m), SOCLE_EXIT_HLT, "IRET: handler");
	rsp = m->area->rsp;
	m->area->rsp = STACK_NOWHERE;
	m->area->load |= SOCLE_LOAD_RUN;
	expect(machine_run(m), SOCLE_EXIT_SECOND_LEVEL, "IRET: its frame is nowhere");
	expect((int64_t)m->area->rip, HANDLER + 2, "IRET: not done");
	expect((int64_t)m->area->system.nmi_blocked, NMI_BLOCKED, "IRET: NMIs are blocked");
	raise_nmi(m);
	expect(machine_run(m), SOCLE_EXIT_SECOND_LEVEL, "IRET: with an NMI that waits");
	expect((int64_t)m->area->system.nmi_blocked, NMI_BLOCKED | NMI_WAITS, "IRET: it waits");
	expect((int64_t)(m->area->rflags & RFLAGS_TF), 0, "IRET: no single step is to be seen");
	m->area->rsp = rsp;
	m->area->load |= SOCLE_LOAD_RUN;
	expect(machine_run(m), SOCLE_EXIT_HLT, "IRET: handler, for the second");
	expect((int64_t)m->area->rbx, 2, "IRET: count of two");
	expect((int64_t)m->area->rsp, (int64_t)rsp, "IRET: the second behind it");
	expect(machine_run(m), SOCLE_EXIT_HLT, "IRET: behind the handler");
	expect((int64_t)m->area->rip, CODE + 1, "IRET: back where the first came");
	expect((int64_t)(m->area->rflags & RFLAGS_TF), 0, "IRET: the single step is over");
}

/* The local APIC's timer ------------------------------------------------------------------------
 */

static uint64_t pair(uint64_t high, uint64_t low)
{
	return high << 32 | (uint32_t)low;
}

/* TSC ticks that the interrupt came too late, while the guest did nothing but compute. */
static int64_t lateness(struct machine *m, uint32_t delay)
{
	uint8_t code[] = {
		0x66, 0xb9, 0x32,	  0x08, 0x00, 0x00,		/* mov ecx, LVT timer */
		0x66, 0xb8, TIMER_VECTOR, 0x00, 0x04, 0x00,		/* mov eax, TSC deadline */
		0x66, 0x31, 0xd2,					/* xor edx, edx */
		0x0f, 0x30,						/* wrmsr */
		0x0f, 0x31,						/* rdtsc */
		0x66, 0x05, 0x00,	  0x00, 0x00, 0x00,		/* add eax, delay */
		0x66, 0x83, 0xd2,	  0x00,				/* adc edx, 0 */
		0x66, 0x89, 0xc3,					/* mov ebx, eax */
		0x66, 0x89, 0xd5,					/* mov ebp, edx */
		0x66, 0xb9, 0xe0,	  0x06, 0x00, 0x00, 0x0f, 0x30, /* IA32_TSC_DEADLINE */
		0xfb,							/* sti */
		0xeb, 0xfe,						/* for ever */
	};
	static const uint8_t handler[] = {
		0x0f, 0x31,	  /* rdtsc */
		0x66, 0x89, 0xc6, /* mov esi, eax */
		0x66, 0x89, 0xd7, /* mov edi, edx */
		0xf4,		  /* hlt */
	};

	memcpy(code + 21, &delay, sizeof(delay));
	machine_load(m, code, sizeof(code));
	memcpy(machine_memory(m, HANDLER), handler, sizeof(handler));
	put32(m, TIMER_VECTOR * VECTORS_BYTES, HANDLER);
	memset(m->area->apic, 0, sizeof(m->area->apic));
	m->area->apic[4 * APIC_SVR] = 0x1ff;
	m->area->apic_base = APIC_X2APIC;
	m->area->timer_deadline = 0;
	expect(machine_run(m), SOCLE_EXIT_HLT, "timer: handler");
	return (int64_t)(pair(m->area->rdi, m->area->rsi) - pair(m->area->rbp, m->area->rbx));
}

/*
 * More than half of the interrupts come within 0.2 ms: nothing but the timer itself could bring
 * them. (The others may find that another thread was to run.)
 */
static void test_timer(struct machine *m)
{
	struct socle_info_general general;
	unsigned in_time = 0;
	int64_t limit;

	expect(socle_info_general(&m->root, &general), SOCLE_OK, "info");
	limit = (int64_t)general.tsc_hz / 5000;
	for (unsigned i = 0; i < TIMER_ROUNDS; i++) {
		int64_t late =
			lateness(m, (uint32_t)(general.tsc_hz / 1000 * (i % 7 + 1) * 9 / 10));

		if (late < 0)
			test_fail("timer: %lld ticks too early", (long long)-late);
		printf("timer: %lld ticks late\n", (long long)late);
		in_time += late <= limit;
	}
	if (in_time <= TIMER_ROUNDS / 2)
		test_fail("timer: %u of %u in time", in_time, TIMER_ROUNDS);
}

/* States at random ----------------------------------------------------------------------------- */

static void change_at_random(struct machine *m, uint64_t *random)
{
	uint64_t *word = (uint64_t *)(void *)&m->area->system;
	unsigned count = 1 + (unsigned)(test_random(random) % CHANGES_MAX);

	for (unsigned i = 0; i < count; i++) {
		uint64_t *at = &word[test_random(random) % STATE_WORDS];

		/* A bit, a small number, or anything. */
		switch (test_random(random) % 3) {
		case 0:
			*at ^= 1ull << test_random(random) % 64;
			break;
		case 1:
			*at = test_random(random) % 4096;
			break;
		default:
			*at = test_random(random);
		}
	}
	if (test_random(random) % 4 == 0)
		m->area->rflags = test_random(random) & 0x3fffff;
	if (test_random(random) % 4 == 0)
		m->area->event = SOCLE_EVENT_VALID | (test_random(random) & 0xffffffff00000fff);
}

static void test_random_states(struct machine *m, uint64_t seed, uint64_t rounds)
{
	static const uint8_t code[] = {0x0f, 0xa2, 0x90, 0xf4, 0xeb, 0xfd}; /* cpuid; nop; hlt */
	uint64_t random = seed, failures = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		int reason = SOCLE_EXIT_INTERRUPT;

		if (i % 2 == 0)
			machine_load64(m, code, sizeof(code));
		else
			load_pae(m);
		change_at_random(m, &random);
		for (int run = 0; run < RUNS_MAX && reason == SOCLE_EXIT_INTERRUPT; run++)
			reason = socle_vcpu_run(&m->own, m->domain, 0);
		if (reason < 0 && reason != SOCLE_ERROR_ARGUMENT)
			test_fail("round %llu of seed %llu: %d", (unsigned long long)i,
				  (unsigned long long)seed, reason);
		failures += reason == SOCLE_EXIT_ENTRY_FAILURE;
		if (i % 16 == 0) {
			machine_load64(m, code, sizeof(code));
			expect(machine_run(m), SOCLE_EXIT_HLT, "a good state behind a random one");
		}
	}
	printf("random states: %llu of %llu were not entered\n", (unsigned long long)failures,
	       (unsigned long long)rounds);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"seed", 1, 0}, {"rounds", 1000, 0}, {NULL, 0, 0}};
	struct machine m;

	test_options(argc, argv, "domain-edges [--seed N] [--rounds N]", option);
	machine_create(&m);
	test_pae(&m);
	test_nmis(&m);
	test_nmi_at_iret(&m);
	if (m.own.vendor == SOCLE_VENDOR_VMX) {
		test_xcr0(&m);
		test_no_tsc_aux(&m);
		test_timer(&m);
		test_random_states(&m, option[0].value, option[1].value);
	}
	machine_destroy(&m);
	test_pass("PAE, XCR0, NMIs, timer, random states");
}
