/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's exits: what the hypervisor does by itself, what the VMM gets to know, what goes on. */
#include <string.h>

#include "guest_rig.h"
#include "unit.h"

static struct socle_vcpu_area *area;
static struct vcpu *guest;

static void start(void)
{
	rig_start();
	area = rig_area(0);
	rig_run(0);
	guest = rig_guest(0);
}

START_TEST(ports)
{
	guest->exit.information = 0x3f8 | 1 << 16 | SOCLE_IO_IN;
	fake_register(VCPU_CR3, 0x1000);
	rig_exit(0, SOCLE_EXIT_IO);
	rig_check_left(0, SOCLE_EXIT_IO);
	ck_assert_uint_eq(area->info[0], 0x3f8 | 1 << 16 | SOCLE_IO_IN);
	ck_assert_uint_eq(area->system.cr3, 0);
	/* a string instruction is the VMM's to do: it needs the system state */
	rig_run(0);
	guest->exit.information = 0x1f0 | 2 << 16 | SOCLE_IO_STRING | SOCLE_IO_REP;
	rig_exit(0, SOCLE_EXIT_IO);
	rig_check_left(0, SOCLE_EXIT_IO);
	ck_assert_uint_eq(area->info[0], 0x1f0 | 2 << 16 | SOCLE_IO_STRING | SOCLE_IO_REP);
	ck_assert_uint_eq(area->system.cr3, 0x1000);
}
END_TEST

START_TEST(memory)
{
	guest->exit.address = gpa(0xfee000b0);
	guest->exit.write = true;
	fake_register(VCPU_CR3, 0x2000);
	rig_exit(0, SOCLE_EXIT_SECOND_LEVEL);
	rig_check_left(0, SOCLE_EXIT_SECOND_LEVEL);
	ck_assert_uint_eq(area->info[0], 0xfee000b0);
	ck_assert_uint_eq(area->info[1], SOCLE_ACCESS_WRITE);
	ck_assert_uint_eq(area->system.cr3, 0x2000);
	rig_run(0);
	guest->exit.write = false;
	rig_exit(0, SOCLE_EXIT_SECOND_LEVEL);
	ck_assert_uint_eq(area->info[1], SOCLE_ACCESS_READ);
}
END_TEST

START_TEST(msrs)
{
	fake_vendor_msr_set(0x1122334455667788);
	ck_assert_uint_eq(rig_rdmsr(0, FAKE_MSR), 0x1122334455667788);
	ck_assert_uint_eq(guest->regs->rdx, 0x11223344);
	rig_wrmsr(0, FAKE_MSR, 0x8877665544332211);
	ck_assert_uint_eq(fake_vendor_msr(), 0x8877665544332211);
	rig_check_running(0);
	/* what neither the local APIC nor the vendor has is the VMM's */
	guest->exit.rip = 0x1234;
	rig_rdmsr(0, 0x8b);
	rig_check_left(0, SOCLE_EXIT_MSR_READ);
	ck_assert_uint_eq(area->info[0], 0x8b);
	ck_assert_uint_eq(area->info[1], 0x1234);
	rig_run(0);
	rig_wrmsr(0, 0x79, 5);
	rig_check_left(0, SOCLE_EXIT_MSR_WRITE);
	ck_assert_uint_eq(area->info[0], 0x79);
	ck_assert_uint_eq(area->info[1], 0x1234);
	/* x2APIC registers without x2APIC mode: neither's */
	rig_run(0);
	rig_rdmsr(0, 0x802);
	ck_assert_uint_eq(fake_faults(), 1);
	rig_wrmsr(0, 0x808, 0);
	ck_assert_uint_eq(fake_faults(), 2);
	ck_assert_uint_eq(fake_fault_vector(), VECTOR_GP);
	rig_check_running(0);
}
END_TEST

/* Nobody else's: #UD, or nothing at all. */
START_TEST(goes_on)
{
	static const enum socle_exit_reason ud[] = {SOCLE_EXIT_HYPERCALL, SOCLE_EXIT_REFUSED};
	static const enum socle_exit_reason nothing[] = {
		SOCLE_EXIT_NMI_WINDOW, SOCLE_EXIT_INVD, SOCLE_EXIT_TIMER,
		SOCLE_EXIT_IPI,	       SOCLE_EXIT_WAKE, SOCLE_EXIT_INTERRUPT_WINDOW,
		SOCLE_EXIT_CR_ACCESS};

	for (unsigned i = 0; i < ARRAY_COUNT(ud); i++) {
		rig_exit(0, ud[i]);
		ck_assert_uint_eq(fake_faults(), i + 1);
		ck_assert_uint_eq(fake_fault_vector(), VECTOR_UD);
		rig_check_running(0);
	}
	for (unsigned i = 0; i < ARRAY_COUNT(nothing); i++) {
		rig_exit(0, nothing[i]);
		rig_check_running(0);
	}
	ck_assert_uint_eq(fake_faults(), ARRAY_COUNT(ud));
	ck_assert_uint_eq(fake_wbinvd_count(), 0);
}
END_TEST

/* One behind the other, they would let nobody in: each ends its run. But for one at an
 * instruction's end. */
START_TEST(exceptions)
{
	guest->exit.undone = true;
	rig_exit(0, SOCLE_EXIT_EXCEPTION);
	rig_check_left(0, SOCLE_EXIT_INTERRUPT);
	rig_run(0);
	guest->exit.undone = false;
	rig_exit(0, SOCLE_EXIT_EXCEPTION);
	rig_check_running(0);
}
END_TEST

START_TEST(ends_of_a_guest)
{
	fake_register(VCPU_CR3, 0x3000);
	guest->exit.information = SOCLE_SHUTDOWN_TASK_GATE;
	rig_exit(0, SOCLE_EXIT_SHUTDOWN);
	rig_check_left(0, SOCLE_EXIT_SHUTDOWN);
	ck_assert_uint_eq(area->info[0], SOCLE_SHUTDOWN_TASK_GATE);
	ck_assert_uint_eq(area->system.cr3, 0x3000);
	rig_run(0);
	guest->exit.code = 0x80000021;
	rig_exit(0, SOCLE_EXIT_ENTRY_FAILURE);
	rig_check_left(0, SOCLE_EXIT_ENTRY_FAILURE);
	ck_assert_uint_eq(area->info[0], 0x80000021);
	rig_run(0);
	guest->exit.code = 77;
	rig_exit(0, SOCLE_EXIT_OTHER);
	rig_check_left(0, SOCLE_EXIT_ENTRY_FAILURE);
	ck_assert_uint_eq(area->info[0], 77);
}
END_TEST

/* What is the service VM's ends the run. */
START_TEST(interrupted)
{
	static const enum socle_exit_reason reasons[] = {SOCLE_EXIT_INTERRUPT, SOCLE_EXIT_INIT,
							 SOCLE_EXIT_SIPI};

	for (unsigned i = 0; i < ARRAY_COUNT(reasons); i++) {
		rig_exit(0, reasons[i]);
		rig_check_left(0, SOCLE_EXIT_INTERRUPT);
		rig_run(0);
	}
	/* the machine's NMI */
	calls_cpu[0].service.nmi_pending = true;
	rig_exit(0, SOCLE_EXIT_NMI);
	rig_check_left(0, SOCLE_EXIT_INTERRUPT);
	calls_cpu[0].service.nmi_pending = false;
	/* one of ours, and nothing to do any more */
	rig_run(0);
	rig_exit(0, SOCLE_EXIT_NMI);
	rig_check_running(0);
	/* a kick, which counts once */
	ck_assert_int_eq(rig_kick(0), SOCLE_OK);
	ck_assert_uint_eq(fake_kicks(), 1);
	rig_exit(0, SOCLE_EXIT_NMI);
	rig_check_left(0, SOCLE_EXIT_INTERRUPT);
	rig_run(0);
	/* the domain's end */
	ck_assert_int_eq(rig_destroy(), SOCLE_AGAIN);
	rig_exit(0, SOCLE_EXIT_NMI);
	rig_check_left(0, SOCLE_EXIT_INTERRUPT);
	ck_assert_int_eq(rig_destroy(), SOCLE_OK);
}
END_TEST

/* A kick that finds the guest on its way out ends the next run. */
START_TEST(kick_too_late)
{
	ck_assert_int_eq(rig_kick(0), SOCLE_OK);
	rig_exit(0, SOCLE_EXIT_IO);
	rig_check_left(0, SOCLE_EXIT_IO);
	area->exit_reason = 0;
	calls_cpu[0].service.regs->rax = 0;
	ck_assert_int_eq(rig_kick(0), SOCLE_OK);
	ck_assert_uint_eq(fake_kicks(), 1);
	ck_assert_uint_eq(fake_guests_inside(), 0);
}
END_TEST

START_TEST(xsetbv_refused)
{
	fake_cpuid(0xd, 0, (struct cpuid_result){.eax = 0x207});
	guest->regs->rcx = 0;
	guest->regs->rax = 0x207; /* PKRU is switched by itself */
	guest->regs->rdx = 0;
	rig_exit(0, SOCLE_EXIT_XSETBV);
	ck_assert_uint_eq(fake_faults(), 1);
	ck_assert_uint_eq(fake_fault_vector(), VECTOR_GP);
	guest->regs->rax = 2; /* without x87 */
	rig_exit(0, SOCLE_EXIT_XSETBV);
	ck_assert_uint_eq(fake_faults(), 2);
	guest->regs->rcx = 1;
	guest->regs->rax = 7;
	rig_exit(0, SOCLE_EXIT_XSETBV);
	ck_assert_uint_eq(fake_faults(), 3);
	ck_assert_uint_eq(fake_xsetbv_count(), 0);
}
END_TEST

static void check_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ecx)
{
	guest->regs->rax = leaf | 0xffffffff00000000ull;
	guest->regs->rcx = subleaf | 0xffffffff00000000ull;
	guest->regs->rbx = guest->regs->rdx = UINT64_MAX;
	rig_exit(0, SOCLE_EXIT_CPUID);
	rig_check_running(0);
	ck_assert_uint_eq(guest->regs->rax, eax);
	ck_assert_uint_eq(guest->regs->rbx, eax != 0 ? eax + 1 : 0);
	ck_assert_uint_eq(guest->regs->rcx, ecx);
	ck_assert_uint_eq(guest->regs->rdx, eax != 0 ? eax + 3 : 0);
}

static void set_cpuid(unsigned index, uint32_t leaf, uint32_t subleaf, uint32_t flags, uint32_t eax)
{
	area->cpuid[index] =
		(struct socle_cpuid_entry){leaf, subleaf, flags, eax, eax + 1, eax + 2, eax + 3, 0};
}

START_TEST(cpuid_table)
{
	check_cpuid(0, 0, 0, 0);
	set_cpuid(0, 0, 0, SOCLE_CPUID_VALID, 0x100);
	set_cpuid(31, 0, 0, SOCLE_CPUID_VALID, 0x200);
	set_cpuid(32, 0, 0, SOCLE_CPUID_VALID, 0x300);
	set_cpuid(63, 0, 0, SOCLE_CPUID_VALID, 0x400);
	set_cpuid(64, 0, 0, SOCLE_CPUID_VALID, 0x500);
	set_cpuid(5, 0, 0, 0, 0x600);
	check_cpuid(0, 9, 0x100, 0x102);
	check_cpuid(31, 0, 0x200, 0x202);
	check_cpuid(0x80000000, 0, 0x300, 0x302);
	check_cpuid(0x8000001f, 0, 0x400, 0x402);
	check_cpuid(0x40000000, 0, 0x500, 0x502);
	check_cpuid(5, 0, 0, 0);
	/* no place in the table */
	check_cpuid(32, 0, 0, 0);
	check_cpuid(0x80000020, 0, 0, 0);
	check_cpuid(0x40000020, 0, 0, 0);
	check_cpuid(0x20000000, 0, 0, 0);
	check_cpuid(0xffffffff, 0, 0, 0);
	/* subleaves are in the list behind */
	set_cpuid(4, 0, 0, SOCLE_CPUID_VALID | SOCLE_CPUID_SUBLEAVES, 0x700);
	set_cpuid(96, 4, 1, SOCLE_CPUID_VALID, 0x800);
	set_cpuid(97, 4, 0, 0, 0x900);
	set_cpuid(127, 4, 0, SOCLE_CPUID_VALID, 0xa00);
	check_cpuid(4, 0, 0xa00, 0xa02);
	check_cpuid(4, 1, 0x800, 0x802);
	check_cpuid(4, 2, 0, 0);
	/* OSXSAVE is CR4's */
	set_cpuid(1, 0, 0, SOCLE_CPUID_VALID, 0xb00);
	check_cpuid(1, 0, 0xb00, 0xb02);
	fake_register(VCPU_CR4, CR4_OSXSAVE);
	check_cpuid(1, 0, 0xb00, 0xb02 | 1u << 27);
	area->cpuid[1].flags = 0;
	check_cpuid(1, 0, 0, 0);
}
END_TEST

START_TEST(every_reason_has_a_handler)
{
	for (unsigned i = 0; i < SOCLE_EXIT_COUNT; i++)
		ck_assert_ptr_nonnull(guest->handlers[i]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("guest's exits");
	TCase *tests = tcase_create("exits");

	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_test(tests, ports);
	tcase_add_test(tests, memory);
	tcase_add_test(tests, msrs);
	tcase_add_test(tests, goes_on);
	tcase_add_test(tests, exceptions);
	tcase_add_test(tests, ends_of_a_guest);
	tcase_add_test(tests, interrupted);
	tcase_add_test(tests, kick_too_late);
	tcase_add_test(tests, xsetbv_refused);
	tcase_add_test(tests, cpuid_table);
	tcase_add_test(tests, every_reason_has_a_handler);
	suite_add_tcase(suite, tests);
	return suite;
}
