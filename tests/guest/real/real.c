/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A system of the 16-bit age: real mode from its start to its end. Exceptions (which have no error
 * codes here), ports, interrupts of the PIC through the vector table, far calls, 16-bit protected
 * mode for a moment, and a data segment with the limits of protected mode, through which the local
 * APIC is in reach.
 */
#include "lib/cpu.h"
#include "lib/report.h"

const char guest_name[] = "real";

#define HPET	     0xfed00000u
#define LOCAL_APIC   0xfee00000u
#define PIC1	     0x20
#define PIC2	     0xa0
#define PIC_MASK     0x21 /* a port that reads back what was written */
#define PIC2_MASK    0xa1
#define PIC_EOI	     0x20
#define PIT_0	     0x40
#define PIT_MODE     0x43
#define PIT_ONE_SHOT 0x30
#define RTC_INDEX    0x70
#define RTC_DATA     0x71
#define RTC_A	     0x0a
#define RTC_B	     0x0b
#define RTC_C	     0x0c
#define RTC_128HZ    0x29
#define RTC_PIE	     0x40
#define APIC_SVR     0x0f
#define APIC_EOI     0x0b
#define APIC_ICR     0x30
#define APIC_LINT0   0x35
#define LVT_EXTINT   0x700u
#define SELF_IPI     0x40000u
#define NMI_IPI	     0x4400u
#define VECTOR_PIT   0x08 /* as a BIOS has it */
#define VECTOR_RTC   0x70
#define VECTOR_APIC  0x51
#define VECTOR_BR    5
#define NO_TRAP	     256u
#define OTHER	     0x3000u /* a segment that nothing is in */
#define PATIENCE     20000000000ull

/* What an entry pushes. */
struct frame {
	uint16_t es, ds;
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint16_t vector, ip, cs, flags;
} __attribute__((packed));

struct trap {
	bool happened;
	unsigned vector;
	uint32_t ip, cs;
};

extern uint32_t real_recovery_ip, real_recovery_esp;
extern const uint8_t real_far[], real_far_end[];
_Noreturn void real_recover(struct frame *frame);
void real_flat(void);
uint32_t real_visit(uint32_t port);

static struct trap trapped;
static volatile uint32_t count[256];

#define TRY(code, ...)                                                                             \
	({                                                                                         \
		trapped.happened = false;                                                          \
		__asm__ volatile("" : : : "memory");                                               \
		__asm__ volatile("movl $99f, real_recovery_ip\n\t"                                 \
				 "movl %%esp, real_recovery_esp\n\t" code                          \
				 "\n99:\tmovl $0, real_recovery_ip" __VA_ARGS__);                  \
		__asm__ volatile("" : : : "memory");                                               \
		trapped;                                                                           \
	})

/* The local APIC by way of FS. */
static uint32_t far_read(uint32_t address)
{
	uint32_t value;

	__asm__ volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static void far_write(uint32_t address, uint32_t value)
{
	__asm__ volatile("movl %0, %%fs:(%1)" : : "r"(value), "r"(address) : "memory");
}

static void lapic_write(unsigned number, uint32_t value)
{
	far_write(LOCAL_APIC + 16 * number, value);
}

static uint8_t rtc_read(uint8_t index)
{
	out8(RTC_INDEX, index);
	return in8(RTC_DATA);
}

static void rtc_write(uint8_t index, uint8_t value)
{
	out8(RTC_INDEX, index);
	out8(RTC_DATA, value);
}

void real_trap(struct frame *frame);
void real_trap(struct frame *frame)
{
	count[frame->vector & 255]++;
	if (frame->vector == VECTOR_PIT) {
		out8(PIC1, PIC_EOI);
	} else if (frame->vector == VECTOR_RTC) {
		rtc_read(RTC_C);
		out8(PIC2, PIC_EOI);
		out8(PIC1, PIC_EOI);
	} else if (frame->vector == VECTOR_APIC) {
		lapic_write(APIC_EOI, 0);
	} else if (frame->vector != VECTOR_NMI) {
		if (real_recovery_ip == 0)
			give_up("exception %u at %x:%x", frame->vector, (uint64_t)frame->cs,
				(uint64_t)frame->ip);
		trapped = (struct trap){true, frame->vector, frame->ip, frame->cs};
		real_recover(frame);
	}
}

/* The frame is that of an exception without an error code, or CS is not where it should be. */
static void check_trap(const char *name, struct trap found, unsigned vector)
{
	bool good = vector == NO_TRAP ? !found.happened
				      : found.happened && found.vector == vector && found.cs == 0;

	if (!check_outcome(name, good))
		say("expected exception %u, found %u at %x:%x\n", vector,
		    found.happened ? found.vector : NO_TRAP, (uint64_t)found.cs,
		    (uint64_t)found.ip);
}

static void check_limit(const char *name, struct trap found, unsigned vector)
{
	if (on_qemu() && !found.happened)
		check_skip(name, "QEMU does not look at limits");
	else
		check_trap(name, found, vector);
}

/* Exceptions ----------------------------------------------------------------------------------- */

static void test_exceptions(void)
{
	static const int32_t bounds[2] = {1, 2};
	static const struct __attribute__((packed)) {
		uint16_t limit;
		uint32_t base;
	} few = {0x3f, 0}, all = {0x3ff, 0};
	struct trap trap;

	say("# exceptions\n");
	check_trap("#DE: division by 0",
		   TRY("xorl %%ecx, %%ecx; divl %%ecx",
		       :
		       :
		       : "eax", "ecx", "edx"),
		   VECTOR_DE);
	check_trap("#BP: INT3", TRY("int3", :), VECTOR_BP);
	check_trap("#OF: INTO",
		   TRY("movb $0x7f, %%al; addb $1, %%al; into",
		       :
		       :
		       : "eax", "cc"),
		   VECTOR_OF);
	check_trap("#BR: BOUND", TRY("bound %0, %1", : : "r"(3), "m"(bounds)), VECTOR_BR);
	check_trap("#UD: UD2", TRY("ud2", :), VECTOR_UD);
	check_trap("#UD: VMCALL", TRY(".byte 0x0f, 0x01, 0xc1", :), VECTOR_UD);
	check_trap("#UD: an instruction of protected mode",
		   TRY("str %%ax",
		       :
		       :
		       : "eax"),
		   VECTOR_UD);
	check_limit("#GP: a word across the end of a segment",
		    TRY("movw 0xffff, %%ax",
			:
			:
			: "eax"),
		    VECTOR_GP);
	check_limit("#SS: the same on the stack",
		    TRY("movl $0xffff, %%ecx; movw %%ss:(%%ecx), %%ax",
			:
			:
			: "eax", "ecx"),
		    VECTOR_SS);
	trap = TRY("rdmsr", : : "c"(0x12345) : "eax", "edx");
	check_trap("#GP: RDMSR of a register that is not there", trap, VECTOR_GP);
	check_equal("it is at the RDMSR", 0x320f, *(const uint16_t *)(uintptr_t)trap.ip);
	check_trap("#GP: WRMSR of one", TRY("wrmsr", : : "c"(0x12345), "a"(0), "d"(0)), VECTOR_GP);
	__asm__ volatile("lidtl %0" : : "m"(few));
	check_trap("#GP: INT behind the vector table", TRY("int $0x20", :), VECTOR_GP);
	__asm__ volatile("lidtl %0" : : "m"(all));
	check_trap("INT", TRY("int $0x20", :), 0x20);
	trap = TRY("pushfl; orl $0x100, (%%esp); popfl; cpuid",
		   :
		   : "a"(0)
		   : "ebx", "ecx", "edx", "memory", "cc");
	check_trap("#DB: single step over CPUID", trap, VECTOR_DB);
	check_equal("it is behind the CPUID", 0xa20f, *(const uint16_t *)(uintptr_t)(trap.ip - 2));
	trap = TRY("pushfl; orl $0x100, (%%esp); popfl; inb $0x21, %%al",
		   :
		   :
		   : "eax", "memory", "cc");
	check_trap("#DB: single step over a port", trap, VECTOR_DB);
	check_equal("it is behind the IN", 0x21e4, *(const uint16_t *)(uintptr_t)(trap.ip - 2));
}

/* Ports, registers, other segments ------------------------------------------------------------- */

static uint8_t other_byte(uint16_t offset)
{
	uint8_t value;

	__asm__ volatile("movw %w1, %%gs; movb %%gs:(%2), %0"
			 : "=q"(value)
			 : "r"(OTHER), "r"((uint32_t)offset)
			 : "memory");
	return value;
}

static void test_ports(void)
{
	static const uint8_t bytes[] = {1, 2, 0x5a};
	uint32_t from = (uint32_t)bytes, to = 0xfffe, number = 3;

	say("# ports\n");
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(number) : "d"(PIC_MASK) : "memory");
	check_equal("REP OUTSB", 0x5a, in8(PIC_MASK));
	/* DI wraps: the third byte is at the beginning of the segment. */
	number = 3;
	__asm__ volatile("pushw %%es; movw %w3, %%es; .byte 0xf3, 0x6c; popw %%es"
			 : "+D"(to), "+c"(number)
			 : "d"(PIC_MASK), "r"(OTHER)
			 : "memory");
	check_equal("REP INSB: DI wraps", 1, to & 0xffff);
	check_equal("REP INSB: CX", 0, number & 0xffff);
	check_equal("REP INSB: the last of the segment", 0x5a, other_byte(0xffff));
	check_equal("REP INSB: the first of the segment", 0x5a, other_byte(0));
	out32(0xcf8, 0x80000000);
	check_equal("a port of 32 bits", 0x80000000, in32(0xcf8));
	check_equal("RDMSR", LOCAL_APIC, (uint32_t)rdmsr(MSR_APIC_BASE) & 0xfffff000);
	check_true("CPUID", cpuid(0x40000000, 0).a >= 0x40000000);
}

static void test_segments(void)
{
	uint8_t *to = (uint8_t *)0x8000;
	uint32_t sum = 0x10000, one = 0;

	say("# segments\n");
	for (const uint8_t *from = real_far; from != real_far_end; from++)
		*to++ = *from;
	__asm__ volatile("lcallw $0x0800, $0" : "+a"(sum) : : "ebx", "memory", "cc");
	check_equal("a far call", 0x10800, sum);
	out8(PIC_MASK, 0x96);
	check_equal("16-bit protected mode for a moment", 0x96, real_visit(PIC_MASK));
	for (unsigned i = 0; i < 100; i++)
		sum += real_visit(PIC_MASK);
	check_equal("a hundred times", 0x10800 + 100 * 0x96, sum);
	/* Line 20 is on: above FFFF:000F is the second megabyte. */
	__asm__ volatile("movw $0xffff, %%ax; movw %%ax, %%gs; movl $0x12345678, %%gs:0x10;"
			 "movl %%gs:0x10, %0"
			 : "=r"(one)
			 :
			 : "eax", "memory");
	check_equal("above 1 MiB", 0x12345678, one);
	real_flat();
	check_equal("and in a flat segment", 0x12345678, far_read(0x100000));
	check_equal("a memory-mapped register", far_read(HPET + 4), far_read(HPET + 4));
	check_true("which is the HPET's",
		   far_read(HPET + 4) != 0 && far_read(HPET + 4) <= 100000000);
}

/* Interrupts ----------------------------------------------------------------------------------- */

static void pic_init(void)
{
	out8(PIC1, 0x11);
	out8(PIC_MASK, VECTOR_PIT);
	out8(PIC_MASK, 4);
	out8(PIC_MASK, 1);
	out8(PIC2, 0x11);
	out8(PIC2_MASK, VECTOR_RTC);
	out8(PIC2_MASK, 2);
	out8(PIC2_MASK, 1);
	out8(PIC_MASK, 0xfa);  /* PIT, second PIC */
	out8(PIC2_MASK, 0xfe); /* RTC */
}

static void start_pit(void)
{
	out8(PIT_MODE, PIT_ONE_SHOT);
	out8(PIT_0, 0xd0);
	out8(PIT_0, 0x07);
}

static bool wait_count(unsigned vector, uint32_t number)
{
	uint64_t end = rdtsc() + PATIENCE;

	interrupts_on();
	while (count[vector] < number && rdtsc() < end)
		pause();
	interrupts_off();
	return count[vector] >= number;
}

static void test_interrupts(void)
{
	uint32_t before;

	say("# interrupts\n");
	lapic_write(APIC_SVR, 0x1ff);
	lapic_write(APIC_LINT0, LVT_EXTINT);
	pic_init();
	start_pit();
	check_true("PIT", wait_count(VECTOR_PIT, 1));
	start_pit();
	halt();
	check_equal("PIT, from HLT", 2, count[VECTOR_PIT]);
	rtc_write(RTC_A, RTC_128HZ);
	rtc_write(RTC_B, rtc_read(RTC_B) | RTC_PIE);
	rtc_read(RTC_C);
	check_true("RTC, by the second PIC", wait_count(VECTOR_RTC, 3));
	before = count[VECTOR_RTC];
	while (count[VECTOR_RTC] < before + 3)
		halt();
	check_true("RTC, from HLT", count[VECTOR_RTC] >= before + 3);
	rtc_write(RTC_B, rtc_read(RTC_B) & (uint8_t)~RTC_PIE);
	out8(PIC_MASK, 0xff);
	lapic_write(APIC_ICR, SELF_IPI | VECTOR_APIC);
	check_equal("self-IPI: not while IF is clear", 0, count[VECTOR_APIC]);
	__asm__ volatile("sti; nop; cli" : : : "memory");
	check_equal("self-IPI", 1, count[VECTOR_APIC]);
	lapic_write(APIC_ICR, NMI_IPI); /* to number 0, which is this one */
	for (unsigned i = 0; i < 100; i++)
		pause();
	check_equal("NMI", 1, count[VECTOR_NMI]);
}

void guest_test(void)
{
	test_exceptions();
	test_ports();
	test_segments();
	test_interrupts();
	test_exceptions();
}

void real_main(void);
void real_main(void)
{
	guest_run();
}
