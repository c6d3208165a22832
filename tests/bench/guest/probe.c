/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What single operations of a guest cost, in ticks of its time-stamp counter. Where one instruction
 * is one tick (QEMU's instruction counting), the ticks behind an operation are the instructions
 *that the hypervisor, the service VM and the VMM needed for it.
 *
 * For each operation it writes to the first serial port
 *
 *	begin NAME
 *	end NAME count N minimum TICKS median TICKS mean TICKS
 *
 * and sleeps before and behind it, so that whoever reads along can take its own counts there: the
 * exits of the operation are those between the two lines. "none NAME" where there is no such thing.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT	   1000u /* of most operations */
#define WARM	   16u	 /* of each before those that count */
#define SLEEP	   100000000u
#define TIMER_WAIT 300000u

#define PORT_UART	   0x3f8
#define PORT_UART_STATUS   0x3fd
#define PORT_UART_SCRATCH  0x3ff
#define UART_STATUS_EMPTY  0x20
#define PORT_DEBUG_EXIT	   0xf4
#define PORT_PIC_MASTER	   0x21
#define PORT_PIC_SLAVE	   0xa1
#define HPET_STATUS	   0xfed00020u
#define APIC_MMIO	   0xfee00000u
#define SECOND_AT	   0x8000u
#define MSR_APIC_BASE	   0x1b
#define MSR_TSC_DEADLINE   0x6e0
#define MSR_X2APIC	   0x800
#define APIC_BASE_X2APIC   (1u << 10)
#define APIC_ID		   0x02
#define APIC_TPR	   0x08
#define APIC_EOI	   0x0b
#define APIC_SPURIOUS	   0x0f
#define APIC_ICR	   0x30
#define APIC_ICR_HIGH	   0x31
#define APIC_TIMER	   0x32
#define APIC_ERROR	   0x37
#define APIC_TIMER_INITIAL 0x38
#define APIC_TIMER_DIVIDE  0x3e
#define ICR_INIT	   0x4500u
#define ICR_SIPI	   0x4600u
#define ICR_ASSERT	   0x4000u
#define ICR_SELF	   0x40000u
#define TIMER_DEADLINE	   0x40000u
#define LVT_MASKED	   0x10000u
#define CPUID_X2APIC	   (1u << 21)
#define CPUID_DEADLINE	   (1u << 24)

/* The loader's structure (Multiboot Specification 0.6.96, section 3.3), in words. */
#define INFORMATION_HAS_COMMAND (1u << 2)
#define INFORMATION_COMMAND	4

#define VECTOR_UD	6
#define VECTOR_TIMER	0x40
#define VECTOR_IPI	0x41
#define VECTOR_SPURIOUS 0xff
#define VMCALL_BYTES	3

struct gate {
	uint16_t low, selector, attributes, middle;
	uint32_t high, reserved;
};

extern const uint8_t vectors[], second_begin[], second_end[], idt_pointer[];
struct gate idt[256];

void probe_main(const uint32_t *information);
void probe_second(void);
void interrupt(uint64_t vector, uint64_t *frame);

static bool x2apic, has_deadline, amd, no_hypercall;
static volatile uint32_t timers, ipis[2];
static volatile uint64_t timer_at;
static volatile bool second_ready, second_halts;
static uint32_t ticks[COUNT];

/* Instructions ------------------------------------------------------------------------------- */

static inline uint64_t tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t read32(uint32_t address)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"((uint64_t)address));
	return value;
}

static inline void write32(uint32_t address, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"((uint64_t)address) : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr));
}

static inline uint32_t cpuid(uint32_t leaf, uint32_t *ebx, uint32_t *ecx)
{
	uint32_t eax = leaf, edx;

	*ecx = 0;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(*ebx), "+c"(*ecx), "=d"(edx));
	return eax;
}

/* Output ------------------------------------------------------------------------------------- */

static void put(char character)
{
	while (!(inb(PORT_UART_STATUS) & UART_STATUS_EMPTY))
		;
	outb(PORT_UART, (uint8_t)character);
}

static void text(const char *string)
{
	for (; *string != '\0'; string++)
		put(*string);
}

static void number(uint64_t value)
{
	if (value >= 10)
		number(value / 10);
	put((char)('0' + value % 10));
}

static void value(const char *name, uint64_t what)
{
	text(name);
	number(what);
}

/* Local APIC and interrupts ------------------------------------------------------------------ */

static uint32_t apic_read(uint32_t reg)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + reg) : read32(APIC_MMIO + 16 * reg);
}

static void apic_write(uint32_t reg, uint32_t data)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg, data);
	else
		write32(APIC_MMIO + 16 * reg, data);
}

static void send(uint32_t destination, uint32_t command)
{
	if (x2apic) {
		wrmsr(MSR_X2APIC + APIC_ICR, (uint64_t)destination << 32 | command);
	} else {
		write32(APIC_MMIO + 16 * APIC_ICR_HIGH, destination << 24);
		write32(APIC_MMIO + 16 * APIC_ICR, command);
	}
}

static uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

static void apic_on(void)
{
	uint32_t ebx, ecx;

	cpuid(1, &ebx, &ecx);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	has_deadline = (ecx & CPUID_DEADLINE) != 0;
	apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
	apic_write(APIC_TIMER, VECTOR_TIMER | (has_deadline ? TIMER_DEADLINE : 0));
	__asm__ volatile("mfence" : : : "memory");
}

void interrupt(uint64_t vector, uint64_t *frame)
{
	switch (vector) {
	case VECTOR_TIMER:
		timer_at = tsc();
		timers++;
		apic_write(APIC_EOI, 0);
		return;
	case VECTOR_IPI:
		ipis[apic_id() != 0]++;
		apic_write(APIC_EOI, 0);
		return;
	case VECTOR_SPURIOUS:
		return;
	case VECTOR_UD:
		no_hypercall = true;
		frame[0] += VMCALL_BYTES;
		return;
	}
	value("exception ", vector);
	value(" at ", frame[0]);
	text("\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* With interrupts off: waits for one. */
static void halt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static void timer_start(uint64_t deadline)
{
	if (has_deadline)
		wrmsr(MSR_TSC_DEADLINE, deadline);
	else
		apic_write(APIC_TIMER_INITIAL, (uint32_t)(deadline - tsc()));
}

static void sleep(void)
{
	uint32_t before = timers;

	timer_start(tsc() + SLEEP);
	while (timers == before)
		halt();
}

/* Operations: ticks of one ------------------------------------------------------------------- */

#define TIMED(operation)                                                                           \
	do {                                                                                       \
		uint64_t start = tsc();                                                            \
                                                                                                   \
		operation;                                                                         \
		return (uint32_t)(tsc() - start);                                                  \
	} while (0)

static uint32_t do_nothing(void)
{
	TIMED(;);
}

static uint32_t do_cpuid(void)
{
	uint32_t ebx, ecx;

	TIMED(cpuid(1, &ebx, &ecx));
}

/* A number that no hypervisor knows. */
static uint32_t do_hypercall(void)
{
	uint64_t rax = 0xfff;

	if (amd)
		TIMED(__asm__ volatile("vmmcall" : "+a"(rax) : "b"(0) : "memory"));
	TIMED(__asm__ volatile("vmcall" : "+a"(rax) : "b"(0) : "memory"));
}

static uint32_t do_port_read(void)
{
	TIMED(inb(PORT_UART_SCRATCH));
}

static uint32_t do_port_write(void)
{
	TIMED(outb(PORT_UART_SCRATCH, 0x55));
}

static uint32_t do_mmio_read(void)
{
	TIMED(read32(HPET_STATUS));
}

/* Clears no interrupt. */
static uint32_t do_mmio_write(void)
{
	TIMED(write32(HPET_STATUS, 0));
}

/* The entry of the vector table for errors stands for the registers that are just kept. */
static uint32_t do_apic_read(void)
{
	if (x2apic)
		TIMED(rdmsr(MSR_X2APIC + APIC_ERROR));
	TIMED(read32(APIC_MMIO + 16 * APIC_ERROR));
}

static uint32_t do_apic_write(void)
{
	if (x2apic)
		TIMED(wrmsr(MSR_X2APIC + APIC_ERROR, LVT_MASKED));
	TIMED(write32(APIC_MMIO + 16 * APIC_ERROR, LVT_MASKED));
}

/* Another task priority each time. */
static uint32_t do_apic_priority(void)
{
	static uint32_t priority;

	priority ^= 0x10;
	if (x2apic)
		TIMED(wrmsr(MSR_X2APIC + APIC_TPR, priority));
	TIMED(write32(APIC_MMIO + 16 * APIC_TPR, priority));
}

static uint32_t do_apic_eoi(void)
{
	if (x2apic)
		TIMED(wrmsr(MSR_X2APIC + APIC_EOI, 0));
	TIMED(write32(APIC_MMIO + 16 * APIC_EOI, 0));
}

/* Sending one to itself, taking it and acknowledging it. */
static uint32_t do_ipi_self(void)
{
	uint64_t start = tsc();
	uint32_t before = ipis[0];

	apic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | VECTOR_IPI);
	interrupts_on();
	while (ipis[0] == before)
		;
	interrupts_off();
	return (uint32_t)(tsc() - start);
}

/* From the timer's deadline to its handler, with the CPU halted. */
static uint32_t do_timer_halted(void)
{
	uint32_t before = timers;
	uint64_t deadline = tsc() + TIMER_WAIT;

	timer_start(deadline);
	while (timers == before)
		halt();
	return (uint32_t)(timer_at - deadline);
}

static uint64_t work(uint64_t rounds)
{
	uint64_t start = tsc();

	__asm__ volatile("1: decq %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
	return tsc() - start;
}

/* The same with the CPU at work. */
static uint32_t do_timer_running(void)
{
	uint32_t before = timers;
	uint64_t deadline = tsc() + TIMER_WAIT;

	timer_start(deadline);
	interrupts_on();
	while (timers == before)
		;
	interrupts_off();
	return (uint32_t)(timer_at - deadline);
}

/* How much longer work takes in which the timer strikes. */
static uint32_t do_timer_cost(void)
{
	uint32_t before = timers;
	uint64_t undisturbed = work(TIMER_WAIT), disturbed;

	timer_start(tsc() + TIMER_WAIT / 2);
	interrupts_on();
	disturbed = work(TIMER_WAIT);
	while (timers == before)
		;
	interrupts_off();
	return (uint32_t)(disturbed > undisturbed ? disturbed - undisturbed : 0);
}

/* Sending an IPI to a CPU that is at work. */
static uint32_t do_ipi_running(void)
{
	TIMED(send(1, ICR_ASSERT | VECTOR_IPI));
}

/* An IPI to a halted CPU, which sends one back to this one, halted meanwhile. */
static uint32_t do_ipi_halted(void)
{
	uint32_t before = ipis[0];
	uint64_t start = tsc();

	send(1, ICR_ASSERT | VECTOR_IPI);
	while (ipis[0] == before)
		halt();
	return (uint32_t)(tsc() - start);
}

/* The table ---------------------------------------------------------------------------------- */

/* Ascending; there are few. */
static void sort(uint32_t *at, uint32_t count)
{
	for (uint32_t gap = count / 2; gap > 0; gap = gap * 5 / 11)
		for (uint32_t i = gap; i < count; i++) {
			uint32_t moved = at[i], j = i;

			for (; j >= gap && at[j - gap] > moved; j -= gap)
				at[j] = at[j - gap];
			at[j] = moved;
		}
}

static uint32_t overhead;

static uint32_t without(uint32_t what)
{
	return what > overhead ? what - overhead : 0;
}

static void measure(const char *name, uint32_t (*operation)(void), uint32_t count)
{
	uint64_t sum = 0;

	text("begin ");
	text(name);
	text("\n");
	sleep();
	for (uint32_t i = 0; i < WARM; i++)
		operation();
	for (uint32_t i = 0; i < count; i++)
		ticks[i] = operation();
	sort(ticks, count);
	if (overhead == 0)
		overhead = ticks[0];
	for (uint32_t i = 0; i < count; i++)
		sum += without(ticks[i]);
	text("end ");
	text(name);
	value(" count ", count + WARM);
	value(" minimum ", without(ticks[0]));
	value(" median ", without(ticks[count / 2]));
	value(" mean ", sum / count);
	text("\n");
	sleep();
}

static void none(const char *name)
{
	text("none ");
	text(name);
	text("\n");
}

void probe_second(void)
{
	apic_on();
	interrupts_on();
	second_ready = true;
	while (!second_halts)
		;
	interrupts_off();
	for (;;) {
		uint32_t before = ipis[1];

		while (ipis[1] == before)
			halt();
		send(0, ICR_ASSERT | VECTOR_IPI);
	}
}

static void start_second(void)
{
	uint8_t *to = (uint8_t *)(uintptr_t)SECOND_AT;

	for (size_t i = 0; second_begin + i < second_end; i++)
		to[i] = second_begin[i];
	__asm__ volatile("" : : : "memory");
	send(1, ICR_INIT);
	sleep();
	send(1, ICR_SIPI | SECOND_AT >> 12);
	sleep();
}

static void measure_apic(void)
{
	measure(x2apic ? "x2apic-read" : "xapic-read", do_apic_read, COUNT);
	measure(x2apic ? "x2apic-write" : "xapic-write", do_apic_write, COUNT);
	measure(x2apic ? "x2apic-eoi" : "xapic-eoi", do_apic_eoi, COUNT);
	measure(x2apic ? "x2apic-priority" : "xapic-priority", do_apic_priority, COUNT / 4);
	apic_write(APIC_TPR, 0);
}

static void measure_second(void)
{
	start_second();
	if (!second_ready) {
		none("ipi-running");
		none("ipi-halted");
		return;
	}
	measure("ipi-running", do_ipi_running, COUNT / 4);
	second_halts = true;
	sleep();
	measure("ipi-halted", do_ipi_halted, COUNT / 4);
}

static bool equal(const char *a, const char *b)
{
	for (; *a != '\0' && *a == *b; a++, b++)
		;
	return *a == *b;
}

/*
 * "loop=NAME" at the end of the command line: that operation for ever, to look where it goes; with
 * "loop=x2NAME" in x2APIC mode; "loop=end" ends.
 */
static void loop(const uint32_t *information)
{
	static const struct {
		const char *name;
		uint32_t (*operation)(void);
	} operations[] = {
		{"cpuid", do_cpuid},
		{"port-read", do_port_read},
		{"port-write", do_port_write},
		{"mmio-read", do_mmio_read},
		{"mmio-write", do_mmio_write},
		{"apic-read", do_apic_read},
		{"apic-write", do_apic_write},
		{"apic-priority", do_apic_priority},
		{"apic-eoi", do_apic_eoi},
		{"ipi-self", do_ipi_self},
		{"timer-halted", do_timer_halted},
	};
	const char *line = (const char *)(uintptr_t)information[INFORMATION_COMMAND];

	const char *name = NULL;

	if (!(information[0] & INFORMATION_HAS_COMMAND))
		return;
	for (; *line != '\0'; line++)
		if (*line == '=')
			name = line + 1;
	if (name != NULL && equal(name, "end"))
		outb(PORT_DEBUG_EXIT, 0);
	if (name != NULL && name[0] == 'x' && name[1] == '2') {
		name += 2;
		x2apic = true;
		apic_on();
	}
	for (unsigned i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (name != NULL && equal(name, operations[i].name))
			for (;;)
				operations[i].operation();
}

void probe_main(const uint32_t *information)
{
	uint32_t ebx, ecx;

	for (unsigned i = 0; i < 256; i++) {
		uint64_t at = (uintptr_t)vectors + 16 * i;

		idt[i] = (struct gate){(uint16_t)at,	     0x08, 0x8e00, (uint16_t)(at >> 16),
				       (uint32_t)(at >> 32), 0};
	}
	__asm__ volatile("lidt (%0)" : : "r"(idt_pointer));
	outb(PORT_PIC_MASTER, 0xff);
	outb(PORT_PIC_SLAVE, 0xff);
	cpuid(0, &ebx, &ecx);
	amd = ebx == 0x68747541; /* "Auth" */
	apic_on();
	value("start at ", tsc());
	text("\n");
	loop(information);
	measure("nothing", do_nothing, COUNT);
	measure("cpuid", do_cpuid, COUNT);
	do_hypercall();
	if (no_hypercall)
		none("hypercall");
	else
		measure("hypercall", do_hypercall, COUNT);
	measure("port-read", do_port_read, COUNT);
	measure("port-write", do_port_write, COUNT);
	measure("mmio-read", do_mmio_read, COUNT);
	measure("mmio-write", do_mmio_write, COUNT);
	measure_apic();
	cpuid(1, &ebx, &ecx);
	if (ecx & CPUID_X2APIC) {
		x2apic = true;
		apic_on();
		measure_apic();
	} else {
		none("x2apic-read");
		none("x2apic-write");
		none("x2apic-eoi");
		none("x2apic-priority");
	}
	measure("ipi-self", do_ipi_self, COUNT);
	measure("timer-halted", do_timer_halted, COUNT / 4);
	measure("timer-running", do_timer_running, COUNT / 4);
	measure("timer-cost", do_timer_cost, COUNT / 4);
	measure_second();
	text("done\n");
	outb(PORT_DEBUG_EXIT, 0);
}
