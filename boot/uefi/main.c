// SPDX-License-Identifier: BSD-2-Clause
/* The loader's stages, in order. */
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "hv/log.h"
#include "hv/string.h"

#define CONFIG_FILE	  "\\EFI\\socle\\socle.conf"
#define MAP_BYTES	  65536
#define MAP_SPARE	  4 /* entries that marking the pool may add */
#define EXIT_TRIES	  8
#define MIN_SERVICE_BYTES MIB(96)

EFI_SYSTEM_TABLE *system_table;
EFI_BOOT_SERVICES *boot_services;

static struct loader loader;
static uint8_t map_buffer[MAP_BYTES] __attribute__((aligned(16)));

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static void read_config(void)
{
	char error[200];
	struct block file;

	find_volume(&loader);
	if (file_bytes(&loader, CONFIG_FILE) > CONFIG_MAX_FILE_BYTES)
		fail("%s has %llu bytes: expected at most %u", CONFIG_FILE,
		     (unsigned long long)file_bytes(&loader, CONFIG_FILE), CONFIG_MAX_FILE_BYTES);
	file = read_file(&loader, CONFIG_FILE, GIB(4) - 1);
	if (!config_parse((const char *)file.at, file.bytes, &loader.config, error, sizeof(error)))
		fail("%s, %s", CONFIG_FILE, error);
	report("configuration: %s", CONFIG_FILE);
}

/* Fetches the firmware's map in our form; *key is what ExitBootServices wants. */
static void fetch_map(struct memory_map *map, UINTN *key)
{
	UINTN bytes = sizeof(map_buffer), descriptor_bytes;
	UINT32 version;
	EFI_STATUS status = boot_services->GetMemoryMap(&bytes, (EFI_MEMORY_DESCRIPTOR *)map_buffer,
							key, &descriptor_bytes, &version);

	if (EFI_ERROR(status) || bytes / descriptor_bytes + MAP_SPARE > map->capacity)
		fail("the firmware's memory map has more than %u bytes", MAP_BYTES);
	map->count = 0;
	for (UINTN at = 0; at < bytes; at += descriptor_bytes)
		memcpy(&map->entry[map->count++], map_buffer + at, sizeof(map->entry[0]));
	memory_map_sort(map);
}

/* Puts the pool into a fresh map. */
static void place_pool(struct memory_map *map)
{
	uint64_t bytes = loader.config.pool_bytes, start, usable;

	if (!memory_map_find_pool(map, bytes, &start))
		fail("pool = %llu MiB in socle.conf: the largest free range of memory has %llu "
		     "MiB; "
		     "lower pool, or add memory",
		     (unsigned long long)bytes >> 20, (unsigned long long)start >> 20);
	usable = memory_map_usable(map);
	if (usable < bytes + MIN_SERVICE_BYTES)
		fail("pool = %llu MiB in socle.conf leaves %llu MiB for the service VM: it needs "
		     "%llu; "
		     "lower pool, or add memory",
		     (unsigned long long)bytes >> 20, (unsigned long long)(usable - bytes) >> 20,
		     (unsigned long long)MIN_SERVICE_BYTES >> 20);
	if (!memory_map_mark_pool(map, start, bytes))
		fail("the pool at %llx does not fit into the memory map",
		     (unsigned long long)start);
	loader.boot->pool_base = start;
	loader.boot->pool_bytes = bytes;
}

/* The map may change until the very call, which then refuses the old key: take it again. */
static void leave_firmware(void)
{
	struct memory_map map = {(struct memory_descriptor *)loader.map.at, 0,
				 (uint32_t)(loader.map.bytes / sizeof(struct memory_descriptor))};
	EFI_STATUS status = EFI_SUCCESS;

	for (int i = 0; i < EXIT_TRIES; i++) {
		UINTN key;

		fetch_map(&map, &key);
		place_pool(&map);
		finish_kernel(&loader, &map);
		status = boot_services->ExitBootServices(loader.image, key);
		if (!EFI_ERROR(status))
			return;
	}
	fail("ExitBootServices was refused %u times: status %llx", EXIT_TRIES,
	     (unsigned long long)status);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
	system_table = table;
	boot_services = table->BootServices;
	loader.image = image;
	boot_services->SetWatchdogTimer(0, 0, 0, NULL);
	report_init(&loader);
	measure_tsc(&loader);
	report("Socle %d.%d.%d, a microhypervisor", SOCLE_VERSION_MAJOR, SOCLE_VERSION_MINOR,
	       SOCLE_VERSION_PATCH);

	check_cpu(&loader);
	report("processor: %s, %u address bits, TSC %llu MHz",
	       loader.vendor == SOCLE_VENDOR_SVM ? "AMD-V with nested paging" : "VT-x with EPT",
	       loader.physical_bits, (unsigned long long)loader.tsc_hz / 1000000);
	read_config();
	load_kernel(&loader);

	/* The hypervisor's memory is sized by its CPUs, which are noted in it. */
	static struct boot_info found;

	find_cpus(&loader, &found);
	place_hypervisor(&loader, found.cpu_count);
	loader.boot->cpu_count = found.cpu_count;
	loader.boot->cpus_found = found.cpus_found;
	memcpy(loader.boot->cpu, found.cpu, sizeof(found.cpu));
	report("hypervisor: %llu KiB at %llx", (unsigned long long)loader.hypervisor.bytes / 1024,
	       (unsigned long long)loader.hypervisor.at);

	get_entropy((uint8_t *)&loader.boot->root_key, sizeof(loader.boot->root_key));
	get_entropy(loader.boot->seed, sizeof(loader.boot->seed));
	get_entropy(loader.seed, sizeof(loader.seed));
	prepare_kernel(&loader);
	prepare_acpi(&loader);
	prepare_trampoline(&loader);
	loader.map = allocate("the memory map", MAP_BYTES, PAGE_BYTES, GIB(4) - 1, EfiLoaderData);
	report("leaving the firmware");
	leave_firmware();

	__asm__ volatile("cli");
	report_own_console(&loader);
	start_cpus(&loader);
	finish_acpi(&loader);
	report_hand_over(loader.boot);
	enter_hypervisor(&loader);
}
