// SPDX-License-Identifier: BSD-2-Clause
/*
 * One domain, one vCPU, run from here in place of a VMM: ports, HLT, CPUID, memory that is not
 * there, a guest that loops for ever, a triple fault; then the calls that must be refused, and the
 * balance of the pool. Repeated, it shows that nothing is left over. With --bench it prints what
 * exits cost.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service_test.h"

#define FRAME	  SOCLE_FRAME_BYTES
#define CODE	  0x1000 /* guest-physical: where each piece of code is put */
#define AREA	  (FRAME - SOCLE_VCPU_AREA_BYTES) /* of the vCPU, in the guest's frame */
#define MMIO	  0x00300000			  /* guest-physical: nothing */
#define HANDLER	  0x1200
#define COUNT	  0x700
#define VECTOR	  0x40
#define ATTR_CODE 0x009b
#define ATTR_DATA 0x0093

struct machine {
	struct socle_handle root, own; /* with the root key, and with the domain's */
	struct socle_info_memory memory;
	uint8_t *pool; /* the first two frames */
	uint32_t domain;
	struct socle_vcpu_area *area;
};

static void expect(int64_t result, int64_t wanted, const char *what)
{
	if (result != wanted)
		test_fail("%s: %lld (%s), expected %lld", what, (long long)result,
			  result < 0 ? socle_error_text(result) : "", (long long)wanted);
}

static void create(struct machine *m)
{
	struct socle_domain_created created;
	uint64_t base = m->memory.pool_base;

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
	m->area = (void *)(m->pool + FRAME + AREA);
}

static void destroy(struct machine *m)
{
	int result = SOCLE_AGAIN;

	for (int i = 0; i < 100 && result == SOCLE_AGAIN; i++)
		result = socle_domain_destroy(&m->root, m->domain);
	expect(result, SOCLE_OK, "destroy");
}

/* Real mode at CODE, flat segments from 0, with a piece of code. */
static void load_code(struct machine *m, const void *code, size_t bytes)
{
	struct socle_segment data = {0, ATTR_DATA, 0xffff, 0};
	struct socle_system_state *s = &m->area->system;

	memset(m->pool + FRAME + CODE, 0xf4, 256);
	memcpy(m->pool + FRAME + CODE, code, bytes);
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
	m->area->load = SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
}

/* Runs until the guest leaves for another reason than an interrupt of this machine. */
static int run(struct machine *m)
{
	for (;;) {
		int reason = socle_vcpu_run(&m->own, m->domain, 0);

		if (reason != SOCLE_EXIT_INTERRUPT)
			return reason;
	}
}

static void test_ports(struct machine *m)
{
	/* mov al, 0x41; out 0xe9, al; in ax, dx (dx = 0x1234); hlt */
	static const uint8_t code[] = {0xb0, 0x41, 0xe6, 0xe9, 0xba, 0x34, 0x12, 0xed, 0xf4};

	load_code(m, code, sizeof(code));
	expect(run(m), SOCLE_EXIT_IO, "out");
	expect((int64_t)m->area->info[0], 0xe9 | 1 << 16, "out: info");
	expect((int64_t)m->area->rax & 0xff, 0x41, "out: al");
	expect((int64_t)m->area->rip, CODE + 4, "out: rip");
	expect(run(m), SOCLE_EXIT_IO, "in");
	expect((int64_t)m->area->info[0], 0x1234 | 2 << 16 | (int64_t)SOCLE_IO_IN, "in: info");
	m->area->rax = 0xbeef;
	expect(run(m), SOCLE_EXIT_HLT, "hlt");
	expect((int64_t)m->area->rip, CODE + 9, "hlt: rip");
	expect((int64_t)m->area->rax, 0xbeef, "in: ax");
}

static void test_cpuid(struct machine *m)
{
	/* mov eax, 1; cpuid; hlt (32-bit operands) */
	static const uint8_t code[] = {0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0xf4};

	m->area->cpuid[1] =
		(struct socle_cpuid_entry){1, 0, SOCLE_CPUID_VALID, 0x11, 0x22, 0x33, 0x44, 0};
	load_code(m, code, sizeof(code));
	expect(run(m), SOCLE_EXIT_HLT, "cpuid");
	expect((int64_t)m->area->rax, 0x11, "cpuid: eax");
	expect((int64_t)m->area->rbx, 0x22, "cpuid: ebx");
	expect((int64_t)m->area->rcx, 0x33, "cpuid: ecx");
	expect((int64_t)m->area->rdx, 0x44, "cpuid: edx");
}

static void test_mmio(struct machine *m)
{
	/* mov ebx, MMIO; a32 mov [ebx], eax; hlt */
	static const uint8_t code[] = {0x66, 0xbb, 0, 0, 0x30, 0, 0x67, 0x66, 0x89, 0x03, 0xf4};

	load_code(m, code, sizeof(code));
	m->area->system.ds.limit = 0xffffffff;
	expect(run(m), SOCLE_EXIT_SECOND_LEVEL, "mmio");
	expect((int64_t)m->area->info[0], MMIO, "mmio: address");
	expect((int64_t)m->area->info[1], SOCLE_ACCESS_WRITE, "mmio: access");
	expect((int64_t)m->area->rip, CODE + 6, "mmio: rip");
	m->area->rip += 4;
	m->area->load = SOCLE_LOAD_RUN;
	expect(run(m), SOCLE_EXIT_HLT, "mmio: hlt");
}

static void test_endless(struct machine *m)
{
	static const uint8_t code[] = {0xeb, 0xfe}; /* jmp $ */

	load_code(m, code, sizeof(code));
	for (int i = 0; i < 20; i++) {
		expect(socle_vcpu_run(&m->own, m->domain, 0), SOCLE_EXIT_INTERRUPT, "endless");
		expect((int64_t)m->area->rip, CODE, "endless: rip");
	}
}

static void test_shutdown(struct machine *m)
{
	static const uint8_t code[] = {0x0f, 0x0b}; /* ud2, with an IDT that holds nothing */

	load_code(m, code, sizeof(code));
	m->area->system.idtr.limit = 0;
	expect(run(m), SOCLE_EXIT_SHUTDOWN, "shutdown");
}

static uint64_t tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* The handler of vector 0x40 counts at COUNT and acknowledges. */
static void load_handler(struct machine *m)
{
	/* inc word [COUNT]; mov ecx, 0x80b; xor eax, eax; xor edx, edx; wrmsr; iret */
	static const uint8_t handler[] = {0xff, 0x06, 0x00, 0x07, 0x66, 0xb9, 0x0b, 0x08, 0,   0,
					  0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30, 0xcf};
	static const uint16_t entry[2] = {HANDLER, 0};

	memcpy(m->pool + FRAME + HANDLER, handler, sizeof(handler));
	memcpy(m->pool + FRAME + 4 * VECTOR, entry, sizeof(entry));
	memset(m->pool + FRAME + COUNT, 0, 2);
	memset(m->area->apic, 0, sizeof(m->area->apic));
	m->area->apic[4 * 0x0f] = 0x1ff; /* enabled by software */
	m->area->apic_base = 0xfee00c00; /* x2APIC mode */
}

static int count(const struct machine *m)
{
	return m->pool[FRAME + COUNT];
}

static void test_self_ipi(struct machine *m)
{
	/* sti; mov ecx, 0x83f; mov eax, 0x40; xor edx, edx; wrmsr; nop; hlt */
	static const uint8_t code[] = {0xfb, 0x66, 0xb9, 0x3f, 0x08, 0,	   0,	 0x66, 0xb8, VECTOR,
				       0,    0,	   0,	 0x66, 0x31, 0xd2, 0x0f, 0x30, 0x90, 0xf4};

	load_code(m, code, sizeof(code));
	load_handler(m);
	expect(run(m), SOCLE_EXIT_HLT, "self-IPI");
	expect(count(m), 1, "self-IPI: interrupts");
}

static void test_posted(struct machine *m)
{
	/* cli; out 0xe9, al; nop; sti; nop; hlt */
	static const uint8_t code[] = {0xfa, 0xe6, 0xe9, 0x90, 0xfb, 0x90, 0xf4};

	load_code(m, code, sizeof(code));
	load_handler(m);
	expect(run(m), SOCLE_EXIT_IO, "posted: out");
	__atomic_fetch_or(&m->area->posted[VECTOR / 64], 1ull << VECTOR % 64, __ATOMIC_SEQ_CST);
	expect(run(m), SOCLE_EXIT_HLT, "posted: hlt");
	expect(count(m), 1, "posted: interrupts");
}

static void test_timer(struct machine *m)
{
	/* sti; xor edx, edx; wrmsr of 0x832 := 0x40, 0x83e := 0xb, 0x838 := 100000; hlt; hlt */
	static const uint8_t code[] = {0xfb, 0x66, 0x31,   0xd2, 0x66, 0xb9, 0x32, 0x08, 0,    0,
				       0x66, 0xb8, VECTOR, 0,	 0,    0,    0x0f, 0x30, 0x66, 0xb9,
				       0x3e, 0x08, 0,	   0,	 0x66, 0xb8, 0x0b, 0,	 0,    0,
				       0x0f, 0x30, 0x66,   0xb9, 0x38, 0x08, 0,	   0,	 0x66, 0xb8,
				       0xa0, 0x86, 1,	   0,	 0x0f, 0x30, 0xf4, 0xf4};

	load_code(m, code, sizeof(code));
	load_handler(m);
	expect(run(m), SOCLE_EXIT_HLT, "timer: first hlt");
	if (count(m) == 0) {
		if (m->area->timer_deadline == 0)
			test_fail("timer: no deadline");
		while (tsc() < m->area->timer_deadline)
			continue;
		expect(run(m), SOCLE_EXIT_HLT, "timer: second hlt");
	}
	expect(count(m), 1, "timer: interrupts");
	expect((int64_t)m->area->timer_deadline, 0, "timer: deadline afterwards");
}

static void test_refusals(struct machine *m)
{
	uint64_t base = m->memory.pool_base;
	struct socle_domain_created created;
	struct socle_handle wrong = m->own;

	expect(socle_domain_create(&m->root, base, &created), SOCLE_ERROR_OWNER, "donate twice");
	expect(socle_domain_create(&m->root, base + 4096, &created), SOCLE_ERROR_ARGUMENT,
	       "a frame that is not aligned");
	expect(socle_domain_create(&m->root, m->memory.hypervisor_base, &created),
	       SOCLE_ERROR_OWNER, "donate the hypervisor's memory");
	expect(socle_domain_create(&m->own, base + 2 * FRAME, &created), SOCLE_ERROR_KEY,
	       "create with a domain's key");
	expect(socle_domain_assign(&m->root, m->domain, base, FRAME), SOCLE_ERROR_OWNER,
	       "assign a donated frame");
	expect(socle_map(&m->own, m->domain, 0, base, SOCLE_ACCESS_READ, FRAME), SOCLE_ERROR_OWNER,
	       "map a donated frame");
	expect(socle_map(&m->own, m->domain, 0, 0, SOCLE_ACCESS_READ, FRAME), SOCLE_ERROR_OWNER,
	       "map memory outside the pool");
	expect(socle_map(&m->own, m->domain, 0, base + FRAME, SOCLE_ACCESS_READ, 2 * FRAME),
	       SOCLE_ERROR_OWNER, "map past the domain's frames");
	expect(socle_vcpu_create(&m->own, m->domain, 0, base + FRAME + AREA), SOCLE_ERROR_BUSY,
	       "create a vCPU twice");
	expect(socle_vcpu_run(&m->own, m->domain, 7), SOCLE_ERROR_ARGUMENT, "run no vCPU");
	wrong.key.word[1] ^= 1;
	expect(socle_vcpu_run(&wrong, m->domain, 0), SOCLE_ERROR_KEY, "run with a wrong key");
	expect(socle_vcpu_run(&m->own, m->domain + 1, 0), SOCLE_ERROR_KEY, "run another domain");
}

/* The least ticks of many: in deterministic mode a tick is an instruction. */
static void bench(struct machine *m)
{
	/* in al, dx; jmp back */
	static const uint8_t port[] = {0xec, 0xeb, 0xfd};
	uint64_t best = UINT64_MAX;

	load_code(m, port, sizeof(port));
	run(m);
	for (int i = 0; i < 1000; i++) {
		uint64_t start = tsc(), took;

		socle_vcpu_run(&m->own, m->domain, 0);
		took = tsc() - start;
		if (took < best)
			best = took;
	}
	printf("port read, left and entered again: %llu ticks\n", (unsigned long long)best);
}

int main(int argc, char **argv)
{
	struct test_option option[] = {{"cycles", 3, 0}, {"bench", 0, 1}, {NULL, 0, 0}};
	struct machine m;
	struct socle_info_memory after;
	int fd;

	test_options(argc, argv, "domain-smoke [--cycles N] [--bench]", option);
	test_open(&m.root);
	expect(socle_info_memory(&m.root, &m.memory), SOCLE_OK, "info");
	fd = open("/dev/dax0.0", O_RDWR);
	m.pool = mmap(NULL, 2 * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m.pool == MAP_FAILED)
		test_fail("cannot map the pool");
	for (uint64_t i = 0; i < option[0].value; i++) {
		create(&m);
		test_ports(&m);
		test_cpuid(&m);
		test_mmio(&m);
		test_endless(&m);
		test_self_ipi(&m);
		test_posted(&m);
		test_timer(&m);
		test_shutdown(&m);
		test_refusals(&m);
		if (option[1].value)
			bench(&m);
		destroy(&m);
		expect(socle_info_memory(&m.root, &after), SOCLE_OK, "info");
		expect((int64_t)after.pool_free_bytes, (int64_t)m.memory.pool_free_bytes,
		       "free memory after destruction");
		/* The donated frame is the service VM's again, and clean. */
		for (uint64_t at = 0; at < FRAME; at++)
			if (m.pool[at] != 0)
				test_fail("byte %llx of the donated frame is %02x",
					  (unsigned long long)at, m.pool[at]);
	}
	test_pass("%llu domains ran and left nothing", (unsigned long long)option[0].value);
}
