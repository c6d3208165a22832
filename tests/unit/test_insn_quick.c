/* SPDX-License-Identifier: BSD-2-Clause */
/* The short way of the instruction emulator: what it takes, and that it does what the long one
 * does. */
#include <string.h>

#include "fake_guest.h"
#include "unit.h"
#include "vmm-user/vmm/insn_internal.h"

#define CODE   0x8000u
#define TABLES 0x100000u
#define DEVICE FAKE_MMIO_BASE
#define READ   SOCLE_ACCESS_READ
#define WRITE  SOCLE_ACCESS_WRITE

static struct socle_vcpu_area area;

/* 64-bit mode, the first 4 GiB mapped one to one in 2 MiB pages. */
static void start(void)
{
	uint64_t *table;

	fake_guest_stop();
	fake_guest_start();
	memset(&area, 0, sizeof(area));
	memset(insn_cache, 0, sizeof(insn_cache));
	for (unsigned i = 0; i < sizeof(guest.mmio); i++)
		guest.mmio[i] = (uint8_t)(i * 7 + 3);
	area.cpuid[INSN_LEAF_ADDRESS_BITS].eax = 40;
	area.rip = CODE;
	area.rflags = 2 | FLAG_RF;
	area.system.cs.attributes = 0xa9b;
	area.system.ss.attributes = 0xc93;
	area.system.cr0 = 0x80010011;
	area.system.cr4 = 0x20;
	area.system.cr3 = TABLES;
	area.system.efer = 0xd00;
	table = (uint64_t *)(guest.ram + TABLES);
	table[0] = (TABLES + 0x1000) | 0x27;
	for (unsigned i = 0; i < 4; i++)
		table[512 + i] = (TABLES + 0x2000 + i * 0x1000) | 0x27;
	for (uint64_t i = 0; i < 2048; i++)
		table[1024 + i] = i << 21 | 0xe7;
	for (unsigned i = 0; i < 16; i++)
		*insn_register(&area, i) = 0x1122334455660000ull + 0x101 * i;
	area.rbx = DEVICE + 0x20;
	area.rcx = 2;
}

static void put(const char *code, size_t bytes)
{
	memcpy(guest.ram + CODE, code, bytes);
}

/* Has the long way see the instruction, and goes back to before it. */
static void warm(uint64_t gpa, uint64_t access)
{
	struct socle_vcpu_area before = area;

	ck_assert_int_eq(insn_execute(fake_vmm, &area, gpa, access), INSN_DONE);
	area = before;
}

static const struct {
	const char *name, *code;
	uint8_t length, access;
	uint16_t offset;
	bool quick;
} forms[] = {
	{"mov eax, [rbx]", "\x8b\x03", 2, READ, 0x20, true},
	{"mov rax, [rbx]", "\x48\x8b\x03", 3, READ, 0x20, true},
	{"mov ax, [rbx]", "\x66\x8b\x03", 3, READ, 0x20, true},
	{"mov al, [rbx]", "\x8a\x03", 2, READ, 0x20, true},
	{"mov ah, [rbx]", "\x8a\x23", 2, READ, 0x20, false},
	{"mov r9d, [rbx + 4 rcx + 8]", "\x44\x8b\x4c\x8b\x08", 5, READ, 0x30, true},
	{"movzx eax, byte [rbx]", "\x0f\xb6\x03", 3, READ, 0x20, true},
	{"movzx rsp, word [rbx + 1]", "\x48\x0f\xb7\x63\x01", 5, READ, 0x21, true},
	{"movsx eax, byte [rbx]", "\x0f\xbe\x03", 3, READ, 0x20, false},
	{"mov [rbx], eax", "\x89\x03", 2, WRITE, 0x20, true},
	{"mov [rbx], r15", "\x4c\x89\x3b", 3, WRITE, 0x20, true},
	{"mov [rbx], sil", "\x40\x88\x33", 3, WRITE, 0x20, true},
	{"mov [rbx], ch", "\x88\x2b", 2, WRITE, 0x20, false},
	{"mov dword [rbx], imm", "\xc7\x03\x78\x56\x34\x92", 6, WRITE, 0x20, true},
	{"mov qword [rbx], imm", "\x48\xc7\x03\x78\x56\x34\x92", 7, WRITE, 0x20, true},
	{"mov byte [rbx + 0x40], imm", "\xc6\x43\x40\x7f", 4, WRITE, 0x60, true},
	{"mov [rbx + disp32], rax", "\x48\x89\x83\x00\x01\x00\x00", 7, WRITE, 0x120, true},
	{"add [rbx], eax", "\x01\x03", 2, WRITE, 0x20, false},
	{"mov eax, [ebx]", "\x67\x8b\x03", 3, READ, 0x20, true},
	{"mov eax, fs:[rbx]", "\x64\x8b\x03", 3, READ, 0x20, false},
	{"movnti [rbx], eax", "\x0f\xc3\x03", 3, WRITE, 0x20, true},
};

/* Nine bytes and more are compared in two words. */
START_TEST(long_code)
{
	static const char code[] = "\x48\xc7\x84\x8b\x00\x00\x00\x00\x78\x56\x34\x12";
	static const char other[] = "\x48\xc7\x84\x8b\x00\x00\x00\x00\x78\x56\x34\x13";

	start();
	put(code, sizeof(code) - 1);
	warm(DEVICE + 0x28, WRITE);
	ck_assert(insn_quick(fake_vmm, &area, DEVICE + 0x28, WRITE));
	ck_assert_uint_eq(area.rip, CODE + 12);
	area.rip = CODE;
	put(other, sizeof(other) - 1);
	ck_assert(!insn_quick(fake_vmm, &area, DEVICE + 0x28, WRITE));
}
END_TEST

START_TEST(same_as_the_long_way)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		uint64_t gpa = DEVICE + forms[i].offset;
		uint8_t registers[sizeof(guest.mmio)];
		struct socle_vcpu_area slow;
		struct insn kept;
		bool quick;

		start();
		put(forms[i].code, forms[i].length);
		ck_assert_int_eq(insn_execute(fake_vmm, &area, gpa, forms[i].access), INSN_DONE);
		memcpy(registers, guest.mmio, sizeof(registers));
		slow = area;
		/* The same again, now decoded. */
		kept = *insn_cached(CODE);
		start();
		*insn_cached(CODE) = kept;
		put(forms[i].code, forms[i].length);
		quick = insn_quick(fake_vmm, &area, gpa, forms[i].access);
		ck_assert_msg(quick == forms[i].quick, "%s", forms[i].name);
		if (!quick)
			continue;
		ck_assert_msg(memcmp(&slow, &area, sizeof(area)) == 0, "%s: registers",
			      forms[i].name);
		ck_assert_msg(memcmp(registers, guest.mmio, sizeof(registers)) == 0, "%s: device",
			      forms[i].name);
	}
}
END_TEST

static void refuses(uint64_t gpa, uint64_t access)
{
	struct socle_vcpu_area before = area;
	uint8_t registers[sizeof(guest.mmio)];

	memcpy(registers, guest.mmio, sizeof(registers));
	ck_assert(!insn_quick(fake_vmm, &area, gpa, access));
	ck_assert(memcmp(&before, &area, sizeof(area)) == 0);
	ck_assert(memcmp(registers, guest.mmio, sizeof(registers)) == 0);
}

START_TEST(unusual)
{
	uint64_t *table;

	start();
	table = (uint64_t *)(guest.ram + TABLES);
	put("\x89\x03", 2);
	refuses(DEVICE + 0x20, WRITE); /* not seen before */
	warm(DEVICE + 0x20, WRITE);
	refuses(DEVICE + 0x20, READ);
	refuses(DEVICE + 0x24, WRITE); /* the access of something else */
	refuses(0x20, WRITE);	       /* RAM */
	area.rflags |= FLAG_TF;
	refuses(DEVICE + 0x20, WRITE);
	area.rflags &= ~FLAG_TF;
	area.system.interrupt_shadow = 1;
	refuses(DEVICE + 0x20, WRITE);
	area.system.interrupt_shadow = 0;
	area.system.cs.attributes = 0xc9b; /* 32-bit code in long mode */
	refuses(DEVICE + 0x20, WRITE);
	area.system.cs.attributes = 0xa9b;
	area.rbx = DEVICE + 0xffe; /* over a page's end */
	refuses(DEVICE + 0xffe, WRITE);
	area.rbx = (1ull << 47) + 0x20;
	refuses(DEVICE + 0x20, WRITE);
	area.rbx = DEVICE + 0x20;
	area.system.cr3 = TABLES + 0x800000; /* other tables, in which there is nothing */
	refuses(DEVICE + 0x20, WRITE);
	area.system.cr3 = TABLES;
	area.system.ss.attributes = 0xcf3; /* a user, of pages that are the supervisor's */
	table[0] &= ~4ull;
	refuses(DEVICE + 0x20, WRITE);
	area.system.ss.attributes = 0xc93;
	table[0] |= 4;
	table[1024] &= ~1ull; /* the code's page is gone */
	refuses(DEVICE + 0x20, WRITE);
	table[1024] |= 1ull << 63 | 1; /* or not executable */
	refuses(DEVICE + 0x20, WRITE);
	table[1024] &= ~(1ull << 63);
	ck_assert(insn_quick(fake_vmm, &area, DEVICE + 0x20, WRITE));
	/* The code changed. */
	area.rip = CODE;
	put("\x8b\x03", 2);
	refuses(DEVICE + 0x20, READ);
	/* It might go on on the next page. */
	put("\x89\x03", 2);
	area.rip = CODE + 0xff2;
	memcpy(guest.ram + area.rip, "\x89\x03", 2);
	warm(DEVICE + 0x20, WRITE);
	refuses(DEVICE + 0x20, WRITE);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("insn_quick");
	TCase *test = tcase_create("insn_quick");

	tcase_add_checked_fixture(test, NULL, fake_guest_stop);
	tcase_add_test(test, same_as_the_long_way);
	tcase_add_test(test, long_code);
	tcase_add_test(test, unusual);
	suite_add_tcase(suite, test);
	return suite;
}
