// SPDX-License-Identifier: BSD-2-Clause
#define _GNU_SOURCE
#include "fake_machine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_cpu.h"
#include "hv/memory.h"
#include "hv/paging.h"
#include "hv/shootdown.h"
#include "hv/timer.h"

#define OWN_PAGES	4096
#define OWN_PHYSICAL	MIB(64)
#define PAGES_PER_FRAME (LARGE_PAGE_BYTES / PAGE_BYTES)
#define PTE_PRESENT	1ull

/* How the hypervisor has a frame mapped. */
struct mapping {
	bool whole;
	uint64_t *table; /* of its pages, one by one */
	bool page[PAGES_PER_FRAME];
};

static uint64_t base, bytes;
static uint8_t *service_view, *hypervisor_view;
static struct mapping *mappings;
static struct spinlock *held;
static unsigned shootdowns, kicks;
static uint64_t last_bound;
static void (*on_shootdown)(void);
static void (*on_unmap)(hpa_t frame);
static const struct cpu *last_kicked;

/* The loader's view of memory, turned around: the pages are where the host's allocator puts them.
 */
static void start_memory(void)
{
	void *pages = aligned_alloc(PAGE_BYTES, OWN_PAGES * PAGE_BYTES);
	struct boot_info *boot = calloc(1, sizeof(*boot));

	ck_assert_ptr_nonnull(pages);
	ck_assert_ptr_nonnull(boot);
	memset(pages, 0xa5, OWN_PAGES * PAGE_BYTES);
	boot->arena = OWN_PHYSICAL;
	boot->arena_end = OWN_PHYSICAL + OWN_PAGES * PAGE_BYTES;
	boot->base = OWN_PHYSICAL - (uint64_t)pages + HV_BASE;
	memory_init(boot);
	free(boot);
}

void fake_machine_start(const struct boot_info *boot)
{
	int file = memfd_create("pool", MFD_CLOEXEC);

	base = boot->pool_base;
	bytes = boot->pool_bytes;
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(ftruncate(file, (off_t)bytes), 0);
	service_view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	hypervisor_view = mmap(NULL, bytes, PROT_NONE, MAP_SHARED, file, 0);
	ck_assert_ptr_ne(service_view, MAP_FAILED);
	ck_assert_ptr_ne(hypervisor_view, MAP_FAILED);
	close(file);
	mappings = calloc(bytes / LARGE_PAGE_BYTES, sizeof(*mappings));
	ck_assert_ptr_nonnull(mappings);
	start_memory();
}

static void check_in_pool(hpa_t at, uint64_t size)
{
	ck_assert_msg(at.v >= base && at.v - base <= bytes - size, "%llx is not in the pool",
		      (unsigned long long)at.v);
}

void *fake_pool(hpa_t at)
{
	check_in_pool(at, 1);
	return service_view + (at.v - base);
}

static struct mapping *mapping_of(hpa_t at)
{
	check_in_pool(at, 1);
	return &mappings[(at.v - base) / LARGE_PAGE_BYTES];
}

bool fake_page_mapped(hpa_t at)
{
	const struct mapping *m = mapping_of(at);

	return m->whole || m->page[at.v / PAGE_BYTES % PAGES_PER_FRAME];
}

bool fake_frame_mapped(hpa_t at)
{
	const struct mapping *m = mapping_of(at);

	return m->whole || m->table != NULL;
}

/* hv/paging.h ------------------------------------------------------------------------------------
 */

void *paging_pool_address(hpa_t at)
{
	check_in_pool(at, 1);
	return hypervisor_view + (at.v - base);
}

hpa_t paging_pool_physical(const void *at)
{
	hpa_t physical = hpa((uint64_t)((const uint8_t *)at - hypervisor_view) + base);

	check_in_pool(physical, 1);
	return physical;
}

static void protect(hpa_t at, uint64_t size, int protection)
{
	ck_assert_int_eq(mprotect(hypervisor_view + (at.v - base), size, protection), 0);
}

void paging_map_frame(hpa_t frame)
{
	struct mapping *m = mapping_of(frame);

	ck_assert_uint_eq(frame.v % LARGE_PAGE_BYTES, 0);
	ck_assert_msg(!fake_frame_mapped(frame), "%llx is mapped twice",
		      (unsigned long long)frame.v);
	m->whole = true;
	protect(frame, LARGE_PAGE_BYTES, PROT_READ | PROT_WRITE);
}

void paging_map_pages(hpa_t at, uint64_t size, void **table)
{
	struct mapping *m = mapping_of(at);

	ck_assert_uint_eq((at.v | size) % PAGE_BYTES, 0);
	ck_assert_uint_le(at.v % LARGE_PAGE_BYTES + size, LARGE_PAGE_BYTES);
	ck_assert_msg(!m->whole, "%llx is the hypervisor's own", (unsigned long long)at.v);
	if (m->table == NULL) {
		ck_assert(mapping_of(paging_pool_physical(*table))->whole);
		m->table = *table;
		*table = NULL;
		for (unsigned i = 0; i < PAGES_PER_FRAME; i++)
			ck_assert_msg(m->table[i] == 0, "a page table that is not zeroed");
	}
	for (uint64_t offset = 0; offset < size; offset += PAGE_BYTES) {
		unsigned i = (at.v + offset) / PAGE_BYTES % PAGES_PER_FRAME;

		m->table[i] = (at.v + offset) | PTE_PRESENT;
		m->page[i] = true;
	}
	protect(at, size, PROT_READ | PROT_WRITE);
}

/* No page table that the processor still walks may lie in the frame that goes. */
void paging_unmap_frame(hpa_t frame)
{
	struct mapping *m = mapping_of(frame);

	ck_assert_uint_eq(frame.v % LARGE_PAGE_BYTES, 0);
	ck_assert_msg(fake_frame_mapped(frame), "%llx is not mapped", (unsigned long long)frame.v);
	if (on_unmap != NULL)
		on_unmap(frame);
	*m = (struct mapping){0};
	protect(frame, LARGE_PAGE_BYTES, PROT_NONE);
	for (uint64_t i = 0; i < bytes / LARGE_PAGE_BYTES; i++)
		if (mappings[i].table != NULL)
			ck_assert_msg(fake_frame_mapped(paging_pool_physical(mappings[i].table)),
				      "the page table of frame %llu is gone",
				      (unsigned long long)i);
}

/* hv/shootdown.h ---------------------------------------------------------------------------------
 */

void shootdown(void)
{
	ck_assert_msg(held != NULL && held->taken, "without the domains' lock");
	shootdowns++;
	if (on_shootdown != NULL)
		on_shootdown();
}

bool timer_bound(uint64_t deadline)
{
	last_bound = deadline;
	return true;
}

bool timer_near(uint64_t deadline, uint64_t early, uint64_t *left)
{
	uint64_t now = rdtsc();

	*left = now < deadline ? deadline - now : 0;
	return *left <= early;
}

uint64_t timer_wait(uint64_t deadline, uint64_t early)
{
	fake_tsc(deadline);
	return early;
}

uint64_t fake_last_bound(void)
{
	return last_bound;
}

void shootdown_kick(struct cpu *cpu)
{
	kicks++;
	last_kicked = cpu;
}

void spin_lock_answering(struct spinlock *lock)
{
	ck_assert_msg(!lock->taken, "the lock is taken twice");
	lock->taken = 1;
	held = lock;
}

unsigned fake_shootdowns(void)
{
	return shootdowns;
}

void fake_on_shootdown(void (*function)(void))
{
	on_shootdown = function;
}

void fake_on_unmap(void (*function)(hpa_t frame))
{
	on_unmap = function;
}

unsigned fake_kicks(void)
{
	return kicks;
}

const struct cpu *fake_last_kicked(void)
{
	return last_kicked;
}
