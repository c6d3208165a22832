// SPDX-License-Identifier: BSD-2-Clause
/* The hypervisor's memory: its image (an ELF file inside this one), areas, arena, page tables. */
#include "boot/uefi/loader.h"

#include "hv/string.h"

#define ELF_MAGIC   0x464c457f
#define PT_LOAD	    1
#define PF_X	    1
#define PF_W	    2
#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE   (1ull << 1)
#define PTE_UC	    (3ull << 3) /* PCD and PWT: PAT entry 3, uncached */
#define PTE_LARGE   (1ull << 7)
#define PTE_NX	    (1ull << 63)

#define SPLIT_PAGES 96 /* tables for places where memory types change, holes, and to spare */

struct elf_header {
	uint32_t magic;
	uint8_t ident[12];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

extern const uint8_t hv_image[], hv_image_end[];

/* Where things are, as offsets from the hypervisor's base. */
struct plan {
	uint64_t image, boot_info, tables, cpus, arena, end;
};

static const struct elf_segment *segment(const struct elf_header *elf, unsigned index)
{
	return (const struct elf_segment *)((const uint8_t *)elf + elf->phoff +
					    index * elf->phentsize);
}

static uint64_t image_bytes(const struct elf_header *elf)
{
	uint64_t end = HV_BASE;

	for (unsigned i = 0; i < elf->phnum; i++) {
		const struct elf_segment *s = segment(elf, i);

		if (s->type == PT_LOAD && s->vaddr + s->memsz > end)
			end = s->vaddr + s->memsz;
	}
	return end - HV_BASE;
}

/* Pages that the hypervisor takes from its arena while it boots. */
static uint64_t arena_pages(const struct loader *loader, uint32_t cpus)
{
	uint64_t limit = 1ull << loader->physical_bits;
	uint64_t tables = 1 + (limit + GIB(512) - 1) / GIB(512);

	if (!loader->pages_1g)
		tables += limit / GIB(1);
	/* For the pool: a second-level and an own table for each GiB, the owners of its frames. */
	tables += 2 * (loader->config.pool_bytes / GIB(1) + 2);
	tables += loader->config.pool_bytes / LARGE_PAGE_BYTES * 4 / PAGE_BYTES + 1;
	return tables + SPLIT_PAGES + 2 * (uint64_t)cpus;
}

static struct plan make_plan(const struct loader *loader, const struct elf_header *elf,
			     uint32_t cpus)
{
	struct plan plan = {0};
	uint64_t framebuffer_and_upper = 4;
	uint64_t end;

	plan.boot_info = align_up(image_bytes(elf), PAGE_BYTES);
	plan.tables = align_up(plan.boot_info + sizeof(struct boot_info), PAGE_BYTES);
	/* One table a 2 MiB; the size of all is not known yet, so take what is surely enough. */
	end = plan.tables + (uint64_t)cpus * HV_CPU_AREA_BYTES +
	      arena_pages(loader, cpus) * PAGE_BYTES;
	plan.cpus = align_up(plan.tables + (end / LARGE_PAGE_BYTES + 2 + framebuffer_and_upper) *
						   PAGE_BYTES,
			     HV_CPU_AREA_BYTES);
	plan.arena = plan.cpus + (uint64_t)cpus * HV_CPU_AREA_BYTES;
	plan.end = align_up(plan.arena + arena_pages(loader, cpus) * PAGE_BYTES, LARGE_PAGE_BYTES);
	return plan;
}

static void copy_image(const struct elf_header *elf, uint64_t base)
{
	for (unsigned i = 0; i < elf->phnum; i++) {
		const struct elf_segment *s = segment(elf, i);

		if (s->type == PT_LOAD)
			memcpy((void *)(base + s->vaddr - HV_BASE),
			       (const uint8_t *)elf + s->offset, s->filesz);
	}
}

/* Access to a page of the hypervisor's memory: written or executed, never both; guards: none. */
static uint64_t page_flags(const struct elf_header *elf, const struct plan *plan, uint64_t offset)
{
	if (offset < plan->boot_info) {
		for (unsigned i = 0; i < elf->phnum; i++) {
			const struct elf_segment *s = segment(elf, i);
			uint64_t start = s->vaddr - HV_BASE;

			if (s->type != PT_LOAD || offset < align_down(start, PAGE_BYTES) ||
			    offset >= start + s->memsz)
				continue;
			return PTE_PRESENT | (s->flags & PF_W ? PTE_WRITE : 0) |
			       (s->flags & PF_X ? 0 : PTE_NX);
		}
		return 0;
	}
	if (offset >= plan->cpus && offset < plan->arena &&
	    (offset - plan->cpus) % HV_CPU_AREA_BYTES < HV_CPU_STACK_END - HV_CPU_STACK_BYTES)
		return 0;
	return PTE_PRESENT | PTE_WRITE | PTE_NX;
}

/* Builds the final tables; pages of them are taken one after the other from plan->tables. */
static void build_tables(struct loader *loader, const struct elf_header *elf,
			 const struct plan *plan)
{
	struct boot_info *boot = loader->boot;
	uint64_t base = loader->hypervisor.at;
	uint64_t next = base + plan->tables;
	uint64_t *pml4 = (uint64_t *)next;
	uint64_t *pdpt = (uint64_t *)(next + PAGE_BYTES);
	uint64_t *pd = (uint64_t *)(next + 2 * PAGE_BYTES);
	uint64_t *screen_pd = (uint64_t *)(next + 3 * PAGE_BYTES);
	struct boot_framebuffer *screen = &boot->framebuffer;

	next += 4 * PAGE_BYTES;
	pml4[HV_BASE >> 39 & 511] = (uint64_t)pdpt | PTE_PRESENT | PTE_WRITE;
	pdpt[HV_BASE >> 30 & 511] = (uint64_t)pd | PTE_PRESENT | PTE_WRITE;
	for (uint64_t offset = 0; offset < plan->end; offset += PAGE_BYTES) {
		uint64_t *entry = &pd[offset / LARGE_PAGE_BYTES];
		uint64_t flags = page_flags(elf, plan, offset);

		if (*entry == 0) {
			*entry = next | PTE_PRESENT | PTE_WRITE;
			next += PAGE_BYTES;
		}
		if (flags != 0)
			((uint64_t *)align_down(*entry, PAGE_BYTES))[offset / PAGE_BYTES % 512] =
				(base + offset) | flags;
	}
	boot->cr3 = (uint64_t)pml4;

	if (screen->base == 0)
		return;
	for (uint64_t i = 0; i < 512 && i * LARGE_PAGE_BYTES < screen->bytes + LARGE_PAGE_BYTES;
	     i++)
		screen_pd[i] = (align_down(screen->base, LARGE_PAGE_BYTES) + i * LARGE_PAGE_BYTES) |
			       PTE_PRESENT | PTE_WRITE | PTE_UC | PTE_LARGE | PTE_NX;
	boot->framebuffer_pdpte = (uint64_t)screen_pd | PTE_PRESENT | PTE_WRITE;
	boot->framebuffer_link = (uint64_t)&pdpt[HV_FRAMEBUFFER_BASE >> 30 & 511] - base + HV_BASE;
}

/*
 * The tables for the way in: the trampoline's page and the rest of the first 4 GiB one to one, and
 * the hypervisor.
 */
static void build_boot_tables(struct loader *loader)
{
	uint64_t *page;
	uint64_t *final = (uint64_t *)loader->boot->cr3;

	loader->boot_tables =
		allocate("page tables", 6 * PAGE_BYTES, PAGE_BYTES, GIB(4) - 1, EfiLoaderData);
	page = (uint64_t *)loader->boot_tables.at;
	page[0] = (loader->boot_tables.at + PAGE_BYTES) | PTE_PRESENT | PTE_WRITE;
	page[511] = final[511];
	for (uint64_t i = 0; i < 4; i++)
		page[512 + i] =
			(loader->boot_tables.at + (2 + i) * PAGE_BYTES) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		page[1024 + i] = i * LARGE_PAGE_BYTES | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	loader->cr3 = loader->boot_tables.at;
}

void place_hypervisor(struct loader *loader, uint32_t cpu_count)
{
	const struct elf_header *elf = (const struct elf_header *)hv_image;
	struct plan plan = make_plan(loader, elf, cpu_count);
	struct boot_info *boot;

	if (elf->magic != ELF_MAGIC)
		fail("the hypervisor's image inside socle.efi is damaged: build or copy it again");
	if (plan.end > HV_MAX_BYTES)
		fail("the hypervisor needs %llu MiB of its own memory, more than %u",
		     (unsigned long long)plan.end >> 20, HV_MAX_BYTES >> 20);
	loader->hypervisor = allocate("the hypervisor", plan.end, LARGE_PAGE_BYTES,
				      UINT64_MAX >> 12, EfiReservedMemoryType);
	copy_image(elf, loader->hypervisor.at);

	boot = (struct boot_info *)(loader->hypervisor.at + plan.boot_info);
	loader->boot = boot;
	loader->entry = elf->entry;
	boot->magic = BOOT_INFO_MAGIC;
	boot->vendor = loader->vendor;
	boot->log_level = loader->config.log_level;
	boot->base = loader->hypervisor.at;
	boot->bytes = plan.end;
	boot->cpu_areas = HV_BASE + plan.cpus;
	boot->arena = boot->base + plan.arena;
	boot->arena_end = boot->base + plan.end;
	boot->physical_limit = 1ull << loader->physical_bits;
	boot->serial_port = loader->config.serial;
	boot->selftest = loader->config.selftest;
	boot->tsc_hz = loader->tsc_hz;
	boot->boot_tsc = loader->boot_tsc;
	find_framebuffer(&boot->framebuffer);
	build_tables(loader, elf, &plan);
	build_boot_tables(loader);
}
