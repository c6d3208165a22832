/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices that a configuration adds to the machine, and the tables that tell of it. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_machine.h"
#include "unit.h"
#include "vmm-user/vmm/fw_cfg.h"

#define DISKS	 8
#define CHANNELS 4

static int pair[CHANNELS][2];

/* As many as the hole below 1 MiB is to hold: control.h. */
static struct vmm *start_full(void)
{
	struct vmm *vmm = fake_machine_start(VMM_HOLE_VCPUS);
	struct vmm_config *config = &vmm->config;

	config->uuid = (char *)(uintptr_t) "01234567-89ab-cdef-0123-456789abcdef";
	config->disks = DISKS;
	for (unsigned i = 0; i < DISKS; i++) {
		config->disk[i] = (struct vmm_disk_config){
			.target = (char *)(uintptr_t) "/disk",
			.vdev = (char *)(uintptr_t) "xvda",
			.fd = memfd_create("disk", MFD_CLOEXEC),
		};
		ck_assert_int_eq(ftruncate(config->disk[i].fd, 1 << 20), 0);
	}
	config->channels = CHANNELS;
	for (unsigned i = 0; i < CHANNELS; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
		config->channel_fd[i] = pair[i][0];
	}
	return vmm;
}

static void read_item(struct vmm *vmm, uint16_t key, void *to, size_t bytes)
{
	bus_do_write(vmm, BUS_PORT, FW_CFG_PORT, 2, key);
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)to)[i] = (uint8_t)bus_do_read(vmm, BUS_PORT, FW_CFG_PORT + 1, 1);
}

START_TEST(everything_fits)
{
	struct vmm *vmm = start_full();
	uint64_t memory;
	uint16_t processors;
	uint8_t anchor[24], count[4];

	vmm_lock(vmm);
	ck_assert(boot_create_devices(vmm));
	read_item(vmm, FW_CFG_RAM_SIZE, &memory, sizeof(memory));
	ck_assert_uint_eq(memory, FAKE_RAM_BYTES);
	read_item(vmm, FW_CFG_NB_CPUS, &processors, sizeof(processors));
	ck_assert_uint_eq(processors, VMM_HOLE_VCPUS);
	read_item(vmm, FW_CFG_FILE_DIR, count, sizeof(count));
	ck_assert_uint_eq(count[3], 2);
	read_item(vmm, FW_CFG_FILE_FIRST, anchor, sizeof(anchor));
	ck_assert_mem_eq(anchor, "_SM3_", 5);
	/* Both UARTs are there: their scratch registers keep what they are given. */
	for (uint64_t port = 0x2ff; port <= 0x3ff; port += 0x100) {
		bus_do_write(vmm, BUS_PORT, port, 1, 0x5a);
		ck_assert_uint_eq(bus_do_read(vmm, BUS_PORT, port, 1), 0x5a);
	}
	vmm_unlock(vmm);
	fake_machine_stop();
}
END_TEST

START_TEST(bad_uuid)
{
	static const char *const bad[] = {"", "0123", "0123456789abcdef0123456789abcdeg",
					  "01234567-89ab-cdef-0123-456789abcdef0"};
	struct vmm *vmm = fake_machine_start(1);

	vmm->config.uuid = (char *)(uintptr_t)bad[_i];
	vmm_lock(vmm);
	ck_assert(!boot_create_devices(vmm));
	ck_assert_ptr_nonnull(strstr(vmm->last_log, "UUID"));
	vmm_unlock(vmm);
	fake_machine_stop();
}
END_TEST

/* What the guest leaves of its memory, and what is asked of it. */
START_TEST(ram_target)
{
	struct vmm *vmm = fake_machine_start(1);
	uint64_t spare;

	vmm_lock(vmm);
	ck_assert(boot_create_devices(vmm));
	ck_assert_uint_eq(ram_target_actual(vmm), FAKE_RAM_BYTES);
	ck_assert(!ram_target_free(vmm, &spare));
	/* No driver is there to answer. */
	ram_target_set(vmm, FAKE_RAM_BYTES / 2);
	ck_assert_uint_eq(ram_target_actual(vmm), FAKE_RAM_BYTES);
	vmm_unlock(vmm);
	fake_machine_stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("boot");
	TCase *tests = tcase_create("devices");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, everything_fits);
	tcase_add_loop_test(tests, bad_uuid, 0, 4);
	tcase_add_test(tests, ram_target);
	suite_add_tcase(suite, tests);
	return suite;
}
