/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves for one reason again and again, for ever: the reason's name is in the command line. For
 * tests of what happens when a VMM dies meanwhile.
 */
#include "lib/apic.h"

const char guest_name[] = "exits";

#define VECTOR	     0x51u
#define LEVEL	     0x61u
#define PORT_LINE    0x3fdu
#define MSR_OF_VMM   0x8bu /* the microcode's revision */
#define HPET_CONFIG  0xfed00010ull
#define HPET_COUNTER 0xfed000f0ull
#define HPET_TIMER   0xfed00140ull /* of the third: configuration, comparator */
#define HPET_PIN     20u
#define HPET_LEVEL   (1u << 1 | 1u << 2 | HPET_PIN << 9)

static void leave_cpuid(void)
{
	cpuid(0, 0);
}

static void leave_io(void)
{
	in8(PORT_LINE);
}

static void leave_msr_read(void)
{
	TRY("rdmsr", : : "c"(MSR_OF_VMM) : "rax", "rdx", "memory");
}

static void leave_msr_write(void)
{
	TRY("wrmsr", : : "c"(MSR_OF_VMM), "a"(0), "d"(0) : "memory");
}

static void leave_second_level(void)
{
	mmio_read(HPET_COUNTER);
}

static void leave_invd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

static void leave_hypercall(void)
{
	if (is_amd())
		TRY("vmmcall", : : "a"(0) : "memory");
	else
		TRY("vmcall", : : "a"(0) : "memory");
}

static void leave_refused(void)
{
	uint64_t region = 0;

	if (is_amd())
		TRY("vmsave", : : "a"(0) : "memory");
	else
		TRY("vmxon %0", : : "m"(region) : "memory", "cc");
}

static void leave_cr_access(void)
{
	set_cr8(get_cr8() ^ 1);
}

static void leave_xsetbv(void)
{
	set_cr4(get_cr4() | CR4_OSXSAVE);
	TRY("xsetbv", : : "c"(0), "a"(1), "d"(0) : "memory");
}

/* Single steps: each is a #DB. */
static void leave_exception(void)
{
	__asm__ volatile("pushfq; orl %0, (%%rsp); popfq; nop; nop; nop; nop\n\t"
			 "pushfq; andl %1, (%%rsp); popfq"
			 :
			 : "i"(RFLAGS_TF), "i"(~RFLAGS_TF)
			 : "memory", "cc");
}

static void leave_interrupt(void)
{
	pause();
}

/* Halts until the other CPU sends an interrupt: meanwhile that leaves with "wake". */
static void leave_hlt(void)
{
	halt();
}

/* Has an interrupt wait for the STI. */
static void leave_window(void)
{
	apic_send(0, VECTOR);
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

/* Something other than an interrupt, which the VMM sends on. */
static void leave_ipi(void)
{
	apic_send(1, DELIVERY_NMI | ICR_ASSERT);
}

/* A line that stays high: each EOI has it come once more. */
static void leave_eoi(void)
{
	static bool prepared;

	if (!prepared) {
		prepared = true;
		ioapic_set(HPET_PIN, LEVEL | REDIRECTION_LEVEL);
		mmio_write(HPET_CONFIG, 0);
		mmio_write64(HPET_COUNTER, 0);
		mmio_write64(HPET_TIMER, HPET_LEVEL);
		mmio_write64(HPET_TIMER + 8, 20000);
		mmio_write(HPET_CONFIG, 1);
	}
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

/* The second CPU's part
 * ------------------------------------------------------------------------------------------- */

static void compute(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

static void wake_the_first(void *unused)
{
	(void)unused;
	for (;;) {
		apic_send(0, VECTOR);
		wait_us(2000); /* in which it halts */
	}
}

static void handle_quietly(struct frame *frame)
{
	(void)frame;
}

static const struct {
	const char *reason;
	void (*leave)(void);
	void (*second)(void *);
} loops[] = {
	{"cpuid", leave_cpuid, NULL},
	{"io", leave_io, NULL},
	{"msr_read", leave_msr_read, NULL},
	{"msr_write", leave_msr_write, NULL},
	{"second_level", leave_second_level, NULL},
	{"invd", leave_invd, NULL},
	{"hypercall", leave_hypercall, NULL},
	{"refused", leave_refused, NULL},
	{"cr_access", leave_cr_access, NULL},
	{"xsetbv", leave_xsetbv, NULL},
	{"exception", leave_exception, NULL},
	{"interrupt", leave_interrupt, compute},
	{"hlt", leave_hlt, wake_the_first},
	{"wake", leave_hlt, wake_the_first},
	{"interrupt_window", leave_window, NULL},
	{"ipi", leave_ipi, compute},
	{"nmi", leave_ipi, compute},
	{"eoi", leave_eoi, NULL},
};

void guest_test(void)
{
	apic_enable(true);
	trap_handle(1, handle_quietly);
	trap_handle(2, handle_quietly);
	for (unsigned i = 0; i < ARRAY_COUNT(loops); i++) {
		if (!guest_option(loops[i].reason))
			continue;
		if (loops[i].second != NULL) {
			if (!cpu_start(1))
				give_up("the second CPU does not come");
			cpu_begin(1, loops[i].second, NULL);
		}
		for (;;)
			loops[i].leave();
	}
	give_up("no reason in the command line");
}
