// SPDX-License-Identifier: BSD-2-Clause
#include "domain_machine.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

void expect(int64_t result, int64_t wanted, const char *what)
{
	if (result != wanted)
		test_fail("%s: %llx, expected %llx", what, (long long)result, (long long)wanted);
}

uint8_t *machine_memory(struct machine *m, uint64_t address)
{
	return m->pool + FRAME + address;
}

static void put_entry(struct machine *m, uint64_t table, uint64_t entry)
{
	memcpy(machine_memory(m, table), &entry, sizeof(entry));
}

void machine_create(struct machine *m)
{
	struct socle_domain_created created;
	uint64_t base;

	test_open(&m->root);
	expect(socle_info_memory(&m->root, &m->memory), SOCLE_OK, "info");
	m->pool = mmap(NULL, 2 * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED,
		       open("/dev/dax0.0", O_RDWR), 0);
	if (m->pool == MAP_FAILED)
		test_fail("cannot map the pool");
	base = m->memory.pool_base;
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
	m->area = (void *)machine_memory(m, AREA);
}

void machine_destroy(struct machine *m)
{
	int result;

	do
		result = socle_domain_destroy(&m->root, m->domain);
	while (result == SOCLE_AGAIN);
	expect(result, SOCLE_OK, "destroy");
}

void machine_load(struct machine *m, const void *code, size_t bytes)
{
	struct socle_segment data = {0, ATTR_DATA, 0xffff, 0};
	struct socle_system_state *s = &m->area->system;

	memset(machine_memory(m, CODE), 0xf4, 256);
	memcpy(machine_memory(m, CODE), code, bytes);
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

void machine_load64(struct machine *m, const void *code, size_t bytes)
{
	struct socle_system_state *s = &m->area->system;

	machine_load(m, code, bytes);
	put_entry(m, PML4, (PML4 + 0x1000) | 3);
	put_entry(m, PML4 + 0x1000, (PML4 + 0x2000) | 3);
	put_entry(m, PML4 + 0x2000, 0x83);
	s->cs.attributes = ATTR_CODE64;
	s->cs.limit = 0xffffffff;
	s->cr0 = CR0_PG | 0x31;
	s->cr3 = PML4;
	s->cr4 = 0x20;
	s->efer = EFER_LME | EFER_LMA;
}

/*
 * Bochs 2.7 carries the blocking of NMIs from the VM that was left into the one that is entered,
 * and keeps it until that executes an IRET. Here is one. (QEMU 7.2 needs none, and takes that of a
 * program for an access of the kernel's.)
 */
static void execute_iret(void)
{
	__asm__ volatile("mov %%rsp, %%rax\n"
			 "sub $128, %%rsp\n"
			 "mov %%ss, %%ecx\n"
			 "push %%rcx\n"
			 "push %%rax\n"
			 "pushfq\n"
			 "mov %%cs, %%ecx\n"
			 "push %%rcx\n"
			 "lea 1f(%%rip), %%rcx\n"
			 "push %%rcx\n"
			 "iretq\n"
			 "1:"
			 :
			 :
			 : "rax", "rcx", "memory", "cc");
}

int machine_run(struct machine *m)
{
	int reason;

	if (m->own.vendor == SOCLE_VENDOR_VMX)
		execute_iret();
	do
		reason = socle_vcpu_run(&m->own, m->domain, 0);
	while (reason == SOCLE_EXIT_INTERRUPT);
	return reason;
}
