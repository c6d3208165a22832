/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction emulator against the processor under the test: the same bytes run natively on
 * ordinary memory, and by insn_execute() on a fake device's registers; registers, flags and memory
 * must be the same afterwards.
 */
#include <stdio.h>
#include <string.h>

#include "fake_guest.h"
#include "native_insn.h"
#include "unit.h"
#include "vmm-user/vmm/insn_internal.h"
#include "vmm-user/vmm/insn.h"

#define ARITH  0x8d5u
#define CF     0x001u
#define PF     0x004u
#define AF     0x010u
#define ZF     0x040u
#define SF     0x080u
#define OF     0x800u
#define DF     0x400u
#define ROUNDS 200

/* The guest's tables: identity but for the device, whose pages are in reverse order. */
#define TABLES	     0x100000u
#define CODE_AT	     0x200000u
#define DATA_AT	     0x210000u
#define DEVICE	     NATIVE_MEMORY	      /* 2 pages of registers */
#define PLAIN	     (NATIVE_MEMORY + 0x2000) /* 2 pages of RAM */
#define DEVICE_BYTES 0x2000u

enum immediate { NO, IMM8, IMMZ };

/* An instruction with a ModR/M byte. */
struct form {
	const char *name;
	uint8_t prefix, map, opcode; /* map: 0, 0x0f, 0x38 (behind 0x0f) */
	int extension;		     /* of ModR/M's reg field; -1: a register */
	enum immediate immediate;
	bool byte;	    /* the reg field is an 8-bit register, memory a byte */
	unsigned sizes;	    /* operand sizes: bits 2, 4, 8 */
	unsigned undefined; /* flags */
};

#define ALL (2 | 4 | 8)
#define ALU(name, base, n)                                                                         \
	{name " m8,r8", 0, 0, base, -1, NO, true, 4, 0},                                           \
		{name " m,r", 0, 0, base + 1, -1, NO, false, ALL, 0},                              \
		{name " r8,m8", 0, 0, base + 2, -1, NO, true, 4, 0},                               \
		{name " r,m", 0, 0, base + 3, -1, NO, false, ALL, 0},                              \
		{name " m8,i", 0, 0, 0x80, n, IMM8, true, 4, 0},                                   \
		{name " m,iz", 0, 0, 0x81, n, IMMZ, false, ALL, 0},                                \
	{                                                                                          \
		name " m,i8", 0, 0, 0x83, n, IMM8, false, ALL, 0                                   \
	}
#define UNARY(name, opcode, n)                                                                     \
	{name " m8", 0, 0, opcode, n, NO, true, 4, 0},                                             \
	{                                                                                          \
		name " m", 0, 0, opcode + 1, n, NO, false, ALL, 0                                  \
	}
#define SHIFT(name, n, undefined)                                                                  \
	{name " m8,1", 0, 0, 0xd0, n, NO, true, 4, undefined},                                     \
		{name " m,1", 0, 0, 0xd1, n, NO, false, ALL, undefined},                           \
		{name " m8,i", 0, 0, 0xc0, n, IMM8, true, 4, undefined},                           \
		{name " m,i", 0, 0, 0xc1, n, IMM8, false, ALL, undefined},                         \
		{name " m8,cl", 0, 0, 0xd2, n, NO, true, 4, undefined},                            \
	{                                                                                          \
		name " m,cl", 0, 0, 0xd3, n, NO, false, ALL, undefined                             \
	}
#define BIT(name, opcode, n)                                                                       \
	{name " m,r", 0, 0x0f, opcode, -1, NO, false, ALL, OF | SF | AF | PF},                     \
	{                                                                                          \
		name " m,i", 0, 0x0f, 0xba, n, IMM8, false, ALL, OF | SF | AF | PF                 \
	}

static const struct form forms[] = {
	{"mov m8,r8", 0, 0, 0x88, -1, NO, true, 4, 0},
	{"mov m,r", 0, 0, 0x89, -1, NO, false, ALL, 0},
	{"mov r8,m8", 0, 0, 0x8a, -1, NO, true, 4, 0},
	{"mov r,m", 0, 0, 0x8b, -1, NO, false, ALL, 0},
	{"mov m8,i", 0, 0, 0xc6, 0, IMM8, true, 4, 0},
	{"mov m,i", 0, 0, 0xc7, 0, IMMZ, false, ALL, 0},
	{"movzx r,m8", 0, 0x0f, 0xb6, -1, NO, false, ALL, 0},
	{"movzx r,m16", 0, 0x0f, 0xb7, -1, NO, false, 4 | 8, 0},
	{"movsx r,m8", 0, 0x0f, 0xbe, -1, NO, false, ALL, 0},
	{"movsx r,m16", 0, 0x0f, 0xbf, -1, NO, false, 4 | 8, 0},
	{"movsxd r,m32", 0, 0, 0x63, -1, NO, false, 4 | 8, 0},
	{"movnti", 0, 0x0f, 0xc3, -1, NO, false, 4 | 8, 0},
	{"movbe r,m", 0, 0x38, 0xf0, -1, NO, false, ALL, 0},
	{"movbe m,r", 0, 0x38, 0xf1, -1, NO, false, ALL, 0},
	ALU("add", 0x00, 0),
	ALU("or", 0x08, 1),
	ALU("adc", 0x10, 2),
	ALU("sbb", 0x18, 3),
	ALU("and", 0x20, 4),
	ALU("sub", 0x28, 5),
	ALU("xor", 0x30, 6),
	ALU("cmp", 0x38, 7),
	{"lock add m,r", 0xf0, 0, 0x01, -1, NO, false, ALL, 0},
	{"test m8,r8", 0, 0, 0x84, -1, NO, true, 4, 0},
	{"test m,r", 0, 0, 0x85, -1, NO, false, ALL, 0},
	{"test m8,i", 0, 0, 0xf6, 0, IMM8, true, 4, 0},
	{"test m,i", 0, 0, 0xf7, 0, IMMZ, false, ALL, 0},
	{"test m8,i (1)", 0, 0, 0xf6, 1, IMM8, true, 4, 0},
	UNARY("inc", 0xfe, 0),
	UNARY("dec", 0xfe, 1),
	UNARY("not", 0xf6, 2),
	UNARY("neg", 0xf6, 3),
	SHIFT("rol", 0, 0),
	SHIFT("ror", 1, 0),
	SHIFT("rcl", 2, 0),
	SHIFT("rcr", 3, 0),
	SHIFT("shl", 4, AF),
	SHIFT("shr", 5, AF),
	SHIFT("sar", 7, AF),
	BIT("bt", 0xa3, 4),
	BIT("bts", 0xab, 5),
	BIT("btr", 0xb3, 6),
	BIT("btc", 0xbb, 7),
	{"xchg m8,r8", 0, 0, 0x86, -1, NO, true, 4, 0},
	{"xchg m,r", 0, 0, 0x87, -1, NO, false, ALL, 0},
	{"xadd m8,r8", 0, 0x0f, 0xc0, -1, NO, true, 4, 0},
	{"xadd m,r", 0, 0x0f, 0xc1, -1, NO, false, ALL, 0},
	{"cmpxchg m8,r8", 0, 0x0f, 0xb0, -1, NO, true, 4, 0},
	{"cmpxchg m,r", 0, 0x0f, 0xb1, -1, NO, false, ALL, 0},
	{"lock cmpxchg m,r", 0xf0, 0x0f, 0xb1, -1, NO, false, ALL, 0},
	{"setb", 0, 0x0f, 0x92, 0, NO, true, 4, 0},
	{"setg", 0, 0x0f, 0x9f, 0, NO, true, 4, 0},
	{"cmovo", 0, 0x0f, 0x40, -1, NO, false, ALL, 0},
	{"cmovbe", 0, 0x0f, 0x46, -1, NO, false, ALL, 0},
	{"cmovp", 0, 0x0f, 0x4a, -1, NO, false, ALL, 0},
	{"cmovge", 0, 0x0f, 0x4d, -1, NO, false, ALL, 0},
	{"push m", 0, 0, 0xff, 6, NO, false, 2 | 8, 0},
	{"pop m", 0, 0, 0x8f, 0, NO, false, 2 | 8, 0},
};
#define FORMS  (sizeof(forms) / sizeof(forms[0]))
#define GROUPS 8 /* processes: each costs a search for leaks */

static struct socle_vcpu_area area;

static uint64_t *area_register(unsigned number)
{
	static const uint8_t place[16] = {0, 1, 2, 3, 15, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};

	return &area.rax + place[number];
}

static void put(uint64_t at, uint64_t value)
{
	memcpy(guest.ram + at, &value, sizeof(value));
}

/* Two levels of 4 KiB tables under 1 GiB, enough for the addresses here. */
static void map_page(uint64_t linear, uint64_t gpa)
{
	uint64_t table = TABLES + 0x3000 + (linear >> 21) * 0x1000;

	put(TABLES, (TABLES + 0x1000) | 7);
	put(TABLES + 0x1000, (TABLES + 0x2000) | 7);
	put(TABLES + 0x2000 + (linear >> 21) * 8, table | 7);
	put(table + (linear >> 12 & 511) * 8, gpa | 7);
}

static uint64_t device_gpa(uint64_t offset)
{
	return FAKE_MMIO_BASE + ((offset ^ 0x1000) & (DEVICE_BYTES - 1));
}

static void start(void)
{
	struct socle_system_state *system = &area.system;

	fake_guest_start();
	memset(insn_cache, 0, sizeof(insn_cache));
	ck_assert(native_start());
	for (uint64_t page = 0; page < DEVICE_BYTES; page += 4096) {
		map_page(DEVICE + page, device_gpa(page));
		map_page(PLAIN + page, DATA_AT + page);
	}
	map_page(NATIVE_CODE, CODE_AT);
	memset(&area, 0, sizeof(area));
	system->cr0 = 0x80010033;
	system->cr4 = 0x20;
	system->cr3 = TABLES;
	system->efer = 0xd00;
	system->cs.attributes = 0xa9b;
	system->ss.attributes = 0xc93;
	area.cpuid[SOCLE_CPUID_EXTENDED + 8].eax = 40;
}

/* The device's registers as the native run's memory, or the other way round. */
static void device_copy(uint8_t *memory, bool to_device)
{
	for (uint64_t page = 0; page < DEVICE_BYTES; page += 4096) {
		uint8_t *at = guest.mmio + (device_gpa(page) - FAKE_MMIO_BASE);

		memcpy(to_device ? at : memory + page, to_device ? memory + page : at, 4096);
	}
}

static const char *hex(const uint8_t *byte, unsigned bytes)
{
	static char text[64];

	for (unsigned i = 0; i < bytes; i++)
		sprintf(text + 3 * i, "%02x ", byte[i]);
	return text;
}

/* Runs the bytes both ways and compares. offset: of the operand in the device, for the exit. */
static void compare(const char *name, const uint8_t *insn, unsigned bytes, struct native *native,
		    unsigned undefined, uint64_t exit_gpa, uint64_t access)
{
	static uint8_t before[NATIVE_BYTES], after[NATIVE_BYTES];
	struct native then = *native;
	uint64_t rip = native_address();
	enum insn_result result;
	uint8_t *memory = (uint8_t *)NATIVE_MEMORY;

	memcpy(before, memory, sizeof(before));
	device_copy(before, true);
	memcpy(guest.ram + DATA_AT, before + (PLAIN - NATIVE_MEMORY), DEVICE_BYTES);
	memcpy(guest.ram + CODE_AT + (rip & 4095), insn, bytes);
	for (unsigned i = 0; i < 16; i++)
		*area_register(i) = native->reg[i];
	area.rflags = 2 | native->flags;
	area.rip = rip;
	area.load = 0;
	native_run(&then, insn, bytes);
	for (unsigned i = 0; i < 50 && area.rip == rip; i++) {
		result = insn_execute(fake_vmm, &area, exit_gpa, access);
		unit_assert(result == INSN_DONE, "%s [%s]: result %d, event %llx, cr2 %llx", name,
			    hex(insn, bytes), result, (unsigned long long)area.event,
			    (unsigned long long)area.system.cr2);
	}
	unit_assert(area.rip == rip + bytes, "%s [%s]: rip +%lld", name, hex(insn, bytes),
		    (long long)(area.rip - rip));
	unit_assert(area.load & SOCLE_LOAD_RUN, "%s [%s]: load %llx", name, hex(insn, bytes),
		    (unsigned long long)area.load);
	for (unsigned i = 0; i < 16; i++)
		unit_assert(*area_register(i) == then.reg[i],
			    "%s [%s]: register %u: %llx, expected %llx (from %llx)", name,
			    hex(insn, bytes), i, (unsigned long long)*area_register(i),
			    (unsigned long long)then.reg[i], (unsigned long long)native->reg[i]);
	unit_assert(((area.rflags ^ then.flags) & ARITH & ~undefined) == 0,
		    "%s [%s]: flags %llx, expected %llx (from %llx)", name, hex(insn, bytes),
		    (unsigned long long)(area.rflags & ARITH),
		    (unsigned long long)(then.flags & ARITH), (unsigned long long)native->flags);
	memcpy(after, memory, sizeof(after));
	device_copy(after, false);
	memcpy(after + (PLAIN - NATIVE_MEMORY), guest.ram + DATA_AT, DEVICE_BYTES);
	unit_assert(memcmp(after, memory, sizeof(after)) == 0, "%s [%s]: memory", name,
		    hex(insn, bytes));
}

/* Random bytes; often with a carry or a sign at hand. */
static uint64_t random_value(void)
{
	static const uint64_t edge[] = {0,	    1,		 ~0ull,	     0x7f,
					0x80,	    0xff,	 0x7fff,     0x8000,
					0x7fffffff, 0x80000000u, 1ull << 63, (1ull << 63) - 1};

	return fake_random() % 4 ? fake_random()
				 : edge[fake_random() % (sizeof(edge) / sizeof(edge[0]))];
}

struct encoding {
	uint8_t byte[16];
	unsigned bytes;
};

static void emit(struct encoding *to, uint64_t value, unsigned bytes)
{
	memcpy(to->byte + to->bytes, &value, bytes);
	to->bytes += bytes;
}

/* Encodes a form for a random register and addressing mode that names `target`. */
static void encode(const struct form *form, unsigned size, uint64_t target, struct native *native,
		   struct encoding *to)
{
	unsigned reg =
		form->extension >= 0 ? (unsigned)form->extension : (unsigned)fake_random() % 16;
	unsigned base, index = (unsigned)fake_random() % 16, scale = (unsigned)fake_random() % 4;
	bool relative = fake_random() % 8 == 0, has_index = fake_random() % 2 && index != 4;
	unsigned immediate = form->immediate == IMM8   ? 1
			     : form->immediate == IMMZ ? (size == 2 ? 2 : 4)
						       : 0;
	int32_t displacement = (int32_t)fake_random();
	uint8_t rex = 0;

	/* PUSH and POP move RSP; its value must stay one that the processor can use. */
	do
		base = (unsigned)fake_random() % 16;
	while (base == 4 || (has_index && base == index) || (form->opcode == 0xa3 && base == reg));
	to->bytes = 0;
	if (form->prefix)
		emit(to, form->prefix, 1);
	if (size == 2)
		emit(to, 0x66, 1);
	rex |= size == 8 && form->opcode != 0xff && form->opcode != 0x8f ? 0x48 : 0;
	rex |= reg >= 8 ? 0x44 : 0;
	if (!relative)
		rex |= (base >= 8 ? 0x41 : 0) | (has_index && index >= 8 ? 0x42 : 0);
	if (fake_random() % 4 == 0)
		rex |= 0x40; /* SPL instead of AH and so on */
	if (rex)
		emit(to, rex, 1);
	if (form->map)
		emit(to, 0x0f, 1);
	if (form->map == 0x38)
		emit(to, 0x38, 1);
	emit(to, form->opcode, 1);
	if (relative) {
		emit(to, (reg & 7) << 3 | 5, 1);
		emit(to, target - (native_address() + to->bytes + 4 + immediate), 4);
	} else if (has_index) {
		emit(to, 0x80 | (reg & 7) << 3 | 4, 1);
		emit(to, scale << 6 | (index & 7) << 3 | (base & 7), 1);
		emit(to, (uint32_t)displacement, 4);
		native->reg[base] =
			target - (native->reg[index] << scale) - (uint64_t)(int64_t)displacement;
	} else {
		bool sib = (base & 7) == 4;

		displacement = (int8_t)displacement;
		emit(to, 0x40 | (reg & 7) << 3 | (base & 7), 1);
		if (sib)
			emit(to, 0x24, 1);
		emit(to, (uint8_t)displacement, 1);
		native->reg[base] = target - (uint64_t)(int64_t)displacement;
	}
	if (immediate)
		emit(to, random_value(), immediate);
	/* BT with a register reaches up to 2^60 bytes away: keep to the two pages. */
	if (form->map == 0x0f && (form->opcode & 0xe7) == 0xa3 && form->extension < 0) {
		int64_t bit = (int64_t)(fake_random() % 8192) - 4096;
		uint64_t old = native->reg[reg];

		native->reg[reg] = size == 2   ? (old & ~0xffffull) | (uint16_t)bit
				   : size == 4 ? (old & ~0xffffffffull) | (uint32_t)bit
					       : (uint64_t)bit;
		if (!relative && has_index && index == reg)
			native->reg[base] += (old - native->reg[reg]) << scale;
		if (!relative && base == reg)
			to->bytes = 0;
	}
}

static void random_state(struct native *native)
{
	uint64_t *memory = (uint64_t *)NATIVE_MEMORY;

	for (unsigned i = 0; i < 16; i++)
		native->reg[i] = random_value();
	native->reg[4] = PLAIN + 0x800 + fake_random() % 64;
	native->flags = fake_random() & ARITH;
	for (unsigned i = 0; i < 32; i++)
		memory[fake_random() % (DEVICE_BYTES / 8)] = random_value();
}

/* What the count leaves undefined: OF but for 1, CF if everything was shifted out; nothing at 0. */
static unsigned shift_undefined(const struct form *form, unsigned size, const struct encoding *insn,
				const struct native *native)
{
	unsigned count = 1;

	if (form->map != 0 || form->opcode < 0xc0 || form->opcode > 0xd3 ||
	    (form->opcode > 0xc1 && form->opcode < 0xd0))
		return 0;
	if (form->immediate == IMM8)
		count = insn->byte[insn->bytes - 1];
	else if (form->opcode >= 0xd2)
		count = (unsigned)native->reg[1];
	count &= size == 8 ? 63 : 31;
	if (count <= 1)
		return 0;
	return count >= 8 * (form->byte ? 1 : size) ? OF | CF : OF;
}

static void compare_form(const struct form *form)
{
	for (unsigned size = 2; size <= 8; size *= 2) {
		for (unsigned round = 0; round < ROUNDS && (form->sizes & size); round++) {
			struct native native;
			struct encoding insn;
			/* One in eight lies across the two pages. */
			uint64_t offset = round % 8 == 0 ? 0xff9 + fake_random() % 14
							 : 0x400 + fake_random() % 0x1700;
			unsigned undefined;
			uint64_t value = random_value();

			random_state(&native);
			memcpy((void *)(DEVICE + offset), &value, sizeof(value));
			if (form->opcode == 0xb1 && round % 2)
				native.reg[0] = value;
			encode(form, size, DEVICE + offset, &native, &insn);
			if (insn.bytes == 0)
				continue;
			undefined = form->undefined | shift_undefined(form, size, &insn, &native);
			compare(form->name, insn.byte, insn.bytes, &native, undefined,
				device_gpa(offset), round % 3 ? 0 : SOCLE_ACCESS_WRITE);
		}
	}
}

START_TEST(as_the_processor)
{
	start();
	for (unsigned i = (unsigned)_i; i < FORMS; i += GROUPS)
		compare_form(&forms[i]);
	fake_guest_stop();
}
END_TEST

/* MOVS, CMPS, STOS, LODS, SCAS: every size, REP, direction and address size. */
START_TEST(strings)
{
	static const uint8_t opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
					  0xab, 0xac, 0xad, 0xae, 0xaf};
	uint8_t opcode = opcodes[_i];

	start();
	for (unsigned round = 0; round < 2000; round++) {
		struct native native;
		struct encoding insn = {.bytes = 0};
		unsigned repeat = round % 3, size = round / 3 % 3;
		uint64_t *memory = (uint64_t *)NATIVE_MEMORY;

		random_state(&native);
		/* Long runs of equal elements for CMPS and SCAS. */
		if (round % 2)
			for (unsigned i = 0; i < NATIVE_BYTES / 8; i++)
				memory[i] = native.reg[0] = round % 4 ? 0 : ~0ull;
		memory[fake_random() % (DEVICE_BYTES / 8)] = fake_random();
		native.reg[6] =
			(fake_random() % 2 ? DEVICE : PLAIN) + 0x400 + fake_random() % 0x1700;
		native.reg[7] =
			(fake_random() % 2 ? DEVICE : PLAIN) + 0x400 + fake_random() % 0x1700;
		native.reg[1] = fake_random() % (round % 5 ? 40 : 3);
		native.flags |= fake_random() & DF;
		if (fake_random() % 4 == 0)
			emit(&insn, 0x67, 1);
		if (repeat)
			emit(&insn, repeat == 1 ? 0xf3 : 0xf2, 1);
		if (size == 0)
			emit(&insn, 0x66, 1);
		if (size == 2)
			emit(&insn, 0x48, 1);
		emit(&insn, opcode, 1);
		compare("string", insn.byte, insn.bytes, &native, 0, 0, SOCLE_ACCESS_WRITE);
	}
	fake_guest_stop();
}
END_TEST

/* MOV between the accumulator and a 64-bit offset. */
START_TEST(offsets)
{
	start();
	for (unsigned round = 0; round < 2000; round++) {
		struct native native;
		struct encoding insn = {.bytes = 0};
		uint64_t offset = 0xf00 + fake_random() % 0x200;

		random_state(&native);
		emit(&insn, round % 3 ? 0x48 : 0x66, 1);
		emit(&insn, 0xa0 + fake_random() % 4, 1);
		emit(&insn, DEVICE + offset, 8);
		compare("mov offset", insn.byte, insn.bytes, &native, 0, device_gpa(offset),
			SOCLE_ACCESS_WRITE);
	}
	fake_guest_stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("insn");
	TCase *test = tcase_create("native");

	tcase_set_timeout(test, 60);
	tcase_add_loop_test(test, as_the_processor, 0, GROUPS);
	tcase_add_loop_test(test, strings, 0, 10);
	tcase_add_test(test, offsets);
	suite_add_tcase(suite, test);
	return suite;
}
