/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts on one CPU, with the local APIC's registers in memory (xAPIC mode) and as MSRs (x2APIC
 * mode): self-IPIs, priorities, NMI, the PIC through LINT0, edges and levels of the I/O APIC.
 */
#include "lib/apic.h"

const char guest_name[] = "interrupts";

#define LOW	     0x41u
#define HIGH	     0x61u
#define SOFTWARE     0x42u
#define TIMER_PIN    2
#define HPET	     0xfed00000ull
#define HPET_CONFIG  (HPET + 0x10)
#define HPET_STATUS  (HPET + 0x20)
#define HPET_COUNTER (HPET + 0xf0)
#define HPET_TIMER   (HPET + 0x140) /* of the third: configuration, comparator */
#define HPET_PIN     20
#define HPET_LEVEL   (1u << 1 | 1u << 2 | HPET_PIN << 9)
#define PIC1	     0x20
#define PIC_EOI	     0x20
#define PIT_COMMAND  0x43
#define PIT_0	     0x40
#define PIT_ONE_SHOT 0x30 /* channel 0, both bytes, mode 0 */

static struct cpu *cpu;
static volatile unsigned order[8], orders;
static volatile uint32_t ppr_seen, count_seen;

static uint32_t self(void)
{
	return cpu->x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

/* One interrupt shadow is over behind the NOP. */
static void take_interrupts(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void self_ipi(uint32_t vector)
{
	apic_send(0, ICR_SELF | vector);
}

/* Self-IPIs ------------------------------------------------------------------------------------ */

static void test_self(void)
{
	uint32_t before = cpu->count[LOW];

	self_ipi(LOW);
	check_true("self-IPI: the request shows", apic_bit(APIC_IRR, LOW));
	check_equal("self-IPI: not while IF is clear", before, cpu->count[LOW]);
	take_interrupts();
	check_equal("self-IPI: taken with STI", before + 1, cpu->count[LOW]);
	check_true("self-IPI: no request any more", !apic_bit(APIC_IRR, LOW));
	check_true("self-IPI: not in service any more", !apic_bit(APIC_ISR, LOW));
	interrupts_on();
	self_ipi(LOW);
	count_seen = cpu->count[LOW];
	interrupts_off();
	check_equal("self-IPI: before the next instruction", before + 2, count_seen);
	apic_send(self(), LOW);
	take_interrupts();
	check_equal("IPI to one's own id", before + 3, cpu->count[LOW]);
	apic_send(self(), LOW | DELIVERY_LOWEST);
	take_interrupts();
	check_equal("IPI with lowest priority", before + 4, cpu->count[LOW]);
	if (cpu->x2apic) {
		apic_write(APIC_SELF_IPI, LOW);
		take_interrupts();
		check_equal("IPI by the self-IPI register", before + 5, cpu->count[LOW]);
	}
}

static void test_logical(void)
{
	uint32_t before = cpu->count[LOW];

	if (cpu->x2apic) {
		check_equal("LDR follows from the id", 1, apic_read(APIC_LDR));
		apic_send(apic_read(APIC_LDR), LOW | DESTINATION_LOGICAL);
		apic_send(2, LOW | DESTINATION_LOGICAL); /* another */
		take_interrupts();
		check_equal("logical destination", before + 1, cpu->count[LOW]);
		return;
	}
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 0x04000000);
	apic_send(0x84, LOW | DESTINATION_LOGICAL);
	take_interrupts();
	check_equal("logical destination, flat", before + 1, cpu->count[LOW]);
	apic_send(0xfb, LOW | DESTINATION_LOGICAL);
	take_interrupts();
	check_equal("logical destination, flat: another's", before + 1, cpu->count[LOW]);
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, 0x31000000);
	apic_send(0x33, LOW | DESTINATION_LOGICAL);
	take_interrupts();
	check_equal("logical destination, cluster", before + 2, cpu->count[LOW]);
	apic_send(0x21, LOW | DESTINATION_LOGICAL);
	take_interrupts();
	check_equal("logical destination, another cluster", before + 2, cpu->count[LOW]);
	apic_write(APIC_DFR, 0xffffffff);
}

/* Priorities ----------------------------------------------------------------------------------- */

static void note(struct frame *frame)
{
	order[orders++ & 7] = (unsigned)frame->vector;
	ppr_seen = apic_read(APIC_PPR);
	apic_eoi();
}

/* Lets others in while it is in service. */
static void nest(struct frame *frame)
{
	order[orders++ & 7] = (unsigned)frame->vector;
	self_ipi(frame->vector == LOW ? HIGH : LOW);
	take_interrupts();
	order[orders++ & 7] = (unsigned)frame->vector;
	apic_eoi();
}

static void test_priorities(void)
{
	orders = 0;
	trap_handle(LOW, note);
	trap_handle(HIGH, note);
	self_ipi(LOW);
	self_ipi(HIGH);
	take_interrupts();
	take_interrupts();
	check_equal("two requests: both are taken", 2, orders);
	check_equal("two requests: the higher first", HIGH, order[0]);
	check_equal("PPR in the handler", LOW & 0xf0, ppr_seen);
	check_equal("PPR afterwards", 0, apic_read(APIC_PPR));
	orders = 0;
	trap_handle(LOW, nest);
	self_ipi(LOW);
	take_interrupts();
	check_equal("a higher one interrupts: three notes", 3, orders);
	check_equal("a higher one interrupts: in the middle", HIGH, order[1]);
	orders = 0;
	trap_handle(HIGH, nest);
	trap_handle(LOW, note);
	self_ipi(HIGH);
	take_interrupts();
	take_interrupts();
	check_equal("a lower one waits: three notes", 3, orders);
	check_equal("a lower one waits: until the end", LOW, order[2]);
	trap_handle(LOW, NULL);
	trap_handle(HIGH, NULL);
}

static void test_task_priority(void)
{
	uint32_t low = cpu->count[LOW], high = cpu->count[HIGH];

	apic_write(APIC_TPR, 0x50);
	check_equal("TPR reads back", 0x50, apic_read(APIC_TPR));
	check_equal("CR8 is TPR's upper half", 5, get_cr8());
	self_ipi(LOW);
	self_ipi(HIGH);
	take_interrupts();
	check_equal("TPR holds lower ones off", low, cpu->count[LOW]);
	check_equal("TPR lets higher ones through", high + 1, cpu->count[HIGH]);
	interrupts_on();
	apic_write(APIC_TPR, 0);
	count_seen = cpu->count[LOW];
	interrupts_off();
	check_equal("lowering TPR lets it through at once", low + 1, count_seen);
	set_cr8(6);
	check_equal("TPR after MOV to CR8", 0x60, apic_read(APIC_TPR));
	check_equal("CR8 reads back", 6, get_cr8());
	self_ipi(HIGH);
	take_interrupts();
	check_equal("CR8 holds its own class off", high + 1, cpu->count[HIGH]);
	interrupts_on();
	set_cr8(5);
	count_seen = cpu->count[HIGH];
	interrupts_off();
	check_equal("lowering CR8 lets it through at once", high + 2, count_seen);
	set_cr8(0);
	check_equal("TPR is 0 again", 0, apic_read(APIC_TPR));
}

/* Shadows and halts ---------------------------------------------------------------------------- */

static void test_shadows(void)
{
	uint32_t before = cpu->count[LOW];

	self_ipi(LOW);
	__asm__ volatile("sti; cli" : : : "memory");
	check_equal("not in the shadow of STI", before, cpu->count[LOW]);
	__asm__ volatile("sti; movl (%0), %%eax; cli" : : "r"(HPET) : "rax", "memory");
	check_equal("behind an emulated instruction in the shadow", before + 1, cpu->count[LOW]);
	self_ipi(LOW);
	__asm__ volatile("sti; cpuid; cli" : : "a"(0) : "rbx", "rcx", "rdx", "memory");
	check_equal("behind an exit in the shadow", before + 2, cpu->count[LOW]);
	interrupts_on();
	__asm__ volatile("mov %%ss, %%eax; cli; nop" : : : "rax");
	self_ipi(LOW);
	__asm__ volatile("pushfq; orq $0x200, (%%rsp); popfq; nop; cli" : : : "memory", "cc");
	check_equal("taken with POPF", before + 3, cpu->count[LOW]);
	self_ipi(LOW);
	__asm__ volatile("sti; hlt; cli" : : : "memory");
	check_equal("wakes from HLT what it finds waiting", before + 4, cpu->count[LOW]);
	interrupts_off();
}

/* NMI ------------------------------------------------------------------------------------------ */

static volatile unsigned nmis, nmi_depth, nmi_deepest, nmi_resend;

static void nmi(struct frame *frame)
{
	(void)frame;
	nmis++;
	nmi_depth++;
	if (nmi_depth > nmi_deepest)
		nmi_deepest = nmi_depth;
	if (nmi_resend > 0) {
		nmi_resend--;
		apic_send(0, ICR_SELF | DELIVERY_NMI);
		cpuid(0, 0);
		wait_us(100);
	}
	nmi_depth--;
}

static void send_nmi(void)
{
	/* With the shorthand "self" a local APIC need not send anything but fixed interrupts. */
	apic_send(self(), DELIVERY_NMI);
	for (unsigned i = 0; i < 100; i++)
		pause();
}

static void test_nmi(void)
{
	trap_handle(VECTOR_NMI, nmi);
	nmis = nmi_deepest = 0;
	send_nmi();
	check_equal("NMI with interrupts off", 1, nmis);
	nmi_resend = 1;
	send_nmi();
	cpuid(0, 0);
	check_equal("NMI in the handler: taken too", 3, nmis);
	check_equal("NMI in the handler: after its IRET", 1, nmi_deepest);
	trap_handle(VECTOR_NMI, NULL);
}

/* PIC and I/O APIC ------------------------------------------------------------------------------
 */

static void acknowledge_pic(struct frame *frame)
{
	cpu->count[frame->vector & 255]++;
	out8(PIC1, PIC_EOI);
}

static void start_pit(uint16_t ticks)
{
	out8(PIT_COMMAND, PIT_ONE_SHOT);
	out8(PIT_0, (uint8_t)ticks);
	out8(PIT_0, (uint8_t)(ticks >> 8));
}

/* Waits until the timer's request shows in the PIC's IRR, which the command port reads. */
static bool wait_pic(void)
{
	uint64_t end = rdtsc() + tsc_khz() * 10000;

	while (!(in8(PIC1) & 1))
		if (rdtsc() > end)
			return false;
	return true;
}

static void test_pic(void)
{
	uint32_t before = cpu->count[0x20];

	trap_handle(0x20, acknowledge_pic);
	pic_init(1);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	start_pit(2000);
	interrupts_on();
	check_true("PIC's interrupt through LINT0", wait_count(&cpu->count[0x20], before + 1));
	interrupts_off();
	start_pit(2000);
	halt();
	check_equal("PIC's interrupt wakes from HLT", before + 2, cpu->count[0x20]);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT | LVT_MASKED);
	start_pit(20);
	check_true("LINT0 masked: the PIC has a request", wait_pic());
	take_interrupts();
	check_equal("LINT0 masked: no PIC", before + 2, cpu->count[0x20]);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	take_interrupts();
	check_equal("LINT0 unmasked: it comes", before + 3, cpu->count[0x20]);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT | LVT_MASKED);
	pic_init(0);
	trap_handle(0x20, NULL);
}

static void nothing(struct frame *frame)
{
	(void)frame;
}

/*
 * Waits for an NMI with interrupts off. Each round has an IRET: Bochs 2.7 takes over from the VM
 * that ran before that NMIs are blocked, and finds out only then.
 */
static bool wait_nmi(void)
{
	uint64_t end = rdtsc() + tsc_khz() * 10000;

	trap_handle(SOFTWARE, nothing);
	while (nmis == 0 && rdtsc() < end)
		__asm__ volatile("int %0" : : "i"(SOFTWARE) : "memory");
	trap_handle(SOFTWARE, NULL);
	return nmis == 1;
}

static void test_edge(void)
{
	uint32_t before = cpu->count[LOW];

	ioapic_set(TIMER_PIN, LOW | (uint64_t)self() << 56);
	start_pit(2000);
	interrupts_on();
	check_true("I/O APIC: an edge", wait_count(&cpu->count[LOW], before + 1));
	interrupts_off();
	ioapic_set(TIMER_PIN, LOW | DELIVERY_LOWEST | (uint64_t)self() << 56);
	start_pit(2000);
	interrupts_on();
	check_true("I/O APIC: lowest priority", wait_count(&cpu->count[LOW], before + 2));
	interrupts_off();
	nmis = 0;
	trap_handle(VECTOR_NMI, nmi);
	ioapic_set(TIMER_PIN, DELIVERY_NMI | (uint64_t)self() << 56);
	start_pit(2000);
	check_true("I/O APIC: NMI", wait_nmi());
	trap_handle(VECTOR_NMI, NULL);
	ioapic_set(TIMER_PIN, REDIRECTION_MASKED);
}

static volatile unsigned levels;

/* Leaves the line high for the first two times. */
static void level(struct frame *frame)
{
	(void)frame;
	levels++;
	ppr_seen = apic_bit(APIC_TMR, HIGH);
	count_seen = (ioapic_get(HPET_PIN) & REDIRECTION_REMOTE_IRR) != 0;
	if (levels == 3)
		mmio_write(HPET_STATUS, 4);
	apic_eoi();
}

static void test_level(void)
{
	levels = 0;
	trap_handle(HIGH, level);
	ioapic_set(HPET_PIN, HIGH | REDIRECTION_LEVEL | (uint64_t)self() << 56);
	mmio_write(HPET_CONFIG, 0);
	mmio_write64(HPET_COUNTER, 0);
	mmio_write64(HPET_TIMER, HPET_LEVEL);
	mmio_write64(HPET_TIMER + 8, 20000);
	mmio_write(HPET_CONFIG, 1);
	interrupts_on();
	check_true("a level comes until its source is quiet", wait_count(&levels, 3));
	take_interrupts();
	interrupts_off();
	check_equal("and not again", 3, levels);
	check_true("TMR says that it is a level", ppr_seen);
	check_true("Remote IRR is set until the EOI", count_seen);
	check_equal("Remote IRR is clear afterwards", 0,
		    ioapic_get(HPET_PIN) & REDIRECTION_REMOTE_IRR);
	mmio_write(HPET_CONFIG, 0);
	mmio_write64(HPET_TIMER, 0);
	ioapic_set(HPET_PIN, REDIRECTION_MASKED);
	trap_handle(HIGH, NULL);
}

static void test_registers(void)
{
	check_equal("version: 6 entries of the vector table", 5,
		    apic_read(APIC_VERSION) >> 16 & 0xff);
	check_equal("version: integrated", 0x10, apic_read(APIC_VERSION) & 0xf0);
	if (!cpu->x2apic)
		return;
	check_trap("#GP: a reserved register",
		   TRY("rdmsr",
		       :
		       : "c"(MSR_X2APIC)
		       : "rax", "rdx"),
		   VECTOR_GP, 0);
	check_trap("#GP: EOI with a value",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_X2APIC + APIC_EOI), "a"(1), "d"(0)),
		   VECTOR_GP, 0);
	check_trap("#GP: a reserved bit of SVR",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_X2APIC + APIC_SVR), "a"(0x80000000), "d"(0)),
		   VECTOR_GP, 0);
	check_trap("#GP: the id is read-only",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_X2APIC + APIC_ID), "a"(0), "d"(0)),
		   VECTOR_GP, 0);
}

static void test_software_disable(void)
{
	uint32_t before = cpu->count[LOW];

	apic_write(APIC_SVR, 0xff);
	self_ipi(LOW);
	take_interrupts();
	check_equal("switched off by SVR: nothing comes", before, cpu->count[LOW]);
	check_equal("switched off by SVR: the vector table is masked", LVT_MASKED,
		    apic_read(APIC_LVT_TIMER) & LVT_MASKED);
	apic_write(APIC_SVR, 0x1ff);
	take_interrupts();
}

static void test_mode(bool x2apic)
{
	say("# %s mode\n", x2apic ? "x2APIC" : "xAPIC");
	apic_enable(x2apic);
	pic_init(0);
	test_registers();
	test_self();
	test_logical();
	test_priorities();
	test_task_priority();
	test_shadows();
	test_nmi();
	test_pic();
	test_edge();
	test_level();
	test_software_disable();
}

void guest_test(void)
{
	cpu = this_cpu();
	test_mode(false);
	test_mode(true);
}
