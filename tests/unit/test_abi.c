/* SPDX-License-Identifier: BSD-2-Clause */
/* The ABI's layout, number by number: programs that are built already rely on it. */
#include <stddef.h>

#include "socle_abi.h"
#include "unit.h"

START_TEST(numbers)
{
	ck_assert_uint_eq(SOCLE_ABI_VERSION, 3);
	ck_assert_int_eq(SOCLE_CALL_INFO, 0);
	ck_assert_int_eq(SOCLE_CALL_LOG_READ, 1);
	ck_assert_int_eq(SOCLE_CALL_STATS_READ, 2);
	ck_assert_int_eq(SOCLE_CALL_POKE, 3);
	ck_assert_int_eq(SOCLE_CALL_VCPU_KICK, 13);
	ck_assert_int_eq(SOCLE_CALL_DIRTY_LOG, 14);
	ck_assert_uint_eq(SOCLE_DIRTY_PAGES, 384);
	ck_assert_uint_eq(SOCLE_DIRTY_FLUSH, 1);
	ck_assert_int_eq(SOCLE_ERROR_KEY, -1);
	ck_assert_int_eq(SOCLE_ERROR_RING, -2);
	ck_assert_int_eq(SOCLE_ERROR_CALL, -3);
	ck_assert_int_eq(SOCLE_ERROR_ARGUMENT, -4);
	ck_assert_int_eq(SOCLE_VENDOR_SVM, 1);
	ck_assert_int_eq(SOCLE_VENDOR_VMX, 2);
	ck_assert_int_eq(SOCLE_INFO_GENERAL, 0);
	ck_assert_int_eq(SOCLE_INFO_MEMORY, 1);
	ck_assert_int_eq(SOCLE_INFO_CPU, 2);
	ck_assert_int_eq(SOCLE_STATS_CPU, 0);
	ck_assert_int_eq(SOCLE_STATS_EXITS, 1);
	ck_assert_uint_eq(SOCLE_VERSION_PACK(1, 2, 3), 0x100020003);
}
END_TEST

START_TEST(exit_reasons)
{
	ck_assert_int_eq(SOCLE_EXIT_CPUID, 0);
	ck_assert_int_eq(SOCLE_EXIT_HYPERCALL, 1);
	ck_assert_int_eq(SOCLE_EXIT_XSETBV, 2);
	ck_assert_int_eq(SOCLE_EXIT_SECOND_LEVEL, 5);
	ck_assert_int_eq(SOCLE_EXIT_NMI, 6);
	ck_assert_int_eq(SOCLE_EXIT_REFUSED, 12);
	ck_assert_int_eq(SOCLE_EXIT_OTHER, 19);
	ck_assert_int_eq(SOCLE_EXIT_COUNT, 24);
}
END_TEST

START_TEST(replies)
{
	ck_assert_uint_eq(sizeof(struct socle_key), 16);
	ck_assert_uint_eq(sizeof(struct socle_reply), 48);

	ck_assert_uint_eq(sizeof(struct socle_info_general), 48);
	ck_assert_uint_eq(offsetof(struct socle_info_general, vendor), 4);
	ck_assert_uint_eq(offsetof(struct socle_info_general, hypervisor_version), 8);
	ck_assert_uint_eq(offsetof(struct socle_info_general, features), 16);
	ck_assert_uint_eq(offsetof(struct socle_info_general, cpus_online), 24);
	ck_assert_uint_eq(offsetof(struct socle_info_general, cpus_found), 28);
	ck_assert_uint_eq(offsetof(struct socle_info_general, tsc_hz), 32);
	ck_assert_uint_eq(offsetof(struct socle_info_general, boot_tsc), 40);

	ck_assert_uint_eq(sizeof(struct socle_dirty_bits), 48);
	ck_assert_uint_eq(sizeof(struct socle_info_memory), 48);
	ck_assert_uint_eq(offsetof(struct socle_info_memory, pool_free_bytes), 16);
	ck_assert_uint_eq(offsetof(struct socle_info_memory, hypervisor_base), 24);
	ck_assert_uint_eq(offsetof(struct socle_info_memory, log_bytes), 40);

	ck_assert_uint_eq(sizeof(struct socle_info_cpu), 48);
	ck_assert_uint_eq(offsetof(struct socle_info_cpu, apic_id), 0);

	ck_assert_uint_eq(sizeof(struct socle_log_chunk), 48);
	ck_assert_uint_eq(offsetof(struct socle_log_chunk, text), 8);

	ck_assert_uint_eq(sizeof(struct socle_stats_cpu), 48);
	ck_assert_uint_eq(offsetof(struct socle_stats_cpu, hypercalls_denied), 24);
}
END_TEST

START_TEST(vcpu_area)
{
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, rsp), 1144);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, exit_reason), 1168);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, load), 1208);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, apic_base), 1240);
	ck_assert_uint_eq(sizeof(struct socle_segment), 16);
	ck_assert_uint_eq(sizeof(struct socle_system_state), 384);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, system.cr0), 2208);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, system.dr), 2256);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, system.pat), 2304);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, system.tsc_offset), 2376);
	ck_assert_uint_eq(offsetof(struct socle_vcpu_area, system.pdpte), 2400);
}
END_TEST

START_TEST(acpi_table)
{
	ck_assert_uint_eq(SOCLE_ACPI_HEADER_BYTES, 36);
	ck_assert_uint_eq(sizeof(struct socle_acpi_body), 24);
	ck_assert_uint_eq(offsetof(struct socle_acpi_body, abi_version), 0);
	ck_assert_uint_eq(offsetof(struct socle_acpi_body, vendor), 4);
	ck_assert_uint_eq(offsetof(struct socle_acpi_body, key), 8);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("ABI");
	TCase *layout = tcase_create("layout");

	tcase_add_test(layout, numbers);
	tcase_add_test(layout, exit_reasons);
	tcase_add_test(layout, replies);
	tcase_add_test(layout, vcpu_area);
	tcase_add_test(layout, acpi_table);
	suite_add_tcase(suite, layout);
	return suite;
}
