/* SPDX-License-Identifier: BSD-2-Clause */
/* vCPU threads, exits, interrupts between all parts, and the protocol of sleeping and waking. */
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "fake_machine.h"
#include "unit.h"

#define RFLAGS_IF   0x200ull
#define APIC_REG(n) (APIC_BASE + 16 * (n))
#define SVR	    0x0f
#define ROUNDS	    20000u

static struct vmm *vmm;
static struct vcpu *vcpu;

static void start(void)
{
	vmm = fake_machine_start(4);
	vcpu = &vmm->vcpu[0];
}

/* Exits with what the test has prepared -------------------------------------------------------- */

static int64_t next_exit;
static unsigned runs;

static int64_t prepared(struct vcpu *running)
{
	(void)running;
	runs++;
	return next_exit;
}

static void leave(enum socle_exit_reason reason, uint64_t info0, uint64_t info1)
{
	unsigned before = runs;

	fake_machine.guest = prepared;
	next_exit = reason;
	vcpu->area->info[0] = info0;
	vcpu->area->info[1] = info1;
	ck_assert(vcpu_step(vcpu));
	ck_assert_uint_eq(runs, before + 1);
}

static uint64_t io(uint16_t port, unsigned bytes, bool in)
{
	return port | bytes << 16 | (in ? SOCLE_IO_IN : 0);
}

static void enable_apic(struct vcpu *which)
{
	which->area->apic[4 * SVR] = 0x1ff;
}

static bool posted(const struct vcpu *which, unsigned vector)
{
	return (which->area->posted[vector / 64] >> vector % 64 & 1) != 0;
}

START_TEST(created)
{
	ck_assert_uint_eq(fake_machine.mapped, FAKE_RAM_BYTES - VMM_HOLE_BYTES);
	ck_assert_uint_eq(fake_machine.maps, 3);
	ck_assert(!fake_machine.hole_mapped);
	ck_assert_uint_eq(fake_machine.area[3], 0x10000000 + VMM_HOLE + 3 * 8192);
	ck_assert_uint_eq(vcpu->area->system.cs.base, 0xffff0000);
	ck_assert_uint_eq(vcpu->area->rip, 0xfff0);
	ck_assert_uint_eq(vcpu->area->apic_base, APIC_BASE | APIC_BASE_ENABLE | APIC_BASE_BSP);
	ck_assert_uint_eq(vmm->vcpu[3].area->apic[4 * 2], 3u << 24);
	ck_assert_uint_eq(vmm->vcpu[3].state->run, VCPU_WAIT_FOR_SIPI);
	ck_assert_ptr_eq((uint8_t *)vmm->vcpu[3].area, (uint8_t *)vcpu->area + 3 * 8192);
	ck_assert_ptr_eq(guest_memory(vmm, 0x100000, FAKE_RAM_BYTES - 0x100000),
			 vmm->ram.base + 0x100000);
	ck_assert_ptr_null(guest_memory(vmm, 0x100001, FAKE_RAM_BYTES - 0x100000));
	ck_assert_ptr_null(guest_memory(vmm, FAKE_RAM_BYTES, 1));
	ck_assert_ptr_null(guest_memory(vmm, ~0ull, 2));
	ck_assert_ptr_null(guest_memory(vmm, MEMORY_HIGH_BASE, 1));
}
END_TEST

/* What the VMM keeps where a PC has no RAM: no address of the guest leads there. */
START_TEST(own_memory_is_not_the_guests)
{
	uint8_t *base = vmm->ram.base, *area = (uint8_t *)vcpu->area;
	const uint64_t end = VMM_HOLE + VMM_HOLE_BYTES;

	ck_assert_ptr_eq(area, base + VMM_HOLE);
	ck_assert(vmm->state.base + vmm->state.bytes == base + end);
	ck_assert_ptr_eq(guest_memory(vmm, 0, VMM_HOLE), base);
	ck_assert_ptr_eq(guest_memory(vmm, end, 1), base + end);
	ck_assert_ptr_null(guest_memory(vmm, 0, VMM_HOLE + 1));
	ck_assert_ptr_null(guest_memory(vmm, VMM_HOLE - 1, 2));
	ck_assert_ptr_null(guest_memory(vmm, VMM_HOLE, 1));
	ck_assert_ptr_null(guest_memory(vmm, end - 1, 1));
	ck_assert_ptr_null(guest_memory(vmm, end - 1, 2));
	ck_assert_ptr_null(guest_memory(vmm, 0, FAKE_RAM_BYTES));
	ck_assert_uint_eq(guest_memory_address(vmm, base + end), end);
}
END_TEST

START_TEST(many_vcpus_have_a_frame_of_their_own)
{
	fake_machine_stop();
	vmm = fake_machine_start(VMM_HOLE_VCPUS + 1);
	ck_assert_uint_eq(fake_machine.mapped, FAKE_RAM_BYTES - VMM_HOLE_BYTES);
	ck_assert(!fake_machine.hole_mapped);
	ck_assert_uint_eq(fake_machine.area[1], 0x50000000 + 8192);
	ck_assert_ptr_eq(vmm->vcpu[0].area, vmm->ram.base + FAKE_RAM_BYTES);
	ck_assert_ptr_null(guest_memory(vmm, VMM_HOLE, 1));
	ck_assert_ptr_null(guest_memory(vmm, FAKE_RAM_BYTES, 1));
}
END_TEST

START_TEST(memory_above_the_hole)
{
	uint8_t *base = vmm->ram.base;

	memory_set(vmm, base, MEMORY_LOW_MAX + 0x200000);
	ck_assert_uint_eq(guest_memory_low(vmm), MEMORY_LOW_MAX);
	ck_assert_uint_eq(guest_memory_high(vmm), 0x200000);
	ck_assert_ptr_eq(guest_memory(vmm, MEMORY_LOW_MAX - 1, 1), base + MEMORY_LOW_MAX - 1);
	ck_assert_ptr_null(guest_memory(vmm, MEMORY_LOW_MAX - 1, 2));
	ck_assert_ptr_null(guest_memory(vmm, MEMORY_HIGH_BASE - 1, 2));
	ck_assert_ptr_eq(guest_memory(vmm, MEMORY_HIGH_BASE, 0x200000), base + MEMORY_LOW_MAX);
	ck_assert_ptr_null(guest_memory(vmm, MEMORY_HIGH_BASE + 1, 0x200000));
	ck_assert_uint_eq(guest_memory_address(vmm, base + MEMORY_LOW_MAX - 1), MEMORY_LOW_MAX - 1);
	ck_assert_uint_eq(guest_memory_address(vmm, base + MEMORY_LOW_MAX), MEMORY_HIGH_BASE);
	memory_set(vmm, base, FAKE_RAM_BYTES);
}
END_TEST

START_TEST(ports)
{
	vcpu->area->rax = 0x1122334455667788;
	leave(SOCLE_EXIT_IO, io(0x9999, 1, true), 0);
	ck_assert_uint_eq(vcpu->area->rax, 0x11223344556677ff);
	leave(SOCLE_EXIT_IO, io(0x9999, 2, true), 0);
	ck_assert_uint_eq(vcpu->area->rax, 0x112233445566ffff);
	leave(SOCLE_EXIT_IO, io(0x9999, 4, true), 0);
	ck_assert_uint_eq(vcpu->area->rax, 0xffffffff);
	vcpu->area->rax = 0xabcd5a;
	leave(SOCLE_EXIT_IO, io(0x3ff, 1, false), 0);
	leave(SOCLE_EXIT_IO, io(0x3ff, 1, true), 0);
	ck_assert_uint_eq(vcpu->area->rax, 0xabcd5a);
	vcpu->area->rax = 7;
	leave(SOCLE_EXIT_IO, io(0xf4, 4, false), 0);
	ck_assert(vmm->ending);
	ck_assert_uint_eq(vmm->status, 7);
	ck_assert(!vcpu_step(vcpu));
}
END_TEST

static uint64_t rdmsr(uint32_t msr)
{
	vcpu->area->rip = 0x1002;
	vcpu->area->event = 0;
	leave(SOCLE_EXIT_MSR_READ, msr, 0x1000);
	if (vcpu->area->event != 0) {
		ck_assert_uint_eq(vcpu->area->event, 0x80000b0d);
		ck_assert_uint_eq(vcpu->area->rip, 0x1000);
		ck_assert(vcpu->area->load & SOCLE_LOAD_RUN);
		return 0xdead;
	}
	ck_assert_uint_eq(vcpu->area->rip, 0x1002);
	return (uint32_t)vcpu->area->rax | vcpu->area->rdx << 32;
}

/* True if it faulted. */
static bool wrmsr(uint32_t msr, uint64_t value)
{
	vcpu->area->rax = (uint32_t)value | 0xffffffff00000000;
	vcpu->area->rdx = value >> 32;
	vcpu->area->event = 0;
	leave(SOCLE_EXIT_MSR_WRITE, msr, 0x1000);
	return vcpu->area->event != 0;
}

START_TEST(msrs)
{
	ck_assert_uint_eq(rdmsr(0x1b), 0xfee00900);
	ck_assert_uint_eq(rdmsr(0xfe), 0x508);
	ck_assert_uint_eq(rdmsr(0x12345), 0xdead);
	ck_assert(wrmsr(0x12345, 0));
	ck_assert(!wrmsr(0x2ff, 0xc06));
	ck_assert(wrmsr(0x2ff, 0xc02)); /* no such type */
	ck_assert(wrmsr(0x250, 0x0606060606060602));
	ck_assert(!wrmsr(0x250, 0x0104050601040506));
	ck_assert_uint_eq(rdmsr(0x250), 0x0104050601040506);
	ck_assert(!wrmsr(0x20f, 0xfffff0000800));
	ck_assert_uint_eq(rdmsr(0x20f), 0xfffff0000800);
	ck_assert(wrmsr(0xfe, 0));
	ck_assert_uint_eq(rdmsr(0xc0010114), 0x18);
	ck_assert_uint_eq(rdmsr(0xce), 0xdead); /* Intel's */
	vmm->config.msr_ignore = true;
	ck_assert_uint_eq(rdmsr(0x12345), 0);
	ck_assert(!wrmsr(0x12345, 1));
	/* The other vendor's list. */
	vmm->config.msr_ignore = false;
	vmm->config.vendor = SOCLE_VENDOR_VMX;
	ck_assert_uint_eq(rdmsr(0x3a), 1);
	ck_assert(!wrmsr(0x1d9, 0));
	ck_assert(wrmsr(0x1d9, 1));
	ck_assert_uint_eq(rdmsr(0xc0010114), 0xdead);
}
END_TEST

START_TEST(apic_modes)
{
	ck_assert(wrmsr(0x1b, 0xfee00500)); /* x2APIC without being enabled */
	ck_assert(wrmsr(0x1b, 0xfec00900)); /* elsewhere */
	ck_assert(wrmsr(0x1b, 0xfee00901)); /* a reserved bit */
	ck_assert(!wrmsr(0x1b, 0xfee00d00));
	ck_assert_uint_eq(vcpu->area->apic[4 * 2], 0);
	ck_assert_uint_eq(vcpu->area->apic[4 * 0xd], 1);
	ck_assert_uint_eq(rdmsr(0x1b), 0xfee00d00);
}
END_TEST

/* Messages ------------------------------------------------------------------------------------- */

START_TEST(messages)
{
	struct vcpu *second = &vmm->vcpu[1];

	for (unsigned i = 0; i < 4; i++)
		enable_apic(&vmm->vcpu[i]);
	msi_send(vmm, 0xfee01000, 0x41);
	ck_assert(posted(second, 0x41));
	ck_assert(!posted(vcpu, 0x41));
	msi_send(vmm, 0xfed01000, 0x42); /* not to a local APIC */
	ck_assert(!posted(second, 0x42));
	msi_send(vmm, 0xfee01000, 0x0f); /* an illegal vector */
	ck_assert_uint_eq(second->area->posted[0], 0);
	msi_send(vmm, 0xfeeff000, 0x51);
	for (unsigned i = 0; i < 4; i++)
		ck_assert(posted(&vmm->vcpu[i], 0x51));
	/* Logical, flat: 2 and 3. */
	for (unsigned i = 0; i < 4; i++)
		vmm->vcpu[i].area->apic[4 * 0xd] = 1u << (24 + i);
	msi_send(vmm, 0xfee0c004, 0x61);
	ck_assert(!posted(&vmm->vcpu[1], 0x61));
	ck_assert(posted(&vmm->vcpu[2], 0x61));
	ck_assert(posted(&vmm->vcpu[3], 0x61));
	/* Logical, cluster 0. */
	vcpu->area->apic[4 * 0xe] = 0x0fffffff;
	vcpu->area->apic[4 * 0xd] = 0x01000000;
	msi_send(vmm, 0xfee01004, 0x62);
	ck_assert(posted(vcpu, 0x62));
	/* Off. */
	second->area->apic[4 * SVR] = 0xff;
	msi_send(vmm, 0xfee01000, 0x43);
	ck_assert(!posted(second, 0x43));
}
END_TEST

START_TEST(lowest_priority)
{
	for (unsigned i = 0; i < 3; i++)
		enable_apic(&vmm->vcpu[i]);
	for (unsigned i = 0; i < 4; i++)
		vmm->vcpu[i].area->apic[4 * 0xd] = 1u << (24 + i);
	for (unsigned vector = 0x40; vector < 0x46; vector++)
		msi_send(vmm, 0xfee0f004, 0x100 | vector);
	/* Each to one, in turn, and none to the one that is off. */
	for (unsigned vector = 0x40; vector < 0x46; vector++)
		for (unsigned i = 0; i < 4; i++)
			ck_assert_int_eq(posted(&vmm->vcpu[i], vector), i == (vector - 0x40) % 3);
}
END_TEST

START_TEST(level_through_everything)
{
	enable_apic(vcpu);
	bus_do_write(vmm, BUS_MEMORY, 0xfec00000, 4, 0x10 + 2 * 20);
	bus_do_write(vmm, BUS_MEMORY, 0xfec00010, 4, 0x8071);
	irq_set(vmm, 20, true);
	ck_assert(posted(vcpu, 0x71));
	ck_assert_uint_eq(vcpu->area->apic[4 * (0x18 + 3)], 1u << 0x11);
	/* The hypervisor delivers it, the guest ends it by way of memory: it is still asserted. */
	vcpu->area->posted[1] = 0;
	vcpu->area->apic[4 * (0x10 + 3)] = 1u << 0x11;
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0xb), 4, 0);
	ck_assert_uint_eq(vcpu->area->apic[4 * (0x10 + 3)], 0);
	ck_assert(posted(vcpu, 0x71));
	vcpu->area->posted[1] = 0;
	irq_set(vmm, 20, false);
	leave(SOCLE_EXIT_EOI, 0x71, 0);
	ck_assert(!posted(vcpu, 0x71));
	/* An edge with the same vector takes the mark away. */
	msi_send(vmm, 0xfee00000, 0x71);
	ck_assert_uint_eq(vcpu->area->apic[4 * (0x18 + 3)], 0);
}
END_TEST

static void set_up_pic(void)
{
	bus_do_write(vmm, BUS_PORT, 0x20, 1, 0x11);
	bus_do_write(vmm, BUS_PORT, 0x21, 1, 0x30);
	bus_do_write(vmm, BUS_PORT, 0x21, 1, 0x04);
	bus_do_write(vmm, BUS_PORT, 0x21, 1, 0x01);
}

/* IF says nothing: an STI may have been the last instruction. */
START_TEST(pic_interrupt)
{
	set_up_pic();
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	irq_set(vmm, 3, true);
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0); /* LINT0 is masked */
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0xf), 4, 0x1ff);
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0x35), 4, 0x700);
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0);
	vcpu->area->rflags = RFLAGS_IF | 2;
	vcpu->area->load = 0;
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0);
	ck_assert(vcpu->area->load & SOCLE_LOAD_WINDOW);
	leave(SOCLE_EXIT_INTERRUPT_WINDOW, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0);
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, SOCLE_EVENT_VALID | 0x33);
	vcpu->area->event = 0;
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0); /* acknowledged once */
}
END_TEST

START_TEST(pic_interrupt_wakes)
{
	set_up_pic();
	bus_do_write(vmm, BUS_PORT, 0x21, 1, 0);
	vcpu->area->apic_base = 0; /* no local APIC between them */
	vcpu->area->rflags = RFLAGS_IF | 2;
	leave(SOCLE_EXIT_HLT, 0, 0);
	irq_set(vmm, 3, true);
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, SOCLE_EVENT_VALID | 0x33);
	vcpu->area->event = 0;
	/* Another one cannot know where the guest is by now. */
	irq_set(vmm, 1, true);
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0);
}
END_TEST

/* It comes when the thread has looked for work already: the guest is not run without being asked.
 */
static int64_t refuses(struct vcpu *running)
{
	ck_assert(running->area->load & SOCLE_LOAD_WINDOW);
	return SOCLE_EXIT_INTERRUPT;
}

START_TEST(pic_interrupt_is_asked_for)
{
	set_up_pic();
	vcpu->area->apic_base = 0;
	vcpu->area->rflags = 2;
	vcpu->area->load = 0;
	fake_machine.guest = refuses;
	irq_set(vmm, 3, true);
	ck_assert(vcpu_step(vcpu));
	ck_assert(vcpu->area->load & SOCLE_LOAD_WINDOW);
}
END_TEST

/* A store of XMM3 to the HPET's first timer, and a load into XMM4, in 16-bit code. */
static struct socle_vectors *seen;
static bool seen_load;

static int64_t run_vectors(const struct socle_key *key, uint64_t number, uint64_t domain,
			   struct socle_vectors *vectors, uint64_t load)
{
	(void)key;
	(void)domain;
	ck_assert_uint_eq(number, 0);
	seen = vectors;
	seen_load = (load & SOCLE_LOAD_VECTORS) != 0;
	vcpu->area->load = 0;
	vectors->xmm[3][0] = 0x1e00; /* no interrupt, to pin 15: what it does not have */
	vectors->xmm[3][1] = 0x123456789abcdef0;
	return SOCLE_EXIT_SECOND_LEVEL;
}

static void emulate(uint8_t opcode, uint8_t modrm, uint64_t access)
{
	uint8_t *code = guest_memory(vmm, 0x1000, 3);

	code[0] = 0x0f;
	code[1] = opcode;
	code[2] = modrm;
	vcpu->area->rip = 0x1000;
	vcpu->area->info[0] = 0xfed00100;
	vcpu->area->info[1] = access;
	ck_assert(vcpu_step(vcpu));
	ck_assert_msg(!vmm->ending, "%s", vmm->reason);
	ck_assert_uint_eq(vcpu->area->rip, 0x1003);
}

START_TEST(vector_registers)
{
	struct socle_vcpu_area *area = vcpu->area;

	vmm->handle.run = run_vectors;
	area->system.cs.base = 0;
	area->system.ds.base = 0xfed00000;
	area->rbx = 0x100;
	emulate(0x11, 0x1f, SOCLE_ACCESS_WRITE); /* movups [bx], xmm3 */
	ck_assert_uint_eq(bus_do_read(vmm, BUS_MEMORY, 0xfed00108, 8), 0x123456789abcdef0);
	ck_assert_uint_eq(area->load & SOCLE_LOAD_VECTORS, 0);
	emulate(0x10, 0x27, SOCLE_ACCESS_READ); /* movups xmm4, [bx] */
	ck_assert(!seen_load);
	ck_assert(area->load & SOCLE_LOAD_VECTORS);
	ck_assert_uint_eq(seen->xmm[4][1], 0x123456789abcdef0);
	ck_assert_uint_eq(seen->xmm[4][0] & 0x3e00, 0x1e00);
	emulate(0x11, 0x1f, SOCLE_ACCESS_WRITE);
	ck_assert(seen_load);
}
END_TEST

START_TEST(init_sipi)
{
	struct vcpu *second = &vmm->vcpu[1];

	leave(SOCLE_EXIT_IPI, 1ull << 32 | 0x4500, 0);
	leave(SOCLE_EXIT_IPI, 1ull << 32 | 0x0612, 0);
	fake_machine.guest = prepared;
	next_exit = SOCLE_EXIT_INTERRUPT;
	ck_assert(vcpu_step(second));
	ck_assert_uint_eq(second->state->run, VCPU_RUNNING);
	ck_assert_uint_eq(second->area->system.cs.selector, 0x1200);
	ck_assert_uint_eq(second->area->system.cs.base, 0x12000);
	ck_assert_uint_eq(second->area->rip, 0);
	/* A second SIPI does nothing to one that runs; INIT stops it. */
	leave(SOCLE_EXIT_IPI, 1ull << 32 | 0x0634, 0);
	ck_assert(vcpu_step(second));
	ck_assert_uint_eq(second->area->system.cs.selector, 0x1200);
	leave(SOCLE_EXIT_IPI, 1ull << 32 | 0x4500, 0);
	runs = 0;
	ck_assert(vcpu_step(second));
	ck_assert_uint_eq(runs, 0);
	ck_assert_uint_eq(second->state->run, VCPU_WAIT_FOR_SIPI);
	/* NMI to all but self. */
	second->state->run = VCPU_RUNNING;
	leave(SOCLE_EXIT_IPI, 0xc0400, 0);
	ck_assert(vcpu_step(second));
	ck_assert_uint_eq(second->area->event, 0x80000202);
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_eq(vcpu->area->event, 0);
}
END_TEST

START_TEST(ends)
{
	leave(SOCLE_EXIT_SHUTDOWN, 0, 0);
	ck_assert(vmm->ending);
	ck_assert_int_eq(vmm->end, VMM_CRASH);
	ck_assert_ptr_nonnull(strstr(vmm->reason, "triple fault"));
	vmm->ending = false;
	leave(SOCLE_EXIT_SHUTDOWN, SOCLE_SHUTDOWN_TASK_GATE, 0);
	ck_assert_ptr_nonnull(strstr(vmm->reason, "through a task gate"));
	vmm->ending = false;
	leave(SOCLE_EXIT_CPUID, 0, 0);
	ck_assert(vmm->ending);
	vmm->ending = false;
	vcpu->state->pending = 0;
	next_exit = SOCLE_ERROR_BUSY;
	ck_assert(vcpu_step(vcpu));
	ck_assert(vmm->ending);
	ck_assert_ptr_nonnull(strstr(vmm->reason, "cannot run"));
}
END_TEST

START_TEST(apic_timer_by_memory)
{
	uint64_t before;

	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0x3e), 4, 0xb); /* by 1 */
	before = __rdtsc();
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0x38), 4, 1000000000);
	ck_assert_uint_ge(vcpu->area->timer_deadline, before + 1000000000);
	ck_assert_uint_le(vcpu->area->timer_deadline, __rdtsc() + 1000000000);
	ck_assert_uint_le(bus_do_read(vmm, BUS_MEMORY, APIC_REG(0x39), 4), 1000000000);
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0x3e), 4, 0x3); /* by 16 */
	before = __rdtsc();
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0x38), 4, 1000000000);
	ck_assert_uint_ge(vcpu->area->timer_deadline, before + 16000000000);
	bus_do_write(vmm, BUS_MEMORY, APIC_REG(0x38), 4, 0);
	ck_assert_uint_eq(vcpu->area->timer_deadline, 0);
	ck_assert_uint_eq(bus_do_read(vmm, BUS_MEMORY, APIC_REG(0x03), 4), 0x50014);
	ck_assert_uint_eq(bus_do_read(vmm, BUS_MEMORY, APIC_REG(0x02), 4), 0);
	/* what is behind the last register is not what the area has behind the image */
	memset(&vcpu->area->system, 0x77, sizeof(vcpu->area->system));
	for (unsigned n = 0x40; n < 0x100; n++)
		ck_assert_uint_eq(bus_do_read(vmm, BUS_MEMORY, APIC_REG(n), 4), 0);
}
END_TEST

/* Sleeping ------------------------------------------------------------------------------------- */

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

START_TEST(sleeps_until_deadline)
{
	uint64_t tsc = __rdtsc(), before;

	usleep(20000);
	vcpu->area->rflags = RFLAGS_IF;
	leave(SOCLE_EXIT_HLT, 0, 0);
	tsc = (__rdtsc() - tsc) * 5; /* a good 100 ms */
	before = milliseconds();
	vcpu->area->timer_deadline = __rdtsc() + tsc;
	leave(SOCLE_EXIT_INTERRUPT, 0, 0);
	ck_assert_uint_ge(milliseconds() - before, 90);
	ck_assert_uint_le(milliseconds() - before, 2000);
	ck_assert_uint_eq(vcpu->state->run, VCPU_RUNNING);
}
END_TEST

static unsigned handled, asked;

/* Takes the posted interrupt, says so, and halts: as a guest that is idle between interrupts. */
static int64_t idle_guest(struct vcpu *running)
{
	running->area->rflags = RFLAGS_IF;
	if (__atomic_exchange_n(&running->area->posted[1], 0, __ATOMIC_SEQ_CST) != 0)
		__atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
	return SOCLE_EXIT_HLT;
}

/* Each interrupt is sent when the one before has been handled: a lost wake-up would be the end. */
START_TEST(no_lost_wake_up)
{
	uint64_t deadline = milliseconds() + 60000;

	enable_apic(vcpu);
	fake_machine.guest = idle_guest;
	event_clock_start(vmm);
	ck_assert(vcpu_start_all(vmm));
	for (asked = 1; asked <= ROUNDS; asked++) {
		/* From time to time it gets the time to fall asleep. */
		if (asked % 64 == 0)
			usleep(100);
		vmm_lock(vmm);
		msi_send(vmm, 0xfee00000, 0x41);
		vmm_unlock(vmm);
		while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) != asked)
			ck_assert_msg(milliseconds() < deadline, "after %u", asked);
	}
	vmm_lock(vmm);
	machine_pause(vmm);
	vmm_unlock(vmm);
	while (__atomic_load_n(&vmm->running, __ATOMIC_SEQ_CST) != 0)
		ck_assert(milliseconds() < deadline);
	msi_send(vmm, 0xfee00000, 0x41);
	usleep(20000);
	ck_assert_uint_eq(handled, ROUNDS);
	vmm_lock(vmm);
	machine_unpause(vmm);
	vmm_unlock(vmm);
	while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) != ROUNDS + 1)
		ck_assert(milliseconds() < deadline);
	vmm_lock(vmm);
	vmm_end(vmm, VMM_POWEROFF, "done");
	vmm_unlock(vmm);
	vcpu_join_all(vmm);
	ck_assert_uint_eq(vmm->running, 0);
}
END_TEST

START_TEST(takeover)
{
	vcpu->area->rip = 0x1234;
	vmm->vcpu[2].state->run = VCPU_HALTED;
	ck_assert(fake_machine_restart(4));
	ck_assert_uint_eq(vmm->vcpu[0].area->rip, 0x1234);
	ck_assert_uint_eq(vmm->vcpu[2].state->run, VCPU_HALTED);
}
END_TEST

/* A crystal that is the TSC itself, for that is what the local APIC's timer counts. */
START_TEST(cpuid_frequencies)
{
	struct socle_cpuid_entry *table = vcpu->area->cpuid;

	vmm->config.tsc_hz = 2999600000;
	cpuid_fill(vcpu);
	ck_assert_uint_eq(table[0].eax, 0xd);
	ck_assert_uint_eq(table[0x15].flags, 0);
	vmm->config.vendor = SOCLE_VENDOR_VMX;
	cpuid_fill(vcpu);
	ck_assert_uint_eq(table[0].eax, 0x16);
	ck_assert_uint_eq(table[0x15].eax, 1);
	ck_assert_uint_eq(table[0x15].ebx, 1);
	ck_assert_uint_eq(table[0x15].ecx, 2999600000);
	ck_assert_uint_eq(table[0x16].eax, 3000);
	ck_assert_uint_eq(table[0x16].ebx, 3000);
	vmm->config.tsc_hz = 5000000000; /* more than the register holds */
	cpuid_fill(vcpu);
	ck_assert_uint_eq(table[0x15].ecx, 0);
	ck_assert_uint_eq(table[0x16].eax, 5000);
}
END_TEST

START_TEST(cpuid_table)
{
	struct socle_cpuid_entry *table = vmm->vcpu[3].area->cpuid;

	ck_assert_uint_eq(table[1].ebx >> 24, 3);
	ck_assert_uint_eq(table[1].ebx >> 16 & 0xff, 4);
	ck_assert_uint_eq(table[1].ecx & (1u << 31 | 1u << 21), 1u << 31 | 1u << 21);
	ck_assert_uint_eq(table[1].ecx & (1u << 5), 0);
	ck_assert_uint_eq(table[0xb].flags, 3);
	ck_assert_uint_eq(table[64].ebx, 0x6c636f53);
	ck_assert_uint_eq(table[SOCLE_CPUID_SECOND].leaf, 0x40000100);
	ck_assert_mem_eq(&table[SOCLE_CPUID_SECOND].ebx, "KVMKVMKVM\0\0", 12);
	ck_assert_uint_eq(table[32].flags, 1);
	for (unsigned i = SOCLE_CPUID_LIST; i < SOCLE_CPUID_ENTRIES; i++)
		if (table[i].leaf == 0xb) {
			ck_assert_uint_eq(table[i].edx, 3);
			ck_assert_uint_eq(table[i].eax, table[i].subleaf == 1 ? 2 : 0);
			ck_assert_uint_eq(table[i].ebx, table[i].subleaf == 1	? 4
							: table[i].subleaf == 0 ? 1
										: 0);
		}
	ck_assert_uint_eq(table[0xa].flags, 0); /* no performance counters */
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("vcpu");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_machine_stop);
	tcase_set_timeout(tests, 90);
	tcase_add_test(tests, created);
	tcase_add_test(tests, memory_above_the_hole);
	tcase_add_test(tests, own_memory_is_not_the_guests);
	tcase_add_test(tests, many_vcpus_have_a_frame_of_their_own);
	tcase_add_test(tests, ports);
	tcase_add_test(tests, msrs);
	tcase_add_test(tests, apic_modes);
	tcase_add_test(tests, messages);
	tcase_add_test(tests, lowest_priority);
	tcase_add_test(tests, level_through_everything);
	tcase_add_test(tests, pic_interrupt);
	tcase_add_test(tests, pic_interrupt_wakes);
	tcase_add_test(tests, pic_interrupt_is_asked_for);
	tcase_add_test(tests, vector_registers);
	tcase_add_test(tests, init_sipi);
	tcase_add_test(tests, ends);
	tcase_add_test(tests, apic_timer_by_memory);
	tcase_add_test(tests, sleeps_until_deadline);
	tcase_add_test(tests, no_lost_wake_up);
	tcase_add_test(tests, takeover);
	tcase_add_test(tests, cpuid_table);
	tcase_add_test(tests, cpuid_frequencies);
	suite_add_tcase(suite, tests);
	return suite;
}
