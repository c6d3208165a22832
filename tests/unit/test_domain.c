/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on domains, one by one: what they do, what they refuse, and what is left behind. */
#include <stdlib.h>
#include <string.h>

#include "domain_calls.h"
#include "hv/cpus.h"
#include "hv/hypercall.h"
#include "unit.h"

#define FRAMES 96
#define NONE   0xffffull

static const struct ept_format *const formats[] = {&ept_format_ept, &ept_format_npt};

/* A client: a domain, and the key that its creator got. */
struct client {
	uint64_t domain;
	struct socle_key key;
};

static void start(void)
{
	calls_start(FRAMES, &ept_format_ept);
}

static struct client create(uint64_t frame)
{
	struct client client;
	struct socle_reply reply;

	ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_CREATE, calls_frame_number(frame), 0, 0),
			 SOCLE_OK);
	reply = calls_reply();
	client.domain = reply.word[0];
	client.key = (struct socle_key){{reply.word[1], reply.word[2]}};
	for (unsigned i = 3; i < 6; i++)
		ck_assert_uint_eq(reply.word[i], 0);
	return client;
}

static int64_t donate(uint64_t domain, uint64_t frame)
{
	return calls_root(SOCLE_CALL_DOMAIN_DONATE, domain, calls_frame_number(frame), 0);
}

static int64_t assign(uint64_t domain, uint64_t frame, uint64_t count)
{
	return calls_root(SOCLE_CALL_DOMAIN_ASSIGN, domain, calls_frame_number(frame), count);
}

static int64_t map(struct client c, uint64_t from, uint64_t to, uint64_t bytes)
{
	return calls_with(c.key, SOCLE_CALL_MAP, c.domain, from, to, bytes);
}

static int64_t unmap(struct client c, uint64_t from, uint64_t bytes)
{
	return calls_with(c.key, SOCLE_CALL_UNMAP, c.domain, from, bytes, 0);
}

static int64_t dirty_log(struct client c, uint64_t from, uint64_t bytes, uint64_t flush)
{
	return calls_with(c.key, SOCLE_CALL_DIRTY_LOG, c.domain, from, bytes, flush);
}

static int64_t vcpu_create(struct client c, uint64_t number, uint64_t area)
{
	return calls_with(c.key, SOCLE_CALL_VCPU_CREATE, c.domain, number, area, 0);
}

static int64_t run(unsigned cpu, struct client c, uint64_t number)
{
	return calls_on(cpu, c.key, SOCLE_CALL_VCPU_RUN, c.domain, number, 0, 0);
}

static int64_t kick(struct client c, uint64_t number)
{
	return calls_with(c.key, SOCLE_CALL_VCPU_KICK, c.domain, number, 0, 0);
}

static int64_t destroy_step(uint64_t domain)
{
	return calls_root(SOCLE_CALL_DOMAIN_DESTROY, domain, 0, 0);
}

/* Gives how many calls it took. */
static unsigned destroy(uint64_t domain)
{
	unsigned calls = 1;
	int64_t result;

	while ((result = destroy_step(domain)) == SOCLE_AGAIN)
		ck_assert_uint_lt(calls++, 1000);
	ck_assert_int_eq(result, SOCLE_OK);
	return calls;
}

static uint64_t free_frames(void)
{
	return pool_free_bytes() / LARGE_PAGE_BYTES;
}

/* All is as at the start, for the service VM too. */
static void check_all_free(void)
{
	ck_assert_uint_eq(free_frames(), pool_frames());
	for (uint64_t i = 0; i < pool_frames(); i++) {
		ck_assert_int_eq(calls_service_view(i), VIEW_IDENTITY);
		ck_assert(!fake_frame_mapped(calls_frame(i)));
	}
}

/* Another owner's memory, of a client with two frames, the second its guest's and an area in it. */
static struct client guest_with_vcpu(uint64_t first)
{
	struct client c = create(first);

	ck_assert_int_eq(assign(c.domain, first + 1, 1), SOCLE_OK);
	ck_assert_int_eq(map(c, 0, calls_frame(first + 1).v | SOCLE_ACCESS_READ, LARGE_PAGE_BYTES),
			 LARGE_PAGE_BYTES);
	ck_assert_int_eq(vcpu_create(c, 0, calls_frame(first + 1).v), SOCLE_OK);
	return c;
}

START_TEST(create_and_destroy)
{
	struct client c;
	struct socle_domain_info info;

	calls_start(FRAMES, formats[_i]);
	for (unsigned round = 0; round < 3; round++) {
		calls_fill(5, 0x5a);
		c = create(5);
		ck_assert_uint_eq(c.domain, 1);
		ck_assert_uint_eq(free_frames(), FRAMES - 1);
		ck_assert_int_eq(calls_service_view(5), VIEW_HOLE);
		for (uint64_t i = 0; i < FRAMES; i++)
			if (i != 5)
				ck_assert_int_eq(calls_service_view(i), VIEW_IDENTITY);
		info = calls_info(c.domain);
		ck_assert_uint_eq(info.vcpus, 0);
		ck_assert_uint_eq(info.donated_frames, 1);
		ck_assert_uint_eq(info.assigned_frames, 0);
		ck_assert_uint_gt(info.metadata_bytes, 0);
		ck_assert_uint_lt(info.metadata_bytes, LARGE_PAGE_BYTES);
		destroy(c.domain);
		ck_assert(calls_is_zero(5));
		check_all_free();
		ck_assert_int_eq(destroy_step(c.domain), SOCLE_ERROR_DOMAIN);
	}
}
END_TEST

/* Every frame in turn is donated and comes back. */
START_TEST(every_frame)
{
	struct client c;

	calls_start(FRAMES, formats[_i]);
	for (uint64_t frame = 1; frame < FRAMES; frame++) {
		c = create(0);
		calls_fill(frame, 0xa5);
		ck_assert_int_eq(donate(c.domain, frame), SOCLE_OK);
		for (uint64_t i = 0; i < FRAMES; i++)
			ck_assert_int_eq(calls_service_view(i),
					 i == 0 || i == frame ? VIEW_HOLE : VIEW_IDENTITY);
		destroy(c.domain);
		ck_assert(calls_is_zero(frame));
		ck_assert_int_eq(calls_service_view(frame), VIEW_IDENTITY);
	}
	check_all_free();
}
END_TEST

/* Numbers of frames that are none of the pool's. */
static const uint64_t outside[] = {
	0,
	1,
	CALLS_POOL_BASE / SOCLE_FRAME_BYTES - 1,
	CALLS_POOL_BASE / SOCLE_FRAME_BYTES + FRAMES,
	MIB(64) / SOCLE_FRAME_BYTES, /* the hypervisor's */
	CALLS_POOL_BASE,	     /* an address in place of the number */
	(1ull << 31) - 1,
	1ull << 31,
	(1ull << 43) + CALLS_POOL_BASE / SOCLE_FRAME_BYTES, /* times 2 MiB, a frame of the pool */
	1ull << 63,
	UINT64_MAX,
};

START_TEST(frames_outside_the_pool)
{
	struct client c = create(0);

	for (unsigned i = 0; i < ARRAY_COUNT(outside); i++) {
		ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_CREATE, outside[i], 0, 0),
				 SOCLE_ERROR_OWNER);
		ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_DONATE, c.domain, outside[i], 0),
				 SOCLE_ERROR_OWNER);
		ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_ASSIGN, c.domain, outside[i], 1),
				 SOCLE_ERROR_OWNER);
	}
	/* in part */
	ck_assert_int_eq(assign(c.domain, FRAMES - 1, 2), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(assign(c.domain, (uint64_t)-1, 2), SOCLE_ERROR_OWNER);
	ck_assert_uint_eq(free_frames(), FRAMES - 1);
	ck_assert_uint_eq(calls_info(c.domain).donated_frames, 1);
	destroy(c.domain);
	check_all_free();
}
END_TEST

START_TEST(frames_owned_already)
{
	struct client a = create(0), b = create(1);

	ck_assert_int_eq(assign(a.domain, 10, 4), SOCLE_OK);
	for (uint64_t frame = 0; frame < 14; frame = frame == 1 ? 10 : frame + 1) {
		ck_assert_int_eq(
			calls_root(SOCLE_CALL_DOMAIN_CREATE, calls_frame_number(frame), 0, 0),
			SOCLE_ERROR_OWNER);
		for (unsigned k = 0; k < 2; k++) {
			uint64_t domain = k ? a.domain : b.domain;

			ck_assert_int_eq(donate(domain, frame), SOCLE_ERROR_OWNER);
			ck_assert_int_eq(assign(domain, frame, 1), SOCLE_ERROR_OWNER);
		}
	}
	/* one of many that is owned: none is taken */
	ck_assert_int_eq(assign(b.domain, 5, 6), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(assign(b.domain, 13, 6), SOCLE_ERROR_OWNER);
	ck_assert_uint_eq(free_frames(), FRAMES - 6);
	ck_assert_uint_eq(calls_info(a.domain).assigned_frames, 4);
	ck_assert_uint_eq(calls_info(b.domain).assigned_frames, 0);
	/* the service VM keeps what is assigned */
	for (uint64_t i = 10; i < 14; i++)
		ck_assert_int_eq(calls_service_view(i), VIEW_IDENTITY);
	destroy(a.domain);
	ck_assert_int_eq(assign(b.domain, 5, 10), SOCLE_OK);
	destroy(b.domain);
	check_all_free();
}
END_TEST

START_TEST(assign_counts)
{
	struct client c;

	calls_start(600, &ept_format_npt);
	c = create(0);
	ck_assert_int_eq(assign(c.domain, 1, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(assign(c.domain, 1, 513), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(assign(c.domain, 1, 1ull << 63), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(assign(c.domain, 1, UINT64_MAX), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(assign(c.domain, 1, 1ull << 32), SOCLE_ERROR_ARGUMENT);
	ck_assert_uint_eq(free_frames(), 599);
	ck_assert_int_eq(assign(c.domain, 1, 512), SOCLE_OK);
	ck_assert_int_eq(assign(c.domain, 513, 87), SOCLE_OK);
	ck_assert_uint_eq(free_frames(), 0);
	ck_assert_uint_eq(calls_info(c.domain).assigned_frames, 599);
	ck_assert_uint_eq(destroy(c.domain), 1);
	check_all_free();
}
END_TEST

/* A pool larger than what one call of destroy looks at. */
START_TEST(destroy_is_bounded)
{
	struct client c;
	unsigned calls;

	calls_start(10000, &ept_format_npt);
	c = create(0);
	ck_assert_int_eq(assign(c.domain, 1, 512), SOCLE_OK);
	ck_assert_int_eq(assign(c.domain, 9488, 512), SOCLE_OK);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(donate(c.domain, 600 + i), SOCLE_OK);
	calls = destroy(c.domain);
	ck_assert_uint_ge(calls, 3 + 5);
	ck_assert_uint_le(calls, 3 + 6);
	ck_assert_uint_eq(free_frames(), 10000);
}
END_TEST

static const uint64_t no_domains[] = {
	0,	    2,		SOCLE_MAX_DOMAINS - 1, SOCLE_MAX_DOMAINS,
	1ull << 16, 1ull << 32, (1ull << 32) + 1,      UINT64_MAX};

START_TEST(no_such_domain)
{
	struct client c = create(0);

	for (unsigned i = 0; i < ARRAY_COUNT(no_domains); i++) {
		uint64_t d = no_domains[i];
		struct client other = {d, c.key};

		ck_assert_int_eq(donate(d, 1), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(assign(d, 1, 1), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(destroy_step(d), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_INFO, d, 0, 0), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(map(other, 0, calls_frame(1).v | 1, PAGE_BYTES), SOCLE_ERROR_KEY);
		ck_assert_int_eq(unmap(other, 0, PAGE_BYTES), SOCLE_ERROR_KEY);
		ck_assert_int_eq(vcpu_create(other, 0, calls_frame(1).v), SOCLE_ERROR_KEY);
		ck_assert_int_eq(run(0, other, 0), SOCLE_ERROR_KEY);
		ck_assert_int_eq(kick(other, 0), SOCLE_ERROR_KEY);
	}
	ck_assert_uint_eq(free_frames(), FRAMES - 1);
}
END_TEST

START_TEST(donated_limit)
{
	struct client c = create(0);

	for (uint64_t i = 1; i < DOMAIN_MAX_DONATED; i++)
		ck_assert_int_eq(donate(c.domain, i), SOCLE_OK);
	ck_assert_int_eq(donate(c.domain, DOMAIN_MAX_DONATED), SOCLE_ERROR_LIMIT);
	ck_assert_int_eq(calls_service_view(DOMAIN_MAX_DONATED), VIEW_IDENTITY);
	ck_assert_uint_eq(calls_info(c.domain).donated_frames, DOMAIN_MAX_DONATED);
	ck_assert_uint_eq(destroy(c.domain), DOMAIN_MAX_DONATED);
	check_all_free();
}
END_TEST

START_TEST(domain_limit)
{
	static struct client c[SOCLE_MAX_DOMAINS];

	calls_start(SOCLE_MAX_DOMAINS + 1, &ept_format_npt);
	for (uint64_t i = 1; i < SOCLE_MAX_DOMAINS; i++) {
		c[i] = create(i);
		ck_assert_uint_eq(c[i].domain, i);
	}
	ck_assert_int_eq(calls_root(SOCLE_CALL_DOMAIN_CREATE, calls_frame_number(0), 0, 0),
			 SOCLE_ERROR_LIMIT);
	ck_assert_int_eq(calls_service_view(0), VIEW_IDENTITY);
	/* the number of one that is gone is given again, with another key */
	destroy(700);
	ck_assert_uint_eq(create(0).domain, 700);
	ck_assert_int_eq(run(0, c[700], 0), SOCLE_ERROR_KEY);
}
END_TEST

/* The calls that want the root key, and those that want the domain's: never the other's. */
START_TEST(keys)
{
	struct client a = guest_with_vcpu(0), b = guest_with_vcpu(2);
	struct socle_key wrong[2 * 64 + 3];
	unsigned count = 0;

	for (unsigned bit = 0; bit < 128; bit++) {
		wrong[count] = a.key;
		wrong[count++].word[bit / 64] ^= 1ull << bit % 64;
	}
	wrong[count++] = b.key;
	wrong[count++] = calls_root_key;
	wrong[count++] = (struct socle_key){{0, 0}};
	for (unsigned i = 0; i < count; i++)
		for (uint64_t call = SOCLE_CALL_MAP; call < SOCLE_CALL_COUNT; call++)
			ck_assert_int_eq(calls_with(wrong[i], call, a.domain,
						    call == SOCLE_CALL_VCPU_CREATE ? 1 : 0,
						    calls_frame(1).v | SOCLE_ACCESS_READ,
						    PAGE_BYTES),
					 SOCLE_ERROR_KEY);
	for (uint64_t call = 0; call < SOCLE_CALL_MAP; call++)
		ck_assert_int_eq(
			calls_with(a.key, call, a.domain, calls_frame_number(10), 1, PAGE_BYTES),
			SOCLE_ERROR_KEY);
	ck_assert_int_eq(calls_with(a.key, SOCLE_CALL_COUNT, a.domain, 0, 0, 0), SOCLE_ERROR_KEY);
	ck_assert_int_eq(calls_with(a.key, UINT64_MAX, a.domain, 0, 0, 0), SOCLE_ERROR_KEY);
	ck_assert_uint_eq(calls_info(a.domain).vcpus, 1);
	ck_assert_uint_eq(free_frames(), FRAMES - 4);
	/* the key of a domain that is gone */
	destroy(a.domain);
	for (uint64_t call = 0; call < SOCLE_CALL_COUNT; call++)
		ck_assert_int_eq(calls_with(a.key, call, a.domain, 0, 0, PAGE_BYTES),
				 SOCLE_ERROR_KEY);
}
END_TEST

static struct domain *domain_of(struct client c)
{
	return domain_find(c.domain, c.key.word[0], c.key.word[1]);
}

static bool reaches(struct client c, uint64_t at, uint64_t to, uint32_t access)
{
	struct ept_leaf leaf;

	if (!ept_lookup(&domain_of(c)->memory, gpa(at), &leaf))
		return access == 0;
	return leaf.access == access && leaf.address.v == to && leaf.type == MEMORY_WB;
}

START_TEST(maps)
{
	static const uint64_t end = 1ull << 48;
	uint64_t to;
	struct client c;

	calls_start(FRAMES, formats[_i]);
	c = create(0);
	ck_assert_int_eq(assign(c.domain, 1, 64), SOCLE_OK);
	to = calls_frame(1).v;
	for (uint64_t access = 1; access < 8; access += 2) {
		ck_assert_int_eq(unmap(c, PAGE_BYTES, 3 * PAGE_BYTES), 3 * PAGE_BYTES);
		ck_assert_int_eq(map(c, PAGE_BYTES, to | access, 3 * PAGE_BYTES), 3 * PAGE_BYTES);
		ck_assert(reaches(c, 0, 0, 0));
		ck_assert(reaches(c, 2 * PAGE_BYTES, to + PAGE_BYTES, (uint32_t)access));
		ck_assert(reaches(c, 4 * PAGE_BYTES, 0, 0));
	}
	/* what is mapped stays, and a range that touches it is refused as a whole */
	for (uint64_t first = 0; first < 4; first++)
		ck_assert_int_eq(map(c, first * PAGE_BYTES, to | EPT_READ, 2 * PAGE_BYTES),
				 SOCLE_ERROR_BUSY);
	ck_assert(reaches(c, 0, 0, 0));
	ck_assert(reaches(c, PAGE_BYTES, to, EPT_ALL));
	ck_assert(reaches(c, 4 * PAGE_BYTES, 0, 0));
	ck_assert_int_eq(unmap(c, 2 * PAGE_BYTES, PAGE_BYTES), PAGE_BYTES);
	ck_assert_int_eq(map(c, 2 * PAGE_BYTES, to | EPT_READ, PAGE_BYTES), PAGE_BYTES);
	ck_assert(reaches(c, PAGE_BYTES, to, EPT_ALL));
	ck_assert(reaches(c, 2 * PAGE_BYTES, to, EPT_READ));
	ck_assert(reaches(c, 3 * PAGE_BYTES, to + 2 * PAGE_BYTES, EPT_ALL));
	/* to the last byte of the guest's addresses; a call does 64 MiB at most */
	ck_assert_int_eq(map(c, end - PAGE_BYTES, to | 7, PAGE_BYTES), PAGE_BYTES);
	ck_assert(reaches(c, end - 1, to + PAGE_BYTES - 1, EPT_ALL));
	ck_assert_int_eq(map(c, GIB(1), to | 7, MIB(128)), MIB(64));
	ck_assert(reaches(c, GIB(1) + MIB(64) - 1, to + MIB(64) - 1, EPT_ALL));
	ck_assert(reaches(c, GIB(1) + MIB(64), 0, 0));
	ck_assert_int_eq(unmap(c, GIB(1), MIB(128)), MIB(64));
	ck_assert_int_eq(map(c, GIB(1), to | 7, UINT64_MAX), MIB(64));
	ck_assert_int_eq(unmap(c, GIB(1), MIB(128)), MIB(64));
	ck_assert(reaches(c, GIB(1), 0, 0));
	ck_assert_int_eq(unmap(c, end - PAGE_BYTES, PAGE_BYTES), PAGE_BYTES);
	ck_assert(reaches(c, end - PAGE_BYTES, 0, 0));
	ck_assert_int_eq(unmap(c, GIB(1), UINT64_MAX), MIB(64));
}
END_TEST

START_TEST(bad_maps)
{
	static const uint64_t end = 1ull << 48;
	uint64_t to, used;
	struct client c = create(0), other = create(1);

	ck_assert_int_eq(assign(c.domain, 2, 2), SOCLE_OK);
	ck_assert_int_eq(assign(other.domain, 4, 1), SOCLE_OK);
	to = calls_frame(2).v;
	used = calls_info(c.domain).metadata_bytes;
	/* alignment, bytes */
	ck_assert_int_eq(map(c, 1, to | 7, PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(map(c, 0, to | 7, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(map(c, 0, to | 7, PAGE_BYTES - 1), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(map(c, 0, to | 7, PAGE_BYTES + 1), SOCLE_ERROR_ARGUMENT);
	/* access: reading comes with all, and there are no other bits */
	for (uint64_t access = 0; access < PAGE_BYTES; access++)
		if (access > 7 || !(access & 1))
			ck_assert_int_eq(map(c, 0, to | access, PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	/* guest addresses */
	ck_assert_int_eq(map(c, end, to | 7, PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(map(c, end - PAGE_BYTES, to | 7, 2 * PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(map(c, align_down(UINT64_MAX, PAGE_BYTES), to | 7, 2 * PAGE_BYTES),
			 SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(map(c, 0 - MIB(64), to | 7, MIB(64)), SOCLE_ERROR_ARGUMENT);
	/* memory that is not the domain's: in part, or all of it */
	ck_assert_int_eq(map(c, 0, (to - PAGE_BYTES) | 7, 2 * PAGE_BYTES), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, (to + MIB(4) - PAGE_BYTES) | 7, 2 * PAGE_BYTES),
			 SOCLE_ERROR_OWNER);
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		if (frame != 2 && frame != 3)
			ck_assert_int_eq(map(c, 0, calls_frame(frame).v | 7, PAGE_BYTES),
					 SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, to | 7, UINT64_MAX), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, 7, PAGE_BYTES), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, MIB(64) | 7, PAGE_BYTES), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, align_down(UINT64_MAX, PAGE_BYTES) | 7, PAGE_BYTES),
			 SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, (0 - MIB(64)) | 7, MIB(64)), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(map(c, 0, (to + (1ull << 52)) | 7, PAGE_BYTES), SOCLE_ERROR_OWNER);
	/* and the same of unmapping */
	ck_assert_int_eq(unmap(c, 1, PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(unmap(c, 0, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(unmap(c, 0, 1), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(unmap(c, end, PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(unmap(c, end - PAGE_BYTES, 2 * PAGE_BYTES), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(unmap(c, align_down(UINT64_MAX, PAGE_BYTES), PAGE_BYTES),
			 SOCLE_ERROR_ARGUMENT);
	ck_assert(reaches(c, 0, 0, 0));
	ck_assert_uint_eq(calls_info(c.domain).metadata_bytes, used);
}
END_TEST

/* Bounded; nothing but what is mapped is written; the flush is made when it is asked for only. */
START_TEST(dirty_logs)
{
	static const uint64_t end = 1ull << 48, most = SOCLE_DIRTY_PAGES * PAGE_BYTES;
	struct client c = create(0);
	struct socle_reply reply;
	unsigned before;

	ck_assert_int_eq(assign(c.domain, 1, 2), SOCLE_OK);
	ck_assert_int_eq(map(c, 0, calls_frame(1).v | 7, MIB(4)), MIB(4));
	before = fake_shootdowns();
	ck_assert_int_eq(dirty_log(c, 0, UINT64_MAX - 0xfff, 0), (int64_t)most);
	reply = calls_reply();
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(reply.word[i], UINT64_MAX);
	ck_assert_int_eq(dirty_log(c, 0, 5 * PAGE_BYTES, 0), 5 * PAGE_BYTES);
	reply = calls_reply();
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(reply.word[i], 0);
	ck_assert_int_eq(dirty_log(c, MIB(4) - PAGE_BYTES, 3 * PAGE_BYTES, 0), 3 * PAGE_BYTES);
	ck_assert_uint_eq(calls_reply().word[0], 1);
	ck_assert_int_eq(dirty_log(c, 0, 0, 0), 0);
	ck_assert_uint_eq(fake_shootdowns(), before);
	ck_assert_int_eq(dirty_log(c, 0, 0, SOCLE_DIRTY_FLUSH), 0);
	ck_assert_uint_gt(fake_shootdowns(), before);
	ck_assert_int_eq(dirty_log(c, end - PAGE_BYTES, PAGE_BYTES, 0), PAGE_BYTES);
	ck_assert_int_eq(dirty_log(c, 1, PAGE_BYTES, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(dirty_log(c, 0, 1, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(dirty_log(c, 0, PAGE_BYTES, 2), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(dirty_log(c, end, PAGE_BYTES, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(dirty_log(c, end - PAGE_BYTES, 2 * PAGE_BYTES, 0), SOCLE_ERROR_ARGUMENT);
	destroy(c.domain);
	check_all_free();
}
END_TEST

/* Without dirty bits all pages would look as if nobody had written them. */
START_TEST(no_dirty_bits)
{
	const struct boot_info boot = {.root_key = calls_root_key};
	struct client c = create(0);

	hypercall_init(&boot, 0);
	ck_assert_int_eq(dirty_log(c, 0, PAGE_BYTES, 0), SOCLE_ERROR_CALL);
	ck_assert_int_eq(dirty_log(c, 0, 0, SOCLE_DIRTY_FLUSH), SOCLE_ERROR_CALL);
	destroy(c.domain);
}
END_TEST

/* Tables run out: an error, until another frame is donated. Nobody else is touched. */
START_TEST(metadata_runs_out)
{
	struct client c = create(0), other = guest_with_vcpu(10);
	uint64_t to, at = 0;
	int64_t result;

	ck_assert_int_eq(assign(c.domain, 1, 1), SOCLE_OK);
	to = calls_frame(1).v;
	while ((result = map(c, at, to | 7, PAGE_BYTES)) == PAGE_BYTES)
		at += GIB(512); /* three tables each */
	ck_assert_int_eq(result, SOCLE_ERROR_MEMORY);
	ck_assert_uint_lt(at, GIB(512) * 200);
	ck_assert_int_eq(vcpu_create(c, 0, to), SOCLE_ERROR_MEMORY);
	ck_assert_uint_eq(calls_info(c.domain).vcpus, 0);
	ck_assert(!fake_frame_mapped(calls_frame(1)));
	ck_assert_int_eq(unmap(other, PAGE_BYTES, PAGE_BYTES), PAGE_BYTES);
	ck_assert_int_eq(map(other, PAGE_BYTES, calls_frame(11).v | 7, PAGE_BYTES), PAGE_BYTES);
	/* a call that ends half way undoes its half */
	ck_assert_int_eq(map(c, at - PAGE_BYTES, to | 7, 2 * PAGE_BYTES), SOCLE_ERROR_MEMORY);
	ck_assert(reaches(c, at - PAGE_BYTES, 0, 0));
	ck_assert(reaches(c, 0, to, EPT_ALL));
	ck_assert_int_eq(unmap(c, 0, PAGE_BYTES), PAGE_BYTES);
	ck_assert_int_eq(map(c, MIB(2), to | 7, MIB(2)), MIB(2));
	ck_assert_int_eq(dirty_log(c, MIB(2), MIB(2), 0), SOCLE_ERROR_MEMORY);
	ck_assert_int_eq(map(c, 0, to | 7, PAGE_BYTES), PAGE_BYTES);
	ck_assert_int_eq(donate(c.domain, 2), SOCLE_OK);
	ck_assert_int_eq(map(c, at, to | 7, PAGE_BYTES), PAGE_BYTES);
	ck_assert(reaches(c, at, to, EPT_ALL));
	ck_assert(reaches(c, 0, to, EPT_ALL));
	ck_assert_int_eq(vcpu_create(c, 0, to), SOCLE_OK);
	destroy(c.domain);
	destroy(other.domain);
	check_all_free();
}
END_TEST

START_TEST(vcpu_areas)
{
	struct client c = create(0), other = create(1);
	uint64_t at;

	ck_assert_int_eq(assign(c.domain, 2, 2), SOCLE_OK);
	ck_assert_int_eq(assign(other.domain, 4, 1), SOCLE_OK);
	at = calls_frame(2).v;
	for (uint64_t offset = 1; offset < SOCLE_VCPU_AREA_BYTES; offset *= 2)
		ck_assert_int_eq(vcpu_create(c, 0, at + offset), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(vcpu_create(c, SOCLE_MAX_VCPUS, at), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(vcpu_create(c, 1ull << 32, at), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(vcpu_create(c, UINT64_MAX, at), SOCLE_ERROR_ARGUMENT);
	/* the edges of its own frames, and beyond */
	ck_assert_int_eq(vcpu_create(c, 0, at - SOCLE_VCPU_AREA_BYTES), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(vcpu_create(c, 0, calls_frame(4).v), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(vcpu_create(c, 0, calls_frame(0).v), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(vcpu_create(c, 0, calls_frame(9).v), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(vcpu_create(c, 0, 0), SOCLE_ERROR_OWNER);
	ck_assert_int_eq(vcpu_create(c, 0, align_down(UINT64_MAX, SOCLE_VCPU_AREA_BYTES)),
			 SOCLE_ERROR_OWNER);
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		ck_assert_int_eq(fake_frame_mapped(calls_frame(frame)), frame < 2);
	ck_assert_int_eq(vcpu_create(c, 0, at), SOCLE_OK);
	ck_assert_int_eq(vcpu_create(c, 1, calls_frame(4).v - SOCLE_VCPU_AREA_BYTES), SOCLE_OK);
	ck_assert_int_eq(vcpu_create(c, 0, at + SOCLE_VCPU_AREA_BYTES), SOCLE_ERROR_BUSY);
	/* the pages of the areas are mapped, and no other of these frames */
	for (uint64_t offset = 0; offset < MIB(4); offset += PAGE_BYTES)
		ck_assert_int_eq(fake_page_mapped(hpa(at + offset)),
				 offset < SOCLE_VCPU_AREA_BYTES ||
					 offset >= MIB(4) - SOCLE_VCPU_AREA_BYTES);
	ck_assert_uint_eq(calls_info(c.domain).vcpus, 2);
	destroy(c.domain);
	destroy(other.domain);
	check_all_free();
}
END_TEST

START_TEST(vcpu_limit)
{
	struct client c = create(0);

	ck_assert_int_eq(assign(c.domain, 1, 1), SOCLE_OK);
	for (uint64_t i = 0; i < SOCLE_MAX_VCPUS; i++)
		ck_assert_int_eq(vcpu_create(c, SOCLE_MAX_VCPUS - 1 - i,
					     calls_frame(1).v + i * SOCLE_VCPU_AREA_BYTES),
				 SOCLE_OK);
	for (uint64_t i = 0; i < SOCLE_MAX_VCPUS; i++)
		ck_assert_int_eq(vcpu_create(c, i, calls_frame(1).v), SOCLE_ERROR_BUSY);
	ck_assert_uint_eq(calls_info(c.domain).vcpus, SOCLE_MAX_VCPUS);
	destroy(c.domain);
	ck_assert(calls_is_zero(0));
	check_all_free();
}
END_TEST

START_TEST(vendor_refuses_a_vcpu)
{
	struct client c = create(0);

	ck_assert_int_eq(assign(c.domain, 1, 1), SOCLE_OK);
	fake_guest_init_fails();
	ck_assert_int_lt(vcpu_create(c, 0, calls_frame(1).v), 0);
	ck_assert_uint_eq(calls_info(c.domain).vcpus, 0);
	ck_assert_int_eq(run(0, c, 0), SOCLE_ERROR_ARGUMENT);
	destroy(c.domain);
	check_all_free();
}
END_TEST

static uint32_t mxcsr(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

/* A component that a guest's XSETBV adds is as after a reset; MXCSR is what it was. */
START_TEST(guests_xsetbv)
{
	struct client c = guest_with_vcpu(0);
	struct vcpu *guest;
	uint32_t before = mxcsr();

	fake_cpuid(0xd, 0, (struct cpuid_result){.eax = 7});
	xsetbv(0, 1);
	ck_assert_int_eq(run(1, c, 0), SOCLE_OK);
	guest = calls_cpu[1].current;
	guest->regs->rcx = 0;
	guest->regs->rax = 7;
	guest->regs->rdx = 0;
	calls_exit(1, SOCLE_EXIT_XSETBV);
	ck_assert_uint_eq(mxcsr(), before);
	ck_assert_uint_eq(fake_xcr0(), 7);
	ck_assert_uint_eq(fake_faults(), 0);
	/* what the processor would not take */
	guest->regs->rax = 8;
	calls_exit(1, SOCLE_EXIT_XSETBV);
	ck_assert_uint_eq(fake_faults(), 1);
	ck_assert_uint_eq(fake_xcr0(), 7);
	ck_assert_ptr_eq(calls_cpu[1].current, guest);
	calls_exit(1, SOCLE_EXIT_IO);
}
END_TEST

static struct socle_vcpu_area *area_of(uint64_t frame)
{
	return fake_pool(calls_frame(frame));
}

START_TEST(runs)
{
	struct client c = guest_with_vcpu(0);
	struct socle_vcpu_area *area = area_of(1);
	const struct vcpu *guest;

	area->load = SOCLE_LOAD_RUN;
	area->event = SOCLE_EVENT_VALID | 0x31;
	ck_assert_int_eq(run(2, c, 0), SOCLE_OK);
	ck_assert_uint_eq(fake_guest_load_bits(), SOCLE_LOAD_RUN);
	ck_assert_uint_eq(fake_guest_last_event(), SOCLE_EVENT_VALID | 0x31);
	ck_assert_uint_eq(area->load, 0);
	ck_assert_uint_eq(area->event, 0);
	ck_assert_uint_eq(area->where, SOCLE_WHERE_GUEST);
	guest = calls_cpu[2].current;
	ck_assert_ptr_ne(guest, &calls_cpu[2].service);
	ck_assert_ptr_eq(guest->cpu, &calls_cpu[2]);
	/* it runs once at a time */
	ck_assert_int_eq(run(1, c, 0), SOCLE_ERROR_BUSY);
	ck_assert_ptr_eq(calls_cpu[1].current, &calls_cpu[1].service);
	fake_register(VCPU_RIP, 0x1234);
	calls_exit(2, SOCLE_EXIT_IO);
	ck_assert_ptr_eq(calls_cpu[2].current, &calls_cpu[2].service);
	ck_assert_uint_eq(calls_cpu[2].service.regs->rax, SOCLE_EXIT_IO);
	ck_assert_uint_eq(area->exit_reason, SOCLE_EXIT_IO);
	ck_assert_uint_eq(area->rip, 0x1234);
	ck_assert_uint_eq(area->where, SOCLE_WHERE_VMM);
	ck_assert_uint_eq(fake_guests_inside(), 0);
	/* no such vCPU */
	ck_assert_int_eq(run(1, c, 1), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(run(1, c, SOCLE_MAX_VCPUS), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(run(1, c, UINT64_MAX), SOCLE_ERROR_ARGUMENT);
	/* an event that there is not */
	area->event = SOCLE_EVENT_VALID | FAKE_BAD_EVENT;
	ck_assert_int_eq(run(1, c, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_ptr_eq(calls_cpu[1].current, &calls_cpu[1].service);
	ck_assert_uint_eq(fake_guests_inside(), 0);
	ck_assert_uint_eq(area->where, SOCLE_WHERE_VMM);
	ck_assert_int_eq(run(1, c, 0), SOCLE_OK);
	calls_exit(1, SOCLE_EXIT_SHUTDOWN);
	destroy(c.domain);
	check_all_free();
}
END_TEST

/* The counter of one reason, or the error. */
static int64_t exits(uint64_t vm, uint64_t vcpu, uint64_t reason)
{
	int64_t result = calls_with(calls_root_key, SOCLE_CALL_STATS_READ, SOCLE_STATS_EXITS, vcpu,
				    vm, reason);

	return result == SOCLE_OK ? (int64_t)calls_reply().word[0] : result;
}

START_TEST(counts_exits)
{
	struct client c = guest_with_vcpu(0);

	ck_assert_int_eq(run(2, c, 0), SOCLE_OK);
	calls_cpu[2].current->exits[SOCLE_EXIT_IO] = 41;
	ck_assert_int_eq(exits(c.domain, 0, SOCLE_EXIT_IO), 41);
	ck_assert_int_eq(exits(c.domain, 0, SOCLE_EXIT_COUNT), SOCLE_ERROR_ARGUMENT);
	/* no such vCPU, no such domain */
	ck_assert_int_eq(exits(c.domain, 1, SOCLE_EXIT_IO), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(exits(c.domain, SOCLE_MAX_VCPUS, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(exits(c.domain, UINT64_MAX, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(exits(c.domain + 1, 0, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(exits(SOCLE_MAX_DOMAINS, 0, 0), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(exits(UINT64_MAX, 0, 0), SOCLE_ERROR_ARGUMENT);
	/* one that is being destroyed may have given the vCPU back */
	ck_assert_int_eq(destroy_step(c.domain), SOCLE_AGAIN);
	ck_assert_int_eq(exits(c.domain, 0, SOCLE_EXIT_IO), SOCLE_ERROR_ARGUMENT);
	calls_exit(2, SOCLE_EXIT_INTERRUPT);
	destroy(c.domain);
}
END_TEST

START_TEST(kicks)
{
	struct client c = guest_with_vcpu(0);

	ck_assert_int_eq(kick(c, 1), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(kick(c, SOCLE_MAX_VCPUS), SOCLE_ERROR_ARGUMENT);
	ck_assert_int_eq(kick(c, UINT64_MAX), SOCLE_ERROR_ARGUMENT);
	/* before a run: it ends at once, and only that one */
	ck_assert_int_eq(kick(c, 0), SOCLE_OK);
	ck_assert_int_eq(kick(c, 0), SOCLE_OK);
	ck_assert_uint_eq(fake_kicks(), 0);
	ck_assert_int_eq(run(1, c, 0), SOCLE_EXIT_INTERRUPT);
	ck_assert_uint_eq(fake_guests_inside(), 0);
	ck_assert_int_eq(run(1, c, 0), SOCLE_OK);
	/* during one: its CPU is told */
	ck_assert_int_eq(kick(c, 0), SOCLE_OK);
	ck_assert_uint_eq(fake_kicks(), 1);
	ck_assert_ptr_eq(fake_last_kicked(), &calls_cpu[1]);
	calls_exit(1, SOCLE_EXIT_NMI);
	ck_assert_ptr_eq(calls_cpu[1].current, &calls_cpu[1].service);
	ck_assert_uint_eq(calls_cpu[1].service.regs->rax, SOCLE_EXIT_INTERRUPT);
	destroy(c.domain);
}
END_TEST

/* While a vCPU runs, its domain stays; then it goes, whatever its VMM still asks for. */
START_TEST(destroy_while_running)
{
	struct client c = guest_with_vcpu(0);
	unsigned shootdowns;

	for (uint64_t i = 20; i < 24; i++)
		ck_assert_int_eq(donate(c.domain, i), SOCLE_OK);
	ck_assert_int_eq(vcpu_create(c, 1, calls_frame(1).v + SOCLE_VCPU_AREA_BYTES), SOCLE_OK);
	ck_assert_int_eq(run(1, c, 0), SOCLE_OK);
	ck_assert_int_eq(run(2, c, 1), SOCLE_OK);
	for (unsigned i = 0; i < 10; i++) {
		shootdowns = fake_shootdowns();
		ck_assert_int_eq(destroy_step(c.domain), SOCLE_AGAIN);
		ck_assert_uint_gt(fake_shootdowns(), shootdowns);
		ck_assert_uint_eq(free_frames(), FRAMES - 6);
		if (i == 5)
			calls_exit(2, SOCLE_EXIT_NMI);
	}
	ck_assert_int_eq(run(2, c, 1), SOCLE_ERROR_DOMAIN);
	calls_exit(1, SOCLE_EXIT_NMI);
	ck_assert_uint_eq(calls_cpu[1].service.regs->rax, SOCLE_EXIT_INTERRUPT);
	destroy(c.domain);
	check_all_free();
}
END_TEST

/*
 * Between two steps of a destruction the domain's key still finds it, but no call gets at what may
 * be gone: vCPUs lie in frames that were given back.
 */
START_TEST(dying)
{
	struct client c = create(0);
	unsigned steps = 0;

	ck_assert_int_eq(assign(c.domain, 1, 1), SOCLE_OK);
	for (uint64_t i = 20; i < 24; i++) {
		ck_assert_int_eq(donate(c.domain, i), SOCLE_OK);
		ck_assert_int_eq(
			vcpu_create(c, i - 20, calls_frame(1).v + i * SOCLE_VCPU_AREA_BYTES),
			SOCLE_OK);
		ck_assert_int_eq(map(c, GIB(i), calls_frame(1).v | 7, PAGE_BYTES), PAGE_BYTES);
	}
	while (destroy_step(c.domain) == SOCLE_AGAIN) {
		steps++;
		ck_assert_int_eq(donate(c.domain, 30), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(assign(c.domain, 30, 1), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(map(c, 0, calls_frame(1).v | 7, PAGE_BYTES), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(unmap(c, GIB(20), PAGE_BYTES), SOCLE_ERROR_DOMAIN);
		ck_assert_int_eq(vcpu_create(c, 9, calls_frame(1).v), SOCLE_ERROR_DOMAIN);
		for (uint64_t i = 0; i < 4; i++) {
			ck_assert_int_eq(kick(c, i), SOCLE_ERROR_DOMAIN);
			ck_assert_int_eq(run(1, c, i), SOCLE_ERROR_DOMAIN);
		}
		calls_info(c.domain);
	}
	ck_assert_uint_eq(steps, 4);
	check_all_free();
	for (uint64_t i = 20; i < 24; i++)
		ck_assert(calls_is_zero(i));
}
END_TEST

/* What every CPU is told to forget is out of reach by then. */
static uint64_t hidden = NONE, unmapped_at = NONE;
static struct client watched;

static void look(void)
{
	if (hidden != NONE) {
		ck_assert_int_eq(calls_service_view(hidden), VIEW_HOLE);
		ck_assert(!fake_frame_mapped(calls_frame(hidden)));
	}
	if (unmapped_at != NONE)
		ck_assert(reaches(watched, unmapped_at, 0, 0));
}

START_TEST(shootdowns)
{
	unsigned before = fake_shootdowns();

	fake_on_shootdown(look);
	hidden = 0;
	watched = create(0);
	ck_assert_uint_gt(fake_shootdowns(), before);
	hidden = 1;
	before = fake_shootdowns();
	ck_assert_int_eq(donate(watched.domain, 1), SOCLE_OK);
	ck_assert_uint_gt(fake_shootdowns(), before);
	hidden = NONE;
	ck_assert_int_eq(assign(watched.domain, 2, 2), SOCLE_OK);
	ck_assert_int_eq(vcpu_create(watched, 0, calls_frame(2).v), SOCLE_OK);
	ck_assert_int_eq(map(watched, 0, calls_frame(2).v | 7, MIB(2)), MIB(2));
	unmapped_at = PAGE_BYTES;
	before = fake_shootdowns();
	ck_assert_int_eq(unmap(watched, PAGE_BYTES, PAGE_BYTES), PAGE_BYTES);
	ck_assert_uint_gt(fake_shootdowns(), before);
	unmapped_at = NONE;
	destroy(watched.domain);
	fake_on_shootdown(NULL);
	check_all_free();
}
END_TEST

/*
 * Nothing of a domain is unmapped before all CPUs have been told since it began to die: one may
 * still hold a pointer to a vCPU. No page of it goes while its page tables are in use, nor the
 * domain itself before the number has stopped to find it.
 */
static unsigned shootdowns_before;
static bool is_first_frame_gone;

static void look_at_unmap(hpa_t frame)
{
	ck_assert_uint_gt(fake_shootdowns(), shootdowns_before);
	if (frame.v == calls_frame(0).v) {
		is_first_frame_gone = true;
		ck_assert_ptr_null(domain_of(watched));
		ck_assert_ptr_null(domain_find(watched.domain, 0, 0)); /* it is scrubbed */
	} else {
		ck_assert(!is_first_frame_gone);
		ck_assert_ptr_nonnull(domain_of(watched));
	}
}

START_TEST(order_of_destruction)
{
	watched = guest_with_vcpu(0);
	ck_assert_int_eq(donate(watched.domain, 5), SOCLE_OK);
	ck_assert_int_eq(donate(watched.domain, 6), SOCLE_OK);
	ck_assert_int_eq(vcpu_create(watched, 1, calls_frame(2).v - SOCLE_VCPU_AREA_BYTES),
			 SOCLE_OK);
	fake_on_unmap(look_at_unmap);
	shootdowns_before = fake_shootdowns();
	destroy(watched.domain);
	ck_assert(is_first_frame_gone);
	check_all_free();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("domains");
	TCase *calls = tcase_create("calls"), *pools = tcase_create("other pools");

	tcase_add_checked_fixture(calls, start, NULL);
	tcase_add_test(calls, frames_outside_the_pool);
	tcase_add_test(calls, frames_owned_already);
	tcase_add_test(calls, no_such_domain);
	tcase_add_test(calls, donated_limit);
	tcase_add_test(calls, keys);
	tcase_add_test(calls, bad_maps);
	tcase_add_test(calls, dirty_logs);
	tcase_add_test(calls, no_dirty_bits);
	tcase_add_test(calls, metadata_runs_out);
	tcase_add_test(calls, vcpu_areas);
	tcase_add_test(calls, vcpu_limit);
	tcase_add_test(calls, vendor_refuses_a_vcpu);
	tcase_add_test(calls, guests_xsetbv);
	tcase_add_test(calls, runs);
	tcase_add_test(calls, counts_exits);
	tcase_add_test(calls, kicks);
	tcase_add_test(calls, destroy_while_running);
	tcase_add_test(calls, dying);
	tcase_add_test(calls, shootdowns);
	tcase_add_test(calls, order_of_destruction);
	suite_add_tcase(suite, calls);
	tcase_set_timeout(pools, 60);
	tcase_add_loop_test(pools, create_and_destroy, 0, 2);
	tcase_add_loop_test(pools, every_frame, 0, 2);
	tcase_add_loop_test(pools, maps, 0, 2);
	tcase_add_test(pools, assign_counts);
	tcase_add_test(pools, destroy_is_bounded);
	tcase_add_test(pools, domain_limit);
	suite_add_tcase(suite, pools);
	return suite;
}
