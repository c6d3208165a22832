// SPDX-License-Identifier: BSD-2-Clause
#include "hv/memory.h"

#include "hv/panic.h"

static uint64_t base;
static struct page_arena arena;

void memory_init(const struct boot_info *boot)
{
	base = boot->base;
	arena = (struct page_arena){
		.virtual = boot->arena - boot->base + HV_BASE,
		.physical = hpa(boot->arena),
		.count = (boot->arena_end - boot->arena) / PAGE_BYTES,
	};
}

hpa_t memory_physical(const void *at)
{
	return hpa((uint64_t)at - HV_BASE + base);
}

struct page_arena *memory_arena(void)
{
	return &arena;
}

void *memory_page(void)
{
	hpa_t physical;
	void *page = page_arena_take(&arena, &physical);

	hv_assert(page != NULL);
	return page;
}
