// SPDX-License-Identifier: BSD-2-Clause
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"
#include "boot/uefi/protocols.h"
#include "hv/string.h"

#define MAX_BLOCKS		 32
#define TSC_MEASURE_MICROSECONDS 10000
#define CPUID_1_ECX_RDRAND	 (1u << 30)
#define RDRAND_TRIES		 100
#define XAPIC_MAX_ID		 254

static struct block blocks[MAX_BLOCKS];
static unsigned block_count;
static EFI_FILE_PROTOCOL *volume;

/* Memory -----------------------------------------------------------------------------------------
 */

static void remember(struct block block)
{
	if (block_count < MAX_BLOCKS)
		blocks[block_count++] = block;
}

struct block allocate(const char *what, uint64_t bytes, uint64_t alignment, uint64_t limit,
		      EFI_MEMORY_TYPE type)
{
	uint64_t size = align_up(bytes, PAGE_BYTES);
	uint64_t slack = alignment > PAGE_BYTES ? alignment : 0;
	EFI_PHYSICAL_ADDRESS at = limit;
	struct block block = {.bytes = size};

	if (EFI_ERROR(boot_services->AllocatePages(AllocateMaxAddress, type,
						   (size + slack) / PAGE_BYTES, &at)))
		fail("%llu KiB of memory needed for %s below %llx, and the firmware has none: add "
		     "memory, or lower pool in socle.conf",
		     (unsigned long long)(size + slack) / 1024, what, (unsigned long long)limit);
	block.at = align_up(at, alignment > PAGE_BYTES ? alignment : PAGE_BYTES);
	if (block.at > at)
		boot_services->FreePages(at, (block.at - at) / PAGE_BYTES);
	if (block.at + size < at + size + slack)
		boot_services->FreePages(block.at + size,
					 (at + size + slack - block.at - size) / PAGE_BYTES);
	memset((void *)block.at, 0, size);
	remember(block);
	return block;
}

bool allocate_at(struct block *block, uint64_t at, uint64_t bytes, EFI_MEMORY_TYPE type)
{
	EFI_PHYSICAL_ADDRESS address = at;

	*block = (struct block){at, align_up(bytes, PAGE_BYTES)};
	if (EFI_ERROR(boot_services->AllocatePages(AllocateAddress, type, block->bytes / PAGE_BYTES,
						   &address)))
		return false;
	remember(*block);
	return true;
}

void free_all(void)
{
	while (block_count > 0) {
		block_count--;
		boot_services->FreePages(blocks[block_count].at,
					 blocks[block_count].bytes / PAGE_BYTES);
	}
}

/* Files ------------------------------------------------------------------------------------------
 */

void find_volume(struct loader *loader)
{
	EFI_GUID image_guid = LOADED_IMAGE_PROTOCOL;
	EFI_GUID filesystem_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_LOADED_IMAGE *image;
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *filesystem;

	if (EFI_ERROR(boot_services->HandleProtocol(loader->image, &image_guid, (void **)&image)) ||
	    EFI_ERROR(boot_services->HandleProtocol(image->DeviceHandle, &filesystem_guid,
						    (void **)&filesystem)) ||
	    EFI_ERROR(filesystem->OpenVolume(filesystem, &volume)))
		fail("the volume that socle.efi came from cannot be opened: expected a FAT file "
		     "system");
}

static EFI_FILE_PROTOCOL *open_file(const char *path, uint64_t *bytes)
{
	static EFI_GUID info_guid = EFI_FILE_INFO_ID;
	static uint64_t info_buffer[128];
	EFI_FILE_INFO *info = (EFI_FILE_INFO *)info_buffer;
	UINTN info_bytes = sizeof(info_buffer);
	CHAR16 wide[CONFIG_PATH_BYTES];
	EFI_FILE_PROTOCOL *file;
	size_t i = 0;

	for (; path[i] != '\0' && i + 1 < CONFIG_PATH_BYTES; i++)
		wide[i] = (CHAR16)path[i];
	wide[i] = 0;
	if (EFI_ERROR(volume->Open(volume, &file, wide, EFI_FILE_MODE_READ, 0)))
		fail("the file %s is not on the volume that socle.efi came from: copy it there, or "
		     "correct socle.conf",
		     path);
	if (EFI_ERROR(file->GetInfo(file, &info_guid, &info_bytes, info)))
		fail("the size of %s cannot be read", path);
	*bytes = info->FileSize;
	return file;
}

uint64_t file_bytes(struct loader *loader, const char *path)
{
	uint64_t bytes;
	EFI_FILE_PROTOCOL *file = open_file(path, &bytes);

	(void)loader;
	file->Close(file);
	return bytes;
}

void read_file_to(struct loader *loader, const char *path, uint64_t at, uint64_t bytes)
{
	uint64_t present;
	EFI_FILE_PROTOCOL *file = open_file(path, &present);
	UINTN got = min_u64(bytes, present);

	(void)loader;
	if (EFI_ERROR(file->Read(file, &got, (void *)at)) || got != bytes)
		fail("%s: expected %llu bytes, could read %llu: the file or the disk is damaged",
		     path, (unsigned long long)bytes, (unsigned long long)got);
	file->Close(file);
}

struct block read_file(struct loader *loader, const char *path, uint64_t limit)
{
	uint64_t bytes = file_bytes(loader, path);
	struct block block;

	if (bytes == 0)
		fail("%s is empty: copy it again", path);
	block = allocate(path, bytes, PAGE_BYTES, limit, EfiLoaderData);
	read_file_to(loader, path, block.at, bytes);
	block.bytes = bytes;
	return block;
}

/* Machine ----------------------------------------------------------------------------------------
 */

void measure_tsc(struct loader *loader)
{
	uint64_t start = rdtsc();

	loader->boot_tsc = start;
	boot_services->Stall(TSC_MEASURE_MICROSECONDS);
	loader->tsc_hz = (rdtsc() - start) * (1000000 / TSC_MEASURE_MICROSECONDS);
}

void delay_microseconds(const struct loader *loader, uint64_t microseconds)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < microseconds * (loader->tsc_hz / 1000000))
		cpu_pause();
}

void find_acpi(struct loader *loader)
{
	static const EFI_GUID acpi20 = ACPI_20_TABLE_GUID, acpi10 = ACPI_TABLE_GUID;

	for (UINTN i = 0; i < system_table->NumberOfTableEntries; i++) {
		EFI_CONFIGURATION_TABLE *table = &system_table->ConfigurationTable[i];

		if (memcmp(&table->VendorGuid, &acpi20, sizeof(acpi20)) == 0)
			loader->rsdp = (uint64_t)table->VendorTable;
		else if (memcmp(&table->VendorGuid, &acpi10, sizeof(acpi10)) == 0 &&
			 loader->rsdp == 0)
			loader->rsdp = (uint64_t)table->VendorTable;
	}
}

/* The boot CPU is the first of boot->cpu; the rest follow in the firmware's order. */
void find_cpus(struct loader *loader, struct boot_info *boot)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *services;
	UINTN count = 0, enabled = 0;

	boot->cpu_count = 1;
	boot->cpus_found = 1;
	boot->cpu[0].apic_id = cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx != 0
				       ? cpuid(0xb, 0).edx
				       : cpuid(1, 0).ebx >> 24;
	if (EFI_ERROR(boot_services->LocateProtocol(&guid, NULL, (void **)&services)) ||
	    EFI_ERROR(services->get_number(services, &count, &enabled))) {
		report("warning: the firmware has no MP services: going on with one CPU");
		return;
	}
	boot->cpus_found = (uint32_t)enabled;
	for (UINTN i = 0; i < count; i++) {
		struct mp_processor_information p = {0};

		if (EFI_ERROR(services->get_information(services, i, &p)))
			continue;
		if (p.status & MP_STATUS_BSP) {
			boot->cpu[0].apic_id = (uint32_t)p.processor_id;
			continue;
		}
		if (!(p.status & MP_STATUS_ENABLED) || boot->cpu_count >= loader->config.cpus)
			continue;
		if (p.processor_id > XAPIC_MAX_ID && !(rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)) {
			report("warning: APIC id %u cannot be reached in xAPIC mode: going on "
			       "without "
			       "that CPU; enable x2APIC in the firmware's setup",
			       (unsigned)p.processor_id);
			continue;
		}
		boot->cpu[boot->cpu_count++].apic_id = (uint32_t)p.processor_id;
	}
	if (boot->cpu_count < boot->cpus_found)
		report("warning: %u CPUs found, %u used: the limit is cpus = %u in socle.conf, and "
		       "%u in all",
		       boot->cpus_found, boot->cpu_count, loader->config.cpus, HV_MAX_CPUS);
}

/* Takes the firmware's own picture of each character: the hypervisor needs them when it panics. */
static bool copy_glyphs(struct boot_framebuffer *framebuffer)
{
	EFI_GUID guid = HII_FONT_GUID;
	struct hii_font *font;

	if (EFI_ERROR(boot_services->LocateProtocol(&guid, NULL, (void **)&font)))
		return false;
	for (unsigned i = 0; i < GLYPH_COUNT; i++) {
		struct image_output *image = NULL;

		if (EFI_ERROR(font->get_glyph(font, (CHAR16)(GLYPH_FIRST + i), NULL, &image, NULL)))
			return false;
		for (unsigned y = 0; y < GLYPH_HEIGHT && y < image->height; y++)
			for (unsigned x = 0; x < GLYPH_WIDTH && x < image->width; x++) {
				EFI_GRAPHICS_OUTPUT_BLT_PIXEL *p =
					&image->bitmap[y * image->width + x];

				if (p->Red + p->Green + p->Blue > 0x100)
					framebuffer->glyph[i][y] |= (uint8_t)(0x80 >> x);
			}
		boot_services->FreePool(image->bitmap);
		boot_services->FreePool(image);
	}
	return true;
}

void find_framebuffer(struct boot_framebuffer *framebuffer)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;

	if (EFI_ERROR(boot_services->LocateProtocol(&guid, NULL, (void **)&gop)))
		return;
	info = gop->Mode->Info;
	if (info->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
	    info->PixelFormat != PixelBlueGreenRedReserved8BitPerColor)
		return;
	framebuffer->base = gop->Mode->FrameBufferBase;
	framebuffer->bytes = gop->Mode->FrameBufferSize;
	framebuffer->width = info->HorizontalResolution;
	framebuffer->height = info->VerticalResolution;
	framebuffer->stride = info->PixelsPerScanLine;
	framebuffer->red_first = info->PixelFormat == PixelRedGreenBlueReserved8BitPerColor;
	framebuffer->have_glyphs = copy_glyphs(framebuffer);
}

/* Entropy ----------------------------------------------------------------------------------------
 */

static bool rdrand(uint64_t *value)
{
	for (int i = 0; i < RDRAND_TRIES; i++) {
		uint8_t good;

		__asm__ volatile("rdrand %0; setc %1" : "=r"(*value), "=qm"(good));
		if (good)
			return true;
	}
	return false;
}

/* Mixes the processor's and the firmware's generators; one is enough. */
void get_entropy(uint8_t *to, uint64_t bytes)
{
	EFI_GUID guid = RNG_GUID;
	struct rng *rng;
	bool good = !EFI_ERROR(boot_services->LocateProtocol(&guid, NULL, (void **)&rng)) &&
		    !EFI_ERROR(rng->get_rng(rng, NULL, bytes, to));

	if (cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND)
		for (uint64_t i = 0; i < bytes; i += sizeof(uint64_t)) {
			uint64_t old, value;

			if (!rdrand(&value))
				break;
			memcpy(&old, to + i, sizeof(old));
			value ^= old;
			memcpy(to + i, &value, sizeof(value));
			good = good || i + sizeof(uint64_t) >= bytes;
		}
	if (!good)
		fail("no source of randomness for the root key: needed RDRAND (CPUID 1 ECX bit 30) "
		     "or "
		     "the firmware's EFI_RNG_PROTOCOL, found neither");
}
