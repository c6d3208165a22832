// SPDX-License-Identifier: BSD-2-Clause
#include "hv/paging.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "hv/memory.h"
#include "hv/panic.h"

#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE   (1ull << 1)
#define PTE_UC	    (3ull << 3)
#define PTE_LARGE   (1ull << 7)
#define PTE_NX	    (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull
#define PTE_TABLE   (PTE_PRESENT | PTE_WRITE)
#define PTE_DATA    (PTE_PRESENT | PTE_WRITE | PTE_NX)

static uint64_t first; /* the pool's start, rounded down to 1 GiB: mapped at HV_POOL_BASE */
static uint64_t *pdpt;

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)((entry & PTE_ADDRESS) - memory_physical((void *)HV_BASE).v + HV_BASE);
}

static uint64_t *take_table(uint64_t *entry)
{
	uint64_t *table = memory_page();

	*entry = memory_physical(table).v | PTE_TABLE;
	return table;
}

void paging_init(const struct boot_info *boot)
{
	uint64_t *pml4 = table_of(boot->cr3);
	uint64_t end = boot->pool_base + boot->pool_bytes;
	uint64_t *table;

	first = align_down(boot->pool_base, GIB(1));
	pdpt = take_table(&pml4[HV_POOL_BASE >> 39 & 511]);
	for (uint64_t at = first; at < end; at += GIB(1))
		take_table(&pdpt[(at - first) / GIB(1)]);
	table = take_table(&pdpt[HV_APIC_BASE >> 30 & 511]);
	table = take_table(&table[0]);
	table[0] = (rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS) | PTE_DATA | PTE_UC;
}

void *paging_pool_address(hpa_t at)
{
	return (void *)(at.v - first + HV_POOL_BASE);
}

hpa_t paging_pool_physical(const void *at)
{
	return hpa((uint64_t)at - HV_POOL_BASE + first);
}

static uint64_t *frame_entry(hpa_t frame)
{
	uint64_t offset = frame.v - first;

	return &table_of(pdpt[offset / GIB(1)])[offset / LARGE_PAGE_BYTES % 512];
}

void paging_map_frame(hpa_t frame)
{
	*frame_entry(frame) = frame.v | PTE_DATA | PTE_LARGE;
}

void paging_map_pages(hpa_t at, uint64_t bytes, void **table)
{
	hpa_t frame = hpa(align_down(at.v, LARGE_PAGE_BYTES));
	uint64_t *entry = frame_entry(frame);
	uint64_t *pages;

	if (*entry == 0) {
		*entry = paging_pool_physical(*table).v | PTE_TABLE;
		*table = NULL;
	}
	pages = paging_pool_address(hpa(*entry & PTE_ADDRESS));
	for (uint64_t offset = 0; offset < bytes; offset += PAGE_BYTES)
		pages[(at.v + offset) / PAGE_BYTES % 512] = (at.v + offset) | PTE_DATA;
}

void paging_unmap_frame(hpa_t frame)
{
	*frame_entry(frame) = 0;
	write_cr3(read_cr3());
}

volatile uint32_t *paging_apic(void)
{
	return (volatile uint32_t *)HV_APIC_BASE;
}
