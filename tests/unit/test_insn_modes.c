/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction emulator: modes, faults, string I/O, what happens around an instruction. */
#include <stdio.h>
#include <string.h>

#include "fake_guest.h"
#include "unit.h"
#include "vmm-user/vmm/insn_internal.h"
#include "vmm-user/vmm/insn.h"

#define CODE	 0x8000u
#define TABLES	 0x100000u
#define READ	 SOCLE_ACCESS_READ
#define WRITE	 SOCLE_ACCESS_WRITE
#define DATA_RW	 0xc93
#define DATA_RO	 0xc91
#define DATA_16	 0x93
#define CR0_REAL 0x10

static struct socle_vcpu_area area;

static void flat(uint16_t attributes)
{
	struct socle_segment *segment = &area.system.es;

	for (unsigned i = 0; i < 6; i++)
		segment[i] = (struct socle_segment){8, attributes, 0xffffffff, 0};
}

/* mode 16 is real mode, 32 without paging, 64 with page tables for the first GiB and the device. */
static void start(unsigned mode)
{
	uint64_t entry;

	fake_guest_start();
	memset(insn_cache, 0, sizeof(insn_cache));
	memset(&area, 0, sizeof(area));
	area.cpuid[SOCLE_CPUID_EXTENDED + 8].eax = 40;
	area.rip = CODE;
	area.rflags = 2;
	flat(mode == 16 ? DATA_16 : DATA_RW);
	area.system.cr0 = mode == 16 ? CR0_REAL : 0x11;
	area.system.cs.attributes = mode == 16 ? 0x9b : mode == 32 ? 0xc9b : 0xa9b;
	for (unsigned i = 0; i < sizeof(guest.mmio); i++)
		guest.mmio[i] = (uint8_t)(i ^ 0x80);
	if (mode != 64)
		return;
	area.system.cr0 = 0x80010011;
	area.system.cr4 = 0x20;
	area.system.cr3 = TABLES;
	area.system.efer = 0xd00;
	for (uint64_t i = 0; i < 4; i++) {
		entry = (TABLES + 0x2000 + i * 4096) | 7;
		memcpy(guest.ram + TABLES + 0x1000 + 8 * i, &entry, 8);
	}
	entry = (TABLES + 0x1000) | 7;
	memcpy(guest.ram + TABLES, &entry, 8);
	/* 2 MiB pages, but for the second one: 4 KiB pages, of which the odd ones are missing. */
	for (uint64_t i = 0; i < 2048; i++) {
		entry = i == 1 ? (TABLES + 0x8000) | 7 : i << 21 | 0x87;
		memcpy(guest.ram + TABLES + 0x2000 + 8 * i, &entry, 8);
	}
	for (uint64_t i = 0; i < 512; i++) {
		entry = i & 1 ? 0 : (0x400000 + i * 4096) | 7;
		memcpy(guest.ram + TABLES + 0x8000 + 8 * i, &entry, 8);
	}
}

static enum insn_result run(const void *code, size_t bytes, uint64_t gpa, uint64_t access)
{
	memcpy(guest.ram + area.rip, code, bytes);
	return insn_execute(fake_vmm, &area, gpa, access);
}
#define RUN(code, gpa, access) run(code, sizeof(code) - 1, gpa, access)

static void check_event(unsigned vector, int64_t error)
{
	uint64_t event = SOCLE_EVENT_VALID | SOCLE_EVENT_EXCEPTION | vector;

	if (error >= 0)
		event |= SOCLE_EVENT_ERROR_CODE | (uint64_t)error << 32;
	ck_assert_msg(area.event == event, "event %llx, expected %llx",
		      (unsigned long long)area.event, (unsigned long long)event);
	ck_assert(area.rflags & FLAG_RF);
	ck_assert(area.load & SOCLE_LOAD_RUN);
	area.event = 0;
}

START_TEST(real_mode)
{
	start(16);
	area.system.ds.base = FAKE_MMIO_BASE;
	area.system.ds.limit = 0xffff;
	area.rbx = 0xffff0020;
	area.rsi = 0x10;
	area.rax = 0x1111111111111111;
	ck_assert_int_eq(RUN("\x8b\x00", FAKE_MMIO_BASE + 0x30, READ), INSN_DONE); /* ax, [bx+si] */
	ck_assert_uint_eq(area.rax, 0x111111111111b1b0);
	ck_assert_uint_eq(area.rip, CODE + 2);
	/* 32-bit operand and address */
	ck_assert_int_eq(RUN("\x66\x67\x8b\x06", 0, 0), INSN_DONE); /* eax, [esi] */
	ck_assert_uint_eq(area.rax, 0x93929190);
	/* Behind the limit: #GP, without an error code in real mode. */
	area.rbx = 0xffff;
	area.rsi = 0;
	ck_assert_int_eq(RUN("\x8b\x00", FAKE_MMIO_BASE, READ), INSN_FAULT);
	check_event(13, -1);
	area.system.ss.limit = 0xffff;
	area.rbp = 0xffff;
	ck_assert_int_eq(RUN("\x8b\x46\x00", FAKE_MMIO_BASE, READ), INSN_FAULT); /* ax, [bp] */
	check_event(12, -1);
	/* REP STOSW counts CX, and DI wraps. */
	area.system.es.base = FAKE_MMIO_BASE;
	area.rcx = 0xabcd0003;
	area.rdi = 0x5555fffc;
	area.rax = 0x4321;
	ck_assert_int_eq(RUN("\xf3\xab", FAKE_MMIO_BASE + 0xfffc, WRITE), INSN_DONE);
	ck_assert_uint_eq(area.rcx, 0xabcd0000);
	ck_assert_uint_eq(area.rdi, 0x55550002);
	ck_assert_uint_eq(guest.mmio[0xfffc], 0x21);
	ck_assert_uint_eq(guest.mmio[0xffff], 0x43);
	ck_assert_uint_eq(guest.mmio[0], 0x21);
	fake_guest_stop();
}
END_TEST

START_TEST(protected_mode)
{
	start(32);
	area.system.ds.base = 0xf0000000;
	area.rax = 0x55;
	/* mov [0x0e000010], al: the sum wraps at 4 GiB or not, as it should */
	ck_assert_int_eq(RUN("\xa2\x10\x00\x00\x0e", FAKE_MMIO_BASE + 0x10, WRITE), INSN_DONE);
	ck_assert_uint_eq(guest.mmio[0x10], 0x55);
	area.system.ds.base = 0xff000000;
	ck_assert_int_eq(RUN("\xa0\x20\x00\x00\xff", 0, 0), INSN_DONE); /* al, [0xff000020] */
	ck_assert_uint_eq(area.rax, 0xa0);
	area.system.ds.attributes = DATA_RO;
	ck_assert_int_eq(RUN("\xa2\x10\x00\x00\x0e", FAKE_MMIO_BASE + 0x10, WRITE), INSN_FAULT);
	check_event(13, 0);
	area.system.ds.attributes = 0; /* unusable */
	ck_assert_int_eq(RUN("\xa0\x10\x00\x00\x0e", FAKE_MMIO_BASE + 0x10, READ), INSN_FAULT);
	check_event(13, 0);
	/* Expand-down: valid above the limit. */
	area.system.ds = (struct socle_segment){8, 0xc97, 0xfe000fff, 0};
	ck_assert_int_eq(RUN("\xa0\xff\x0f\x00\xfe", FAKE_MMIO_BASE + 0xfff, READ), INSN_FAULT);
	check_event(13, 0);
	ck_assert_int_eq(RUN("\xa0\x00\x10\x00\xfe", FAKE_MMIO_BASE + 0x1000, READ), INSN_DONE);
	/* The code segment ends within the instruction. */
	area.system.cs.limit = (uint32_t)area.rip + 2;
	ck_assert_int_eq(RUN("\xa0\x00\x10\x00\xfe", FAKE_MMIO_BASE + 0x1000, READ), INSN_FAULT);
	check_event(13, 0);
	fake_guest_stop();
}
END_TEST

START_TEST(page_faults)
{
	start(64);
	/* A store over the end of a page that is there: nothing is written. */
	area.rbx = 0x200ffc;
	area.rax = ~0ull;
	ck_assert_int_eq(RUN("\x48\x89\x03", 0x400ffc, WRITE), INSN_FAULT);
	check_event(14, 2);
	ck_assert_uint_eq(area.system.cr2, 0x201000);
	ck_assert(area.load & SOCLE_LOAD_SYSTEM);
	ck_assert_uint_eq(guest.ram[0x400ffc], 0);
	/* Not canonical. */
	area.rbx = 0x800000000000;
	ck_assert_int_eq(RUN("\x48\x89\x03", FAKE_MMIO_BASE, WRITE), INSN_FAULT);
	check_event(13, 0);
	area.rbp = 0x800000000000;
	ck_assert_int_eq(RUN("\x48\x89\x45\x00", FAKE_MMIO_BASE, WRITE), INSN_FAULT);
	check_event(12, 0);
	/* A user's access. */
	area.system.ss.attributes |= 3 << 5;
	area.rbx = 0x201ffc;
	ck_assert_int_eq(RUN("\x48\x89\x03", 0, 0), INSN_FAULT);
	check_event(14, 6);
	ck_assert_uint_eq(area.system.cr2, 0x201ffc);
	/* MOVS to a page that is missing: the device is not read. */
	area.rsi = FAKE_MMIO_BASE;
	area.rdi = 0x200ffe;
	area.rcx = 9;
	ck_assert_int_eq(RUN("\xf3\xa4", FAKE_MMIO_BASE, READ), INSN_FAULT);
	check_event(14, 6);
	ck_assert_uint_eq(guest.reads, 2);
	ck_assert_uint_eq(area.rcx, 7);
	ck_assert_uint_eq(area.rsi, FAKE_MMIO_BASE + 2);
	ck_assert_uint_eq(area.system.cr2, 0x201000);
	ck_assert_uint_eq(area.rip, CODE);
	/* The instruction itself goes on on a missing page. */
	area.rip = 0x200ffe;
	area.rbx = FAKE_MMIO_BASE;
	memcpy(guest.ram + 0x400ffe, "\x48\x89", 2);
	ck_assert_int_eq(insn_execute(fake_vmm, &area, FAKE_MMIO_BASE, WRITE), INSN_FAULT);
	check_event(14, 0x14);
	ck_assert_uint_eq(area.system.cr2, 0x201000);
	ck_assert_uint_eq(guest.writes, 0);
	fake_guest_stop();
}
END_TEST

/* The exit's address stands for a walk only if the exit was for as much as the instruction does. */
START_TEST(exit_address)
{
	start(64);
	area.rbx = 0x201010; /* not mapped: only the exit knows */
	area.rax = 0x77;
	ck_assert_int_eq(RUN("\x88\x03", FAKE_MMIO_BASE + 0x10, WRITE), INSN_DONE);
	ck_assert_uint_eq(guest.mmio[0x10], 0x77);
	ck_assert_int_eq(RUN("\x88\x03", FAKE_MMIO_BASE + 0x10, READ), INSN_FAULT);
	check_event(14, 2);
	ck_assert_int_eq(RUN("\x88\x03", FAKE_MMIO_BASE + 0x18, WRITE), INSN_FAULT);
	check_event(14, 2);
	fake_guest_stop();
}
END_TEST

START_TEST(chunks)
{
	unsigned calls = 0;

	start(64);
	area.rdi = FAKE_MMIO_BASE;
	area.rcx = 5000;
	area.rax = 0x99;
	for (; area.rip == CODE; calls++)
		ck_assert_int_eq(RUN("\xf3\xaa", FAKE_MMIO_BASE, WRITE), INSN_DONE);
	ck_assert_uint_eq(calls, (5000 + INSN_CHUNK - 1) / INSN_CHUNK);
	ck_assert_uint_eq(guest.writes, 5000);
	ck_assert_uint_eq(area.rdi, FAKE_MMIO_BASE + 5000);
	/* No elements: nothing but the way past it. */
	ck_assert_int_eq(RUN("\xf3\xaa", FAKE_MMIO_BASE, WRITE), INSN_DONE);
	ck_assert_uint_eq(guest.writes, 5000);
	fake_guest_stop();
}
END_TEST

START_TEST(around)
{
	char text[INSN_TEXT_BYTES];

	start(64);
	area.rbx = FAKE_MMIO_BASE;
	area.rflags |= FLAG_TF | FLAG_RF;
	area.system.interrupt_shadow = 1;
	ck_assert_int_eq(RUN("\x8a\x03", FAKE_MMIO_BASE, READ), INSN_DONE);
	ck_assert_uint_eq(area.event, SOCLE_EVENT_VALID | SOCLE_EVENT_EXCEPTION | 1);
	ck_assert_uint_eq(area.system.dr6 & 0x4000, 0x4000);
	ck_assert_uint_eq(area.rflags & FLAG_RF, 0);
	ck_assert_uint_eq(area.system.interrupt_shadow, 0);
	ck_assert_uint_eq(area.load, SOCLE_LOAD_RUN | SOCLE_LOAD_SYSTEM);
	/* An event is on its way: the access was not the instruction's. */
	ck_assert_int_eq(RUN("\x8a\x03", FAKE_MMIO_BASE, READ), INSN_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(insn_describe(fake_vmm, &area, text), "event 80000301"));
	area.event = 0;
	area.rflags = 2;
	/* Not for memory-mapped registers. */
	ck_assert_int_eq(RUN("\x0f\xae\x03", FAKE_MMIO_BASE, WRITE), INSN_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(insn_describe(fake_vmm, &area, text), "64-bit"));
	ck_assert_ptr_nonnull(strstr(text, ": 0f ae 03 "));
	ck_assert_int_eq(RUN("\x90", FAKE_MMIO_BASE, WRITE), INSN_UNSUPPORTED);
	ck_assert_int_eq(RUN("\x6c", FAKE_MMIO_BASE, WRITE), INSN_UNSUPPORTED); /* insb */
	/* LOCK where it must not be; more prefixes than an instruction may have. */
	ck_assert_int_eq(RUN("\xf0\x8b\x03", FAKE_MMIO_BASE, READ), INSN_FAULT);
	check_event(6, -1);
	ck_assert_int_eq(RUN("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x8b\x03",
			     FAKE_MMIO_BASE, READ),
			 INSN_FAULT);
	check_event(13, 0);
	/* Code that changes is decoded anew. */
	area.rax = 0;
	ck_assert_int_eq(RUN("\x8a\x03", FAKE_MMIO_BASE, READ), INSN_DONE);
	area.rip -= 2;
	ck_assert_int_eq(RUN("\x8a\x63\x01", FAKE_MMIO_BASE + 1, READ), INSN_DONE);
	ck_assert_uint_eq(area.rax, 0x8180);
	/* CALL through a register of a device. */
	memcpy(guest.mmio, "\x00\x90\x00\x00\x00\x00\x00\x00", 8);
	area.rsp = 0x600000;
	area.rip = CODE;
	ck_assert_int_eq(RUN("\xff\x13", FAKE_MMIO_BASE, READ), INSN_DONE);
	ck_assert_uint_eq(area.rip, 0x9000);
	ck_assert_uint_eq(area.rsp, 0x5ffff8);
	ck_assert_uint_eq(guest.ram[0x5ffff8] | guest.ram[0x5ffff9] << 8, CODE + 2);
	fake_guest_stop();
}
END_TEST

static uint64_t xmm[16][2];

static bool get_xmm(struct vmm *vmm, struct socle_vcpu_area *at, unsigned number, uint64_t value[2])
{
	(void)vmm;
	(void)at;
	memcpy(value, xmm[number], 16);
	return true;
}

static bool set_xmm(struct vmm *vmm, struct socle_vcpu_area *at, unsigned number,
		    const uint64_t value[2])
{
	(void)vmm;
	(void)at;
	memcpy(xmm[number], value, 16);
	return true;
}

START_TEST(vectors)
{
	static const struct insn_vectors access = {get_xmm, set_xmm};

	start(64);
	area.rbx = FAKE_MMIO_BASE;
	ck_assert_int_eq(RUN("\xf3\x0f\x6f\x0b", FAKE_MMIO_BASE, READ), INSN_UNSUPPORTED);
	ck_assert_uint_eq(guest.reads, 0);
	insn_use_vectors(&access);
	ck_assert_int_eq(RUN("\xf3\x0f\x6f\x0b", FAKE_MMIO_BASE, READ), INSN_DONE); /* movdqu */
	ck_assert_int_eq(memcmp(xmm[1], guest.mmio, 16), 0);
	ck_assert_uint_eq(guest.reads, 2);
	ck_assert_int_eq(RUN("\x66\x0f\x6e\x53\x04", FAKE_MMIO_BASE + 4, READ),
			 INSN_DONE); /* movd */
	ck_assert_uint_eq(xmm[2][0], 0x87868584);
	ck_assert_uint_eq(xmm[2][1], 0);
	ck_assert_int_eq(RUN("\x44\x0f\x11\x43\x20", FAKE_MMIO_BASE + 32, WRITE), INSN_DONE);
	ck_assert_int_eq(memcmp(xmm[8], guest.mmio + 32, 16), 0); /* movups from xmm8 */
	ck_assert_int_eq(RUN("\x66\x0f\xd6\x4b\x40", FAKE_MMIO_BASE + 64, WRITE), INSN_DONE);
	ck_assert_int_eq(memcmp(xmm[1], guest.mmio + 64, 8), 0); /* movq */
	ck_assert_int_eq(RUN("\x0f\x28\x4b\x08", FAKE_MMIO_BASE + 8, READ), INSN_FAULT);
	check_event(13, 0); /* movaps */
	insn_use_vectors(NULL);
	fake_guest_stop();
}
END_TEST

static enum insn_result port(const void *code, size_t bytes, uint64_t info)
{
	memcpy(guest.ram + area.rip, code, bytes);
	return insn_string_io(fake_vmm, &area, 0x1f0 | info | SOCLE_IO_STRING);
}

START_TEST(string_io)
{
	const uint64_t in = SOCLE_IO_IN | SOCLE_IO_REP | 2 << 16, out = SOCLE_IO_REP | 1 << 16;
	uint64_t sum = 0;

	start(64);
	area.rdi = 0x600000;
	area.rcx = 1500;
	ck_assert_int_eq(port("\xf3\x66\x6d", 3, in), INSN_DONE);
	ck_assert_uint_eq(area.rip, CODE);
	ck_assert_uint_eq(area.rcx, 1500 - INSN_CHUNK);
	ck_assert_int_eq(port("\xf3\x66\x6d", 3, in), INSN_DONE);
	ck_assert_uint_eq(area.rip, CODE + 3);
	ck_assert_uint_eq(area.rdi, 0x600000 + 3000);
	ck_assert_uint_eq(guest.port_next, 1500);
	for (uint64_t i = 0; i < 1500; i++)
		ck_assert_uint_eq(guest.ram[0x600000 + 2 * i] | guest.ram[0x600001 + 2 * i] << 8,
				  i * 0x9e3779b97f4a7c15ull >> 48);
	/* OUTS from FS, downwards, until a page is missing. */
	area.system.fs.base = 0x100000;
	area.rsi = 0x102001;
	area.rcx = 5;
	area.rflags |= FLAG_DF;
	memcpy(guest.ram + 0x402000, "ab", 2);
	area.rip = CODE;
	ck_assert_int_eq(port("\xf3\x64\x6e", 3, out), INSN_FAULT);
	check_event(14, 0);
	ck_assert_uint_eq(area.rcx, 3);
	ck_assert_uint_eq(area.system.cr2, 0x201fff);
	for (const char *at = "ba"; *at; at++)
		sum = sum * 31 + ((uint64_t)(uint8_t)*at ^ 0x1f0ull << 32);
	ck_assert_uint_eq(guest.port_sum, sum);
	/* Not what the exit said. */
	ck_assert_int_eq(port("\xf3\x6c", 2, out), INSN_UNSUPPORTED);
	ck_assert_int_eq(port("\xf3\x6f", 2, out), INSN_UNSUPPORTED);
	ck_assert_int_eq(port("\x8b\x03", 2, out), INSN_UNSUPPORTED);
	/* INS to a missing page: the port is not read. */
	area.rdi = 0x201000;
	ck_assert_int_eq(port("\x6c", 1, SOCLE_IO_IN | 1 << 16), INSN_FAULT);
	check_event(14, 2);
	ck_assert_uint_eq(guest.port_next, 1500);
	fake_guest_stop();
}
END_TEST

/* Any bytes in any state: an answer, and no access outside. The sanitizers watch. */
START_TEST(random_code)
{
	unsigned done[3] = {0};

	start(_i == 0 ? 16 : _i == 1 ? 32 : 64);
	for (unsigned round = 0; round < 300000; round++) {
		uint64_t *reg = &area.rax;
		uint8_t code[16];

		for (unsigned i = 0; i < 16; i++)
			reg[i] = fake_random() % 3 ? FAKE_MMIO_BASE + fake_random() % 0x10000
						   : fake_random() >> fake_random() % 64;
		for (unsigned i = 0; i < 16; i++)
			code[i] = (uint8_t)fake_random();
		if (round % 2)
			code[0] = "\x0f\x66\xf3\x80\x81\xff\xf7\xc7"[round / 2 % 8];
		area.rcx &= 0x3f;
		area.rip = CODE + fake_random() % 64;
		area.rflags = 2 | (fake_random() & 0x208d5);
		if (_i == 2)
			area.rflags &= ~0x20000ull;
		area.event = 0;
		done[run(code, sizeof(code), FAKE_MMIO_BASE + fake_random() % 0x10000,
			 fake_random() % 4)]++;
		/* What the code did to the tables and to the code is gone again. */
		if (round % 1000 == 999) {
			fake_guest_stop();
			start(_i == 0 ? 16 : _i == 1 ? 32 : 64);
		}
	}
	ck_assert_uint_gt(done[INSN_DONE], 10000);
	ck_assert_uint_gt(done[INSN_UNSUPPORTED], 10000);
	fake_guest_stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("insn-modes");
	TCase *test = tcase_create("modes");

	tcase_set_timeout(test, 60);
	tcase_add_test(test, real_mode);
	tcase_add_test(test, protected_mode);
	tcase_add_test(test, page_faults);
	tcase_add_test(test, exit_address);
	tcase_add_test(test, chunks);
	tcase_add_test(test, around);
	tcase_add_test(test, vectors);
	tcase_add_test(test, string_io);
	tcase_add_loop_test(test, random_code, 0, 3);
	suite_add_tcase(suite, test);
	return suite;
}
