/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual local APIC: registers, priorities, the timer, and interrupts between vCPUs. */
#include <string.h>

#include "domain_calls.h"
#include "guest_rig.h"
#include "unit.h"

#define MSR_APIC_BASE_VALUE 0xfee00d00u
#define MSR_DEADLINE	    0x6e0u
#define X2APIC(n)	    (0x800u + (n))

enum {
	ID = 0x02,
	VERSION = 0x03,
	TPR = 0x08,
	PPR = 0x0a,
	EOI = 0x0b,
	LDR = 0x0d,
	SVR = 0x0f,
	ISR = 0x10,
	TMR = 0x18,
	IRR = 0x20,
	ESR = 0x28,
	CMCI = 0x2f,
	ICR = 0x30,
	ICR_HIGH = 0x31,
	LVT_TIMER = 0x32,
	LVT_ERROR = 0x37,
	TMICT = 0x38,
	TMCCT = 0x39,
	TDCR = 0x3e,
	SELF_IPI = 0x3f,
};

static struct socle_vcpu_area *area[RIG_VCPUS];

/* vCPU i, in x2APIC mode with its APIC on, runs on CPU i. */
static void start(void)
{
	rig_start();
	for (unsigned i = 0; i < RIG_VCPUS; i++) {
		area[i] = rig_area(i);
		area[i]->apic_base = MSR_APIC_BASE_VALUE;
		area[i]->apic[4 * ID] = i;
		area[i]->apic[4 * LDR] = 1u << i;
		area[i]->apic[4 * SVR] = 0x1ff;
		rig_run(i);
	}
}

static uint32_t reg(unsigned vcpu, unsigned n)
{
	return area[vcpu]->apic[4 * n];
}

static void set_reg(unsigned vcpu, unsigned n, uint32_t value)
{
	area[vcpu]->apic[4 * n] = value;
}

static bool bit(unsigned vcpu, unsigned first, unsigned vector)
{
	return (reg(vcpu, first + vector / 32) >> vector % 32 & 1) != 0;
}

static void set_bit(unsigned vcpu, unsigned first, unsigned vector)
{
	area[vcpu]->apic[4 * (first + vector / 32)] |= 1u << vector % 32;
}

static void post(unsigned vcpu, unsigned vector)
{
	area[vcpu]->posted[vector / 64] |= 1ull << vector % 64;
}

static bool posted(unsigned vcpu, unsigned vector)
{
	return (area[vcpu]->posted[vector / 64] >> vector % 64 & 1) != 0;
}

static void write(unsigned n, uint64_t value)
{
	rig_wrmsr(0, X2APIC(n), value);
}

static uint64_t read(unsigned n)
{
	return rig_rdmsr(0, X2APIC(n));
}

static bool write_faults(unsigned n, uint64_t value)
{
	unsigned faults = fake_faults();

	write(n, value);
	return fake_faults() == faults + 1 && fake_fault_vector() == VECTOR_GP;
}

static bool read_faults(unsigned n)
{
	unsigned faults = fake_faults();

	read(n);
	return fake_faults() == faults + 1 && fake_fault_vector() == VECTOR_GP;
}

/* What can be written, and the bits that cannot be set. */
static const struct {
	unsigned n;
	uint32_t writable;
} writable[] = {{TPR, 0xff},
		{SVR, 0x1ff},
		{LVT_TIMER, 0x700ff},
		{LVT_TIMER + 1, 0x1f7ff},
		{LVT_TIMER + 4, 0x1f7ff}, /* + 3, LINT0, is the VMM's */
		{LVT_ERROR, 0x1f7ff},
		{TDCR, 0xb}};

START_TEST(registers_written)
{
	for (unsigned i = 0; i < ARRAY_COUNT(writable); i++) {
		unsigned n = writable[i].n;

		for (unsigned b = 0; b < 64; b++) {
			uint64_t value = 1ull << b;
			uint32_t before = reg(0, n);

			if (value & writable[i].writable) {
				write(n, value);
				ck_assert_uint_eq(reg(0, n), value);
				ck_assert_uint_eq(read(n), value);
			} else {
				ck_assert_msg(write_faults(n, value), "register %x, bit %u", n, b);
				ck_assert_uint_eq(reg(0, n), before);
			}
		}
		if (n != SVR)
			write(n, 0);
	}
	set_reg(0, ESR, 0x55);
	ck_assert_uint_eq(read(ESR), 0x55);
	ck_assert(write_faults(ESR, 1));
	write(ESR, 0);
	ck_assert_uint_eq(read(ESR), 0);
	rig_check_running(0);
}
END_TEST

START_TEST(registers_that_are_not_there)
{
	for (unsigned n = 0; n < 0x100; n++) {
		bool reads = n == ID || n == VERSION || n == TPR || n == PPR || n == LDR ||
			     n == SVR || (n >= ISR && n <= ESR) || n == ICR ||
			     (n >= LVT_TIMER && n <= TMCCT) || n == TDCR;
		bool writes = n == TPR || n == EOI || n == SVR || n == ESR || n == ICR ||
			      (n >= LVT_TIMER && n <= TMICT) || n == TDCR || n == SELF_IPI;

		if (!reads)
			ck_assert_msg(read_faults(n), "read of %x", n);
		else
			read(n);
		if (!writes)
			ck_assert_msg(write_faults(n, 0), "write of %x", n);
	}
	/* a read says what the image holds */
	set_reg(0, ID, 0x12345);
	set_reg(0, VERSION, 0x50014);
	set_reg(0, LDR, 0x70001);
	ck_assert_uint_eq(read(ID), 0x12345);
	ck_assert_uint_eq(read(VERSION), 0x50014);
	ck_assert_uint_eq(read(LDR), 0x70001);
	/* not without x2APIC mode */
	area[0]->apic_base = 0xfee00900;
	ck_assert(read_faults(ID));
	ck_assert(write_faults(TPR, 0));
	rig_check_running(0);
}
END_TEST

START_TEST(requests_read)
{
	set_reg(0, TPR, 0xff);
	post(0, 0x31);
	post(0, 0xff);
	ck_assert_uint_eq(read(IRR + 1), 1u << 0x11);
	ck_assert_uint_eq(read(IRR + 7), 1u << 31);
	ck_assert_uint_eq(area[0]->posted[0] | area[0]->posted[3], 0);
	/* taken from where they were posted, they are not forgotten */
	write(TPR, 0);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0xff);
}
END_TEST

/* From the lowest legal vector to the highest, each alone. */
START_TEST(each_vector)
{
	for (unsigned vector = 0; vector < 256; vector++) {
		unsigned before = fake_guest_interrupts();

		post(0, vector);
		rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
		ck_assert(!posted(0, vector));
		if (vector < 16) {
			ck_assert_uint_eq(fake_guest_interrupts(), before);
			continue;
		}
		set_reg(0, IRR, 0);
		ck_assert_uint_eq(fake_guest_interrupts(), before + 1);
		ck_assert_uint_eq(fake_guest_last_interrupt(), vector);
		ck_assert(bit(0, ISR, vector));
		ck_assert(!bit(0, IRR, vector));
		ck_assert_uint_eq(read(PPR), vector & 0xf0);
		write(EOI, 0);
		ck_assert(!bit(0, ISR, vector));
	}
}
END_TEST

START_TEST(priorities)
{
	post(0, 0x45);
	post(0, 0x92);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x92);
	/* neither one of the same class nor a lower one interrupts it; a higher does */
	post(0, 0x9f);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_interrupts(), 1);
	post(0, 0xa0);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0xa0);
	ck_assert_uint_eq(read(PPR), 0xa0);
	write(EOI, 0); /* of a0; 92 is still in service */
	ck_assert_uint_eq(fake_guest_interrupts(), 2);
	ck_assert_uint_eq(read(PPR), 0x90);
	write(EOI, 0);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x9f);
	/* the task priority */
	set_reg(0, TPR, 0x40);
	write(EOI, 0);
	ck_assert_uint_eq(fake_guest_interrupts(), 3);
	ck_assert_uint_eq(read(PPR), 0x40);
	write(TPR, 0x3f);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x45);
	ck_assert_uint_eq(fake_guest_interrupts(), 4);
	/* by MOV to CR8, which the vendor has written */
	write(EOI, 0);
	write(TPR, 0x50);
	post(0, 0x51);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_interrupts(), 4);
	set_reg(0, TPR, 0x4f);
	rig_exit(0, SOCLE_EXIT_CR_ACCESS);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x51);
}
END_TEST

START_TEST(not_now)
{
	fake_guest_window(false);
	post(0, 0x41);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert(bit(0, IRR, 0x41));
	ck_assert(!bit(0, ISR, 0x41));
	/* it is not forgotten over a run's end */
	rig_exit(0, SOCLE_EXIT_INTERRUPT);
	fake_guest_window(true);
	rig_run(0);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x41);
	write(EOI, 0);
	/* an APIC that is off keeps what comes */
	set_reg(0, SVR, 0xff);
	post(0, 0x42);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_interrupts(), 1);
	ck_assert(bit(0, IRR, 0x42));
	write(SVR, 0x1ff);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x42);
}
END_TEST

/* A VMM that restores a state says that there are requests in the image. */
START_TEST(image_loaded)
{
	rig_exit(0, SOCLE_EXIT_INTERRUPT);
	set_bit(0, IRR, 0x77);
	rig_run(0);
	ck_assert_uint_eq(fake_guest_interrupts(), 0);
	rig_exit(0, SOCLE_EXIT_INTERRUPT);
	area[0]->load = SOCLE_LOAD_APIC;
	rig_run(0);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x77);
}
END_TEST

START_TEST(end_of_interrupt)
{
	write(EOI, 0); /* of nothing */
	rig_check_running(0);
	ck_assert(write_faults(EOI, 1));
	set_bit(0, ISR, 0x63);
	set_bit(0, ISR, 0x41);
	set_bit(0, TMR, 0x63);
	write(EOI, 0);
	rig_check_left(0, SOCLE_EXIT_EOI);
	ck_assert_uint_eq(area[0]->info[0], 0x63);
	ck_assert(!bit(0, ISR, 0x63));
	ck_assert(bit(0, ISR, 0x41));
	rig_run(0);
	write(EOI, 0);
	rig_check_running(0);
	ck_assert(!bit(0, ISR, 0x41));
}
END_TEST

/* The guest is one whose interrupts the processor delivers from the image. */
static struct vcpu *delivered_by_the_processor(void)
{
	struct vcpu *vcpu = rig_guest(0);

	vcpu->virtual_interrupts = true;
	vcpu->apic_stale = false;
	return vcpu;
}

/* It learns of requests and of what is in service, and compares priorities itself. */
START_TEST(processor_delivers)
{
	struct vcpu *vcpu = delivered_by_the_processor();

	set_bit(0, ISR, 0x93);
	set_reg(0, TPR, 0xf0);
	post(0, 0x41);
	post(0, 0x77);
	rig_exit(0, SOCLE_EXIT_NMI);
	ck_assert(vcpu->apic_stale);
	ck_assert_uint_eq(vcpu->apic_status, 0x9377);
	ck_assert_uint_eq(fake_guest_interrupts(), 0);
	ck_assert(bit(0, IRR, 0x41) && bit(0, IRR, 0x77) && bit(0, ISR, 0x93));
	ck_assert(!posted(0, 0x41) && !posted(0, 0x77));
	/* Nothing new, nothing to say. */
	vcpu->apic_stale = false;
	rig_exit(0, SOCLE_EXIT_NMI);
	ck_assert(!vcpu->apic_stale);
}
END_TEST

START_TEST(processor_delivers_the_timer)
{
	struct vcpu *vcpu = delivered_by_the_processor();

	fake_tsc(1000);
	set_reg(0, LVT_TIMER, 0x55);
	area[0]->timer_deadline = 2000;
	rig_exit(0, SOCLE_EXIT_TIMER);
	ck_assert(!vcpu->apic_stale);
	fake_tsc(2000);
	rig_exit(0, SOCLE_EXIT_TIMER);
	ck_assert(vcpu->apic_stale);
	ck_assert_uint_eq(vcpu->apic_status, 0x55);
}
END_TEST

/* A local APIC that is off keeps its requests to itself, and an illegal vector is none. */
START_TEST(processor_delivers_nothing)
{
	struct vcpu *vcpu = delivered_by_the_processor();

	post(0, 0x30);
	write(SVR, 0xff);
	ck_assert(vcpu->apic_stale);
	ck_assert_uint_eq(vcpu->apic_status, 0);
	ck_assert(bit(0, IRR, 0x30));
	write(SVR, 0x1ff);
	ck_assert_uint_eq(vcpu->apic_status, 0x30);
	set_reg(0, IRR + 1, 0);
	set_bit(0, IRR, 15);
	rig_exit(0, SOCLE_EXIT_INTERRUPT);
	area[0]->load = SOCLE_LOAD_APIC;
	rig_run(0);
	ck_assert_uint_eq(vcpu->apic_status, 0);
}
END_TEST

/* What the processor itself has put into the image counts when the guest halts. */
START_TEST(processor_requests_end_a_halt)
{
	struct vcpu *vcpu = delivered_by_the_processor();

	fake_register(VCPU_RFLAGS, 1 << 9);
	vcpu->requests = false;
	set_bit(0, IRR, 0x61);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_running(0);
	ck_assert_uint_eq(vcpu->apic_status, 0x61);
	set_reg(0, TPR, 0x60);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_left(0, SOCLE_EXIT_HLT);
}
END_TEST

START_TEST(processor_says_eoi)
{
	rig_guest(0)->exit.information = 0x63;
	rig_exit(0, SOCLE_EXIT_EOI);
	rig_check_left(0, SOCLE_EXIT_EOI);
	ck_assert_uint_eq(area[0]->info[0], 0x63);
}
END_TEST

START_TEST(timer_once)
{
	static const unsigned divisors[] = {2, 4, 8, 16, 32, 64, 128, 1};

	for (unsigned i = 0; i < ARRAY_COUNT(divisors); i++) {
		uint64_t now = 1000000 * (i + 1);

		fake_tsc(now);
		write(TDCR, (i & 4) << 1 | (i & 3));
		write(LVT_TIMER, 0x40);
		write(TMICT, 1000);
		ck_assert_uint_eq(area[0]->timer_deadline, now + 1000 * divisors[i]);
		fake_tsc(now + 400 * divisors[i]);
		ck_assert_uint_eq(read(TMCCT), 600);
		fake_tsc(now + 1000 * divisors[i] - 1);
		rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
		ck_assert_uint_eq(fake_guest_interrupts(), i);
		fake_tsc(now + 1000 * divisors[i]);
		ck_assert_uint_eq(read(TMCCT), 0);
		rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
		ck_assert_uint_eq(fake_guest_interrupts(), i + 1);
		ck_assert_uint_eq(fake_guest_last_interrupt(), 0x40);
		ck_assert_uint_eq(area[0]->timer_deadline, 0);
		write(EOI, 0);
	}
	/* stopped; masked; with an illegal vector */
	write(TMICT, 1000);
	write(TMICT, 0);
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
	write(LVT_TIMER, 0x10040);
	write(TMICT, 1);
	fake_tsc(1ull << 40);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
	write(LVT_TIMER, 0xf);
	write(TMICT, 1);
	fake_tsc(1ull << 41);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
	ck_assert_uint_eq(fake_guest_interrupts(), ARRAY_COUNT(divisors));
}
END_TEST

START_TEST(timer_periodic)
{
	fake_tsc(5000);
	write(TDCR, 0xb);
	write(LVT_TIMER, 0x20041);
	write(TMICT, 100);
	fake_tsc(5100);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_interrupts(), 1);
	ck_assert_uint_eq(area[0]->timer_deadline, 5200);
	write(EOI, 0);
	/* looked at late: one interrupt, and no drift */
	fake_tsc(5555);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_interrupts(), 2);
	ck_assert_uint_eq(area[0]->timer_deadline, 5600);
	/* a VMM that wrote a deadline and no period: it ends */
	set_reg(0, TMICT, 0);
	write(EOI, 0);
	fake_tsc(5600);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
}
END_TEST

START_TEST(timer_deadline)
{
	fake_tsc(1000);
	rig_wrmsr(0, MSR_DEADLINE, 5000); /* ignored in another mode */
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
	ck_assert_uint_eq(rig_rdmsr(0, MSR_DEADLINE), 0);
	write(LVT_TIMER, 0x40042);
	rig_guest(0)->tsc_offset = 0x100;
	rig_wrmsr(0, MSR_DEADLINE, 5000);
	ck_assert_uint_eq(area[0]->timer_deadline, 5000 - 0x100);
	ck_assert_uint_eq(rig_rdmsr(0, MSR_DEADLINE), 5000);
	ck_assert_uint_eq(read(TMCCT), 0);
	write(TMICT, 7); /* ignored in this one */
	ck_assert_uint_eq(read(TMICT), 0);
	ck_assert_uint_eq(area[0]->timer_deadline, 5000 - 0x100);
	fake_tsc(5000 - 0x100);
	rig_exit(0, SOCLE_EXIT_INTERRUPT_WINDOW);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x42);
	ck_assert_uint_eq(rig_rdmsr(0, MSR_DEADLINE), 0);
	rig_wrmsr(0, MSR_DEADLINE, 9000);
	rig_wrmsr(0, MSR_DEADLINE, 0);
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
	/* another mode disarms it */
	rig_wrmsr(0, MSR_DEADLINE, 9000);
	write(LVT_TIMER, 0x50042); /* masked: the same mode */
	ck_assert_uint_ne(area[0]->timer_deadline, 0);
	write(LVT_TIMER, 0x42);
	ck_assert_uint_eq(area[0]->timer_deadline, 0);
}
END_TEST

/* Who gets an IPI: a mask of vCPUs. */
static const struct {
	uint64_t icr;
	unsigned to;
} ipis[] = {
	{0x41, 1},			     /* physical, 0: itself */
	{2ull << 32 | 0x41, 4},		     /* physical, 2 */
	{9ull << 32 | 0x41, 0},		     /* physical, nobody */
	{0xffffffffull << 32 | 0x41, 7},     /* physical, all */
	{6ull << 32 | 0x841, 6},	     /* logical */
	{(0x10000ull | 6) << 32 | 0x841, 0}, /* logical, another cluster */
	{0xffffffffull << 32 | 0x841, 7},    /* logical, all */
	{0x40041, 1},			     /* self */
	{0x80041, 7},			     /* all */
	{0xc0041, 6},			     /* all but self */
	{2ull << 32 | 0xc0041, 6},	     /* a shorthand goes before the destination */
};

START_TEST(ipi_targets)
{
	unsigned kicks = 0;

	fake_guest_window(false);
	for (unsigned i = 0; i < ARRAY_COUNT(ipis); i++) {
		for (unsigned v = 0; v < RIG_VCPUS; v++) {
			memset(area[v]->posted, 0, sizeof(area[v]->posted));
			set_reg(v, IRR + 2, 0);
		}
		write(ICR, ipis[i].icr);
		rig_check_running(0);
		ck_assert_uint_eq(read(ICR), ipis[i].icr);
		for (unsigned v = 0; v < RIG_VCPUS; v++) {
			bool got = v == 0 ? bit(0, IRR, 0x41) : posted(v, 0x41);

			ck_assert_msg(got == (ipis[i].to >> v & 1), "ICR %llx, vCPU %u",
				      (unsigned long long)ipis[i].icr, v);
			kicks += ipis[i].to >> v & 1; /* all of them run */
		}
		ck_assert_uint_eq(fake_kicks(), kicks);
	}
	/* whom an NMI reaches looks for interrupts */
	fake_guest_window(true);
	write(ICR, 1ull << 32 | 0x52);
	ck_assert_ptr_eq(fake_last_kicked(), &calls_cpu[1]);
	rig_exit(1, SOCLE_EXIT_NMI);
	rig_check_running(1);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x52);
	/* SELF IPI */
	write(SELF_IPI, 0x61);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x61);
	ck_assert(write_faults(SELF_IPI, 0x100));
}
END_TEST

START_TEST(ipis_to_those_that_do_not_run)
{
	rig_exit(1, SOCLE_EXIT_HLT);
	rig_exit(2, SOCLE_EXIT_HLT);
	/* in the VMM: it will look */
	write(ICR, 0xc0041);
	rig_check_running(0);
	ck_assert(posted(1, 0x41));
	/* asleep: the VMM is to wake them */
	area[1]->where = SOCLE_WHERE_IDLE;
	area[2]->where = SOCLE_WHERE_IDLE;
	write(ICR, 0xc0042);
	rig_check_left(0, SOCLE_EXIT_WAKE);
	ck_assert_uint_eq(area[0]->info[0], 6);
	ck_assert(posted(1, 0x42) && posted(2, 0x42));
	ck_assert_uint_eq(fake_kicks(), 0);
	rig_run(0);
	area[1]->where = SOCLE_WHERE_VMM;
	write(ICR, 2ull << 32 | 0x43);
	rig_check_left(0, SOCLE_EXIT_WAKE);
	ck_assert_uint_eq(area[0]->info[0], 4);
}
END_TEST

START_TEST(ipis_of_other_kinds)
{
	/* an illegal vector */
	write(ICR, 0xc000f);
	rig_check_running(0);
	ck_assert_uint_eq(area[1]->posted[0], 0);
	/* lowest priority, SMI, NMI, INIT, SIPI are the VMM's */
	for (uint64_t mode = 1; mode < 8; mode++) {
		uint64_t icr = 1ull << 32 | mode << 8 | 0x41;

		write(ICR, icr);
		rig_check_left(0, SOCLE_EXIT_IPI);
		ck_assert_uint_eq(area[0]->info[0], icr);
		ck_assert(!posted(1, 0x41));
		rig_run(0);
	}
}
END_TEST

START_TEST(halts)
{
	/* nothing to wake up for; with interrupts off it makes no difference if there is */
	fake_register(VCPU_RFLAGS, RFLAGS_IF);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_left(0, SOCLE_EXIT_HLT);
	rig_run(0);
	fake_register(VCPU_RFLAGS, 0);
	post(0, 0x41);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_left(0, SOCLE_EXIT_HLT);
	fake_register(VCPU_RFLAGS, RFLAGS_IF);
	fake_guest_window(false);
	rig_run(0);
	fake_guest_window(true);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_running(0);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x41);
	/* the timer may be due by then */
	write(EOI, 0);
	fake_tsc(10);
	write(LVT_TIMER, 0x44);
	write(TMICT, 1);
	fake_tsc(1000);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_running(0);
	ck_assert_uint_eq(fake_guest_last_interrupt(), 0x44);
	/* one that its priority keeps out does not count */
	post(0, 0x45);
	rig_exit(0, SOCLE_EXIT_HLT);
	rig_check_left(0, SOCLE_EXIT_HLT);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("virtual local APIC");
	TCase *tests = tcase_create("apic");

	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_test(tests, registers_written);
	tcase_add_test(tests, registers_that_are_not_there);
	tcase_add_test(tests, requests_read);
	tcase_add_test(tests, each_vector);
	tcase_add_test(tests, priorities);
	tcase_add_test(tests, not_now);
	tcase_add_test(tests, image_loaded);
	tcase_add_test(tests, end_of_interrupt);
	tcase_add_test(tests, processor_delivers);
	tcase_add_test(tests, processor_delivers_the_timer);
	tcase_add_test(tests, processor_delivers_nothing);
	tcase_add_test(tests, processor_requests_end_a_halt);
	tcase_add_test(tests, processor_says_eoi);
	tcase_add_test(tests, timer_once);
	tcase_add_test(tests, timer_periodic);
	tcase_add_test(tests, timer_deadline);
	tcase_add_test(tests, ipi_targets);
	tcase_add_test(tests, ipis_to_those_that_do_not_run);
	tcase_add_test(tests, ipis_of_other_kinds);
	tcase_add_test(tests, halts);
	suite_add_tcase(suite, tests);
	return suite;
}
