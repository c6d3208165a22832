/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers: those that Windows and Linux expect have their answer, the guest's own
 * keep what is written, and what does not exist is #GP.
 */
#include "lib/guest.h"

const char guest_name[] = "msr";

#define ENABLE	  (1ull << 11) /* of APIC_BASE */
#define X2APIC	  (1ull << 10)
#define VM_CR_OFF 0x18 /* SVMDIS, LOCK */

static struct trap read(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	struct trap trap = TRY("rdmsr", : "+a"(low), "+d"(high) : "c"(msr));

	*value = (uint64_t)high << 32 | low;
	return trap;
}

static struct trap write(uint32_t msr, uint64_t value)
{
	return TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void name_of(char name[24], const char *verb, uint32_t msr)
{
	unsigned at = 0;

	while (*verb != 0)
		name[at++] = *verb++;
	for (int shift = 28; shift >= 0; shift -= 4)
		name[at++] = "0123456789abcdef"[msr >> shift & 15];
	name[at] = 0;
}

static void check_reads(uint32_t first, uint32_t last)
{
	char name[24];
	uint64_t value;

	for (uint32_t msr = first; msr <= last; msr++) {
		name_of(name, "RDMSR ", msr);
		check_trap(name, read(msr, &value), NO_TRAP, 0);
	}
}

static void check_missing(uint32_t msr)
{
	char name[24];
	uint64_t value;

	name_of(name, "no RDMSR ", msr);
	check_trap(name, read(msr, &value), VECTOR_GP, 0);
	name_of(name, "no WRMSR ", msr);
	check_trap(name, write(msr, 0), VECTOR_GP, 0);
}

/* Takes a value, gives it back, and is left as it was. */
static void check_keeps(uint32_t msr, uint64_t value)
{
	char name[24];
	uint64_t before, found = 0;

	name_of(name, "keeps ", msr);
	if (!check_trap(name, read(msr, &before), NO_TRAP, 0) ||
	    !check_trap(name, write(msr, value), NO_TRAP, 0))
		return;
	read(msr, &found);
	check_equal(name, value, found);
	write(msr, before);
}

static void check_refuses(uint32_t msr, uint64_t value)
{
	char name[24];

	name_of(name, "refuses ", msr);
	check_trap(name, write(msr, value), VECTOR_GP, 0);
}

static void check_value(uint32_t msr, uint64_t expected)
{
	char name[24];
	uint64_t value;

	name_of(name, "value of ", msr);
	if (check_trap(name, read(msr, &value), NO_TRAP, 0))
		check_equal(name, expected, value);
}

/* Registers that must not fault, as Windows reads them. */
static void test_intel(void)
{
	static const uint32_t must[] = {0x17,  0x2a,  0x3a,  0x8b,  0xce,  0x17a,
					0x198, 0x199, 0x19c, 0x1a0, 0x606, 0x611};

	for (unsigned i = 0; i < ARRAY_COUNT(must); i++)
		check_reads(must[i], must[i]);
	check_value(0x3a, 1); /* locked, no VMX */
	check_missing(0x480); /* VMX_BASIC */
	check_missing(0xc0010114);
}

static void test_amd(void)
{
	static const uint32_t must[][2] = {
		{0xc0010000, 0xc0010007}, {0xc0010010, 0xc0010010}, {0xc0010015, 0xc0010015},
		{0xc001001a, 0xc001001a}, {0xc001001d, 0xc001001d}, {0xc001001f, 0xc0010020},
		{0xc0010055, 0xc0010055}, {0xc0010061, 0xc0010064}, {0xc0010112, 0xc0010117},
		{0xc0010140, 0xc0010141}, {0xc0011020, 0xc0011023}, {0xc0011029, 0xc001102a},
		{0xc001102c, 0xc001102c},
	};

	for (unsigned i = 0; i < ARRAY_COUNT(must); i++)
		check_reads(must[i][0], must[i][1]);
	check_value(0xc0010114, VM_CR_OFF);
	check_refuses(0xc0010117, 0x1000); /* VM_HSAVE_PA */
	check_missing(0x480);
}

static void test_both(void)
{
	uint64_t tsc, later;

	check_reads(0x10, 0x10);
	check_reads(0x1b, 0x1b);
	check_reads(0xfe, 0xfe);
	check_reads(0x179, 0x179);
	check_reads(0x250, 0x250);
	check_reads(0x2ff, 0x2ff);
	check_trap("microcode update is ignored", write(0x79, 0), NO_TRAP, 0);
	check_trap("DEBUGCTL takes 0", write(0x1d9, 0), NO_TRAP, 0);
	check_trap("0x40000073 is accepted", write(0x40000073, 0), NO_TRAP, 0);
	read(MSR_TSC, &tsc);
	later = rdtsc();
	check_range("TSC by RDMSR is that of RDTSC", 0, 1u << 30, later - tsc);
	check_missing(0x12345);
	check_missing(0xc0000200);
	check_missing(0xc0020000);
	check_missing(0x80000000);
}

/* Written and read without an exit, or switched: they stay what they are across exits. */
static void test_own(void)
{
	check_keeps(MSR_SYSENTER_CS, 0x10);
	check_keeps(MSR_SYSENTER_ESP, 0x123456789000);
	check_keeps(MSR_SYSENTER_EIP, 0x123456789abc);
	check_keeps(MSR_STAR, 0x0013000800000000);
	check_keeps(MSR_LSTAR, 0xffff800012345678);
	check_keeps(MSR_CSTAR, 0xffff800087654321);
	check_keeps(MSR_SFMASK, 0x47700);
	check_keeps(MSR_FS_BASE, 0xffff900000001000);
	check_keeps(MSR_KERNEL_GS_BASE, 0xffffa00000002000);
	check_keeps(MSR_PAT, 0x0007010600070106);
	check_refuses(MSR_PAT, 0x0007040600070402); /* 2 is no memory type */
	check_keeps(0x250, 0x0606060606060606);
	check_keeps(0x200, 0x80000006);
	check_refuses(0x200, 2);
	check_refuses(0x2ff, 7);
}

static void test_efer(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	check_equal("EFER: LME, LMA, NXE and nothing hidden shows", 0xd00, efer);
	check_trap("EFER takes SCE", write(MSR_EFER, efer | 1), NO_TRAP, 0);
	check_equal("EFER with SCE", efer | 1, rdmsr(MSR_EFER));
	wrmsr(MSR_EFER, efer);
	check_refuses(MSR_EFER, efer | 1ull << 12); /* SVME */
	check_refuses(MSR_EFER, efer | 1ull << 63);
	check_refuses(MSR_EFER, efer & ~0x100ull); /* LME, while paging is on */
}

static void test_apic_base(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE), value;

	check_equal("APIC_BASE of the first CPU", 0xfee00900, base);
	check_refuses(MSR_APIC_BASE, 0xfee00500); /* x2APIC mode without being enabled */
	check_refuses(MSR_APIC_BASE, base | 1);
	check_refuses(0x802, 0);
	check_trap("x2APIC registers need x2APIC mode", read(0x803, &value), VECTOR_GP, 0);
	wrmsr(MSR_APIC_BASE, base | X2APIC);
	check_trap("x2APIC mode has its registers", read(0x803, &value), NO_TRAP, 0);
	check_refuses(MSR_APIC_BASE, base); /* not back to xAPIC mode at once */
	wrmsr(MSR_APIC_BASE, base & ~ENABLE);
	check_trap("switched off: no registers", read(0x803, &value), VECTOR_GP, 0);
	check_refuses(MSR_APIC_BASE, base | X2APIC); /* not without xAPIC mode before */
	wrmsr(MSR_APIC_BASE, base);
	check_value(MSR_APIC_BASE, base);
}

void guest_test(void)
{
	test_both();
	if (is_amd())
		test_amd();
	else
		test_intel();
	test_own();
	test_efer();
	test_apic_base();
}
