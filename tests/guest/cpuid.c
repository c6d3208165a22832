/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: leaves that agree with each other, with the vCPU and with its registers. */
#include "lib/apic.h"

const char guest_name[] = "cpuid";

#define ECX_1_VMX	 (1u << 5)
#define ECX_1_X2APIC	 (1u << 21)
#define ECX_1_XSAVE	 (1u << 26)
#define ECX_1_OSXSAVE	 (1u << 27)
#define ECX_1_HYPERVISOR (1u << 31)
#define EDX_1_APIC	 (1u << 9)
#define ECX_8_1_SVM	 (1u << 2)
#define LEGACY_XSAVE	 576u /* x87 and SSE state, and the header */

/* What a CPU says of itself. */
struct identity {
	uint32_t initial, topology[2], core, extended, apic;
};

static void identify(void *argument)
{
	struct identity *is = argument;

	is->initial = cpuid(1, 0).b >> 24;
	is->topology[0] = cpuid(0xb, 0).d;
	is->topology[1] = cpuid(0xb, 1).d;
	is->extended = cpuid(0x80000000, 0).a >= 0x8000001e && is_amd() ? cpuid(0x8000001e, 0).a
									: this_cpu()->number;
	is->apic = apic_read(APIC_ID);
}

static void check_identity(const struct identity *is, uint32_t number)
{
	say("# CPU %u\n", number);
	check_equal("initial APIC id", number, is->initial);
	check_equal("APIC id of leaf 0xb, thread level", number, is->topology[0]);
	check_equal("APIC id of leaf 0xb, core level", number, is->topology[1]);
	check_equal("APIC id of leaf 0x8000001e", number, is->extended);
	check_equal("APIC id of the local APIC", number, is->apic);
}

static void test_identities(void)
{
	struct identity first, second = {~0u, {~0u, ~0u}, ~0u, ~0u, ~0u};

	apic_enable(true);
	identify(&first);
	check_identity(&first, 0);
	if (!check_true("second CPU starts", cpu_start(1)))
		return;
	cpu_begin(1, identify, &second);
	check_true("second CPU answers", cpu_finish(1));
	check_identity(&second, 1);
}

static void test_basic(void)
{
	struct cpuid_words zero = cpuid(0, 0), one = cpuid(1, 0);
	bool amd = zero.b == 0x68747541 && zero.d == 0x69746e65 && zero.c == 0x444d4163;
	bool intel = zero.b == 0x756e6547 && zero.d == 0x49656e69 && zero.c == 0x6c65746e;

	check_true("vendor is AuthenticAMD or GenuineIntel", amd != intel);
	check_range("highest basic leaf", 0xd, 0x20, zero.a);
	check_equal("VMX", 0, one.c & ECX_1_VMX);
	check_equal("x2APIC", ECX_1_X2APIC, one.c & ECX_1_X2APIC);
	check_equal("hypervisor bit", ECX_1_HYPERVISOR, one.c & ECX_1_HYPERVISOR);
	check_equal("APIC", EDX_1_APIC, one.d & EDX_1_APIC);
	check_equal("CLFLUSH line", 8, one.b >> 8 & 0xff);
}

static void test_hypervisor(void)
{
	struct cpuid_words r = cpuid(0x40000000, 0);

	check_range("highest hypervisor leaf", 0x40000000, 0x400000ff, r.a);
	check_equal("hypervisor's name, 1", 0x6c636f53, r.b); /* "SocleSocleSo" */
	check_equal("hypervisor's name, 2", 0x636f5365, r.c);
	check_equal("hypervisor's name, 3", 0x6f53656c, r.d);
}

static void test_extended(void)
{
	uint32_t highest = cpuid(0x80000000, 0).a;
	struct cpuid_words r = cpuid(0x80000001, 0);

	check_range("highest extended leaf", 0x80000008, 0x80000030, highest);
	check_equal("SVM", 0, r.c & ECX_8_1_SVM);
	check_true("long mode", r.d >> 29 & 1);
	check_true("no-execute", r.d >> 20 & 1);
	check_true("SYSCALL", r.d >> 11 & 1);
	r = cpuid(0x8000000a, 0);
	check_equal("SVM's own leaf", 0, r.a | r.b | r.c | r.d);
	r = cpuid(0x80000008, 0);
	check_range("physical address bits", 36, 52, r.a & 0xff);
	check_range("linear address bits", 48, 57, r.a >> 8 & 0xff);
}

static void test_topology(void)
{
	struct cpuid_words thread = cpuid(0xb, 0), core = cpuid(0xb, 1), end = cpuid(0xb, 2);

	check_equal("thread level", 0x100, thread.c);
	check_equal("threads a core", 1, thread.b & 0xffff);
	check_equal("core level", 0x201, core.c);
	check_equal("CPUs a package", 2, core.b & 0xffff);
	check_equal("bits of the APIC id within a package", 1, core.a & 0x1f);
	check_equal("end of the levels", 0, end.c & 0xff00);
	check_equal("logical processors of leaf 1", 2, cpuid(1, 0).b >> 16 & 0xff);
}

/* Leaf 0xd follows XCR0, leaf 1's OSXSAVE CR4. */
static void test_xsave(void)
{
	struct cpuid_words r = cpuid(0xd, 0);
	uint64_t cr4 = get_cr4();
	struct trap trap;
	uint32_t size = LEGACY_XSAVE, low, high;

	if ((cpuid(1, 0).c & ECX_1_XSAVE) == 0) {
		check_skip("XSAVE", "this processor has none");
		return;
	}
	check_equal("OSXSAVE while CR4 has it clear", 0, cpuid(1, 0).c & ECX_1_OSXSAVE);
	set_cr4(cr4 | CR4_OSXSAVE);
	check_equal("OSXSAVE while CR4 has it set", ECX_1_OSXSAVE, cpuid(1, 0).c & ECX_1_OSXSAVE);
	check_equal("x87 and SSE are in XCR0's bits", 3, r.a & 3);
	check_equal("save area with XCR0 = 1", LEGACY_XSAVE, cpuid(0xd, 0).b);
	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_words part = cpuid(0xd, i);

		if ((r.a >> i & 1) == 0) {
			if (part.a != 0)
				check_equal("size of a component that is not there", 0, part.a);
			continue;
		}
		if (part.b + part.a > size)
			size = part.b + part.a;
	}
	check_equal("largest save area", size, r.c);
	trap = TRY("xsetbv", : : "a"(r.a), "d"(r.d), "c"(0));
	check_trap("XSETBV of all that leaf 0xd offers", trap, NO_TRAP, 0);
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	check_equal("XCR0", (uint64_t)r.d << 32 | r.a, (uint64_t)high << 32 | low);
	check_equal("save area with all of XCR0", size, cpuid(0xd, 0).b);
	trap = TRY("xsetbv", : : "a"(r.a | 1u << 30), "d"(0), "c"(0));
	check_trap("XSETBV of what is not offered", trap, VECTOR_GP, 0);
	trap = TRY("xsetbv", : : "a"(0), "d"(0), "c"(0));
	check_trap("XSETBV without x87", trap, VECTOR_GP, 0);
	__asm__ volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
	check_equal("save area with XCR0 = 1 again", LEGACY_XSAVE, cpuid(0xd, 0).b);
	set_cr4(cr4);
}

void guest_test(void)
{
	test_basic();
	test_hypervisor();
	test_extended();
	test_topology();
	test_xsave();
	test_identities();
}
