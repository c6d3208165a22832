// SPDX-License-Identifier: BSD-2-Clause
/*
 * The service VM's kernel by Linux' 64-bit boot protocol (Linux: Documentation/x86/boot.rst and
 * zero-page.rst).
 */
#include "boot/uefi/loader.h"

#include "arch/x86/x86.h"
#include "hv/string.h"

/* Offsets in the zero page and in the first sector of a bzImage. */
#define BP_SCREEN_INFO	   0x000
#define BP_ACPI_RSDP	   0x070
#define BP_EXT_INITRD	   0x0c0
#define BP_EXT_INITRD_SIZE 0x0c4
#define BP_EXT_CMDLINE	   0x0c8
#define BP_EFI_INFO	   0x1c0
#define BP_E820_COUNT	   0x1e8
#define BP_HEADER	   0x1f1
#define BP_BOOT_FLAG	   0x1fe
#define BP_JUMP_LENGTH	   0x201
#define BP_MAGIC	   0x202
#define BP_VERSION	   0x206
#define BP_LOADER	   0x210
#define BP_INITRD	   0x218
#define BP_INITRD_SIZE	   0x21c
#define BP_CMDLINE	   0x228
#define BP_ALIGNMENT	   0x230
#define BP_XLOADFLAGS	   0x236
#define BP_CMDLINE_SIZE	   0x238
#define BP_SETUP_DATA	   0x250
#define BP_PREF_ADDRESS	   0x258
#define BP_INIT_SIZE	   0x260
#define BP_E820		   0x2d0
#define BP_E820_CAPACITY   128

#define MAGIC_HDRS	 0x53726448
#define VERSION_NEEDED	 0x020c /* 2.12: xloadflags */
#define XLF_KERNEL_64	 1u
#define ENTRY_64	 0x200
#define LOADER_UNDEFINED 0xff
#define VIDEO_TYPE_EFI	 0x70
#define VIDEO_64BIT_BASE 2
#define SETUP_E820_EXT	 1
#define SETUP_RNG_SEED	 9
#define E820_MAX	 1024

/* The block behind the zero page. */
struct __attribute__((packed)) setup_data {
	uint64_t next;
	uint32_t type, bytes;
	uint8_t data[];
};

struct zero_page_block {
	uint8_t zero_page[PAGE_BYTES];
	char command_line[CONFIG_COMMAND_BYTES];
	struct __attribute__((packed)) {
		uint64_t next;
		uint32_t type, bytes;
		uint8_t seed[32];
	} seed;
	struct __attribute__((packed)) {
		uint64_t next;
		uint32_t type, bytes;
		struct e820_entry entry[E820_MAX];
	} more_e820;
};

/* The wakeup block: mailbox, its loop with the first GDT behind it, identity page tables. */
#define WAKEUP_LOOP   PAGE_BYTES
#define WAKEUP_GDT    (PAGE_BYTES + 2048)
#define WAKEUP_TABLES (2 * PAGE_BYTES)
#define WAKEUP_BYTES  (8 * PAGE_BYTES)
#define PTE_TABLE     3u
#define PTE_LEAF_2M   0x83u

extern const uint8_t wakeup_loop[], wakeup_loop_end[];

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void put32(uint8_t *at, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	memcpy(at, &low, sizeof(low));
}

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* Bytes of the real-mode part, which ends where the 64-bit part begins. */
static uint64_t setup_bytes(const uint8_t *image)
{
	return ((image[BP_HEADER] != 0 ? image[BP_HEADER] : 4u) + 1) * 512u;
}

static void check_kernel(const struct loader *loader)
{
	const uint8_t *image = (const uint8_t *)loader->kernel.at;
	const char *path = loader->config.kernel;

	if (loader->kernel.bytes < 4096 || get16(image + BP_BOOT_FLAG) != 0xaa55 ||
	    get32(image + BP_MAGIC) != MAGIC_HDRS)
		fail("%s is not a Linux kernel: expected a bzImage (HdrS at 0x202), found 0x%x in "
		     "%llu "
		     "bytes",
		     path, loader->kernel.bytes > 0x206 ? get32(image + BP_MAGIC) : 0,
		     (unsigned long long)loader->kernel.bytes);
	if (get16(image + BP_VERSION) < VERSION_NEEDED ||
	    !(get16(image + BP_XLOADFLAGS) & XLF_KERNEL_64))
		fail("%s: expected a 64-bit kernel with boot protocol 2.12 or later, found 0x%x, "
		     "flags 0x%x",
		     path, get16(image + BP_VERSION), get16(image + BP_XLOADFLAGS));
	if (loader->kernel.bytes <= setup_bytes(image))
		fail("%s is cut short: %llu bytes, and its first part alone has %llu", path,
		     (unsigned long long)loader->kernel.bytes,
		     (unsigned long long)setup_bytes(image));
	/* syssize counts the 64-bit part in paragraphs; a shorter file lost its end. */
	if (loader->kernel.bytes < setup_bytes(image) + 16ull * get32(image + 0x1f4))
		fail("%s is cut short: %llu bytes, expected %llu", path,
		     (unsigned long long)loader->kernel.bytes,
		     (unsigned long long)(setup_bytes(image) + 16ull * get32(image + 0x1f4)));
	if (get32(image + BP_CMDLINE_SIZE) < CONFIG_COMMAND_BYTES - 1)
		for (uint32_t i = 0; loader->config.cmdline[i] != '\0'; i++)
			if (i >= get32(image + BP_CMDLINE_SIZE))
				fail("cmdline in socle.conf is longer than the %u characters that "
				     "%s "
				     "takes",
				     get32(image + BP_CMDLINE_SIZE), path);
}

static void load_initramfs(struct loader *loader)
{
	const struct config *config = &loader->config;
	uint64_t size[CONFIG_MAX_INITRAMFS] = {0}, total = 0, at;

	if (config->initramfs_count == 0)
		return;
	for (unsigned i = 0; i < config->initramfs_count; i++) {
		size[i] = file_bytes(loader, config->initramfs[i]);
		if (size[i] == 0)
			fail("%s is empty: copy it again", config->initramfs[i]);
		total += align_up(size[i], 4);
	}
	loader->initramfs = allocate("the initramfs", total, PAGE_BYTES, GIB(4) - 1, EfiLoaderData);
	loader->initramfs.bytes = total;
	at = loader->initramfs.at;
	for (unsigned i = 0; i < config->initramfs_count; i++) {
		read_file_to(loader, config->initramfs[i], at, size[i]);
		report("initramfs: %s, %llu KiB", config->initramfs[i],
		       (unsigned long long)size[i] / 1024);
		at += align_up(size[i], 4);
	}
}

void load_kernel(struct loader *loader)
{
	loader->kernel = read_file(loader, loader->config.kernel, GIB(4) - 1);
	check_kernel(loader);
	report("kernel: %s, %llu KiB", loader->config.kernel,
	       (unsigned long long)loader->kernel.bytes / 1024);
	load_initramfs(loader);
}

static void prepare_wakeup(struct loader *loader)
{
	static const uint64_t gdt[] = {0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull};
	struct boot_info *boot = loader->boot;
	uint64_t base, *table;

	loader->wakeup = allocate("the wakeup mailbox", WAKEUP_BYTES, PAGE_BYTES, GIB(4) - 1,
				  EfiReservedMemoryType);
	base = loader->wakeup.at;
	memcpy((void *)(base + WAKEUP_LOOP), wakeup_loop, (size_t)(wakeup_loop_end - wakeup_loop));
	memcpy((void *)(base + WAKEUP_GDT), gdt, sizeof(gdt));
	table = (uint64_t *)(base + WAKEUP_TABLES);
	table[0] = (base + WAKEUP_TABLES + PAGE_BYTES) | PTE_TABLE;
	for (uint64_t i = 0; i < 4; i++)
		table[512 + i] = (base + WAKEUP_TABLES + (2 + i) * PAGE_BYTES) | PTE_TABLE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		table[1024 + i] = i * LARGE_PAGE_BYTES | PTE_LEAF_2M;

	boot->service_cr3 = base + WAKEUP_TABLES;
	boot->service_gdt = base + WAKEUP_GDT;
	boot->service_gdt_limit = sizeof(gdt) - 1;
	boot->service_mailbox = base;
	boot->service_other_cpu.rip = base + WAKEUP_LOOP;
}

void prepare_kernel(struct loader *loader)
{
	const uint8_t *image = (const uint8_t *)loader->kernel.at;
	uint64_t bytes = get32(image + BP_INIT_SIZE);
	uint64_t setup = setup_bytes(image);
	struct boot_info *boot = loader->boot;

	if (!allocate_at(&loader->kernel_run, get64(image + BP_PREF_ADDRESS), bytes, EfiLoaderData))
		loader->kernel_run = allocate("the kernel", bytes, get32(image + BP_ALIGNMENT),
					      GIB(4) - 1, EfiLoaderData);
	memcpy((void *)loader->kernel_run.at, image + setup, loader->kernel.bytes - setup);
	loader->zero_page = allocate("boot parameters", sizeof(struct zero_page_block), PAGE_BYTES,
				     GIB(4) - 1, EfiLoaderData);
	prepare_wakeup(loader);
	boot->service_boot_cpu.rip = loader->kernel_run.at + ENTRY_64;
	boot->service_boot_cpu.rsi = loader->zero_page.at;
	/* The kernel makes its own stack; until then this one, at the end of the loop's page. */
	boot->service_boot_cpu.rsp = loader->wakeup.at + WAKEUP_TABLES;
	boot->service_other_cpu.rsp = loader->wakeup.at + WAKEUP_TABLES;
}

static void set_screen(uint8_t *bp, const struct boot_framebuffer *screen)
{
	uint8_t *info = bp + BP_SCREEN_INFO;
	uint8_t red = screen->red_first ? 0 : 16, blue = screen->red_first ? 16 : 0;

	if (screen->base == 0)
		return;
	info[0x0f] = VIDEO_TYPE_EFI;
	info[0x12] = (uint8_t)screen->width;
	info[0x13] = (uint8_t)(screen->width >> 8);
	info[0x14] = (uint8_t)screen->height;
	info[0x15] = (uint8_t)(screen->height >> 8);
	info[0x16] = 32;
	put32(info + 0x18, screen->base);
	put32(info + 0x1c, screen->bytes);
	info[0x24] = (uint8_t)(screen->stride * 4);
	info[0x25] = (uint8_t)(screen->stride * 4 >> 8);
	memcpy(info + 0x26, (uint8_t[]){8, red, 8, 8, 8, blue, 8, 24}, 8);
	info[0x36] = VIDEO_64BIT_BASE;
	put32(info + 0x3a, screen->base >> 32);
}

static void set_efi(uint8_t *bp, const struct memory_map *map)
{
	uint8_t *info = bp + BP_EFI_INFO;
	uint64_t table = (uint64_t)system_table, entries = (uint64_t)map->entry;

	memcpy(info, "EL64", 4); /* NOLINT(bugprone-not-null-terminated-result): it has no end */
	put32(info + 4, table);
	put32(info + 8, sizeof(struct memory_descriptor));
	put32(info + 12, 1); /* EFI_MEMORY_DESCRIPTOR_VERSION */
	put32(info + 16, entries);
	put32(info + 20, map->count * sizeof(struct memory_descriptor));
	put32(info + 24, table >> 32);
	put32(info + 28, entries >> 32);
}

/* Adds a setup_data structure in front of the list. */
static void add_setup_data(uint8_t *bp, void *data, uint32_t type, uint64_t bytes)
{
	struct setup_data *header = data;

	header->next = get64(bp + BP_SETUP_DATA);
	header->type = type;
	header->bytes = (uint32_t)bytes;
	put64(bp + BP_SETUP_DATA, (uint64_t)data);
}

static void set_e820(struct zero_page_block *block, const struct memory_map *map)
{
	static struct e820_entry all[BP_E820_CAPACITY + E820_MAX];
	uint8_t *bp = block->zero_page;
	uint32_t count = memory_map_to_e820(map, all, ARRAY_COUNT(all));
	uint32_t here = count < BP_E820_CAPACITY ? count : BP_E820_CAPACITY;

	if (count == 0)
		fail("the firmware's memory map has %u entries, more than %u", map->count,
		     (unsigned)ARRAY_COUNT(all));
	bp[BP_E820_COUNT] = (uint8_t)here;
	memcpy(bp + BP_E820, all, here * sizeof(all[0]));
	if (count > here) {
		memcpy(block->more_e820.entry, all + here, (count - here) * sizeof(all[0]));
		add_setup_data(bp, &block->more_e820, SETUP_E820_EXT,
			       (count - here) * sizeof(all[0]));
	}
}

void finish_kernel(struct loader *loader, const struct memory_map *map)
{
	const uint8_t *image = (const uint8_t *)loader->kernel.at;
	struct zero_page_block *block = (struct zero_page_block *)loader->zero_page.at;
	uint8_t *bp = block->zero_page;

	memset(block, 0, sizeof(*block));
	memcpy(bp + BP_HEADER, image + BP_HEADER,
	       (size_t)(BP_MAGIC + image[BP_JUMP_LENGTH] - BP_HEADER));
	bp[BP_LOADER] = LOADER_UNDEFINED;
	memcpy(block->command_line, loader->config.cmdline, sizeof(block->command_line));
	put32(bp + BP_CMDLINE, (uint64_t)block->command_line);
	put32(bp + BP_EXT_CMDLINE, (uint64_t)block->command_line >> 32);
	put32(bp + BP_INITRD, loader->initramfs.at);
	put32(bp + BP_INITRD_SIZE, loader->initramfs.bytes);
	put32(bp + BP_EXT_INITRD, loader->initramfs.at >> 32);
	put32(bp + BP_EXT_INITRD_SIZE, loader->initramfs.bytes >> 32);
	put64(bp + BP_ACPI_RSDP, loader->acpi_new_rsdp);
	set_screen(bp, &loader->boot->framebuffer);
	set_efi(bp, map);
	memcpy(block->seed.seed, loader->seed, sizeof(loader->seed));
	add_setup_data(bp, &block->seed, SETUP_RNG_SEED, sizeof(loader->seed));
	set_e820(block, map);
}
