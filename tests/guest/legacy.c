/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A system of the 32-bit age: protected mode with 32-bit paging or (GUEST_PAE) PAE paging, from its
 * start to its end. Exceptions, page faults, ports, memory-mapped registers through segments,
 * interrupts, privilege levels, 16-bit code, virtual-8086 mode, and task switches, which Socle
 * refuses with #GP.
 */
#include "lib32/guest.h"

#ifdef GUEST_PAE
const char guest_name[] = "pae";
#else
const char guest_name[] = "protected";
#endif

#define HPET	     0xfed00000u
#define PIC1	     0x20
#define PIC_MASK     0x21 /* a port that reads back what was written */
#define PIC_EOI	     0x20
#define PIT_0	     0x40
#define PIT_MODE     0x43
#define PIT_ONE_SHOT 0x30
#define SELF_IPI     0x40000u
#define APIC_SVR     0x0f
#define APIC_ICR     0x30
#define APIC_LINT0   0x35
#define LVT_EXTINT   0x700u
#define LVT_MASKED   0x10000u
#define VECTOR	     0x51u
#define EFLAGS_VM    0x20000u
#define EFLAGS_NT    0x4000u
#define EFLAGS_TF    0x100u
#define DR6_BS	     0x4000u

#define PF_PRESENT  1u
#define PF_WRITE    2u
#define PF_USER	    4u
#define PF_RESERVED 8u
#define PF_FETCH    16u

#define CODE	   0xc9b /* descriptors' attributes: 32 bits, page granular */
#define DATA	   0xc93
#define DATA_SMALL 0x493
#define USER_SMALL 0x4f3
#define TSS	   0x089
#define TASK_GATE  0xe5
#define CALL_GATE  0xec /* DPL 3 */
#define FREE(n)	   (SELECTOR_FREE + 8 * (n))

static uint8_t page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t *mapped;

/* What QEMU's emulation does not check. */
static void check_segment(const char *name, struct trap found)
{
	if (on_qemu() && !found.happened)
		check_skip(name, "QEMU does not look at limits and types of segments");
	else
		check_trap(name, found, VECTOR_GP, 0);
}

/* Exceptions ----------------------------------------------------------------------------------- */

static void test_exceptions(void)
{
	static const int32_t bounds[2] = {1, 2};
	uint32_t cr0 = (uint32_t)get_cr0();

	say("# exceptions\n");
	check_trap("#DE: division by 0",
		   TRY("xorl %%ecx, %%ecx; divl %%ecx",
		       :
		       :
		       : "eax", "ecx", "edx"),
		   VECTOR_DE, 0);
	check_trap("#UD: UD2", TRY("ud2", :), VECTOR_UD, 0);
	check_trap("#BP: INT3", TRY("int3", :), VECTOR_BP, 0);
	check_trap("#OF: INTO",
		   TRY("movb $0x7f, %%al; addb $1, %%al; into",
		       :
		       :
		       : "eax", "cc"),
		   VECTOR_OF, 0);
	check_trap("#BR: BOUND", TRY("bound %0, %1", : : "r"(3), "m"(bounds)), 5, 0);
	set_cr0(cr0 | CR0_TS);
	check_trap("#NM: x87 with CR0.TS", TRY("fnop", :), VECTOR_NM, 0);
	set_cr0(cr0);
	check_trap("#GP: a selector behind the GDT",
		   TRY("movw %w0, %%fs",
		       :
		       : "r"(0xf000)),
		   VECTOR_GP, 0xf000);
	check_trap("#NP: an absent data segment",
		   TRY("movw %w0, %%fs",
		       :
		       : "r"(SELECTOR_ABSENT)),
		   VECTOR_NP, SELECTOR_ABSENT);
	check_trap("#SS: an absent stack segment",
		   TRY("movw %w0, %%ss",
		       :
		       : "r"(SELECTOR_ABSENT)),
		   VECTOR_SS, SELECTOR_ABSENT);
	check_trap("#GP: RDMSR of a register that is not there",
		   TRY("rdmsr",
		       :
		       : "c"(0x12345)
		       : "eax", "edx"),
		   VECTOR_GP, 0);
	gdt_set(FREE(0), descriptor((uint32_t)page, 15, DATA_SMALL));
	check_trap("none: inside a segment's limit",
		   TRY("movw %w0, %%fs; movl %%fs:12, %%eax",
		       :
		       : "r"(FREE(0))
		       : "eax"),
		   NO_TRAP, 0);
	check_segment("#GP: across a segment's limit", TRY("movw %w0, %%fs; movl %%fs:13, %%eax",
							   :
							   : "r"(FREE(0))
							   : "eax"));
	check_segment("#GP: the null selector", TRY("movw %w0, %%fs; movl %%fs:0, %%eax",
						    :
						    : "r"(0)
						    : "eax"));
	check_segment("#GP: a write to code", TRY("movb $0, %%cs:(%0)", : : "r"(page)));
}

static void check_step(const char *name, struct trap trap)
{
	if (check_trap(name, trap, VECTOR_DB, 0))
		check_equal("DR6", DR6_BS, trap.dr6 & 0xe00f);
}

static void test_steps(void)
{
	check_step("#DB: single step", TRY("pushfl; orl $0x100, (%%esp); popfl; nop; nop",
					   :
					   :
					   : "memory", "cc"));
	check_step("#DB: single step over CPUID", TRY("pushfl; orl $0x100, (%%esp); popfl; cpuid",
						      :
						      : "a"(0)
						      : "ebx", "ecx", "edx", "memory", "cc"));
	check_step("#DB: single step over a port",
		   TRY("pushfl; orl $0x100, (%%esp); popfl; inb $0x21, %%al",
		       :
		       :
		       : "eax", "memory", "cc"));
	check_step("#DB: single step over a memory-mapped register",
		   TRY("pushfl; orl $0x100, (%%esp); popfl; movl (%0), %%eax",
		       :
		       : "r"(HPET)
		       : "eax", "memory", "cc"));
}

/* Page faults ---------------------------------------------------------------------------------- */

static void user_int(void)
{
	__asm__ volatile("int $0x80");
}

static void user_read(void)
{
	__asm__ volatile("movb (%0), %%al; int $0x80" : : "r"(mapped) : "eax");
}

static void user_write(void)
{
	__asm__ volatile("movb $1, (%0); int $0x80" : : "r"(mapped));
}

static void check_page(const char *name, struct trap trap, uint32_t error)
{
	if (check_trap(name, trap, VECTOR_PF, error))
		check_equal("its CR2", (uint32_t)mapped, trap.cr2);
}

static void test_page_faults(void)
{
	uint32_t physical = (uint32_t)page;

	say("# page faults\n");
	mapped = window_map(1, 0);
	check_page("#PF: read, not present", TRY("movb (%0), %%al", : : "r"(mapped) : "eax"), 0);
	check_page("#PF: write, not present", TRY("movb $0, (%0)", : : "r"(mapped)), PF_WRITE);
	check_page("#PF: user read, not present", user_run(user_read), PF_USER);
	window_map(1, physical | PAGE_PRESENT);
	check_page("#PF: write, read-only",
		   TRY("movb $0, (%0)",
		       :
		       : "r"(mapped)),
		   PF_PRESENT | PF_WRITE);
	check_page("#PF: user read, supervisor's", user_run(user_read), PF_PRESENT | PF_USER);
	check_page("#PF: user write, supervisor's", user_run(user_write),
		   PF_PRESENT | PF_USER | PF_WRITE);
	set_cr0(get_cr0() & ~CR0_WP);
	check_trap("none: write, read-only, WP clear",
		   TRY("movb $0, (%0)",
		       :
		       : "r"(mapped)),
		   NO_TRAP, 0);
	set_cr0(get_cr0() | CR0_WP);
	window_map(1, physical | PAGE_PRESENT | PAGE_WRITE | PAGE_USER);
	check_trap("none: user write to a user page", user_run(user_write), 0x80, 0);
	check_equal("the entry is accessed and dirty", PAGE_ACCESSED | PAGE_DIRTY,
		    guest_window_table[1] & (PAGE_ACCESSED | PAGE_DIRTY));
#ifdef GUEST_PAE
	window_map(1, physical | PAGE_PRESENT | PAGE_WRITE | 1ull << 63);
	check_page("#PF: fetch, no-execute",
		   TRY("jmp *%0",
		       :
		       : "r"(mapped)),
		   PF_PRESENT | PF_FETCH);
	window_map(1, physical | PAGE_PRESENT | 1ull << 51);
	struct trap trap = TRY("movb (%0), %%al", : : "r"(mapped) : "eax");

	if (on_qemu()) /* it leaves P clear in the code */
		trap.error |= PF_PRESENT;
	check_page("#PF: a reserved bit", trap, PF_PRESENT | PF_RESERVED);
#endif
	window_map(1, 0);
}

#ifdef GUEST_PAE
/* With PAE paging a write to CR3 loads the four pointers, which count until the next. */
static void test_pointers(void)
{
	volatile paging_entry *pointers = (paging_entry *)(uint32_t)get_cr3();
	paging_entry saved = pointers[2];

	/* With nested paging AMD-V looks at them when it needs them (APM volume 2, 15.25.10). */
	if (is_amd()) {
		check_skip("PAE: when the pointers are loaded", "this processor has none");
		return;
	}
	pointers[2] = saved | 1ull << 62;
	check_trap("#GP: reserved bits of a pointer",
		   TRY("movl %%cr3, %%eax; movl %%eax, %%cr3",
		       :
		       :
		       : "eax", "memory"),
		   VECTOR_GP, 0);
	pointers[2] = 0;
	mmio_read(HPET); /* an exit to the VMM and back does not look either */
	check_trap("none: a pointer that was loaded",
		   TRY("movl 0x80000000, %%eax",
		       :
		       :
		       : "eax", "memory"),
		   NO_TRAP, 0);
	set_cr3(get_cr3());
	mapped = (uint8_t *)0x80000000;
	check_page("#PF: a pointer that is gone",
		   TRY("movl 0x80000000, %%eax",
		       :
		       :
		       : "eax", "memory"),
		   0);
	pointers[2] = saved;
	set_cr3(get_cr3());
}
#endif

/* CR3 is written with the tables changed underneath. */
static void test_tables(void)
{
	volatile uint8_t *at = window_map(2, (uint32_t)page | PAGE_PRESENT | PAGE_WRITE);

	page[0] = 1;
	check_equal("a page through the window", 1, *at);
	((volatile paging_entry *)guest_window_table)[2] = (uint32_t)guest_idt | PAGE_PRESENT;
	set_cr3(get_cr3());
	check_equal("another page, after a write to CR3", *(volatile uint8_t *)guest_idt, *at);
#ifdef GUEST_PAE
	test_pointers();
#endif
}

/* What exits ----------------------------------------------------------------------------------- */

static void test_ports(void)
{
	static const uint8_t bytes[] = {1, 2, 0x5a};
	uint8_t found[4] = {0, 0, 0, 0};
	uint32_t at = 0, count = 3;

	say("# ports\n");
	__asm__ volatile("rep outsb"
			 : "=S"(at), "+c"(count)
			 : "0"(bytes), "d"(PIC_MASK)
			 : "memory");
	check_equal("REP OUTSB", 0x5a, in8(PIC_MASK));
	gdt_set(FREE(0), descriptor((uint32_t)found, 2, DATA_SMALL));
	at = 0;
	count = 3;
	__asm__ volatile("pushl %%es; movw %w3, %%es; rep insb; popl %%es"
			 : "+D"(at), "+c"(count)
			 : "d"(PIC_MASK), "r"(FREE(0))
			 : "memory");
	check_equal("REP INSB through ES", 0x5a5a5a, *(uint32_t *)found);
	check_equal("its EDI", 3, at);
	check_trap("#GP: INSB across ES' limit",
		   TRY("movw %w1, %%es; insb",
		       : "+D"(at)
		       : "r"(FREE(0)), "d"(PIC_MASK)
		       : "memory"),
		   VECTOR_GP, 0);
	at = 0x10000;
	__asm__ volatile("pushl %%es; movw %w2, %%es; addr16 insb; popl %%es"
			 : "+D"(at)
			 : "d"(PIC_MASK), "r"(FREE(0))
			 : "memory");
	check_equal("INSB with 16-bit addresses: EDI", 0x10001, at);
	at = (uint32_t)bytes - 5;
	gdt_set(FREE(1), descriptor(5, 0xfffff, DATA));
	__asm__ volatile("movw %w1, %%gs; gs outsb" : "+S"(at) : "r"(FREE(1)), "d"(PIC_MASK));
	check_equal("OUTSB through GS", 1, in8(PIC_MASK));
}

static void test_memory(void)
{
	uint32_t expected = mmio_read(HPET), found;

	say("# memory-mapped registers\n");
	gdt_set(FREE(0), descriptor(HPET - 0x234, 0xfffff, DATA));
	__asm__ volatile("movw %w1, %%fs; movl %%fs:0x234, %0" : "=r"(found) : "r"(FREE(0)));
	check_equal("through FS", expected, found);
	__asm__ volatile("movw %w1, %%fs; movl $0x200, %%ebx; movl $0x34, %%esi;"
			 "movl %%fs:(%%bx,%%si), %0"
			 : "=r"(found)
			 : "r"(FREE(0))
			 : "ebx", "esi");
	check_equal("with 16-bit addresses", expected, found);
	mapped = window_map(3, HPET | PAGE_PRESENT | PAGE_WRITE);
	check_equal("through a page", expected, mmio_read((uint32_t)mapped));
	__asm__ volatile("pushl (%1); popl %0" : "=r"(found) : "r"(HPET) : "memory");
	check_equal("PUSH from it", expected, found);
	mmio_write(HPET + 0x108, 0x1234);
	__asm__ volatile("addl $0x1111, (%0)" : : "r"(HPET + 0x108) : "memory", "cc");
	check_equal("ADD to it", 0x2345, mmio_read(HPET + 0x108));
	check_equal("CPUID", 1, cpuid(1, 0).d >> 6 & 1); /* PAE exists */
	check_equal("RDMSR", LOCAL_APIC, rdmsr(MSR_APIC_BASE) & 0xfffff000);
}

/* Interrupts ----------------------------------------------------------------------------------- */

static void acknowledge_pic(struct frame *frame)
{
	guest_count[frame->vector & 255]++;
	out8(PIC1, PIC_EOI);
}

static void start_pit(void)
{
	out8(PIT_MODE, PIT_ONE_SHOT);
	out8(PIT_0, 0xd0);
	out8(PIT_0, 0x07);
}

static void pic_init(void)
{
	out8(PIC1, 0x11);
	out8(PIC_MASK, 0x20);
	out8(PIC_MASK, 4);
	out8(PIC_MASK, 1);
	out8(PIC_MASK, 0xfe);
}

static void user_wait(void)
{
	for (;;)
		__asm__ volatile("pause");
}

/* Ends the wait of CPL 3 as an INT would. */
static void leave_user(struct frame *frame)
{
	check_equal("an interrupt of CPL 3: its CS", SELECTOR_USER_CODE, frame->cs);
	acknowledge_pic(frame);
	frame->eip = (uint32_t)user_int;
}

static void test_interrupts(void)
{
	say("# interrupts\n");
	trap_handle(0x20, acknowledge_pic);
	pic_init();
	lapic_write(APIC_SVR, 0x1ff);
	lapic_write(APIC_LINT0, LVT_EXTINT);
	start_pit();
	check_true("PIC", wait_count(&guest_count[0x20], 1));
	start_pit();
	halt();
	check_equal("PIC, from HLT", 2, guest_count[0x20]);
	trap_handle(0x20, leave_user);
	start_pit();
	check_trap("PIC, at CPL 3",
		   enter(SELECTOR_USER_CODE, (uint32_t)user_wait, SELECTOR_USER_DATA,
			 (uint32_t)page + PAGE_BYTES, RFLAGS_IF | 2),
		   0x80, 0);
	trap_handle(0x20, NULL);
	lapic_write(APIC_LINT0, LVT_MASKED);
	out8(PIC_MASK, 0xff);
	lapic_write(APIC_ICR, SELF_IPI | VECTOR);
	check_equal("self-IPI: not while IF is clear", 0, guest_count[VECTOR]);
	__asm__ volatile("sti; nop; cli" : : : "memory");
	check_equal("self-IPI", 1, guest_count[VECTOR]);
}

/* Privilege levels and 16-bit code ------------------------------------------------------------- */

extern uint8_t legacy_gate[], legacy_user[], legacy_code16[], legacy_port16[];
__asm__("legacy_gate: movl 4+4(%esp), %eax; lret $4\n" /* EIP, CS, the parameter */
	"legacy_user: pushl $0x1234567; lcall *legacy_far; int $0x80\n"
	"legacy_port16:\n\t.code16\n\tmovb $0x77, %al; outb %al, $0x21; inb $0x21, %al; lretl\n"
	"\t.code32\n");
extern struct {
	uint32_t offset;
	uint16_t selector;
} __attribute__((packed)) legacy_far;
typeof(legacy_far) legacy_far;

static void user_port(void)
{
	__asm__ volatile("inb $0x21, %%al; int $0x80" : : : "eax");
}

static void user_cli(void)
{
	__asm__ volatile("cli; int $0x80");
}

static void test_levels(void)
{
	struct trap trap;
	uint32_t al;

	say("# privilege levels\n");
	check_trap("INT from CPL 3", trap = user_run(user_int), 0x80, 0);
	check_equal("its CS", SELECTOR_USER_CODE, trap.cs);
	check_trap("#GP: CLI at CPL 3", user_run(user_cli), VECTOR_GP, 0);
	check_trap("#GP: a port that the TSS refuses", user_run(user_port), VECTOR_GP, 0);
	guest_tss.ports[0x21 / 8] &= (uint8_t) ~(1u << 0x21 % 8);
	check_trap("a port that the TSS allows", user_run(user_port), 0x80, 0);
	guest_tss.ports[0x21 / 8] = 0xff;
	/* One parameter; it comes back in EAX. */
	gdt_set(FREE(2), ((uint32_t)legacy_gate & 0xffff) | SELECTOR_CODE << 16 | 1ull << 32 |
				 (uint64_t)CALL_GATE << 40 |
				 (uint64_t)((uint32_t)legacy_gate >> 16) << 48);
	legacy_far.selector = FREE(2) | 3;
	trap = user_run((void (*)(void))legacy_user);
	check_trap("a call gate, from CPL 3 and back", trap, 0x80, 0);
	check_equal("its parameter", 0x1234567, trap.eax);
	check_equal("and CS afterwards", SELECTOR_USER_CODE, trap.cs);
	gdt_set(FREE(3), descriptor((uint32_t)legacy_port16, 0xfff, 0x09b));
	__asm__ volatile("lcall %1, $0" : "=a"(al) : "i"(FREE(3)) : "memory");
	check_equal("a port of 16-bit code", 0x77, al & 0xff);
}

/* Virtual-8086 mode ---------------------------------------------------------------------------- */

#define V86_SEGMENT 0x1000u
#define V86_STACK   0x3000u
#define V86_VIDEO   0xa000u

static struct trap v86_run(const uint8_t *code, unsigned bytes)
{
	uint8_t *to = (uint8_t *)(uintptr_t)(V86_SEGMENT << 4);

	for (unsigned i = 0; i < bytes; i++)
		to[i] = code[i];
	/* IRET takes ES, DS, FS and GS too: of all, the video memory's. */
	return TRY("pushl %0; pushl %0; pushl %0; pushl %0;"
		   "pushl %1; pushl $0xfff0; pushl $0x20002; pushl %2; pushl $0; iretl",
		   :
		   : "i"(V86_VIDEO), "i"(V86_STACK), "i"(V86_SEGMENT)
		   : "eax", "ecx", "ebx", "edx", "esi", "edi", "ebp", "memory", "cc");
}

static void test_v86(void)
{
	static const uint8_t port[] = {0xe4, 0x21, 0xf4};	  /* in al, 0x21; hlt */
	static const uint8_t soft[] = {0x90, 0xcd, 0x21};	  /* nop; int 0x21 */
	static const uint8_t memory[] = {0x66, 0xa1, 4, 0, 0xf4}; /* mov eax, [4]; hlt */
	static const uint8_t leaf[] = {
		0x66, 0xb8, 0,	  0,	0,   0x40, 0x0f,
		0xa2, 0x66, 0x89, 0xd8, 0xf4}; /* mov eax, 0x40000000; cpuid; mov eax, ebx; hlt */
	struct trap trap;

	say("# virtual-8086 mode\n");
	trap = v86_run(soft, sizeof(soft));
	check_trap("#GP: INT", trap, VECTOR_GP, 0);
	check_equal("its CS", V86_SEGMENT, trap.cs);
	check_equal("its EIP", 1, trap.eip);
	check_equal("its EFLAGS.VM", EFLAGS_VM, trap.eflags & EFLAGS_VM);
	trap = v86_run(port, sizeof(port));
	check_trap("#GP: a port that the TSS refuses", trap, VECTOR_GP, 0);
	check_equal("its EIP", 0, trap.eip);
	guest_tss.ports[0x21 / 8] &= (uint8_t) ~(1u << 0x21 % 8);
	out8(PIC_MASK, 0x6b);
	trap = v86_run(port, sizeof(port));
	guest_tss.ports[0x21 / 8] = 0xff;
	check_equal("a port that the TSS allows: it came to the HLT", 2, trap.eip);
	check_equal("the port", 0x6b, trap.eax & 0xff);
	trap = v86_run(leaf, sizeof(leaf));
	check_equal("CPUID: it came to the HLT", sizeof(leaf) - 1, trap.eip);
	check_equal("CPUID", cpuid(0x40000000, 0).b, trap.eax);
	guest_low_table[V86_VIDEO >> 8] = HPET | PAGE_PRESENT | PAGE_WRITE | PAGE_USER;
	flush_page((void *)(V86_VIDEO << 4));
	trap = v86_run(memory, sizeof(memory));
	check_equal("a memory-mapped register: it came to the HLT", 4, trap.eip);
	check_equal("the register", mmio_read(HPET + 4), trap.eax);
	out8(PIC_MASK, 0xff);
}

/* Task switches -------------------------------------------------------------------------------- */

static struct tss other;
static volatile uint32_t switched;

static void other_task(void)
{
	for (;;) {
		switched++;
		__asm__ volatile("iretl"); /* NT is set: back */
	}
}

static void check_task(const char *name, struct trap trap, uint32_t error)
{
	if (on_qemu() && !trap.happened && switched != 0)
		check_skip(name, "QEMU does not ask whether a task may be switched");
	else
		check_trap(name, trap, VECTOR_GP, error);
	/* If it was: that is over. */
	switched = 0;
	__asm__ volatile("clts");
	gdt_set(FREE(4), descriptor((uint32_t)&other, sizeof(other) - 1, TSS));
}

static void make_tasks(void)
{
	static uint8_t stack[1024];

	other.cr3 = guest_tss.cr3 = (uint32_t)get_cr3();
	other.eip = (uint32_t)other_task;
	other.eflags = 2;
	other.esp = (uint32_t)stack + sizeof(stack);
	other.cs = SELECTOR_CODE;
	other.ds = other.es = other.ss = other.fs = other.gs = SELECTOR_DATA;
	gdt_set(FREE(4), descriptor((uint32_t)&other, sizeof(other) - 1, TSS));
	gdt_set(FREE(5), (uint64_t)FREE(4) << 16 | (uint64_t)TASK_GATE << 40);
	gate_set(0x90, FREE(4), 0, TASK_GATE);
}

static void test_tasks(void)
{
	say("# task switches\n");
	make_tasks();
	check_task("#GP: a call of a TSS",
		   TRY("lcall %0, $0",
		       :
		       : "i"(FREE(4))
		       : "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "memory", "cc"),
		   FREE(4));
	check_task("#GP: a call of a task gate",
		   TRY("lcall %0, $0",
		       :
		       : "i"(FREE(5))
		       : "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "memory", "cc"),
		   FREE(4));
	check_task("#GP: INT to a task gate",
		   TRY("int $0x90",
		       :
		       :
		       : "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "memory", "cc"),
		   0x90 << 3 | 2);
	if (on_qemu()) {
		check_skip("#GP: a jump to a TSS, IRET to one",
			   "QEMU does not ask whether a task may be switched");
		return;
	}
	check_task("#GP: a jump to a TSS",
		   TRY("ljmp %0, $0",
		       :
		       : "i"(FREE(4))
		       : "memory", "cc"),
		   FREE(4));
	guest_tss.link = FREE(4);
	gdt_set(FREE(4), descriptor((uint32_t)&other, sizeof(other) - 1, TSS | 2));
	check_task("#GP: IRET with NT set",
		   TRY("pushfl; orl $0x4000, (%%esp); popfl; iretl",
		       :
		       :
		       : "memory", "cc"),
		   FREE(4));
	guest_tss.link = 0;
}

/* Ends the domain: no task is switched to for an exception either. */
static void end_by_task_gate(void)
{
	make_tasks();
	gate_set(VECTOR_UD, FREE(4), 0, TASK_GATE);
	__asm__ volatile("ud2");
}

void guest_test(void)
{
	if (guest_option("taskgate"))
		end_by_task_gate();
	test_exceptions();
	test_steps();
	test_page_faults();
	test_tables();
	test_ports();
	test_memory();
	test_interrupts();
	test_levels();
	test_v86();
	test_tasks();
}
