/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vCPU keeps over exits: x87, SSE, AVX and whatever else XSAVE knows, debug registers, the
 * registers of system calls, and others that the hypervisor shares with whoever runs next. Then the
 * same on two vCPUs that disturb each other; the test has them share one CPU.
 */
#include "lib/apic.h"

const char guest_name[] = "state";

#define AREA_BYTES     4096u
#define LEGACY_BYTES   576u
#define LEAF_XSTATE    0xdu
#define XINUSE_FEATURE 4u /* leaf 0xd, subleaf 1, EAX: XGETBV with ECX = 1 */
#define XCR0_X87_SSE   3ull
#define XCR0_AVX       4ull
#define HPET	       0xfed00000ull
#define VECTOR	       0x51u
#define SWITCHES       40u
#define PATIENCE_MS    20000u
#define SPIN_US	       2000u

/* Offsets in an XSAVE area (SDM volume 1, section 13.4). */
#define FCW	   0
#define FTW	   4
#define MXCSR	   24
#define MXCSR_MASK 28
#define ST	   32
#define XMM	   160
#define XMM_END	   416
#define XSTATE_BV  512

static uint64_t xcr0; /* all that there is */
static uint8_t wanted[2][AREA_BYTES] __attribute__((aligned(64)));
static uint8_t found[2][AREA_BYTES] __attribute__((aligned(64)));
static volatile unsigned runner, switches;

/* Vector state --------------------------------------------------------------------------------- */

static void set_xcr0(uint64_t value)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t xgetbv(uint32_t index)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (uint64_t)high << 32 | low;
}

static void load(const uint8_t *area)
{
	if (xcr0 != 0)
		__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

static void save(uint8_t *area)
{
	memory_set(area, 0, AREA_BYTES);
	if (xcr0 != 0)
		__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static uint8_t noise(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint8_t)(*seed >> 56);
}

/* Where a component is; 0 bytes: it is not enabled, or too far behind. */
static size_t component(unsigned number, size_t *at)
{
	struct cpuid_words words = cpuid(LEAF_XSTATE, number);

	*at = words.b;
	return (xcr0 >> number & 1) && words.b + words.a <= AREA_BYTES ? words.a : 0;
}

/* A state with something else in each register. */
static void make_pattern(uint8_t *area, uint64_t seed)
{
	memory_set(area, 0, AREA_BYTES);
	area[FCW] = 0x7f;
	area[FCW + 1] = (uint8_t)(seed & 1 ? 0x03 : 0x0f); /* rounding */
	area[FTW] = 0xff;
	area[MXCSR] = 0x80;
	area[MXCSR + 1] = (uint8_t)(seed & 1 ? 0x1f : 0x7f);
	for (unsigned i = 0; i < 8; i++) {
		uint8_t *st = &area[ST + 16 * i];

		for (unsigned j = 0; j < 8; j++)
			st[j] = noise(&seed);
		st[7] |= 0x80; /* a normal number */
		st[8] = noise(&seed);
		st[9] = 0x3f;
	}
	for (unsigned i = XMM; i < XMM_END; i++)
		area[i] = noise(&seed);
	for (unsigned i = 2; i < 32; i++) {
		size_t at, bytes = component(i, &at);

		for (size_t j = 0; j < bytes; j++)
			area[at + j] = noise(&seed);
	}
	memory_copy(&area[XSTATE_BV], &xcr0, sizeof(xcr0));
}

/* The first byte that differs and counts; -1: none. */
static int64_t difference(const uint8_t *a, const uint8_t *b)
{
	for (size_t i = 0; i < AREA_BYTES; i++) {
		bool counts = i < MXCSR_MASK || (i >= ST && i < XMM && i % 16 < 10) ||
			      (i >= XMM && i < XMM_END) || i >= LEGACY_BYTES;

		if (counts && a[i] != b[i])
			return (int64_t)i;
	}
	return -1;
}

/* Other registers ------------------------------------------------------------------------------ */

#define DEBUG_REGISTER(n)                                                                          \
	static uint64_t read_dr##n(void)                                                           \
	{                                                                                          \
		uint64_t v;                                                                        \
                                                                                                   \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(v));                                  \
		return v;                                                                          \
	}                                                                                          \
	static void write_dr##n(uint64_t v)                                                        \
	{                                                                                          \
		__asm__ volatile("mov %0, %%dr" #n : : "r"(v));                                    \
	}
DEBUG_REGISTER(0)
DEBUG_REGISTER(1)
DEBUG_REGISTER(2)
DEBUG_REGISTER(3)
DEBUG_REGISTER(6)
DEBUG_REGISTER(7)

/* A register that an instruction reads, or else an MSR; the values of two vCPUs. */
static const struct item {
	const char *name;
	uint64_t (*read)(void);
	void (*write)(uint64_t value);
	uint32_t msr;
	uint64_t value[2];
} items[] = {
	{"DR0", read_dr0, write_dr0, 0, {0x111111110000, 0x211111110000}},
	{"DR1", read_dr1, write_dr1, 0, {0x122222220000, 0x222222220000}},
	{"DR2", read_dr2, write_dr2, 0, {0x133333330000, 0x233333330000}},
	{"DR3", read_dr3, write_dr3, 0, {0x144444440000, 0x244444440000}},
	{"DR6", read_dr6, write_dr6, 0, {0xffff0ff1, 0xffff4ff2}},
	{"DR7", read_dr7, write_dr7, 0, {0x00d00402, 0x0d000410}},
	{"CR2", get_cr2, set_cr2, 0, {0x123456789000, 0x223456789000}},
	{"CR8", get_cr8, set_cr8, 0, {2, 3}},
	{"STAR", NULL, NULL, MSR_STAR, {0x0018000800000000, 0x0020001000000000}},
	{"LSTAR", NULL, NULL, MSR_LSTAR, {0xffff800000001000, 0xffff800000002000}},
	{"CSTAR", NULL, NULL, MSR_CSTAR, {0xffff800000003000, 0xffff800000004000}},
	{"SFMASK", NULL, NULL, MSR_SFMASK, {0x40700, 0x200}},
	{"FS base", NULL, NULL, MSR_FS_BASE, {0x7f0000001000, 0x7f0000002000}},
	{"KERNEL_GS_BASE", NULL, NULL, MSR_KERNEL_GS_BASE, {0x7e0000001000, 0x7e0000002000}},
	{"SYSENTER_CS", NULL, NULL, MSR_SYSENTER_CS, {0x10, 0x20}},
	{"SYSENTER_ESP", NULL, NULL, MSR_SYSENTER_ESP, {0x10001000, 0x10002000}},
	{"SYSENTER_EIP", NULL, NULL, MSR_SYSENTER_EIP, {0x20001000, 0x20002000}},
	{"PAT", NULL, NULL, MSR_PAT, {0x0007040600070406, 0x0007010600070106}},
};

/*
 * QEMU 7.2 takes DR7 from a VMCB without making the breakpoints, and dies when a vCPU's that it has
 * not made are to be removed: there none is enabled.
 */
#define DR7_ENABLES 0xffull
static bool no_breakpoints;

static uint64_t value_of(const struct item *item, unsigned which)
{
	uint64_t value = item->value[which];

	return item->write == write_dr7 && no_breakpoints ? value & ~DR7_ENABLES : value;
}

static void write_items(unsigned which)
{
	for (const struct item *item = items; item != items + ARRAY_COUNT(items); item++) {
		if (item->write != NULL)
			item->write(value_of(item, which));
		else
			wrmsr(item->msr, value_of(item, which));
	}
}

static uint64_t read_item(const struct item *item)
{
	return item->read != NULL ? item->read() : rdmsr(item->msr);
}

static void clear_breakpoints(void)
{
	write_dr7(0x400);
	set_cr8(0);
}

/* Exits ---------------------------------------------------------------------------------------- */

static void exit_cpuid(void)
{
	cpuid(0, 0);
}

static void exit_port(void)
{
	in8(0x21);
}

static void exit_memory(void)
{
	mmio_read(HPET);
}

/* Which the VMM does with the vector registers of its own. */
static void exit_memory_vector(void)
{
	uint8_t kept[16];

	__asm__ volatile("movdqu %%xmm5, %0; movdqu (%1), %%xmm5; movdqu %0, %%xmm5"
			 : "+m"(kept)
			 : "r"(HPET));
}

static void exit_string(void)
{
	uint8_t buffer[8], *to = buffer;
	uint64_t count = sizeof(buffer);

	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)0x21) : "memory");
}

static void exit_msr(void)
{
	rdmsr(MSR_APIC_BASE);
}

static void exit_apic(void)
{
	rdmsr(MSR_X2APIC + APIC_VERSION);
}

static void exit_hlt(void)
{
	apic_write(APIC_TMICT, 200000);
	halt();
}

static void exit_interrupt(void)
{
	wait_us(SPIN_US);
}

static const struct provocation {
	const char *name;
	void (*make)(void);
} provocations[] = {
	{"CPUID", exit_cpuid},
	{"a port", exit_port},
	{"a memory-mapped register", exit_memory},
	{"a vector of one", exit_memory_vector},
	{"string input", exit_string},
	{"an MSR", exit_msr},
	{"a register of the local APIC", exit_apic},
	{"a HLT", exit_hlt},
	{"physical interrupts", exit_interrupt},
};

/* One CPU -------------------------------------------------------------------------------------- */

static void test_vectors(const char *what)
{
	say("# %s\n", what);
	make_pattern(wanted[0], 1 + xcr0);
	load(wanted[0]);
	for (unsigned i = 0; i < ARRAY_COUNT(provocations); i++) {
		provocations[i].make();
		save(found[0]);
		check_equal(provocations[i].name, ~0ull, (uint64_t)difference(wanted[0], found[0]));
		load(wanted[0]);
	}
}

/* What is switched off in XCR0 is there when it is switched on again. */
static void test_hidden(void)
{
	make_pattern(wanted[0], 77);
	load(wanted[0]);
	set_xcr0(XCR0_X87_SSE);
	exit_port();
	exit_interrupt();
	check_equal("XCR0 is as it was set", XCR0_X87_SSE, xgetbv(0));
	set_xcr0(xcr0);
	save(found[0]);
	check_equal("what XCR0 hides is kept", ~0ull, (uint64_t)difference(wanted[0], found[0]));
}

/* A component that is in its initial state stays so, also to the processor. */
static void test_initial(void)
{
	uint64_t in_use, header = xcr0 & ~XCR0_AVX;
	size_t at, bytes = component(2, &at);

	make_pattern(wanted[0], 99);
	memory_copy(&wanted[0][XSTATE_BV], &header, sizeof(header));
	memory_set(&wanted[0][at], 0, bytes);
	load(wanted[0]);
	exit_port();
	if ((cpuid(LEAF_XSTATE, 1).a & XINUSE_FEATURE) != 0 && !on_qemu()) {
		in_use = xgetbv(1);
		check_equal("the initial AVX state is not in use", 0, in_use & XCR0_AVX);
	}
	save(found[0]);
	check_equal("the initial AVX state", ~0ull, (uint64_t)difference(wanted[0], found[0]));
}

static void test_items(void)
{
	say("# other registers\n");
	write_items(0);
	for (unsigned i = 0; i < ARRAY_COUNT(provocations); i++)
		provocations[i].make();
	for (unsigned i = 0; i < ARRAY_COUNT(items); i++)
		check_equal(items[i].name, value_of(&items[i], 0), read_item(&items[i]));
	clear_breakpoints();
}

/* Two of them ---------------------------------------------------------------------------------- */

/* What a vCPU found first that was not its own. */
static struct report {
	const char *name, *behind;
	uint64_t expected, found;
	uint64_t rounds, backwards;
} reports[2];

static void note(unsigned which, const char *name, const char *behind, uint64_t expected,
		 uint64_t value)
{
	struct report *report = &reports[which];

	if (report->name == NULL && expected != value)
		*report = (struct report){name,	 behind,	 expected,
					  value, report->rounds, report->backwards};
}

/* The TSCs of both are one clock: what one has seen, the other is not before. */
static void look_at_clock(struct report *report)
{
	static volatile uint64_t latest;
	uint64_t seen = latest, now = rdtsc();

	report->backwards += now < seen;
	if (now > seen)
		latest = now;
}

static void work(void *argument)
{
	unsigned which = (unsigned)(uintptr_t)argument;
	struct report *report = &reports[which];
	uint64_t end = rdtsc() + tsc_khz() * PATIENCE_MS;

	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR);
	if (xcr0 != 0) {
		set_cr4(get_cr4() | CR4_OSXSAVE);
		set_xcr0(xcr0);
	}
	make_pattern(wanted[which], 1000 + which);
	load(wanted[which]);
	write_items(which);
	while (switches < SWITCHES && rdtsc() < end) {
		const struct provocation *provocation =
			&provocations[report->rounds++ % ARRAY_COUNT(provocations)];

		if (runner != which) {
			runner = which;
			switches++;
		}
		look_at_clock(report);
		provocation->make();
		save(found[which]);
		note(which, "vector state (offset)", provocation->name, ~0ull,
		     (uint64_t)difference(wanted[which], found[which]));
		for (unsigned i = 0; i < ARRAY_COUNT(items); i++)
			note(which, items[i].name, provocation->name, value_of(&items[i], which),
			     read_item(&items[i]));
		if (report->name != NULL)
			break;
	}
	clear_breakpoints();
}

static void test_two(void)
{
	say("# two vCPUs\n");
	if (!check_true("the second starts", cpu_start(1)))
		return;
	cpu_begin(1, work, (void *)1);
	work((void *)0);
	check_true("the second ends", cpu_finish(1));
	for (unsigned i = 0; i < 2; i++) {
		const struct report *report = &reports[i];

		if (!check_outcome("each vCPU has its own state", report->name == NULL))
			say("vCPU %u, %s behind %s: expected %x, found %x\n", i, report->name,
			    report->behind, report->expected, report->found);
		check_equal("the TSC never runs backwards", 0, report->backwards);
		say("# vCPU %u: %d rounds\n", i, (int64_t)report->rounds);
	}
	check_range("they took turns", SWITCHES, ~0u, switches);
}

void guest_test(void)
{
	no_breakpoints = on_qemu();
	pic_init(0);
	apic_enable(true);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, VECTOR);
	test_vectors("FXSAVE");
	if ((cpuid(1, 0).c >> 26 & 1) == 0) {
		check_skip("XSAVE", "this processor has none");
	} else {
		set_cr4(get_cr4() | CR4_OSXSAVE);
		xcr0 = cpuid(LEAF_XSTATE, 0).a | (uint64_t)cpuid(LEAF_XSTATE, 0).d << 32;
		say("# XCR0: %x\n", xcr0);
		set_xcr0(xcr0);
		test_vectors("XSAVE");
		if (xcr0 & XCR0_AVX) {
			test_hidden();
			test_initial();
		}
	}
	test_items();
	test_two();
}
