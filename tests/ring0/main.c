/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel of our own in the service VM's place: what Linux never does in ring 0, and what the
 * exits of it have to look like. It says on the serial port "ring0: ok NAME" or what is wrong, then
 * "ring0: done", and as its last act it loses its stack, which has to end the machine with a
 * message.
 */
#include <stdarg.h>

#include "ring0.h"

#define SERIAL	      0x3f8
#define SERIAL_STATUS (SERIAL + 5)
#define SERIAL_READY  0x20
#define PAGE_BYTES    4096ull
#define LARGE_PAGE    (2ull << 20)
#define APIC_BASE     0xfee00000ull
#define APIC_ICR_LOW  (APIC_BASE + 0x300)
#define APIC_ICR_HIGH (APIC_BASE + 0x310)
#define APIC_SPURIOUS (APIC_BASE + 0xf0)
#define ICR_NMI	      0x4400
#define ICR_PENDING   0x1000
#define PATIENCE      50000000ull

struct exception_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct __attribute__((packed)) table_register {
	uint16_t limit;
	uint64_t base;
};

extern const uint64_t exception_stubs[32];
void load_tables(const struct table_register *gdtr, const struct table_register *idtr,
		 uint16_t tss);
void ring3_call(uint64_t registers[7], bool amd, uint64_t *rsp0);
void ring3_return(void);
void try_fault(void);
void ap_entry(void);
void ring0_main(const uint8_t *zero_page);
void ring0_exception(struct exception_frame *frame);
void ring0_nmi(void);
void ap_main(void);

bool is_amd;
uint64_t hypervisor_base, hypervisor_bytes;
unsigned cpu_count = 1;
volatile uint64_t fault_code, fault_rip, fault_address;
volatile uint64_t nmi_count[2], nmi_resend;
volatile int nmi_depth[2], nmi_depth_max[2];

static bool trying;
static unsigned findings, failed;
static struct socle_key root_key;
static uint32_t apic_id[2];
static volatile uint8_t *mailbox;
static void (*volatile second_work)(void);
static volatile uint64_t second_arrived;

static uint64_t gdt[10];
static uint64_t idt[2 * 0x81];
static uint32_t tss[26];
static uint64_t pml4[512] __attribute__((aligned(4096)));
static uint64_t pdpt[512] __attribute__((aligned(4096)));
static uint64_t directories[4 * 512] __attribute__((aligned(4096)));
static struct table_register gdtr = {sizeof(gdt) - 1, (uint64_t)gdt};
static struct table_register idtr = {sizeof(idt) - 1, (uint64_t)idt};

static void out(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t in(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void put(char c)
{
	while (!(in(SERIAL_STATUS)&SERIAL_READY))
		;
	out(SERIAL, (uint8_t)c);
}

static void put_number(uint64_t v, unsigned base)
{
	char digits[20];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	while (count != 0)
		put(digits[--count]);
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	for (; *format != '\0'; format++) {
		if (*format == '\n')
			put('\r');
		if (*format != '%') {
			put(*format);
			continue;
		}
		format++;
		if (*format == 's')
			for (const char *text = va_arg(arguments, const char *); *text != '\0';
			     text++)
				put(*text);
		else if (*format == 'x')
			put_number(va_arg(arguments, uint64_t), 16);
		else
			put_number(va_arg(arguments, unsigned), 10);
	}
	va_end(arguments);
}

void check_equal(const char *what, uint64_t found, uint64_t expected)
{
	if (found == expected)
		return;
	findings++;
	say("ring0:   %s is 0x%x, expected 0x%x\n", what, found, expected);
}

static void set_gate(unsigned vector, uint64_t entry, unsigned dpl, unsigned ist)
{
	idt[2 * vector] = (entry & 0xffff) | 0x08ull << 16 | (uint64_t)ist << 32 |
			  (0x8e00ull | dpl << 13) << 32 | (entry & 0xffff0000) << 32;
	idt[2 * vector + 1] = entry >> 32;
}

static void set_tables(void)
{
	uint64_t base = (uint64_t)tss;

	gdt[1] = 0x00af9b000000ffff; /* 0x08: 64-bit code */
	gdt[2] = 0x00cf93000000ffff; /* 0x10: data */
	gdt[3] = 0x00cff3000000ffff; /* 0x18: data of ring 3 */
	gdt[4] = 0x00affb000000ffff; /* 0x20: 64-bit code of ring 3 */
	gdt[5] = 0x00cf9b000000ffff; /* 0x28: 32-bit code */
	gdt[6] = 0x00009b000000ffff; /* 0x30: 16-bit code */
	gdt[7] = 0x000093000000ffff; /* 0x38: 16-bit data */
	gdt[8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24) << 56;
	gdt[9] = base >> 32;
	for (unsigned i = 0; i < 32; i++)
		set_gate(i, exception_stubs[i], 0, 0);
	set_gate(0x80, (uint64_t)ring3_return, 3, 0);
	load_tables(&gdtr, &idtr, 0x40);

	/* the identity again, for ring 3 too */
	pml4[0] = (uint64_t)pdpt | 7;
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)&directories[512 * i] | 7;
	for (unsigned i = 0; i < ARRAY_COUNT(directories); i++)
		directories[i] = i * LARGE_PAGE | 0x87;
	set_cr3((uint64_t)pml4);
}

void ring0_exception(struct exception_frame *frame)
{
	if (!trying) {
		say("ring0: FAIL exception %u at 0x%x, error code 0x%x\n", (unsigned)frame->vector,
		    frame->rip, frame->error_code);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	fault_code = frame->error_code;
	fault_rip = frame->rip;
	fault_address = get_cr2();
	frame->rax = frame->vector;
	frame->rip = (uint64_t)try_fault;
}

static unsigned this_cpu(void)
{
	return *(volatile uint32_t *)(APIC_BASE + 0x20) >> 24 == apic_id[0] ? 0 : 1;
}

void ring0_nmi(void)
{
	unsigned cpu = this_cpu();

	if (++nmi_depth[cpu] > nmi_depth_max[cpu])
		nmi_depth_max[cpu] = nmi_depth[cpu];
	nmi_count[cpu]++;
	if (nmi_resend != 0) {
		nmi_resend--;
		send_nmi(cpu);
		for (unsigned i = 0; i < 1000; i++) /* it must wait for this one's IRET */
			cpuid(0, 0);
	}
	nmi_depth[cpu]--;
}

void send_nmi(unsigned cpu)
{
	while (*(volatile uint32_t *)APIC_ICR_LOW & ICR_PENDING)
		;
	*(volatile uint32_t *)APIC_ICR_HIGH = apic_id[cpu] << 24;
	*(volatile uint32_t *)APIC_ICR_LOW = ICR_NMI;
}

bool wait_for(const volatile uint64_t *count, uint64_t number)
{
	for (uint64_t i = 0; i < PATIENCE && *count < number; i++)
		__asm__ volatile("pause");
	return *count >= number;
}

void ap_main(void)
{
	load_tables(&gdtr, &idtr, 0);
	set_cr3((uint64_t)pml4);
	*(volatile uint32_t *)APIC_SPURIOUS |= 0x100;
	second_arrived++;
	for (;;) {
		if (second_work != NULL)
			second_work();
		__asm__ volatile("pause");
	}
}

/* ACPI 6.4, section 5.2.12.19. */
bool second_cpu(void (*function)(void))
{
	second_work = function;
	if (second_arrived != 0)
		return true;
	if (mailbox == NULL)
		return false;
	*(volatile uint32_t *)(mailbox + 4) = apic_id[1];
	*(volatile uint64_t *)(mailbox + 8) = (uint64_t)ap_entry;
	*(volatile uint16_t *)mailbox = 1;
	return wait_for(&second_arrived, 1);
}

int64_t hypercall(uint64_t number, const uint64_t argument[4], uint64_t reply[6])
{
	uint64_t registers[7] = {number,      root_key.word[0], root_key.word[1], argument[0],
				 argument[1], argument[2],	argument[3]};

	ring3_call(registers, is_amd, (uint64_t *)&tss[1]);
	for (unsigned i = 0; i < 6; i++)
		reply[i] = registers[i + 1];
	return (int64_t)registers[0];
}

uint64_t exits(unsigned cpu, enum socle_exit_reason reason)
{
	uint64_t reply[6];

	hypercall(SOCLE_CALL_STATS_READ,
		  (uint64_t[4]){SOCLE_STATS_EXITS, cpu, SOCLE_VM_SERVICE, reason}, reply);
	return reply[0];
}

uint64_t exits_all(unsigned cpu)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < SOCLE_EXIT_COUNT; i++)
		if (i != SOCLE_EXIT_HYPERCALL)
			sum += exits(cpu, i);
	return sum;
}

static bool has_name(const uint8_t *table, const char name[4])
{
	return table[0] == name[0] && table[1] == name[1] && table[2] == name[2] &&
	       table[3] == name[3];
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static void read_madt(const uint8_t *madt)
{
	for (uint32_t at = 44; at < get32(madt + 4); at += madt[at + 1]) {
		if (madt[at] == 0 && (madt[at + 4] & 1) && madt[at + 3] != apic_id[0])
			apic_id[cpu_count++ < 2 ? 1 : 0] = madt[at + 3];
		if (madt[at] == 0x10)
			mailbox = (volatile uint8_t *)get64(madt + at + 8);
		if (cpu_count == 2 && mailbox != NULL)
			return;
	}
}

/* Finds the key, the vendor, the second CPU. */
static bool read_tables(const uint8_t *zero_page)
{
	const uint8_t *rsdp = (const uint8_t *)get64(zero_page + 0x70);
	const uint8_t *xsdt = (const uint8_t *)get64(rsdp + 24);
	bool found = false;

	apic_id[0] = *(volatile uint32_t *)(APIC_BASE + 0x20) >> 24;
	for (uint32_t at = 36; at < get32(xsdt + 4); at += 8) {
		const uint8_t *table = (const uint8_t *)get64(xsdt + at);

		if (has_name(table, "APIC"))
			read_madt(table);
		if (has_name(table, SOCLE_ACPI_SIGNATURE)) {
			is_amd = get32(table + SOCLE_ACPI_HEADER_BYTES + 4) == SOCLE_VENDOR_SVM;
			root_key.word[0] = get64(table + SOCLE_ACPI_HEADER_BYTES + 8);
			root_key.word[1] = get64(table + SOCLE_ACPI_HEADER_BYTES + 16);
			found = true;
		}
	}
	return found;
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"control_registers", test_control_registers},
	{"state_survives", test_state_survives},
	{"msrs", test_msrs},
	{"xsetbv", test_xsetbv},
	{"refused", test_refused},
	{"invd", test_invd},
	{"hypercall_rings", test_hypercall_rings},
	{"hole", test_hole},
	{"no_exits", test_no_exits},
	{"real_mode", test_real_mode},
	{"own_nmi", test_own_nmi},
	{"nested_nmi", test_nested_nmi},
	{"nmi_in_root", test_nmi_in_root},
	{"nmi_wakes", test_nmi_wakes},
};

/* The stack goes to where the hypervisor is: no exception can be delivered any more. */
static void lose_the_stack(void)
{
	__asm__ volatile("mov %0, %%rsp; ud2" : : "r"(hypervisor_base + 4096) : "memory");
}

void ring0_main(const uint8_t *zero_page)
{
	uint64_t reply[6];

	set_tables();
	if (!read_tables(zero_page)) {
		say("ring0: FAIL no table " SOCLE_ACPI_SIGNATURE "\n");
		return;
	}
	if (hypercall(SOCLE_CALL_INFO, (uint64_t[4]){SOCLE_INFO_MEMORY}, reply) != SOCLE_OK) {
		say("ring0: FAIL no answer to a hypercall from ring 3\n");
		return;
	}
	hypervisor_base = reply[3];
	hypervisor_bytes = reply[4];
	say("ring0: %s, %u CPUs, hypervisor at 0x%x\n", is_amd ? "svm" : "vmx", cpu_count,
	    hypervisor_base);
	trying = true;
	for (unsigned i = 0; i < ARRAY_COUNT(tests); i++) {
		findings = 0;
		tests[i].run();
		say("ring0: %s %s\n", findings == 0 ? "ok" : "FAIL", tests[i].name);
		failed += findings != 0;
	}
	say("ring0: done, %u failed\n", failed);
	lose_the_stack();
}
