/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions: the vector, the error code, the saved RIP and CR2 are the processor's own, whether or
 * not the hypervisor had a hand in them.
 */
#include "lib/apic.h"

const char guest_name[] = "exceptions";

#define SELECTOR_BAD_TSS SELECTOR_FREE
#define SELECTOR_SMALL	 (SELECTOR_FREE + 16)
#define DESCRIPTOR_LDT	 0x0000820000000000ull
#define ABSENT_GATE	 0x0e
#define UNUSED_VECTOR	 0x90
#define NON_CANONICAL	 0x8000000000000000ull
#define PF_PRESENT	 1u
#define PF_WRITE	 2u
#define PF_USER		 4u
#define PF_RESERVED	 8u
#define PF_FETCH	 16u
#define DR6_B0		 1u
#define DR6_BD		 0x2000u
#define DR6_BS		 0x4000u
#define DR7_GD		 0x2000u
#define DR7_EXECUTE_0	 0x402u
#define DR7_WRITE_0	 0xd0402u /* four bytes */

/* Faults and traps of instructions ------------------------------------------------------------- */

static void test_arithmetic(void)
{
	struct trap trap = TRY("xorl %%ecx, %%ecx; divl %%ecx", : : : "rax", "rcx", "rdx");

	check_trap("#DE: division by 0", trap, VECTOR_DE, 0);
	check_trap("#UD: UD2", TRY("ud2", :), VECTOR_UD, 0);
	check_trap("#UD: LOCK on a register's instruction",
		   TRY(".byte 0xf0, 0x90",
		       :),
		   VECTOR_UD, 0);
	check_trap("#BP: INT3", TRY("int3", :), VECTOR_BP, 0);
	trap = TRY("movl $0x7fffffff, %%eax; addl $1, %%eax; .byte 0xce", : : : "rax");
	check_trap("#UD: INTO in 64-bit mode", trap, VECTOR_UD, 0);
	check_trap("none: INT to a gate", TRY("int $0x91", :), NO_TRAP, 0);
}

static void test_vmx_svm(void)
{
	check_trap("#UD: VMCALL", TRY(".byte 0x0f, 0x01, 0xc1", : : "a"(0)), VECTOR_UD, 0);
	check_trap("#UD: VMMCALL", TRY(".byte 0x0f, 0x01, 0xd9", : : "a"(0)), VECTOR_UD, 0);
	check_trap("#UD: VMRUN", TRY(".byte 0x0f, 0x01, 0xd8", : : "a"(0)), VECTOR_UD, 0);
	check_trap("#UD: VMXOFF", TRY(".byte 0x0f, 0x01, 0xc4", :), VECTOR_UD, 0);
	check_trap("#UD: MONITOR", TRY("monitor", : : "a"(0), "c"(0), "d"(0)), VECTOR_UD, 0);
	check_trap("#UD: MWAIT", TRY("mwait", : : "a"(0), "c"(0)), VECTOR_UD, 0);
	check_trap("#UD: RSM", TRY("rsm", :), VECTOR_UD, 0);
	check_trap("nothing: WBINVD", TRY("wbinvd", :), NO_TRAP, 0);
	check_trap("nothing: INVD", TRY("invd", :), NO_TRAP, 0);
}

/* Stacks that cannot be used: the handlers need one of their own. */
static void test_stack(void)
{
	struct trap trap;

	guest_idt[VECTOR_SS].ist = 1;
	guest_idt[VECTOR_GP].ist = 1;
	trap = TRY("movq %0, %%rsp; pushq %%rax", : : "r"(NON_CANONICAL));
	guest_idt[VECTOR_SS].ist = 0;
	guest_idt[VECTOR_GP].ist = 0;
	if (on_qemu())
		check_skip("#SS: a non-canonical stack", "QEMU raises #GP for any such address");
	else
		check_trap("#SS: a non-canonical stack", trap, VECTOR_SS, 0);
}

static void test_general_protection(void)
{
	struct trap trap = TRY("rdmsr", : : "c"(0x12345) : "rax", "rdx");

	check_trap("#GP: RDMSR of a register that is not there", trap, VECTOR_GP, 0);
	trap = TRY("movb (%0), %%al", : : "r"(NON_CANONICAL) : "rax");
	check_trap("#GP: a non-canonical address", trap, VECTOR_GP, 0);
	trap = TRY("movw %w0, %%es", : : "r"(0xf000));
	check_trap("#GP: a selector behind the GDT", trap, VECTOR_GP, 0xf000);
	trap = TRY("int $0x90", :);
	if (on_qemu())
		check_equal("#GP: INT without a gate (QEMU: a code of its own)", VECTOR_GP,
			    trap.vector);
	else
		check_trap("#GP: INT without a gate", trap, VECTOR_GP, UNUSED_VECTOR << 3 | 2);
	trap = TRY("xsetbv", : : "a"(1), "c"(0), "d"(0));
	check_trap("#UD: XSETBV without OSXSAVE", trap, VECTOR_UD, 0);
}

static void test_control_registers(void)
{
	if (on_qemu()) {
		check_skip("#GP: reserved bits of control registers",
			   "QEMU takes them, and makes VMEXIT_INVALID of them");
		return;
	}
	check_trap("#GP: CR4 with reserved bits",
		   TRY("mov %0, %%cr4",
		       :
		       : "r"(get_cr4() | 1ull << 40)),
		   VECTOR_GP, 0);
	check_trap("#GP: CR0 with PG and not PE",
		   TRY("mov %0, %%cr0",
		       :
		       : "r"(get_cr0() & ~CR0_PE)),
		   VECTOR_GP, 0);
	check_trap("#GP: CR8 above 15", TRY("mov %0, %%cr8", : : "r"(16ull)), VECTOR_GP, 0);
}

static void test_segments(void)
{
	struct trap trap;

	trap = TRY("movw %w0, %%ds", : : "r"(SELECTOR_ABSENT));
	check_trap("#NP: an absent data segment", trap, VECTOR_NP, SELECTOR_ABSENT);
	trap = TRY("movw %w0, %%ss", : : "r"(SELECTOR_ABSENT));
	check_trap("#SS: an absent stack segment", trap, VECTOR_SS, SELECTOR_ABSENT);
	guest_idt[UNUSED_VECTOR].attributes = ABSENT_GATE;
	trap = TRY("int $0x90", :);
	guest_idt[UNUSED_VECTOR].attributes = 0;
	if (on_qemu())
		check_equal("#NP: an absent gate (QEMU: a code of its own)", VECTOR_NP,
			    trap.vector);
	else
		check_trap("#NP: an absent gate", trap, VECTOR_NP, UNUSED_VECTOR << 3 | 2);
	check_equal("#NP: RIP is at the INT", 0x90cd, *(const uint16_t *)trap.rip);
}

/* An interrupt from CPL 3 needs a stack from the TSS; a task switch does not exist here. */
static void user_int(void)
{
	__asm__ volatile("int $0x80");
}

static void test_tss(void)
{
	struct tss *tss = &this_cpu()->tss;
	uint64_t stack = tss->rsp[0];
	struct trap trap = user_run(user_int);

	check_trap("INT from CPL 3", trap, 0x80, 0);
	check_equal("INT from CPL 3: its CS", SELECTOR_USER_CODE, trap.cs);
	tss->rsp[0] = NON_CANONICAL;
	guest_idt[VECTOR_SS].ist = 1;
	guest_idt[VECTOR_GP].ist = 1;
	trap = user_run(user_int);
	guest_idt[VECTOR_SS].ist = 0;
	guest_idt[VECTOR_GP].ist = 0;
	tss->rsp[0] = stack;
	if (on_qemu())
		check_skip("#SS: the TSS' stack is not canonical",
			   "QEMU raises #GP for any such address");
	else if (trap.vector == VECTOR_SS && trap.error == (SELECTOR_USER_DATA & ~3u))
		check_skip("#SS: the TSS' stack is not canonical",
			   "Bochs gives the old SS as the code");
	else
		check_trap("#SS: the TSS' stack is not canonical", trap, VECTOR_SS, 0);
	trap = TRY("ltr %w0", : : "r"(SELECTOR_DATA));
	check_trap("#GP: LTR of a data segment", trap, VECTOR_GP, SELECTOR_DATA);
	gdt_set(SELECTOR_BAD_TSS, 0x0000090000000067ull);
	gdt_set(SELECTOR_BAD_TSS + 8, 0);
	trap = TRY("ltr %w0", : : "r"(SELECTOR_BAD_TSS));
	check_trap("#NP: LTR of an absent TSS", trap, VECTOR_NP, SELECTOR_BAD_TSS);
}

/* Returning through a TSS is #TS or #GP in 64-bit mode: IRET with NT set. */
static void test_task(void)
{
	struct trap trap = TRY("pushfq; orq $0x4000, (%%rsp); popfq; iretq", : : : "memory", "cc");

	check_trap("#GP: IRET with NT set", trap, VECTOR_GP, 0);
	trap = TRY("ljmp *%0",
		   :
		   : "m"(*&(const struct {
			   uint32_t offset;
			   uint16_t selector;
		   }){0, SELECTOR_TSS}));
	check_trap("#GP: a far jump to a TSS", trap, VECTOR_GP, SELECTOR_TSS);
}

/* Page faults -------------------------------------------------------------------------------- */

static uint8_t page[4096] __attribute__((aligned(4096)));
static uint8_t *mapped;

static void user_read(void)
{
	__asm__ volatile("movb (%0), %%al; int $0x80" : : "r"(mapped) : "rax");
}

static void user_write(void)
{
	__asm__ volatile("movb $1, (%0); int $0x80" : : "r"(mapped));
}

static void check_page(const char *name, struct trap trap, uint64_t error)
{
	if (check_trap(name, trap, VECTOR_PF, error))
		check_equal("its CR2", (uint64_t)mapped, trap.cr2);
}

static void test_page_faults(void)
{
	uint64_t physical = (uint64_t)page;
	struct trap trap;

	mapped = window_map(1, 0);
	check_page("#PF: read, not present", TRY("movb (%0), %%al", : : "r"(mapped) : "rax"), 0);
	check_page("#PF: write, not present", TRY("movb $0, (%0)", : : "r"(mapped)), PF_WRITE);
	check_page("#PF: user read, not present", user_run(user_read), PF_USER);
	check_page("#PF: fetch, not present", TRY("jmp *%0", : : "r"(mapped)), PF_FETCH);
	window_map(1, physical | PAGE_PRESENT);
	check_page("#PF: write, read-only",
		   TRY("movb $0, (%0)",
		       :
		       : "r"(mapped)),
		   PF_PRESENT | PF_WRITE);
	check_page("#PF: user read, supervisor's", user_run(user_read), PF_PRESENT | PF_USER);
	check_page("#PF: user write, supervisor's", user_run(user_write),
		   PF_PRESENT | PF_USER | PF_WRITE);
	window_map(1, physical | PAGE_PRESENT | PAGE_WRITE | PAGE_NO_EXECUTE);
	check_page("#PF: fetch, no-execute",
		   TRY("jmp *%0",
		       :
		       : "r"(mapped)),
		   PF_PRESENT | PF_FETCH);
	window_map(1, physical | PAGE_PRESENT | 1ull << 51);
	trap = TRY("movb (%0), %%al", : : "r"(mapped) : "rax");
	if (on_qemu()) /* it leaves P clear in the code */
		trap.error |= PF_PRESENT;
	check_page("#PF: a reserved bit", trap, PF_PRESENT | PF_RESERVED);
	window_map(1, physical | PAGE_PRESENT | PAGE_WRITE | PAGE_USER);
	check_trap("none: user write to a user page", user_run(user_write), 0x80, 0);
	window_map(1, 0);
}

/* The second exception of two ------------------------------------------------------------------ */

/* While #UD is delivered: the code says so by its lowest bit, EXT. */
static void check_nested(const char *name, struct trap trap)
{
	if (on_qemu())
		trap.error = (trap.error & 2) != 0 ? VECTOR_UD << 3 | 3 : trap.error;
	check_trap(name, trap, VECTOR_NP, VECTOR_UD << 3 | 3);
}

static void test_double_fault(void)
{
	struct gate gate = guest_idt[VECTOR_PF];
	struct trap trap;

	mapped = window_map(1, 0);
	guest_idt[VECTOR_PF].attributes = 0;
	trap = TRY("movb (%0), %%al", : : "r"(mapped) : "rax");
	guest_idt[VECTOR_PF] = gate;
	check_trap("#DF: a page fault whose gate is absent", trap, VECTOR_DF, 0);
	gate = guest_idt[VECTOR_GP];
	guest_idt[VECTOR_GP].attributes = 0;
	trap = TRY("rdmsr", : : "c"(0x12345) : "rax", "rdx");
	guest_idt[VECTOR_GP] = gate;
	check_trap("#DF: a #GP of the hypervisor's whose gate is absent", trap, VECTOR_DF, 0);
	gate = guest_idt[VECTOR_DE];
	guest_idt[VECTOR_DE].attributes = ABSENT_GATE;
	trap = TRY("xorl %%ecx, %%ecx; divl %%ecx", : : : "rax", "rcx", "rdx");
	guest_idt[VECTOR_DE] = gate;
	/* Contributory after contributory: #DF. */
	check_trap("#DF: a #DE whose gate is absent", trap, VECTOR_DF, 0);
	gate = guest_idt[VECTOR_UD];
	guest_idt[VECTOR_UD].attributes = ABSENT_GATE;
	trap = TRY("ud2", :);
	guest_idt[VECTOR_UD] = gate;
	check_nested("#NP: a #UD whose gate is absent", trap);
	gate = guest_idt[VECTOR_UD];
	guest_idt[VECTOR_UD].attributes = ABSENT_GATE;
	trap = TRY(".byte 0x0f, 0x01, 0xd9", : : "a"(0));
	guest_idt[VECTOR_UD] = gate;
	check_nested("#NP: a #UD of the hypervisor's whose gate is absent", trap);
}

/* Debug exceptions ----------------------------------------------------------------------------- */

static volatile uint32_t watched;

static void check_debug(const char *name, struct trap trap, uint64_t status)
{
	check_trap(name, trap, VECTOR_DB, 0);
	check_equal("its DR6", status, trap.dr6 & 0xe00f);
	set_dr6(0xffff0ff0);
}

static void test_debug(void)
{
	struct trap trap;

	set_dr6(0xffff0ff0);
	trap = TRY("pushfq; orq $0x100, (%%rsp); popfq; nop; nop", : : : "memory", "cc");
	check_debug("#DB: single step", trap, DR6_BS);
	trap = TRY("pushfq; orq $0x100, (%%rsp); popfq; cpuid",
		   :
		   : "a"(0)
		   : "rbx", "rcx", "rdx", "memory", "cc");
	check_debug("#DB: single step over an instruction that exits", trap, DR6_BS);
	check_equal("it is behind the CPUID", 0xa20f, *(const uint16_t *)(trap.rip - 2));
	trap = TRY("pushfq; orq $0x100, (%%rsp); popfq; inb $0x21, %%al",
		   :
		   :
		   : "rax", "memory", "cc");
	check_debug("#DB: single step over a port", trap, DR6_BS);
	check_equal("it is behind the IN", 0x21e4, *(const uint16_t *)(trap.rip - 2));
	trap = TRY("pushfq; orq $0x100, (%%rsp); popfq; movl (%0), %%eax",
		   :
		   : "r"(0xfed00000ull)
		   : "rax", "memory", "cc");
	check_debug("#DB: single step over a memory-mapped register", trap, DR6_BS);
}

static void test_breakpoints(void)
{
	struct trap trap;

	set_dr0((uint64_t)&watched);
	set_dr7(DR7_WRITE_0);
	trap = TRY("movl $1, %0; nop", : "=m"(watched));
	set_dr7(0x400);
	check_debug("#DB: a data breakpoint", trap, DR6_B0);
	set_dr0((uint64_t)user_int);
	set_dr7(DR7_EXECUTE_0);
	trap = TRY("call *%0", : : "r"(user_int) : "memory");
	set_dr7(0x400);
	check_debug("#DB: an instruction breakpoint", trap, DR6_B0);
	check_equal("it is at the instruction", (uint64_t)user_int, trap.rip);
	check_equal("DR0 reads back", (uint64_t)user_int, get_dr0());
	if (on_qemu()) {
		check_skip("#DB: general detect", "QEMU has none");
		return;
	}
	set_dr7(0x400 | DR7_GD);
	trap = TRY("mov %%dr0, %%rax", : : : "rax");
	check_debug("#DB: general detect", trap, DR6_BD);
	check_equal("general detect clears itself", 0x400, get_dr7());
}

static void test_fpu_and_alignment(void)
{
	uint64_t cr0 = get_cr0();
	struct trap trap;

	set_cr0(cr0 | CR0_TS);
	trap = TRY("fnop", :);
	set_cr0(cr0);
	check_trap("#NM: x87 with CR0.TS", trap, VECTOR_NM, 0);
	set_cr0(cr0 | CR0_EM);
	trap = TRY("xorps %%xmm0, %%xmm0", :);
	set_cr0(cr0);
	check_trap("#UD: SSE with CR0.EM", trap, VECTOR_UD, 0);
	trap = TRY("fninit; fldcw %0; fld1; fldz; fdivrp; fwait",
		   :
		   : "m"(*&(const uint16_t){0x37b})
		   : "memory");
	check_trap("#MF: an unmasked division by 0", trap, VECTOR_MF, 0);
	__asm__ volatile("fninit");
	if (on_qemu()) {
		check_skip("#XM and #GP of MXCSR", "QEMU raises neither");
		return;
	}
	trap = TRY("ldmxcsr %0; xorps %%xmm0, %%xmm0; divss %%xmm0, %%xmm0",
		   :
		   : "m"(*&(const uint32_t){0x1f00})
		   : "memory");
	check_trap("#XM: an unmasked invalid operation", trap, VECTOR_XM, 0);
	__asm__ volatile("ldmxcsr %0" : : "m"(*&(const uint32_t){0x1f80}));
	trap = TRY("ldmxcsr %0", : : "m"(*&(const uint32_t){0x80000000}));
	check_trap("#GP: reserved bits of MXCSR", trap, VECTOR_GP, 0);
}

static void user_misaligned(void)
{
	__asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq; movl 1(%0), %%eax; int $0x80"
			 :
			 : "r"(page)
			 : "rax", "memory", "cc");
}

static void test_alignment(void)
{
	uint64_t cr0 = get_cr0();
	struct trap trap;

	set_cr0(cr0 | CR0_AM);
	trap = user_run(user_misaligned);
	set_cr0(cr0);
	if (on_qemu())
		check_skip("#AC: alignment check", "QEMU checks no alignment");
	else
		check_trap("#AC: alignment check", trap, VECTOR_AC, 0);
}

/* Ports from CPL 3 -------------------------------------------------------------------------------
 */

static void user_port(void)
{
	__asm__ volatile("inb $0x21, %%al; int $0x80" : : : "rax");
}

static void test_user_ports(void)
{
	struct tss *tss = &this_cpu()->tss;

	check_trap("#GP: a port that the TSS refuses", user_run(user_port), VECTOR_GP, 0);
	tss->ports[0x21 / 8] &= (uint8_t) ~(1u << 0x21 % 8);
	check_trap("a port that the TSS allows", user_run(user_port), 0x80, 0);
	tss->ports[0x21 / 8] = 0xff;
}

void guest_test(void)
{
	guest_idt[UNUSED_VECTOR].attributes = 0;
	apic_enable(false);
	test_arithmetic();
	test_vmx_svm();
	test_general_protection();
	test_control_registers();
	test_stack();
	test_segments();
	test_tss();
	test_task();
	test_page_faults();
	test_double_fault();
	test_fpu_and_alignment();
	test_alignment();
	test_user_ports();
	test_debug();
	test_breakpoints();
}
