/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"

int inherit_add(struct inherit *inherit, int fd)
{
	if (fd >= 0)
		inherit->fd[inherit->count++] = fd;
	return fd;
}

void inherit_close(struct inherit *inherit)
{
	while (inherit->count > 0)
		close(inherit->fd[--inherit->count]);
}

/*
 * Opens a file or block device for the VMM; -1: reported. A file that is written belongs to one
 * domain; one that is only read may be shared with others that read it. The lock lasts as long as
 * the VMM has it open.
 */
static int open_image(struct domain *domain, const char *what, const char *path, bool write,
		      struct inherit *inherit)
{
	/* Without O_NONBLOCK, a FIFO would hold us up. */
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0) {
		vmm_set_end(domain, END_CRASH, "%s: cannot open %.200s: %s", what, path,
			    strerror(errno));
		return -1;
	}
	inherit_add(inherit, fd);
	if (fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))) {
		vmm_set_end(domain, END_CRASH,
			    "%s: expected a file or a block device, found something else at %.200s",
			    what, path);
		return -1;
	}
	if (flock(fd, (write ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
		vmm_set_end(domain, END_CRASH, "%s: %.200s is in use by another domain", what,
			    path);
		return -1;
	}
	if (fcntl(fd, F_SETFL, 0) != 0)
		return -1;
	return fd;
}

static bool add_disks(struct domain *domain, json_t *config, struct inherit *inherit)
{
	json_t *disks = json_array();

	json_object_set_new(config, "disks", disks);
	for (unsigned int i = 0; i < domain->config.disks; i++) {
		const struct disk_config *disk = &domain->config.disk[i];
		bool write = !disk->readonly && !disk->snapshot;
		json_t *entry;
		int fd;

		/* A disc cannot be put into it later: the guest misses nothing. */
		if (disk->target[0] == 0)
			continue;
		fd = open_image(domain, disk->vdev, disk->target, write, inherit);
		if (fd < 0)
			return false;
		entry = json_pack("{ss ss ss sb sb sb si}", "target", disk->target, "vdev",
				  disk->vdev, "format", disk->format, "readonly", disk->readonly,
				  "cdrom", disk->cdrom, "snapshot", disk->snapshot, "fd", fd);
		json_array_append_new(disks, entry);
	}
	return true;
}

/* Gives the descriptor for the VMM; -1: reported. */
static int open_net(struct domain *domain, unsigned int index, int log)
{
	const struct net_config *net = &domain->config.net[index];
	char name[16];
	int fd;

	if (net->mode == NET_USER) {
		fd = passt_start(domain, index, log);
		if (fd < 0)
			vmm_set_end(domain, END_CRASH, "vif: cannot start %s: %s",
				    domain->daemon->options.passt, strerror(errno));
		return fd;
	}
	snprintf(name, sizeof(name), "vif%u.%u", domain->number, index);
	fd = tap_open(name, net->bridge);
	if (fd < 0)
		vmm_set_end(domain, END_CRASH, "vif: cannot put %s on bridge %s: %s", name,
			    net->bridge, strerror(errno));
	return fd;
}

static bool add_nets(struct domain *domain, json_t *config, int log, struct inherit *inherit)
{
	json_t *nets = json_array();

	json_object_set_new(config, "nets", nets);
	for (unsigned int i = 0; i < domain->config.nets; i++) {
		const struct net_config *net = &domain->config.net[i];
		json_t *entry = json_pack("{ss ss}", "model", "virtio-net", "mode",
					  net->mode == NET_TAP ? "tap" : "user");
		int fd;

		json_object_set_new(entry, "mac",
				    json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0],
						 net->mac[1], net->mac[2], net->mac[3], net->mac[4],
						 net->mac[5]));
		json_array_append_new(nets, entry);
		if (net->mode == NET_TAP)
			json_object_set_new(entry, "bridge", json_string(net->bridge));
		fd = inherit_add(inherit, open_net(domain, i, log));
		if (fd < 0)
			return false;
		json_object_set_new(entry, "fd", json_integer(fd));
	}
	return true;
}

static bool add_kernel(struct domain *domain, json_t *config, struct inherit *inherit)
{
	const struct domain_config *from = &domain->config;
	int fd;

	if (from->kernel[0] != 0) {
		fd = open_image(domain, "kernel", from->kernel, false, inherit);
		if (fd < 0)
			return false;
		json_object_set_new(config, "kernel", json_string(from->kernel));
		json_object_set_new(config, "kernel_fd", json_integer(fd));
	}
	if (from->ramdisk[0] != 0) {
		fd = open_image(domain, "ramdisk", from->ramdisk, false, inherit);
		if (fd < 0)
			return false;
		json_object_set_new(config, "ramdisk", json_string(from->ramdisk));
		json_object_set_new(config, "ramdisk_fd", json_integer(fd));
	}
	if (from->firmware[0] != 0)
		json_object_set_new(config, "firmware",
				    json_string(strcmp(from->firmware, "uefi") == 0
							? domain->daemon->options.firmware
							: from->firmware));
	return true;
}

static bool add_memory(struct domain *domain, json_t *config, struct inherit *inherit)
{
	const struct pool *pool = &domain->daemon->pool;
	json_t *memory = json_array();
	int fd = inherit_add(inherit, pool_open_part(&domain->part));

	json_object_set_new(config, "memory", memory);
	for (unsigned int i = 0; i < domain->part.runs; i++) {
		const struct pool_run *run = &domain->part.run[i];
		json_t *entry = json_object();

		json_object_set_new(entry, "offset", json_integer((json_int_t)run->offset));
		json_object_set_new(entry, "bytes",
				    json_integer((json_int_t)run->count * SOCLE_FRAME_BYTES));
		json_object_set_new(entry, "physical",
				    json_sprintf("0x%" PRIx64, pool_address(pool, run->first)));
		json_array_append_new(memory, entry);
	}
	if (fd < 0) {
		vmm_set_end(domain, END_CRASH, "cannot open the domain's memory %s: %s",
			    domain->part.path, strerror(errno));
		return false;
	}
	json_object_set_new(config, "memory_fd", json_integer(fd));
	return true;
}

static void add_consoles(const struct domain *domain, json_t *config,
			 const int console[DOMAIN_CONSOLES])
{
	static const char *const serial[CONFIG_SERIALS_MAX] = {"serial_fd", "serial2_fd"};
	json_t *channels = json_array();

	for (int i = 0; i < CONFIG_SERIALS_MAX; i++) {
		if (console[i] >= 0)
			json_object_set_new(config, serial[i], json_integer(console[i]));
	}
	for (unsigned int i = 0; i < domain->config.channels; i++)
		json_array_append_new(channels,
				      json_pack("{ss si}", "name", domain->config.channel[i], "fd",
						console[CONFIG_SERIALS_MAX + i]));
	json_object_set_new(config, "channels", channels);
}

json_t *image_config(struct domain *domain, int control, const int console[DOMAIN_CONSOLES],
		     int log, struct inherit *inherit)
{
	const struct domain_config *from = &domain->config;
	json_t *config = json_object();
	char uuid[37];

	config_format_uuid(from->uuid, uuid);
	json_object_set_new(config, "name", json_string(from->name));
	json_object_set_new(config, "uuid", json_string(uuid));
	json_object_set_new(config, "domain", json_integer(domain->number));
	json_object_set_new(config, "key",
			    json_pack("[o, o]", json_sprintf("0x%" PRIx64, domain->key.word[0]),
				      json_sprintf("0x%" PRIx64, domain->key.word[1])));
	json_object_set_new(config, "vendor",
			    json_string(socle_vendor_name(domain->daemon->handle.vendor)));
	json_object_set_new(config, "control_fd", json_integer(control));
	add_consoles(domain, config, console);
	json_object_set_new(config, "memory_mib", json_integer(from->memory_mib));
	json_object_set_new(config, "vcpus", json_integer(from->vcpus));
	json_object_set_new(config, "tsc_hz",
			    json_integer((json_int_t)tsc_hz(domain->daemon->started)));
	json_object_set_new(config, "cmdline", json_string(from->cmdline));
	if (from->local_time)
		json_object_set_new(config, "rtc_local", json_true());
	if (add_memory(domain, config, inherit) && add_kernel(domain, config, inherit) &&
	    add_disks(domain, config, inherit) && add_nets(domain, config, log, inherit))
		return config;
	json_decref(config);
	return NULL;
}
