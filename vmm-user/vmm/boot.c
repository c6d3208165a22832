/* SPDX-License-Identifier: BSD-2-Clause */
/* What the configuration adds to the machine: disks, networks, and what it starts with. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm-user/vmm/acpi_tables.h"
#include "vmm-user/vmm/fw_cfg.h"
#include "vmm-user/vmm/loader.h"
#include "vmm-user/vmm/pci.h"
#include "vmm-user/vmm/smbios_tables.h"
#include "vmm-user/vmm/vcpu.h"
#include "vmm-user/vmm/virtio.h"

#define IMAGE_BYTES_MAX (2ull << 30)
#define PCI64_BYTES	0x8000000000ull
#define BLK_QUEUES	4u
/* What passt(1) takes: without offloads, large frames are what makes it quick. */
#define NET_STREAM_MTU 65520u

static bool create_disk(struct vmm *vmm, const struct vmm_disk_config *disk)
{
	unsigned vcpus = vmm->config.vcpus;
	const struct virtio_blk_options options = {
		.fd = disk->fd,
		.id = disk->vdev,
		.name = disk->target,
		.readonly = disk->readonly || disk->cdrom,
		.snapshot = disk->snapshot,
		.queues = vcpus < BLK_QUEUES ? vcpus : BLK_QUEUES,
	};

	return virtio_blk_create(vmm, &options) != NULL;
}

static bool create_net(struct vmm *vmm, const struct vmm_net_config *net)
{
	struct virtio_net_options options = {
		.backend = net->tap ? VIRTIO_NET_TAP : VIRTIO_NET_STREAM,
		.fd = net->fd,
		.mtu = (uint16_t)(net->tap ? 0 : NET_STREAM_MTU),
	};

	memcpy(options.mac, net->mac, sizeof(options.mac));
	return virtio_net_create(vmm, &options) != NULL;
}

/* 32 hexadecimal digits and any dashes; false: something else. */
static bool parse_uuid(const char *text, uint8_t uuid[16])
{
	unsigned digits = 0;

	memset(uuid, 0, 16);
	for (; *text != '\0'; text++) {
		const char *at = strchr("0123456789abcdef", *text);

		if (*text == '-')
			continue;
		if (at == NULL || digits == 32)
			return false;
		uuid[digits / 2] |= (uint8_t)((at - "0123456789abcdef") << (digits % 2 ? 0 : 4));
		digits++;
	}
	return digits == 32;
}

static struct smbios_tables smbios;

static bool build_smbios(struct vmm *vmm)
{
	char version[24];
	struct smbios_config config = {
		.version = version,
		.serial = vmm->config.uuid,
		.memory = vmm->config.memory_bytes,
		.vcpus = vmm->config.vcpus,
	};

	snprintf(version, sizeof(version), "%d.%d.%d", SOCLE_VERSION_MAJOR, SOCLE_VERSION_MINOR,
		 SOCLE_VERSION_PATCH);
	if (vmm->config.uuid != NULL && !parse_uuid(vmm->config.uuid, config.uuid)) {
		vmm_log(vmm, "the UUID %s is none", vmm->config.uuid);
		return false;
	}
	return smbios_build(&config, &smbios);
}

/* What fw_cfg has for firmware. A guest that is started without any finds the tables in memory. */
static bool offer_items(struct vmm *vmm)
{
	static uint64_t memory;
	static uint16_t processors;

	memory = vmm->config.memory_bytes;
	processors = (uint16_t)vmm->config.vcpus;
	return build_smbios(vmm) && fw_cfg_add(vmm, FW_CFG_RAM_SIZE, &memory, sizeof(memory)) &&
	       fw_cfg_add(vmm, FW_CFG_NB_CPUS, &processors, sizeof(processors)) &&
	       fw_cfg_add(vmm, FW_CFG_MAX_CPUS, &processors, sizeof(processors)) &&
	       fw_cfg_add_file(vmm, "etc/smbios/smbios-anchor", smbios.entry,
			       sizeof(smbios.entry)) &&
	       fw_cfg_add_file(vmm, "etc/smbios/smbios-tables", smbios.table, smbios.bytes);
}

bool boot_create_devices(struct vmm *vmm)
{
	for (unsigned i = 0; i < vmm->config.disks; i++)
		if (!create_disk(vmm, &vmm->config.disk[i]))
			return false;
	for (unsigned i = 0; i < vmm->config.nets; i++)
		if (!create_net(vmm, &vmm->config.net[i]))
			return false;
	if (virtio_rng_create(vmm) == NULL || !ram_target_create(vmm))
		return false;
	for (unsigned i = 0; i < vmm->config.channels; i++) {
		int fd = vmm->config.channel_fd[i];

		if (virtio_console_create(vmm, fd, fd) == NULL)
			return false;
	}
	return offer_items(vmm);
}

static bool place_tables(struct vmm *vmm)
{
	static struct acpi_tables tables;
	const struct acpi_config config = {
		.vcpus = vmm->config.vcpus,
		.hpet = true,
		.com = {true, true},
		.i8042 = true,
		.fw_cfg = true,
		.pci64_base = PCI_MEMORY64_BASE,
		.pci64_bytes = PCI64_BYTES,
	};

	if (acpi_build(&config, &tables) &&
	    acpi_place(vmm, &tables, LOADER_ACPI, SMBIOS_AT - LOADER_ACPI) != 0 &&
	    smbios_place(vmm, &smbios, SMBIOS_AT, 0x100000 - SMBIOS_AT) != 0)
		return true;
	vmm_log(vmm, "the ACPI and SMBIOS tables do not fit");
	return false;
}

/*
 * Reads a file that is open already, as a whole. It is not opened again by name: what may be read
 * was decided when it was opened.
 */
static bool read_image(struct vmm *vmm, int fd, const char *path, struct loader_image *image)
{
	struct stat status;
	ssize_t got = 0;

	*image = (struct loader_image){.path = path == NULL ? "the image" : path};
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0 ||
	    (uint64_t)status.st_size > IMAGE_BYTES_MAX) {
		vmm_log(vmm, "%s: expected a file of 1 byte to 2 GiB", image->path);
		return false;
	}
	image->at = malloc((size_t)status.st_size);
	while (image->at != NULL && image->bytes < (size_t)status.st_size) {
		got = pread(fd, image->at + image->bytes, (size_t)status.st_size - image->bytes,
			    (off_t)image->bytes);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		image->bytes += (size_t)got;
	}
	if (image->at != NULL && image->bytes == (size_t)status.st_size)
		return true;
	vmm_log(vmm, "%s: %s", image->path,
		got == 0 && image->at != NULL ? "it became shorter" : strerror(errno));
	return false;
}

bool boot_load(struct vmm *vmm)
{
	const struct vmm_config *config = &vmm->config;
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
	loaded = place_tables(vmm) && read_image(vmm, config->kernel_fd, config->kernel, &kernel) &&
		 (config->ramdisk_fd < 0 ||
		  read_image(vmm, config->ramdisk_fd, config->ramdisk, &ramdisk)) &&
		 loader_load(vmm, &request, vmm->vcpu[0].area, &error);
	if (!loaded && error.text[0] != 0)
		vmm_log(vmm, "%s", error.text);
	*done = loaded;
	loader_free(&kernel);
	loader_free(&ramdisk);
	return loaded;
}
