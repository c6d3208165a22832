/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the hypervisor switches by hand around a guest: vector registers (with this machine's own
 * XSAVE), debug registers. And its own descriptor tables.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "arch/fake/fake_cpu.h"
#include "arch/x86/guest_debug.h"
#include "arch/x86/guest_fpu.h"
#include "arch/x86/interrupts.h"
#include "arch/x86/x86.h"
#include "hv/panic.h"
#include "unit.h"

#define MXCSR_OFFSET 24 /* SDM volume 1, table 10-2 */
#define XMM_OFFSET   160
#define BV_OFFSET    512
#define X87_SSE	     3u
#define ALL	     7u

static struct cpu *cpu;
static struct vcpu vcpu;
static uint8_t *area;

/*
 * What XSAVE writes here, where XCR0 is the host's and not what the hypervisor made it: with AMX
 * that is more than a page.
 */
static size_t area_bytes(void)
{
	unsigned a, b = 0, c, d;

	__get_cpuid_count(0xd, 0, &a, &b, &c, &d);
	return b <= PAGE_BYTES ? PAGE_BYTES : (b + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void start(void)
{
	fake_start();
	cpu = fake_cpu_new(0, 0);
	fake_cpu_is(cpu);
	area = aligned_alloc(PAGE_BYTES, area_bytes());
	memset(area, 0, area_bytes());
	memcpy(area, &(uint16_t){0x37f}, 2);
	memcpy(area + MXCSR_OFFSET, &(uint32_t){0x1f80}, 4);
	vcpu = (struct vcpu){.cpu = cpu, .fpu = area, .xcr0 = 1};
}

static bool have_xsave(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE);
}

static void set_xmm(uint64_t first, uint64_t last)
{
	__asm__ volatile("movq %0, %%xmm12; movq %1, %%xmm15"
			 :
			 : "r"(first), "r"(last)
			 : "xmm12", "xmm15");
}

static void get_xmm(uint64_t *first, uint64_t *last)
{
	__asm__ volatile("movq %%xmm12, %0; movq %%xmm15, %1" : "=r"(*first), "=r"(*last));
}

static uint64_t xmm_in_area(unsigned n)
{
	uint64_t v;

	memcpy(&v, area + XMM_OFFSET + 16 * n, 8);
	return v;
}

static uint32_t mxcsr(void)
{
	uint32_t v;

	__asm__ volatile("stmxcsr %0" : "=m"(v));
	return v;
}

/*
 * A guest's registers are in its area while it does not run, and the ones with which it is entered
 * come from there. Case 0 is FXSAVE, case 1 XSAVE.
 */
START_TEST(fpu_round_trip)
{
	uint64_t first, last;

	if (_i == 1 && !have_xsave())
		return;
	cpu->all_xcr0 = _i == 1 ? ALL : 0;
	xsetbv(0, ALL);
	set_xmm(0x1111, 0x2222);
	__asm__ volatile("ldmxcsr %0" : : "m"((uint32_t){0x9fc0}));
	guest_fpu_save(&vcpu);
	ck_assert_uint_eq(mxcsr(), 0x1f80);
	ck_assert_uint_eq(xmm_in_area(12), 0x1111);
	ck_assert_uint_eq(xmm_in_area(15), 0x2222);
	set_xmm(0x3333, 0x4444);
	guest_fpu_load(&vcpu);
	get_xmm(&first, &last);
	ck_assert_uint_eq(mxcsr(), 0x9fc0);
	__asm__ volatile("ldmxcsr %0" : : "m"((uint32_t){0x1f80}));
	ck_assert_uint_eq(first, 0x1111);
	ck_assert_uint_eq(last, 0x2222);
}
END_TEST

/* XCR0: all components while state is moved, the guest's while it runs, then the service VM's. */
START_TEST(fpu_xcr0)
{
	unsigned before;

	if (!have_xsave())
		return;
	cpu->all_xcr0 = ALL;
	vcpu.xcr0 = X87_SSE;
	xsetbv(0, 1);
	guest_fpu_load(&vcpu);
	ck_assert_uint_eq(fake_xcr0(), X87_SSE);
	ck_assert_uint_eq(cpu->service_xcr0, 1);
	ck_assert_uint_eq(guest_fpu_xcr0(&vcpu), X87_SSE);
	xsetbv(0, ALL); /* of the guest, without an exit */
	guest_fpu_save(&vcpu);
	ck_assert_uint_eq(vcpu.xcr0, ALL);
	ck_assert_uint_eq(fake_xcr0(), 1);
	/* not written where nothing changes */
	xsetbv(0, ALL);
	before = fake_xsetbv_count();
	guest_fpu_load(&vcpu);
	guest_fpu_save(&vcpu);
	ck_assert_uint_eq(fake_xsetbv_count(), before);
}
END_TEST

START_TEST(fpu_set_xcr0)
{
	cpu->all_xcr0 = ALL;
	vcpu.xcr0 = 1;
	ck_assert(guest_fpu_set_xcr0(&vcpu, 0));
	ck_assert(guest_fpu_set_xcr0(&vcpu, 1));
	ck_assert_uint_eq(fake_xsetbv_count(), 0);
	ck_assert(!guest_fpu_set_xcr0(&vcpu, 4)); /* AVX without SSE */
	ck_assert(!guest_fpu_set_xcr0(&vcpu, 1ull << 63 | X87_SSE));
	ck_assert_uint_eq(vcpu.xcr0, 1);
	ck_assert(guest_fpu_set_xcr0(&vcpu, ALL));
	ck_assert_uint_eq(vcpu.xcr0, ALL);
	ck_assert_uint_eq(fake_xcr0(), ALL);
	cpu->all_xcr0 = 0;
	vcpu.xcr0 = 1;
	ck_assert_uint_eq(guest_fpu_xcr0(&vcpu), 1);
	ck_assert(!guest_fpu_xsetbv(0, XCR0_PKRU | X87_SSE));
}
END_TEST

/* What the VMM has in its registers is the guest's from the next run on, also where the area says
 * that the guest's are as at a start. */
START_TEST(fpu_vectors)
{
	uint64_t bv = 0;

	set_xmm(0xaaaa, 0xbbbb);
	guest_fpu_take_vectors(&vcpu);
	ck_assert_uint_eq(xmm_in_area(12), 0xaaaa);
	ck_assert_uint_eq(xmm_in_area(15), 0xbbbb);
	memcpy(&bv, area + BV_OFFSET, 8);
	ck_assert_uint_eq(bv, 2);
}
END_TEST

static void set_debug(uint64_t first)
{
	write_dr0(first);
	write_dr1(first + 1);
	write_dr2(first + 2);
	write_dr3(first + 3);
}

static void check_debug(uint64_t first)
{
	ck_assert_uint_eq(read_dr0(), first);
	ck_assert_uint_eq(read_dr1(), first + 1);
	ck_assert_uint_eq(read_dr2(), first + 2);
	ck_assert_uint_eq(read_dr3(), first + 3);
}

/* Each sees its own debug registers. */
START_TEST(debug_registers)
{
	set_debug(100); /* the service VM's */
	for (unsigned i = 0; i < 4; i++)
		vcpu.dr[i] = 200 + i;
	guest_debug_read(&vcpu); /* it does not use them */
	ck_assert_uint_eq(vcpu.dr[0], 200);
	guest_debug_begin(&vcpu);
	ck_assert(vcpu.uses_debug);
	check_debug(200);
	set_debug(300); /* by the guest */
	guest_debug_read(&vcpu);
	ck_assert_uint_eq(vcpu.dr[3], 303);
	set_debug(400);
	guest_debug_save(&vcpu);
	check_debug(100);
	ck_assert_uint_eq(vcpu.dr[2], 402);
	set_debug(500);
	guest_debug_load(&vcpu);
	check_debug(400);
	guest_debug_save(&vcpu);
	check_debug(500);
}
END_TEST

/* Descriptor tables ------------------------------------------------------------------------------
 */

#define VECTORS 32

uint64_t exception_entries[VECTORS];
void cpu_load_tables(const void *gdt, const void *idt, uint16_t tss);
void hv_exception(const struct exception_frame *frame);

const struct arch_ops svm_ops, vmx_ops;
static struct descriptor_table gdtr, idtr;
static unsigned nmis;

void cpu_load_tables(const void *gdt, const void *idt, uint16_t tss)
{
	memcpy(&gdtr, gdt, sizeof(gdtr));
	memcpy(&idtr, idt, sizeof(idtr));
	ck_assert_uint_eq(tss, HV_SELECTOR_TSS);
}

_Noreturn void panic_exception(const struct exception_frame *frame)
{
	panic("exception %d", (int)frame->vector);
}

/* Only VT-x reloads TR on an exit: only there NMI, double fault and machine check have a stack. */
START_TEST(tables)
{
	const uint64_t *idt, *gdt;
	uint64_t tss, stack;

	arch = _i == 0 ? &svm_ops : &vmx_ops;
	for (uint64_t i = 0; i < VECTORS; i++)
		exception_entries[i] = 0xffffffff80123400 + i;
	interrupts_load(cpu);
	ck_assert_uint_eq(idtr.limit, VECTORS * 16 - 1);
	ck_assert_uint_eq(idtr.base, interrupts_idt());
	idt = (const uint64_t *)idtr.base;
	for (uint64_t i = 0; i < VECTORS; i++) {
		uint64_t low = idt[2 * i], high = idt[2 * i + 1];
		bool own = _i == 1 && (i == 2 || i == 8 || i == 18);

		/* SDM volume 3, figure 6-8: an interrupt gate of ring 0 */
		ck_assert_uint_eq((low & 0xffff) | (low >> 48) << 16 | high << 32,
				  exception_entries[i]);
		ck_assert_uint_eq(low >> 16 & 0xffff, HV_SELECTOR_CODE);
		ck_assert_uint_eq(low >> 32 & 7, own);
		ck_assert_uint_eq(low >> 40 & 0xff, 0x8e);
	}
	ck_assert_uint_eq(gdtr.limit, sizeof(cpu->gdt) - 1);
	gdt = (const uint64_t *)gdtr.base;
	ck_assert_uint_eq(gdt[0], 0);
	ck_assert_uint_eq(gdt[1] >> 53 & 1, 1); /* L */
	ck_assert_uint_eq(gdt[1] >> 45 & 3, 0); /* DPL */
	tss = (gdt[3] >> 16 & 0xffffff) | (gdt[3] >> 56) << 24 | gdt[4] << 32;
	ck_assert_uint_eq(tss, (uint64_t)cpu->tss);
	ck_assert_uint_eq(gdt[3] & 0xffff, CPU_TSS_BYTES - 1);
	memcpy(&stack, cpu->tss + 36, 8);
	ck_assert_uint_eq(stack, (uint64_t)cpu->emergency_stack + sizeof(cpu->emergency_stack));
}
END_TEST

static void count_nmi(struct cpu *which)
{
	ck_assert_ptr_eq(which, cpu);
	nmis++;
}

static void raise_it(void *argument)
{
	hv_exception(argument);
}

/* An NMI is passed on, an INIT that AMD-V made an exception ignored, all else is the end. */
START_TEST(exceptions)
{
	static const struct arch_ops ops = {.cpu_nmi = count_nmi};
	struct exception_frame frame = {.vector = (uint64_t)_i};

	arch = &ops;
	if (_i == VECTOR_NMI || _i == VECTOR_SX) {
		hv_exception(&frame);
		ck_assert_uint_eq(nmis, _i == VECTOR_NMI);
	} else {
		ck_assert(fake_panics(raise_it, &frame));
		ck_assert_uint_eq(nmis, 0);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("cpu-state");
	TCase *tests = tcase_create("cpu-state");

	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_loop_test(tests, fpu_round_trip, 0, 2);
	tcase_add_test(tests, fpu_xcr0);
	tcase_add_test(tests, fpu_set_xcr0);
	tcase_add_test(tests, fpu_vectors);
	tcase_add_test(tests, debug_registers);
	tcase_add_loop_test(tests, tables, 0, 2);
	tcase_add_loop_test(tests, exceptions, 0, VECTORS);
	suite_add_tcase(suite, tests);
	return suite;
}
