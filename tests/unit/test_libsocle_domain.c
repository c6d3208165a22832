/* SPDX-License-Identifier: BSD-2-Clause */
/* libsocle's calls on domains against the fake hypervisor. */
#include <string.h>

#include "fake_domains.h"
#include "unit.h"

TCase *domain_case(void);

static struct socle_handle root, own;
static struct socle_domain_created created;

static uint64_t frame(unsigned int n)
{
	return fake.memory.pool_base + (uint64_t)n * SOCLE_FRAME_BYTES;
}

static void start(void)
{
	root = fake_start(SOCLE_VENDOR_SVM);
	ck_assert_int_eq(socle_domain_create(&root, frame(3), &created), SOCLE_OK);
	own = root;
	own.key = created.key;
}

START_TEST(creates)
{
	struct socle_domain_created second = {.domain = 99};
	struct socle_domain_info info;

	ck_assert_uint_eq(created.domain, 1);
	ck_assert_int_eq(socle_domain_info(&root, 1, &info), SOCLE_OK);
	ck_assert_uint_eq(info.donated_frames, 1);
	ck_assert_int_eq(socle_domain_create(&root, frame(3), &second), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_domain_create(&root, frame(4) + 4096, &second),
			 SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_domain_create(&own, frame(4), &second), SOCLE_ERROR_KEY);
	ck_assert_uint_eq(second.domain, 99);
	ck_assert_int_eq(socle_domain_donate(&root, 1, frame(4)), SOCLE_OK);
	ck_assert_int_eq(socle_domain_donate(&root, 1, frame(4)), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_domain_donate(&root, 2, frame(5)), SOCLE_ERROR_DOMAIN);
	ck_assert_uint_eq(fake_frames_free(), FAKE_FRAMES - 2);
}
END_TEST

/* More frames than one call takes, and a part that another domain has. */
START_TEST(assigns)
{
	struct socle_domain_info info;

	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(4), 508ull * SOCLE_FRAME_BYTES),
			 SOCLE_OK);
	ck_assert_int_eq(socle_domain_info(&root, 1, &info), SOCLE_OK);
	ck_assert_uint_eq(info.assigned_frames, 508);
	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(0), 4ull * SOCLE_FRAME_BYTES),
			 SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(0), SOCLE_FRAME_BYTES - 1),
			 SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(600), 600ull * SOCLE_FRAME_BYTES),
			 SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(0), 0), SOCLE_OK);
}
END_TEST

START_TEST(destroys)
{
	int calls = 1, result;

	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(10), 100ull * SOCLE_FRAME_BYTES),
			 SOCLE_OK);
	ck_assert_int_eq(socle_domain_destroy(&own, 1), SOCLE_ERROR_KEY);
	while ((result = socle_domain_destroy(&root, 1)) == SOCLE_AGAIN) {
		struct socle_domain_info info;

		calls++;
		ck_assert_int_eq(socle_domain_info(&root, 1, &info), SOCLE_ERROR_DOMAIN);
	}
	ck_assert_int_eq(result, SOCLE_OK);
	ck_assert_int_gt(calls, 2);
	ck_assert_uint_eq(fake_frames_free(), FAKE_FRAMES);
	ck_assert_int_eq(socle_domain_destroy(&root, 1), SOCLE_ERROR_DOMAIN);
}
END_TEST

START_TEST(maps)
{
	const uint64_t bytes = 5ull * SOCLE_FRAME_BYTES + 4096;

	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(10), 6ull * SOCLE_FRAME_BYTES),
			 SOCLE_OK);
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(10), 7, bytes), (int64_t)bytes);
	ck_assert_int_eq(socle_unmap(&own, 1, 0, bytes), (int64_t)bytes);
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(14), 7, bytes), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(3), 7, 4096), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_map(&own, 1, 1, frame(10), 7, 4096), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(10), 8, 4096), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(10), 0, 4096), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_unmap(&own, 1, 0, 5), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_map(&root, 1, 0, frame(10), 7, 4096), SOCLE_ERROR_KEY);
	/* A hypervisor that gets nowhere, or too far, is not asked again. */
	fake.fail_call = SOCLE_CALL_MAP;
	fake.fail_result = 0;
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(10), 7, 4096), SOCLE_ERROR_REPLY);
	fake.fail_result = 8192;
	ck_assert_int_eq(socle_map(&own, 1, 0, frame(10), 7, 4096), SOCLE_ERROR_REPLY);
}
END_TEST

/* In as many calls as it takes, and the flush once, at the end, whatever happens. */
START_TEST(dirty_logs)
{
	const uint64_t pages = 2 * SOCLE_DIRTY_PAGES + 70;
	uint64_t bits[(2 * SOCLE_DIRTY_PAGES + 70 + 63) / 64] = {[1] = 1};

	ck_assert_int_eq(socle_dirty_log(&own, 1, 0, pages * 4096, bits), (int64_t)pages * 4096);
	/* The fake has written each page whose number is a multiple of 100. */
	for (uint64_t i = 0; i < pages; i++)
		ck_assert_uint_eq(bits[i / 64] >> i % 64 & 1, i % 100 == 0 || i == 64);
	ck_assert_uint_eq(fake_domains.flushes, 1);
	ck_assert_int_eq(socle_dirty_log(&own, 1, 0, 0, bits), 0);
	ck_assert_uint_eq(fake_domains.flushes, 2);
	ck_assert_int_eq(socle_dirty_log(&own, 1, 5, 4096, bits), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_dirty_log(&own, 1, 0, 5, bits), SOCLE_ERROR_ARGUMENT);
	ck_assert_uint_eq(fake_domains.flushes, 2);
	/* From page 1,000 on the fake is out of memory. */
	ck_assert_int_eq(socle_dirty_log(&own, 1, 990 * 4096, 20 * 4096, bits), SOCLE_ERROR_MEMORY);
	ck_assert_uint_eq(fake_domains.flushes, 3);
	fake.fail_call = SOCLE_CALL_DIRTY_LOG;
	fake.fail_result = 8192;
	ck_assert_int_eq(socle_dirty_log(&own, 1, 0, 4096, bits), SOCLE_ERROR_REPLY);
}
END_TEST

START_TEST(vcpus)
{
	ck_assert_int_eq(socle_domain_assign(&root, 1, frame(10), SOCLE_FRAME_BYTES), SOCLE_OK);
	ck_assert_int_eq(socle_vcpu_create(&own, 1, 0, frame(10)), SOCLE_OK);
	ck_assert_int_eq(socle_vcpu_create(&own, 1, 0, frame(10)), SOCLE_ERROR_BUSY);
	ck_assert_int_eq(socle_vcpu_create(&own, 1, 1, frame(11)), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(socle_vcpu_create(&own, 1, SOCLE_MAX_VCPUS, frame(10)),
			 SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(socle_vcpu_run(&own, 1, 0), SOCLE_EXIT_HLT);
	ck_assert_int_eq(socle_vcpu_kick(&own, 1, 0), SOCLE_OK);
	ck_assert_int_eq(socle_vcpu_kick(&own, 1, 1), SOCLE_ERROR_ARGUMENT);
	own.key.word[0]++;
	ck_assert_int_eq(socle_vcpu_run(&own, 1, 0), SOCLE_ERROR_KEY);
}
END_TEST

/* A reply with a number that no domain can have. */
START_TEST(nonsense)
{
	fake.fail_call = SOCLE_CALL_DOMAIN_CREATE;
	fake.fail_result = SOCLE_ERROR_LIMIT;
	ck_assert_int_eq(socle_domain_create(&root, frame(7), &created), SOCLE_ERROR_LIMIT);
	for (int64_t error = SOCLE_ERROR_LIMIT; error < 0; error++)
		ck_assert_str_ne(socle_error_text(error), socle_error_text(-50));
}
END_TEST

TCase *domain_case(void)
{
	TCase *domains = tcase_create("domains");

	tcase_add_checked_fixture(domains, start, NULL);
	tcase_add_test(domains, creates);
	tcase_add_test(domains, assigns);
	tcase_add_test(domains, destroys);
	tcase_add_test(domains, maps);
	tcase_add_test(domains, dirty_logs);
	tcase_add_test(domains, vcpus);
	tcase_add_test(domains, nonsense);
	return domains;
}
