/* SPDX-License-Identifier: BSD-2-Clause */
/* What the configuration adds to the machine: disks, networks, and what it starts with. */
#include <stdio.h>
#include <string.h>

#include "vmm-user/vmm/acpi_tables.h"
#include "vmm-user/vmm/loader.h"
#include "vmm-user/vmm/pci.h"
#include "vmm-user/vmm/vcpu.h"
#include "vmm-user/vmm/virtio.h"

#define FD_PATH_BYTES	32
#define IMAGE_BYTES_MAX (2ull << 30)
#define PCI64_BYTES	0x8000000000ull
#define BLK_QUEUES	4u

/* A file that is open already, by a name that can be opened. */
static const char *fd_path(char path[FD_PATH_BYTES], int fd)
{
	snprintf(path, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
	return path;
}

static bool create_disk(struct vmm *vmm, const struct vmm_disk_config *disk)
{
	char path[FD_PATH_BYTES];
	unsigned vcpus = vmm->config.vcpus;
	const struct virtio_blk_options options = {
		.path = fd_path(path, disk->fd),
		.id = disk->vdev,
		.readonly = disk->readonly || disk->cdrom,
		.snapshot = disk->snapshot,
		.queues = vcpus < BLK_QUEUES ? vcpus : BLK_QUEUES,
	};

	if (virtio_blk_create(vmm, &options) != NULL)
		return true;
	vmm_log(vmm, "disk %s (%s) cannot be used", disk->vdev, disk->target);
	return false;
}

static bool create_net(struct vmm *vmm, const struct vmm_net_config *net)
{
	struct virtio_net_options options = {
		.backend = net->tap ? VIRTIO_NET_TAP : VIRTIO_NET_STREAM,
		.fd = net->fd,
	};

	if (net->fd < 0) {
		vmm_log(vmm, "a network in user mode has no descriptor: it is left out");
		return true;
	}
	memcpy(options.mac, net->mac, sizeof(options.mac));
	return virtio_net_create(vmm, &options) != NULL;
}

bool boot_create_devices(struct vmm *vmm)
{
	for (unsigned i = 0; i < vmm->config.disks; i++)
		if (!create_disk(vmm, &vmm->config.disk[i]))
			return false;
	for (unsigned i = 0; i < vmm->config.nets; i++)
		if (!create_net(vmm, &vmm->config.net[i]))
			return false;
	return virtio_rng_create(vmm) != NULL;
}

static bool place_acpi(struct vmm *vmm)
{
	static struct acpi_tables tables;
	const struct acpi_config config = {
		.vcpus = vmm->config.vcpus,
		.hpet = true,
		.com = {true, false},
		.i8042 = true,
		.pci64_base = PCI_MEMORY64_BASE,
		.pci64_bytes = PCI64_BYTES,
	};

	if (acpi_build(&config, &tables) &&
	    acpi_place(vmm, &tables, LOADER_ACPI, 0x100000 - LOADER_ACPI) != 0)
		return true;
	vmm_log(vmm, "the ACPI tables do not fit");
	return false;
}

bool boot_load(struct vmm *vmm)
{
	const struct vmm_config *config = &vmm->config;
	char kernel_path[FD_PATH_BYTES], ramdisk_path[FD_PATH_BYTES];
	struct loader_image kernel = {0}, ramdisk = {0};
	struct loader_error error = {{0}};
	struct loader_request request = {.kernel = &kernel,
					 .module = &ramdisk,
					 .modules = config->ramdisk_fd >= 0 ? 1 : 0,
					 .command_line = config->cmdline,
					 .rsdp = LOADER_ACPI};
	uint32_t *done; /* 1: the guest has been started by an earlier VMM */
	bool loaded, fresh;

	done = state_section(vmm, "boot", 0, 1, sizeof(*done), &fresh);
	if (done == NULL || *done != 0)
		return done != NULL;
	if (config->kernel_fd < 0) {
		vmm_log(vmm, "no kernel is given, and there is no firmware yet");
		return false;
	}
	loaded = place_acpi(vmm) &&
		 loader_read(fd_path(kernel_path, config->kernel_fd), IMAGE_BYTES_MAX, &kernel,
			     &error) &&
		 (config->ramdisk_fd < 0 || loader_read(fd_path(ramdisk_path, config->ramdisk_fd),
							IMAGE_BYTES_MAX, &ramdisk, &error)) &&
		 loader_load(vmm, &request, vmm->vcpu[0].area, &error);
	if (!loaded)
		vmm_log(vmm, "%s: %s", config->kernel == NULL ? "kernel" : config->kernel,
			error.text);
	*done = loaded;
	loader_free(&kernel);
	loader_free(&ramdisk);
	return loaded;
}
