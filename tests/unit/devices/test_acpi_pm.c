/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vmm.h"
#include "unit.h"
#include "vmm-user/vmm/devices/acpi_pm.h"

#define PM1_STS ACPI_PM1A_EVT
#define PM1_EN	(ACPI_PM1A_EVT + 2)

static struct vmm *vmm;

static void start(void)
{
	vmm = fake_vmm_start();
	fake_vmm.now = 0;
	ck_assert(acpi_pm_create(vmm));
	ck_assert(debug_exit_create(vmm));
}

START_TEST(timer)
{
	ck_assert_uint_eq(in(ACPI_PM_TMR, 4), 0);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(in(ACPI_PM_TMR, 4), 3579545);
	fake_vmm_pass(4 * FAKE_SECOND);
	ck_assert_uint_eq(in(ACPI_PM_TMR, 4), 5 * 3579545 - (1 << 24));
	ck_assert_uint_eq(in(ACPI_PM_TMR + 2, 1), (5 * 3579545 - (1 << 24)) >> 16);
	out(ACPI_PM_TMR, 4, 0);
	ck_assert_uint_eq(in(ACPI_PM_TMR, 4), 5 * 3579545 - (1 << 24));
}
END_TEST

/* Bit 23 changes every 2.3435 seconds. */
START_TEST(timer_carry)
{
	fake_vmm_pass(2343000000);
	ck_assert_uint_eq(in(PM1_STS, 2), 0);
	fake_vmm_pass(1000000);
	ck_assert_uint_eq(in(PM1_STS, 2), 1);
	out(PM1_STS, 2, 1);
	ck_assert_uint_eq(in(PM1_STS, 2), 0);
	out(PM1_EN, 2, 1);
	ck_assert(!fake_vmm.level[9]);
	fake_vmm_pass(2342000000);
	ck_assert(!fake_vmm.level[9]);
	fake_vmm_pass(1000000);
	ck_assert(fake_vmm.level[9]);
	fake_vmm_pass(10 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[9], 1);
	out(PM1_STS, 2, 1);
	ck_assert(!fake_vmm.level[9]);
	fake_vmm_pass(24 * FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[9], 2);
}
END_TEST

START_TEST(power_button)
{
	acpi_pm_power_button(vmm);
	ck_assert_uint_eq(in(PM1_STS, 2), 0x100);
	ck_assert(!fake_vmm.level[9]);
	out(PM1_EN, 2, 0x100);
	ck_assert(fake_vmm.level[9]);
	out8(PM1_STS, 0xff); /* the other byte */
	ck_assert(fake_vmm.level[9]);
	out8(PM1_STS + 1, 0x01);
	ck_assert(!fake_vmm.level[9]);
	out(ACPI_PM1A_EVT, 4, 0xffffffff);
	ck_assert_uint_eq(in(ACPI_PM1A_EVT, 4), 0x07210000);
}
END_TEST

START_TEST(sci_enable)
{
	ck_assert_uint_eq(in(ACPI_PM1A_CNT, 2), 1);
	out(PM1_EN, 2, 0x100);
	acpi_pm_power_button(vmm);
	ck_assert(fake_vmm.level[9]);
	out8(ACPI_SMI_CMD, ACPI_DISABLE);
	ck_assert_uint_eq(in(ACPI_PM1A_CNT, 2), 0);
	ck_assert(!fake_vmm.level[9]);
	out(ACPI_PM1A_CNT, 2, 1); /* not the guest's to write */
	ck_assert_uint_eq(in(ACPI_PM1A_CNT, 2), 0);
	out8(ACPI_SMI_CMD, ACPI_ENABLE);
	ck_assert_uint_eq(in(ACPI_PM1A_CNT, 2), 1);
	ck_assert(fake_vmm.level[9]);
}
END_TEST

START_TEST(sleep)
{
	out(ACPI_PM1A_CNT, 2, ACPI_SLP_TYP_S5 << 10);
	ck_assert(!fake_vmm.ended);
	out(ACPI_PM1A_CNT, 2, 1 << 13 | 1 << 10);
	ck_assert(!fake_vmm.ended);
	out(ACPI_PM1A_CNT, 2, 1 << 13 | ACPI_SLP_TYP_S5 << 10);
	ck_assert(fake_vmm.ended);
	ck_assert_int_eq(fake_vmm.how, VMM_POWEROFF);
}
END_TEST

START_TEST(sleep_by_bytes)
{
	out8(ACPI_PM1A_CNT + 1, 1 << 5 | ACPI_SLP_TYP_S5 << 2);
	ck_assert(fake_vmm.ended);
	ck_assert_uint_eq(in(ACPI_PM1A_CNT, 2), 1 | ACPI_SLP_TYP_S5 << 10);
}
END_TEST

START_TEST(reset)
{
	out8(ACPI_RESET_REG, 0x02);
	ck_assert(!fake_vmm.ended);
	ck_assert_uint_eq(in8(ACPI_RESET_REG), 0x02);
	out8(ACPI_RESET_REG, ACPI_RESET_VALUE);
	ck_assert(fake_vmm.ended);
	ck_assert_int_eq(fake_vmm.how, VMM_REBOOT);
}
END_TEST

START_TEST(general_events)
{
	out(ACPI_GPE0 + 8, 4, 0x12345678);
	ck_assert_uint_eq(in(ACPI_GPE0, 4), 0);
	ck_assert_uint_eq(in(ACPI_GPE0 + 8, 4), 0x12345678);
	ck_assert(!fake_vmm.level[9]);
	out(ACPI_GPE0, 4, 0xffffffff);
	ck_assert_uint_eq(in(ACPI_GPE0, 4), 0);
}
END_TEST

START_TEST(debug_exit)
{
	in8(0xf4);
	out8(0xf5, 1);
	ck_assert(!fake_vmm.ended);
	out(0xf4, 4, 0x1234);
	ck_assert(fake_vmm.ended);
	ck_assert_int_eq(fake_vmm.how, VMM_CRASH);
	ck_assert_uint_eq(vmm->status, 0x1234);
	ck_assert_str_eq(fake_vmm.text, "debug exit with status 4660");
}
END_TEST

START_TEST(debug_exit_well)
{
	out8(0xf4, 0);
	ck_assert(fake_vmm.ended);
	ck_assert_int_eq(fake_vmm.how, VMM_POWEROFF);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("acpi_pm");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, timer);
	tcase_add_test(tests, timer_carry);
	tcase_add_test(tests, power_button);
	tcase_add_test(tests, sci_enable);
	tcase_add_test(tests, sleep);
	tcase_add_test(tests, sleep_by_bytes);
	tcase_add_test(tests, reset);
	tcase_add_test(tests, general_events);
	tcase_add_test(tests, debug_exit);
	tcase_add_test(tests, debug_exit_well);
	suite_add_tcase(suite, tests);
	return suite;
}
