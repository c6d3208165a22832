/* SPDX-License-Identifier: BSD-2-Clause */
/* libsocle's calls against the fake hypervisor, and its names. */
#include <string.h>

#include "fake_hypervisor.h"
#include "unit.h"

TCase *domain_case(void); /* test_libsocle_domain.c */

static struct socle_handle handle;

static void start(void)
{
	handle = fake_start(SOCLE_VENDOR_SVM);
}

START_TEST(info)
{
	struct socle_info_general general;
	struct socle_info_memory memory;
	struct socle_info_cpu cpu;

	ck_assert_int_eq(socle_info_general(&handle, &general), SOCLE_OK);
	ck_assert_mem_eq(&general, &fake.general, sizeof(general));
	ck_assert_int_eq(socle_info_memory(&handle, &memory), SOCLE_OK);
	ck_assert_mem_eq(&memory, &fake.memory, sizeof(memory));
	for (uint32_t i = 0; i < FAKE_CPUS; i++) {
		ck_assert_int_eq(socle_info_cpu(&handle, i, &cpu), SOCLE_OK);
		ck_assert_uint_eq(cpu.apic_id, fake.apic_id[i]);
	}
}
END_TEST

START_TEST(errors_leave_output)
{
	struct socle_info_cpu cpu, untouched;
	struct socle_stats_cpu stats = {.exits = 99};
	uint64_t exits[SOCLE_EXIT_COUNT] = {99};
	uint64_t echo = 99;

	memset(&untouched, 0x5a, sizeof(untouched));
	cpu = untouched;
	ck_assert_int_eq(socle_info_cpu(&handle, FAKE_CPUS, &cpu), SOCLE_ERROR_ARGUMENT);
	ck_assert_mem_eq(&cpu, &untouched, sizeof(cpu));
	ck_assert_int_eq(socle_stats_cpu(&handle, FAKE_CPUS, &stats), SOCLE_ERROR_ARGUMENT);
	ck_assert_uint_eq(stats.exits, 99);
	ck_assert_int_eq(socle_stats_exits(&handle, 0, 7, exits), SOCLE_ERROR_ARGUMENT);
	ck_assert_uint_eq(exits[0], 99);
	handle.key.word[1] ^= 1;
	ck_assert_int_eq(socle_poke(&handle, 5, &echo), SOCLE_ERROR_KEY);
	ck_assert_uint_eq(echo, 99);
	ck_assert_uint_eq(fake.stats[0].hypercalls_denied, 1);
}
END_TEST

START_TEST(any_call)
{
	const uint64_t argument[4] = {UINT64_MAX, 2, 3, 4};
	struct socle_reply reply = {{9}};

	ck_assert_int_eq(socle_hypercall(&handle, SOCLE_CALL_COUNT, argument, &reply),
			 SOCLE_ERROR_CALL);
	ck_assert_uint_eq(reply.word[0], 9);
	ck_assert_int_eq(socle_hypercall(&handle, SOCLE_CALL_POKE, argument, &reply), SOCLE_OK);
	ck_assert_uint_eq(reply.word[0], UINT64_MAX);
}
END_TEST

START_TEST(stats)
{
	struct socle_stats_cpu stats;
	uint64_t exits[SOCLE_EXIT_COUNT];

	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++)
		fake.exits[2][i] = 1000 + i;
	fake.stats[2].hypervisor_cycles = UINT64_MAX;
	ck_assert_int_eq(socle_stats_cpu(&handle, 2, &stats), SOCLE_OK);
	ck_assert_uint_eq(stats.hypervisor_cycles, UINT64_MAX);
	ck_assert_int_eq(socle_stats_exits(&handle, 2, SOCLE_VM_SERVICE, exits), SOCLE_OK);
	ck_assert_mem_eq(exits, fake.exits[2], sizeof(exits));
}
END_TEST

START_TEST(log_whole)
{
	char buffer[200] = "";
	uint64_t position = 0, lost = 0;

	fake_log("The first line, which is longer than one chunk of the reply.\nNext\n");
	ck_assert_int_eq(socle_log_read(&handle, &position, buffer, sizeof(buffer), &lost), 66);
	ck_assert_str_eq(buffer,
			 "The first line, which is longer than one chunk of the reply.\nNext\n");
	ck_assert_uint_eq(position, 66);
	ck_assert_uint_eq(lost, 0);
	ck_assert_int_eq(socle_log_read(&handle, &position, buffer, sizeof(buffer), NULL), 0);
	fake_log("more");
	ck_assert_int_eq(socle_log_read(&handle, &position, buffer, sizeof(buffer), NULL), 4);
	ck_assert_mem_eq(buffer, "more", 4);
}
END_TEST

/* A buffer takes whole chunks only, and nothing is left out between two calls. */
START_TEST(log_small_buffer)
{
	char buffer[SOCLE_LOG_CHUNK + 7];
	char all[400];
	uint64_t position = 0;
	size_t length = 0;
	int64_t got;

	for (int i = 0; i < 30; i++)
		fake_log("0123456789");
	while ((got = socle_log_read(&handle, &position, buffer, sizeof(buffer), NULL)) > 0) {
		ck_assert_int_le(got, SOCLE_LOG_CHUNK);
		memcpy(all + length, buffer, (size_t)got);
		length += (size_t)got;
	}
	ck_assert_int_eq(got, 0);
	ck_assert_uint_eq(length, 300);
	for (size_t i = 0; i < length; i++)
		ck_assert_int_eq(all[i], (char)('0' + i % 10));
}
END_TEST

START_TEST(log_overwritten)
{
	char buffer[2 * FAKE_LOG_BYTES];
	uint64_t position = 0, lost = 0;

	for (int i = 0; i < 200; i++)
		fake_log("0123456789");
	ck_assert_int_eq(socle_log_read(&handle, &position, buffer, sizeof(buffer), &lost),
			 FAKE_LOG_BYTES);
	ck_assert_uint_eq(lost, 2000 - FAKE_LOG_BYTES);
	ck_assert_uint_eq(position, 2000);
	ck_assert_int_eq(buffer[0], (char)('0' + (2000 - FAKE_LOG_BYTES) % 10));
}
END_TEST

START_TEST(log_nonsense)
{
	char buffer[100];
	uint64_t position = 0;

	fake_log("x");
	fake.fail_call = SOCLE_CALL_LOG_READ;
	fake.fail_result = SOCLE_LOG_CHUNK + 1;
	ck_assert_int_eq(socle_log_read(&handle, &position, buffer, sizeof(buffer), NULL),
			 SOCLE_ERROR_REPLY);
	fake.fail_result = SOCLE_ERROR_RING;
	ck_assert_int_eq(socle_log_read(&handle, &position, buffer, sizeof(buffer), NULL),
			 SOCLE_ERROR_RING);
}
END_TEST

START_TEST(reason_names)
{
	static const char *const expected[SOCLE_EXIT_COUNT] = {
		"cpuid",	 "hypercall",  "xsetbv",
		"msr_read",	 "msr_write",  "npf",
		"nmi",		 "nmi_window", "init",
		"sipi",		 "cr_access",  "invd",
		"refused",	 "shutdown",   "interrupt",
		"exception",	 "hlt",	       "io",
		"entry_failure", "other",      "interrupt_window",
		"eoi",		 "ipi",	       "wake",
		"timer",
	};

	for (unsigned int i = 0; i < SOCLE_EXIT_COUNT; i++) {
		ck_assert_str_eq(socle_exit_reason_name(SOCLE_VENDOR_SVM, i), expected[i]);
		ck_assert_str_eq(socle_exit_reason_name(SOCLE_VENDOR_VMX, i),
				 i == SOCLE_EXIT_SECOND_LEVEL ? "ept_violation" : expected[i]);
	}
	ck_assert_ptr_null(socle_exit_reason_name(SOCLE_VENDOR_SVM, SOCLE_EXIT_COUNT));
}
END_TEST

START_TEST(other_names)
{
	ck_assert_str_eq(socle_vendor_name(SOCLE_VENDOR_SVM), "svm");
	ck_assert_str_eq(socle_vendor_name(SOCLE_VENDOR_VMX), "vmx");
	ck_assert_str_eq(socle_vendor_name((enum socle_vendor)9), "unknown");
	ck_assert_str_eq(socle_feature_name(0), "page_1g");
	ck_assert_str_eq(socle_feature_name(6), "x2apic");
	ck_assert_ptr_null(socle_feature_name(63));
	ck_assert_ptr_null(socle_feature_name(64));
	for (int64_t error = -70; error <= 1; error++)
		ck_assert_ptr_nonnull(socle_error_text(error));
	ck_assert_str_ne(socle_error_text(SOCLE_ERROR_KEY), socle_error_text(SOCLE_ERROR_CALL));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("libsocle");
	TCase *calls = tcase_create("calls");
	TCase *log = tcase_create("log");
	TCase *names = tcase_create("names");

	tcase_add_checked_fixture(calls, start, NULL);
	tcase_add_test(calls, info);
	tcase_add_test(calls, errors_leave_output);
	tcase_add_test(calls, any_call);
	tcase_add_test(calls, stats);
	suite_add_tcase(suite, calls);
	tcase_add_checked_fixture(log, start, NULL);
	tcase_add_test(log, log_whole);
	tcase_add_test(log, log_small_buffer);
	tcase_add_test(log, log_overwritten);
	tcase_add_test(log, log_nonsense);
	suite_add_tcase(suite, log);
	tcase_add_test(names, reason_names);
	tcase_add_test(names, other_names);
	suite_add_tcase(suite, names);
	suite_add_tcase(suite, domain_case());
	return suite;
}
