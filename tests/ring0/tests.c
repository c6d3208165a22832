/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests: see main.c. */
#include "ring0.h"

#define MSR_APIC_BASE	    0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_PAT		    0x277
#define MSR_EFER	    0xc0000080
#define MSR_STAR	    0xc0000081
#define MSR_KERNEL_GS_BASE  0xc0000102
#define EFER_LMA	    (1ull << 10)
#define EFER_SVME	    (1ull << 12)

static uint64_t argument; /* of the functions that try_call() calls */

static void put_cr0(void)
{
	set_cr0(argument);
}

static void put_cr4(void)
{
	set_cr4(argument);
}

static int try_cr0(uint64_t v)
{
	argument = v;
	return try_call(put_cr0);
}

static int try_cr4(uint64_t v)
{
	argument = v;
	return try_call(put_cr4);
}

/* QEMU's nested paging takes reserved bits for a broken control block: only VT-x is asked. */
static void owned_bits(void)
{
	uint64_t cr0 = get_cr0(), cr4 = get_cr4(), before = exits(0, SOCLE_EXIT_CR_ACCESS);

	CHECK_EQ(try_cr4(cr4 | CR4_VMXE), VECTOR_GP);
	CHECK_EQ(fault_code, 0);
	CHECK_EQ(try_cr4(cr4 | CR4_SMXE), VECTOR_GP);
	CHECK_EQ(get_cr4(), cr4);
	/* NE may be cleared, is read back so, and other bits with it, from any register */
	CHECK_EQ(try_cr0((cr0 & ~CR0_NE) | CR0_TS), NO_FAULT);
	CHECK_EQ(get_cr0(), (cr0 & ~CR0_NE) | CR0_TS);
	__asm__ volatile("mov %0, %%r13; mov %%r13, %%cr0" : : "r"(cr0) : "r13");
	CHECK_EQ(get_cr0(), cr0);
	/* what no processor takes; NE reads as 0 after it, so that it exits once more */
	CHECK_EQ(try_cr0((cr0 & ~CR0_NE & ~CR0_CD) | CR0_NW), VECTOR_GP);
	set_cr0(cr0);
	CHECK_EQ(get_cr0(), cr0);
	CHECK_EQ(exits(0, SOCLE_EXIT_CR_ACCESS) - before, 6);
}

void test_control_registers(void)
{
	uint64_t cr0 = get_cr0(), cr4 = get_cr4(), before;

	CHECK_EQ(cr4 & (CR4_VMXE | CR4_SMXE), 0);
	CHECK_EQ(cr0 & CR0_NE, CR0_NE);
	if (!is_amd)
		owned_bits();
	before = exits_all(0);
	set_cr0(cr0 | CR0_TS);
	__asm__ volatile("clts");
	CHECK_EQ(get_cr0(), cr0);
	__asm__ volatile("lmsw %0" : : "r"((uint16_t)(cr0 | CR0_TS)));
	CHECK_EQ(get_cr0(), cr0 | CR0_TS);
	set_cr0(cr0);
	set_cr4(cr4 | CR4_DE | CR4_OSFXSR);
	CHECK_EQ(get_cr4(), cr4 | CR4_DE | CR4_OSFXSR);
	set_cr4(cr4);
	set_cr3(get_cr3());
	CHECK_EQ(exits_all(0), before);
}

/* What a guest sets stays as it is over an exit, and none of it disturbs the hypervisor. */
void test_state_survives(void)
{
	static const uint32_t msrs[] = {0x174,	    0x175,	0x176,
					MSR_STAR,   0xc0000082, 0xc0000084,
					0xc0000100, 0xc0000101, MSR_KERNEL_GS_BASE};
	uint64_t saved[ARRAY_COUNT(msrs)], pat = read_msr(MSR_PAT);

	for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
		saved[i] = read_msr(msrs[i]);
		write_msr(msrs[i], 0x1110 + i);
	}
	/* entry 0 uncached, and a breakpoint on the hypervisor's first instruction */
	write_msr(MSR_PAT, pat & ~0xffull);
	set_dr0(0xffffffff80000000);
	set_dr7(0x402);
	set_cr2(0x1234567);
	set_cr8(5);
	for (unsigned i = 0; i < 100; i++)
		cpuid(i, 0);
	for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
		CHECK_EQ(read_msr(msrs[i]), 0x1110 + i);
		write_msr(msrs[i], saved[i]);
	}
	CHECK_EQ(read_msr(MSR_PAT), pat & ~0xffull);
	CHECK_EQ(get_dr7(), 0x402);
	CHECK_EQ(get_dr0(), 0xffffffff80000000);
	CHECK_EQ(get_cr2(), 0x1234567);
	CHECK_EQ(get_cr8(), 5);
	write_msr(MSR_PAT, pat);
	set_dr7(0x400);
	set_cr8(0);
}

static void get_msr(void)
{
	read_msr((uint32_t)argument);
}

static uint64_t written;

static void put_msr(void)
{
	write_msr((uint32_t)argument, written);
}

static int try_read(uint32_t msr)
{
	argument = msr;
	return try_call(get_msr);
}

static int try_write(uint32_t msr, uint64_t v)
{
	argument = msr;
	written = v;
	return try_call(put_msr);
}

static void vmx_msrs(void)
{
	CHECK_EQ(read_msr(MSR_FEATURE_CONTROL) & 7, 1);
	CHECK_EQ(try_write(MSR_FEATURE_CONTROL, 5), VECTOR_GP);
	for (uint32_t msr = 0x480; msr <= 0x493; msr++) {
		CHECK_EQ(try_read(msr), VECTOR_GP);
		CHECK_EQ(try_write(msr, 0), VECTOR_GP);
	}
	CHECK_EQ(fault_code, 0);
	CHECK_EQ(try_write(0x570, 1), VECTOR_GP);
	CHECK_EQ(try_write(0x600, 0x1000), VECTOR_GP);
	CHECK_EQ(try_write(0x17d0, 0x1001), VECTOR_GP);
	CHECK_EQ(try_write(0x1f2, 6), VECTOR_GP);
	/* past the bitmap's ranges */
	CHECK_EQ(try_read(0x40000000), VECTOR_GP);
	CHECK_EQ(try_read(0xc0010015), VECTOR_GP);
	CHECK_EQ(try_write(0x2000, 0), VECTOR_GP);
}

static void svm_msrs(void)
{
	CHECK_EQ(read_msr(MSR_EFER) & EFER_SVME, 0);
	CHECK_EQ(try_write(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME), VECTOR_GP);
	CHECK_EQ(read_msr(0xc0010114), 0x18);
	CHECK_EQ(try_write(0xc0010114, 0), VECTOR_GP);
	CHECK_EQ(try_read(0xc0010117), VECTOR_GP);
	CHECK_EQ(try_write(0xc0010117, 0x1000), VECTOR_GP);
}

void test_msrs(void)
{
	uint64_t base = read_msr(MSR_APIC_BASE);

	CHECK_EQ(try_write(MSR_APIC_BASE, base), NO_FAULT);
	CHECK_EQ(try_write(MSR_APIC_BASE, base + 0x1000), VECTOR_GP);
	CHECK_EQ(try_write(MSR_APIC_BASE, hypervisor_base | 0x900), VECTOR_GP);
	CHECK_EQ(read_msr(MSR_APIC_BASE), base);
	CHECK_EQ(read_msr(MSR_EFER) & EFER_LMA, EFER_LMA);
	if (is_amd)
		svm_msrs();
	else
		vmx_msrs();
}

static void xsetbv(void)
{
	__asm__ volatile("xsetbv" : : "c"(argument >> 32), "a"((uint32_t)argument), "d"(0));
}

static int try_xsetbv(uint32_t index, uint32_t v)
{
	argument = (uint64_t)index << 32 | v;
	return try_call(xsetbv);
}

static uint32_t xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

void test_xsetbv(void)
{
	uint64_t cr4 = get_cr4();

	CHECK_EQ(cpuid(1, 0).c >> 27 & 1, 0); /* OSXSAVE is the guest's, not the hypervisor's */
	CHECK_EQ(try_xsetbv(0, 1), VECTOR_UD);
	if (!(cpuid(1, 0).c >> 26 & 1))
		return;
	set_cr4(cr4 | CR4_OSXSAVE);
	CHECK_EQ(cpuid(1, 0).c >> 27 & 1, 1);
	CHECK_EQ(try_xsetbv(0, 3), NO_FAULT);
	CHECK_EQ(xcr0(), 3);
	CHECK_EQ(try_xsetbv(0, 0), VECTOR_GP);
	CHECK_EQ(try_xsetbv(0, 2), VECTOR_GP);
	CHECK_EQ(try_xsetbv(0, 5), VECTOR_GP);
	CHECK_EQ(try_xsetbv(1, 1), VECTOR_GP);
	CHECK_EQ(xcr0(), 3);
	CHECK_EQ(try_xsetbv(0, 1), NO_FAULT);
	CHECK_EQ(xcr0(), 1);
	set_cr4(cr4);
}

static uint64_t operand[512] __attribute__((aligned(4096)));

#define REFUSED(name, bytes)                                                                       \
	static void name(void)                                                                     \
	{                                                                                          \
		__asm__ volatile(".byte " bytes : : "a"(operand), "c"(0ull) : "rdx", "memory");    \
	}
REFUSED(vmxon, "0xf3, 0x0f, 0xc7, 0x30")
REFUSED(vmxoff, "0x0f, 0x01, 0xc4")
REFUSED(vmlaunch, "0x0f, 0x01, 0xc2")
REFUSED(vmresume, "0x0f, 0x01, 0xc3")
REFUSED(vmclear, "0x66, 0x0f, 0xc7, 0x30")
REFUSED(vmptrld, "0x0f, 0xc7, 0x30")
REFUSED(vmptrst, "0x0f, 0xc7, 0x38")
REFUSED(vmread, "0x0f, 0x78, 0xc1")
REFUSED(vmwrite, "0x0f, 0x79, 0xc1")
REFUSED(invept, "0x66, 0x0f, 0x38, 0x80, 0x08")
REFUSED(invvpid, "0x66, 0x0f, 0x38, 0x81, 0x08")
REFUSED(vmfunc, "0x0f, 0x01, 0xd4")
REFUSED(getsec, "0x0f, 0x37")
REFUSED(vmrun, "0x0f, 0x01, 0xd8")
REFUSED(vmload, "0x0f, 0x01, 0xda")
REFUSED(vmsave, "0x0f, 0x01, 0xdb")
REFUSED(stgi, "0x0f, 0x01, 0xdc")
REFUSED(clgi, "0x0f, 0x01, 0xdd")
REFUSED(skinit, "0x0f, 0x01, 0xde")
REFUSED(invlpga, "0x0f, 0x01, 0xdf")

void test_refused(void)
{
	static void (*const instructions[])(void) = {
		vmxon,	vmxoff,	 vmlaunch, vmresume, vmclear, vmptrld, vmptrst,
		vmread, vmwrite, invept,   invvpid,  vmfunc,  getsec,  vmrun,
		vmload, vmsave,	 stgi,	   clgi,     skinit,  invlpga,
	};

	for (unsigned i = 0; i < ARRAY_COUNT(instructions); i++) {
		fault_rip = 0;
		CHECK_EQ(try_call(instructions[i]), VECTOR_UD);
		/* RIP stays at the instruction, which comes after two or three that set registers
		 */
		CHECK_EQ((fault_rip - (uint64_t)instructions[i]) / 32, 0);
	}
}

void test_invd(void)
{
	uint64_t before = exits(0, SOCLE_EXIT_INVD);

	operand[7] = 0x7777;
	__asm__ volatile("invd" : : : "memory");
	CHECK_EQ(operand[7], 0x7777);
	if (!is_amd) /* QEMU takes it for WBINVD */
		CHECK_EQ(exits(0, SOCLE_EXIT_INVD) - before, 1);
	__asm__ volatile("wbinvd" : : : "memory");
}

void test_hypercall_rings(void)
{
	uint64_t rax = SOCLE_CALL_POKE, reply[6];

	if (is_amd)
		__asm__ volatile("vmmcall" : "+a"(rax) : : "memory");
	else
		__asm__ volatile("vmcall" : "+a"(rax) : : "memory");
	CHECK_EQ((int64_t)rax, SOCLE_ERROR_RING);
	CHECK_EQ(hypercall(SOCLE_CALL_POKE, (uint64_t[4]){99}, reply), SOCLE_OK);
	CHECK_EQ(reply[0], 99);
}

static volatile uint64_t *target;

static void store(void)
{
	*target = 0x5555;
}

static void jump(void)
{
	((void (*)(void))(uint64_t)target)();
}

static uint64_t not_ones; /* words that are not ones */

void test_hole(void)
{
	uint64_t before = exits(0, SOCLE_EXIT_SECOND_LEVEL);

	not_ones = 0;
	for (uint64_t at = 0; at < hypervisor_bytes; at += 8)
		not_ones += *(volatile uint64_t *)(hypervisor_base + at) != UINT64_MAX;
	CHECK_EQ(not_ones, 0);
	CHECK_EQ(exits(0, SOCLE_EXIT_SECOND_LEVEL), before);
	for (uint64_t at = 0; at < hypervisor_bytes; at += hypervisor_bytes / 4) {
		target = (volatile uint64_t *)(hypervisor_base + at);
		CHECK_EQ(try_call(store), VECTOR_GP);
		CHECK_EQ(fault_code, 0);
		CHECK_EQ(try_call(jump), VECTOR_GP);
		CHECK_EQ(*target, UINT64_MAX);
	}
	CHECK_EQ(exits(0, SOCLE_EXIT_SECOND_LEVEL) - before, 8);
}

/* The service VM is exitless: what it does all day. */
void test_no_exits(void)
{
	uint64_t before = exits_all(0);

	for (unsigned i = 0; i < 100; i++) {
		__asm__ volatile("rdtsc; pause; wbinvd; invlpg (%0)"
				 :
				 : "r"(operand)
				 : "rax", "rdx");
		__asm__ volatile("inb $0x80, %%al; outb %%al, $0x80" : : : "rax");
		set_cr3(get_cr3());
		set_cr8(3);
		set_cr8(0);
		set_dr0(get_dr0());
		set_dr7(0x400);
		write_msr(MSR_PAT, read_msr(MSR_PAT));
		write_msr(MSR_KERNEL_GS_BASE, i);
		(void)*(volatile uint32_t *)0xfee00020; /* the local APIC */
	}
	CHECK_EQ(exits_all(0), before);
}

extern const uint8_t trip[], trip_end[], trip_results[];

#define TRIP 0x8000

struct trip_results {
	uint32_t compatibility, efer, protected, real;
	int32_t hypercall;
	uint32_t faults;
	uint16_t sp, reserved;
	uint32_t cr0;
	uint32_t amd, missing_msr;
};

/* A guest may leave long mode, and paging, and protected mode. */
void test_real_mode(void)
{
	volatile uint8_t *copy = (volatile uint8_t *)TRIP;
	volatile struct trip_results *results =
		(volatile struct trip_results *)(TRIP + (trip_results - trip));
	uint32_t vendor = cpuid(0, 0).b;
	uint64_t efer = read_msr(MSR_EFER), cr0 = get_cr0();

	for (size_t i = 0; i < (size_t)(trip_end - trip); i++)
		copy[i] = trip[i];
	results->amd = is_amd;
	results->missing_msr = is_amd ? 0xc0010117 : 0x480;
	((void (*)(void))TRIP)();
	CHECK_EQ(results->compatibility, vendor);
	CHECK_EQ(results->efer & EFER_LMA, 0);
	CHECK_EQ(results->protected, vendor);
	CHECK_EQ(results->real, vendor);
	CHECK_EQ(results->hypercall, SOCLE_ERROR_RING);
	CHECK_EQ(results->faults, 1);
	CHECK_EQ(results->sp, 0x7f00); /* no error code on the stack */
	CHECK_EQ(results->cr0, (uint32_t)cr0 & ~0x80000001u);
	CHECK_EQ(read_msr(MSR_EFER), efer);
	CHECK_EQ(get_cr0(), cr0);
}

void test_own_nmi(void)
{
	uint64_t before = exits(0, SOCLE_EXIT_NMI);

	nmi_count[0] = 0;
	nmi_depth_max[0] = 0;
	for (uint64_t i = 1; i <= 50; i++) {
		send_nmi(0);
		if (!wait_for(&nmi_count[0], i))
			break;
	}
	CHECK_EQ(nmi_count[0], 50);
	CHECK_EQ(nmi_depth_max[0], 1);
	CHECK_EQ(exits(0, SOCLE_EXIT_NMI) - before, 50);
}

/* An NMI that comes while one is handled waits for its IRET. */
void test_nested_nmi(void)
{
	nmi_count[0] = 0;
	nmi_depth_max[0] = 0;
	nmi_resend = 10;
	send_nmi(0);
	CHECK_EQ(wait_for(&nmi_count[0], 11), true);
	for (unsigned i = 0; i < 1000; i++)
		cpuid(0, 0);
	CHECK_EQ(nmi_count[0], 11);
	CHECK_EQ(nmi_depth_max[0], 1);
}

static void exit_for_ever(void)
{
	for (unsigned i = 0; i < 100; i++)
		cpuid(0x40000000, 0);
}

/* NMIs to a CPU that is in the hypervisor most of the time: each arrives once. */
void test_nmi_in_root(void)
{
	uint64_t exited;

	if (cpu_count < 2)
		return;
	if (!second_cpu(exit_for_ever)) {
		check_equal("the second CPU's answer", 0, 1);
		return;
	}
	exited = exits(1, SOCLE_EXIT_NMI);
	nmi_count[1] = 0;
	nmi_depth_max[1] = 0;
	for (uint64_t i = 1; i <= 500; i++) {
		send_nmi(1);
		if (!wait_for(&nmi_count[1], i))
			break;
		for (uint64_t k = 0; k < i % 37; k++)
			__asm__ volatile("pause");
	}
	CHECK_EQ(nmi_count[1], 500);
	CHECK_EQ(nmi_depth_max[1], 1);
	/* on VT-x an NMI in the hypervisor is no exit: some must have been */
	exited = exits(1, SOCLE_EXIT_NMI) - exited;
	say("ring0:   %u of 500 NMIs struck in the hypervisor\n", (unsigned)(500 - exited));
	if (!is_amd)
		CHECK_EQ(exited < 500, true);
}

static volatile uint64_t halts;

static void halt(void)
{
	__asm__ volatile("cli; hlt");
	halts++;
}

void test_nmi_wakes(void)
{
	if (cpu_count < 2)
		return;
	if (!second_cpu(halt)) {
		check_equal("the second CPU's answer", 0, 1);
		return;
	}
	for (unsigned i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	for (uint64_t i = 1; i <= 20; i++) {
		send_nmi(1);
		if (!wait_for(&halts, i))
			break;
		for (unsigned k = 0; k < 10000; k++)
			__asm__ volatile("pause");
	}
	CHECK_EQ(halts, 20);
}
