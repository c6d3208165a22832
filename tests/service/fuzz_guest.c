// SPDX-License-Identifier: BSD-2-Clause
#include "fuzz_guest.h"

#include <string.h>

#include "fuzz_code.h"
#include "service_test.h"

/* Where things are in a guest's frame. */
#define CODE	      0x1000
#define CODE_BYTES    512
#define STACK	      0x8000
#define PML4	      0x10000 /* and behind it a PDPT and a page directory of 1 GiB */
#define DIRECTORY_32  0x13000
#define PDPT_PAE      0x14000
#define GDT	      0x15000
#define TSS	      0x15800
#define IDT	      0x16000
#define IDT_64	      0x17000
#define IVT	      0x18000
#define HANDLER	      0x1800
#define HANDLER_BYTES 64
#define VECTORS	      256
#define PREFIXES_MAX  14
#define PAGE_ENTRIES  512
#define ENTRY_LARGE   0xe7ull /* present, writable, user, accessed, dirty, large */
#define ENTRY_TABLE   0x27ull

#define ATTR_CODE16   0x009b
#define ATTR_CODE32   0x0c9b
#define ATTR_CODE64   0x0a9b
#define ATTR_DATA     0x0c93
#define ATTR_DATA16   0x0093
#define ATTR_TSS      0x008b
#define ATTR_TSS_FREE 0x0089
#define SELECT_CODE   0x08
#define SELECT_DATA   0x10
#define SELECT_TSS    0x18
#define CR0_PE	      1ull
#define CR0_ET	      (1ull << 4)
#define CR0_NE	      (1ull << 5)
#define CR0_PG	      (1ull << 31)
#define CR4_PSE	      (1ull << 4)
#define CR4_PAE	      (1ull << 5)
#define CR4_FXSR      (1ull << 9 | 1ull << 10)
#define CR4_XSAVE     (1ull << 18)
#define EFER_LME      0x100ull
#define EFER_LONG     0x501ull /* SCE, LME, LMA */
#define RFLAGS_IF     0x200ull
#define RFLAGS_VM     (1ull << 17)

enum mode { REAL, VIRTUAL_8086, PROTECTED, PAGED_32, PAGED_PAE, COMPATIBLE, LONG, MODES };

int fuzz_spare_qemu;

/* BT and the like of a register, its opcode at `at`, must not have a LOCK prefix. */
static void unlock(uint8_t *byte, size_t at)
{
	uint8_t second = byte[at + 1];

	if (second != 0xba && second != 0xab && second != 0xb3 && second != 0xbb)
		return;
	for (size_t back = 1; back <= at && back <= PREFIXES_MAX; back++)
		if (byte[at - back] == 0xf0)
			byte[at - back] = 0x3e; /* ds */
}

void fuzz_defuse(void *code, size_t bytes, unsigned int what)
{
	uint8_t *byte = code;

	for (size_t i = 0; fuzz_spare_qemu && i + 2 < bytes; i++) {
		if (byte[i] != 0x0f)
			continue;
		unlock(byte, i);
		if ((what & FUZZ_SPARE_DEBUG) && byte[i + 1] == 0x23)
			byte[i + 1] = 0x21;
		if ((what & FUZZ_SPARE_CR4) && byte[i + 1] == 0x22 && (byte[i + 2] & 0x38) == 0x20)
			byte[i + 1] = 0x20;
		if ((what & FUZZ_SPARE_WRMSR) && byte[i + 1] == 0x30)
			byte[i + 1] = 0x32;
	}
}

/* The words of the area that are not to be touched. */
static int is_spared(uint64_t word)
{
	static const size_t spared[] = {
		offsetof(struct socle_vcpu_area, system.tr),
		offsetof(struct socle_vcpu_area, system.dr7),
		offsetof(struct socle_vcpu_area, system.efer),
		offsetof(struct socle_vcpu_area, system.cr4),
	};

	for (size_t i = 0; fuzz_spare_qemu && i < sizeof(spared) / sizeof(spared[0]); i++)
		if (word == spared[i] / sizeof(uint64_t))
			return 1;
	return 0;
}

/*
 * Of the vCPUs of a domain one is never in long mode, and the others always have CR4.PAE set: where
 * one thread writes a state while another has a run take it, the run takes some of an older one,
 * and no such mixture may have EFER.LME without CR4.PAE.
 */
static int may_be_long(const struct fuzz_guest *guest)
{
	return guest->base != 0;
}

/* A state that QEMU survives. */
static void spare_qemu(struct fuzz_guest *guest, struct socle_system_state *s)
{
	s->tr.attributes = ATTR_TSS_FREE;
	s->dr7 = 0x400;
	if (may_be_long(guest))
		s->cr4 |= CR4_PAE;
	else
		s->efer &= ~EFER_LME;
}

/*
 * Code for it to execute, with nothing to be spared in it at any time. A guest gets into another's
 * code too: in real mode all have the first one's handlers.
 */
static void put_code(struct fuzz_guest *guest, uint64_t at, size_t bytes, unsigned int bits,
		     uint64_t *random)
{
	uint8_t code[CODE_BYTES];

	fuzz_code(code, bytes, bits, guest->base, random);
	fuzz_defuse(code, bytes, FUZZ_SPARE_CR4 | (may_be_long(guest) ? 0 : FUZZ_SPARE_WRMSR));
	memcpy(guest->memory + at, code, bytes);
}

uint64_t fuzz_value(uint64_t *random)
{
	static const uint64_t edge[] = {
		0,
		1,
		0x7f,
		0x80,
		0xff,
		0xffff,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		0xfee00000,
		0xfec00000,
		0x7fffffffffff,
		0x800000000000,
		0xffff800000000000,
		~0ull,
		1ull << 63,
		0xfffffffffffff000,
		0x0007040600070406,
		0xfee00800,
	};

	switch (test_random(random) % 6) {
	case 0:
		return edge[test_random(random) % (sizeof(edge) / sizeof(edge[0]))];
	case 1:
		return 1ull << test_random(random) % 64;
	case 2:
		return test_random(random) % 4096;
	case 3:
		return test_random(random) % (8ull * SOCLE_FRAME_BYTES);
	case 4:
		return test_random(random) >> test_random(random) % 64;
	default:
		return test_random(random);
	}
}

static void put64(struct fuzz_guest *guest, uint64_t at, uint64_t value)
{
	memcpy(guest->memory + at, &value, sizeof(value));
}

static void put32(struct fuzz_guest *guest, uint64_t at, uint32_t value)
{
	memcpy(guest->memory + at, &value, sizeof(value));
}

/* A gate to HANDLER (SDM volume 3, section 6.11). */
static void put_gate(struct fuzz_guest *guest, uint64_t at, uint32_t type)
{
	uint32_t to = (uint32_t)guest->base + HANDLER;

	put32(guest, at, SELECT_CODE << 16 | (to & 0xffff));
	put32(guest, at + 4, (to & 0xffff0000) | type << 8);
}

void fuzz_guest_tables(struct fuzz_guest *guest, uint64_t *random)
{
	uint64_t base = guest->base;

	put64(guest, PML4, (base + PML4 + 0x1000) | ENTRY_TABLE);
	put64(guest, PML4 + 0x1000, (base + PML4 + 0x2000) | ENTRY_TABLE);
	put64(guest, PDPT_PAE, (base + PML4 + 0x2000) | 1);
	for (uint64_t i = 0; i < PAGE_ENTRIES; i++)
		put64(guest, PML4 + 0x2000 + 8 * i, i * SOCLE_FRAME_BYTES | ENTRY_LARGE);
	for (uint32_t i = 0; i < 1024; i++)
		put32(guest, DIRECTORY_32 + 4 * i, i << 22 | (uint32_t)ENTRY_LARGE);
	put64(guest, GDT, 0);
	put64(guest, GDT + SELECT_CODE, 0x00cf9b000000ffff);
	put64(guest, GDT + SELECT_DATA, 0x00cf93000000ffff);
	put64(guest, GDT + SELECT_TSS,
	      0x0000890000000067 | (base + TSS) << 16 | ((base + TSS) >> 24) << 56);
	for (uint32_t i = 0; i < VECTORS; i++) {
		put_gate(guest, IDT + 8 * i, 0x8e);
		put_gate(guest, IDT_64 + 16 * i, 0x8e);
		put64(guest, IDT_64 + 16 * i + 8, 0);
		put32(guest, IVT + 4 * i, HANDLER);
	}
	/* Handlers end where they began, or in any way that code can end. */
	put_code(guest, HANDLER, HANDLER_BYTES, 32, random);
	guest->memory[HANDLER + test_random(random) % 32] = 0xcf;
}

static struct socle_segment segment(uint16_t selector, uint16_t attributes, uint64_t base)
{
	return (struct socle_segment){selector, attributes,
				      attributes & 0x800 ? 0xffffffff : 0xffff, base};
}

static void set_segments(struct socle_system_state *s, uint16_t code, uint16_t data, uint64_t base)
{
	s->cs = segment(SELECT_CODE, code, base);
	s->ds = s->es = s->ss = s->fs = s->gs = segment(SELECT_DATA, data, base);
}

/* The state in which the mode begins. Gives the size of an operand. */
static unsigned int enter_mode(struct fuzz_guest *guest, struct socle_system_state *s,
			       enum mode mode)
{
	uint64_t base = guest->base;

	set_segments(s, ATTR_CODE32, ATTR_DATA, 0);
	s->gdtr = (struct socle_segment){0, 0, 0x1f, base + GDT};
	s->idtr = (struct socle_segment){0, 0, 0x7ff, base + IDT};
	s->ldtr = segment(0, 0x82, 0);
	s->tr = segment(SELECT_TSS, ATTR_TSS, base + TSS);
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	s->cr4 = CR4_FXSR | CR4_XSAVE;
	switch (mode) {
	case REAL:
		set_segments(s, ATTR_CODE16, ATTR_DATA16, base);
		s->cs.selector = s->ss.selector = 0;
		s->idtr = (struct socle_segment){0, 0, 0x3ff, base + IVT};
		s->cr0 = CR0_ET;
		return 16;
	case VIRTUAL_8086:
		set_segments(s, 0xf3, 0xf3, 0);
		s->cs.selector = s->ds.selector = s->es.selector = s->ss.selector = 0;
		s->fs.selector = s->gs.selector = 0;
		guest->area->rflags |= RFLAGS_VM | 0x3000;
		return 16;
	case PROTECTED:
		return 32;
	case PAGED_32:
		s->cr0 |= CR0_PG;
		s->cr4 |= CR4_PSE;
		s->cr3 = base + DIRECTORY_32;
		return 32;
	case PAGED_PAE:
		s->cr0 |= CR0_PG;
		s->cr4 |= CR4_PAE;
		s->cr3 = base + PDPT_PAE;
		return 32;
	default:
		s->cr0 |= CR0_PG;
		s->cr4 |= CR4_PAE;
		s->cr3 = base + PML4;
		s->efer = EFER_LONG;
		s->idtr = (struct socle_segment){0, 0, 0xfff, base + IDT_64};
		if (mode == LONG)
			s->cs.attributes = ATTR_CODE64;
		return mode == LONG ? 64 : 32;
	}
}

/* One word of the system state: a bit flipped, or another value. */
static void mutate_word(struct socle_system_state *s, uint64_t *random)
{
	uint64_t *word = (uint64_t *)s + test_random(random) % (sizeof(*s) / sizeof(uint64_t));

	if (test_random(random) % 2)
		*word ^= 1ull << test_random(random) % 64;
	else
		*word = fuzz_value(random);
}

static void mutate(struct fuzz_guest *guest, struct socle_system_state *s, uint64_t *random)
{
	uint64_t words = 0, choice = test_random(random) % 16;

	if (choice >= 7 && choice < 12)
		words = 1;
	else if (choice >= 12 && choice < 15)
		words = 2 + test_random(random) % 6;
	else if (choice == 15)
		words = 44;
	while (words-- != 0)
		mutate_word(s, random);
	if (test_random(random) % 8 == 0)
		guest->area->rip = fuzz_value(random);
	if (test_random(random) % 8 == 0)
		guest->area->rflags = fuzz_value(random);
}

/* Events, interrupts, the local APIC, CPUID's answers. */
static void prepare_inputs(struct socle_vcpu_area *area, uint64_t *random)
{
	area->load = SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM;
	area->event = 0;
	if (test_random(random) % 4 == 0) {
		uint64_t type = test_random(random) % 2 ? 3 : test_random(random) % 8;

		area->event = SOCLE_EVENT_VALID | type << 8 | (test_random(random) & 0xff) |
			      (test_random(random) & SOCLE_EVENT_ERROR_CODE) |
			      test_random(random) << 32;
	}
	area->apic_base = test_random(random) % 4 ? 0xfee00d00 : fuzz_value(random);
	area->apic[0x0f * 4] = 0x1ff;
	if (test_random(random) % 2)
		__atomic_fetch_or(&area->posted[test_random(random) % 4],
				  1ull << test_random(random) % 64, __ATOMIC_SEQ_CST);
	if (test_random(random) % 4 == 0) {
		area->load |= SOCLE_LOAD_APIC;
		area->apic[test_random(random) % 256] = (uint32_t)fuzz_value(random);
	}
	if (test_random(random) % 4 == 0)
		area->timer_deadline = fuzz_value(random);
	if (test_random(random) % 16 == 0)
		area->load = fuzz_value(random);
	for (int i = 0; i < 4; i++) {
		struct socle_cpuid_entry *entry =
			&area->cpuid[test_random(random) % SOCLE_CPUID_ENTRIES];

		entry->flags = (uint32_t)test_random(random) % 4;
		entry->eax = (uint32_t)fuzz_value(random);
	}
}

static enum mode choose_mode(const struct fuzz_guest *guest, uint64_t *random)
{
	enum mode mode = (enum mode)(test_random(random) % MODES);

	if (!fuzz_spare_qemu)
		return mode;
	if (may_be_long(guest))
		return mode == PAGED_32 ? PAGED_PAE : mode;
	return mode >= COMPATIBLE ? PAGED_32 : mode;
}

void fuzz_guest_begin(struct fuzz_guest *guest, uint64_t *random)
{
	struct socle_vcpu_area *area = guest->area;
	struct socle_system_state state = {0}, *s = &state;
	enum mode mode = choose_mode(guest, random);
	unsigned int bits;

	area->rip = guest->base + CODE;
	area->rsp = guest->base + STACK;
	area->rflags = 2 | (test_random(random) & (RFLAGS_IF | 0xd5));
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->pat = 0x0007040600070406;
	s->tsc_offset = fuzz_value(random);
	bits = enter_mode(guest, s, mode);
	if (mode == REAL || mode == VIRTUAL_8086) {
		area->rip = CODE;
		area->rsp = STACK;
	}
	for (int i = 0; i < 15; i++)
		(&area->rax)[i] = fuzz_value(random);
	area->rdi = guest->base + (test_random(random) & 0x1ff000);
	put_code(guest, CODE, CODE_BYTES, bits, random);
	if (!guest->tame)
		mutate(guest, s, random);
	if (fuzz_spare_qemu)
		spare_qemu(guest, s);
	memcpy(&area->system, s, sizeof(*s));
	prepare_inputs(area, random);
}

void fuzz_area_scribble(struct socle_vcpu_area *area, uint64_t *random)
{
	uint64_t *word = (uint64_t *)area;

	for (uint64_t n = 1 + test_random(random) % 8; n != 0; n--) {
		uint64_t at = test_random(random) % 2
				      ? test_random(random) % (sizeof(*area) / sizeof(uint64_t))
				      : test_random(random) % (256 + 44);

		if (!is_spared(at))
			__atomic_store_n(&word[at], fuzz_value(random), __ATOMIC_RELAXED);
	}
}

int fuzz_guest_answer(struct fuzz_guest *guest, int reason, uint64_t *random)
{
	struct socle_vcpu_area *area = guest->area;

	switch (reason) {
	case SOCLE_EXIT_IO:
	case SOCLE_EXIT_MSR_READ:
		area->rax = fuzz_value(random);
		break;
	case SOCLE_EXIT_SECOND_LEVEL:
		area->rip += 1 + test_random(random) % 8;
		area->load |= SOCLE_LOAD_RUN;
		break;
	case SOCLE_EXIT_HLT:
		__atomic_fetch_or(&area->posted[test_random(random) % 4],
				  1ull << test_random(random) % 64, __ATOMIC_SEQ_CST);
		break;
	case SOCLE_EXIT_SHUTDOWN:
	case SOCLE_EXIT_ENTRY_FAILURE:
		return 0;
	default:
		break;
	}
	if (reason == SOCLE_EXIT_IO && (area->info[0] & SOCLE_IO_STRING)) {
		area->rip += 1 + test_random(random) % 2;
		area->load |= SOCLE_LOAD_RUN;
	}
	if (reason == SOCLE_EXIT_MSR_WRITE && test_random(random) % 4 == 0) {
		area->rip = area->info[1];
		area->load |= SOCLE_LOAD_RUN;
		area->event =
			SOCLE_EVENT_VALID | SOCLE_EVENT_EXCEPTION | SOCLE_EVENT_ERROR_CODE | 13;
	}
	if (!guest->tame && test_random(random) % 32 == 0)
		fuzz_area_scribble(area, random);
	return 1;
}
