/* SPDX-License-Identifier: BSD-2-Clause */
/* The domain's configuration as control.h has it, parsed and checked. */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "socle.h"

#define VMM_DISKS    32
#define VMM_NETS     8
#define VMM_SERIALS  2
#define VMM_CHANNELS 4
#define VMM_EXTENTS  1024 /* pieces of memory */

struct vmm_disk_config {
	char *target, *vdev, *format;
	bool readonly, cdrom, snapshot;
	int fd;
};

struct vmm_net_config {
	uint8_t mac[6];
	bool tap; /* else user mode */
	char *model, *bridge;
	int fd; /* of the tap device, or of a socket to passt */
};

struct vmm_extent {
	uint64_t offset, bytes, physical;
};

struct vmm_config {
	char *name, *uuid, *kernel, *ramdisk, *firmware, *cmdline; /* NULL: not given */
	uint32_t domain, vcpus;
	uint64_t tsc_hz; /* of the time-stamp counter; 0: not known */
	struct socle_key key;
	enum socle_vendor vendor;
	int control_fd, memory_fd, kernel_fd, ramdisk_fd; /* -1: not given */
	int serial_fd[VMM_SERIALS];			  /* of COM1 and COM2; -1: not connected */
	int channel_fd[VMM_CHANNELS];
	unsigned channels;
	struct vmm_extent *extent;
	unsigned extents, disks, nets;
	uint64_t memory_bytes; /* of RAM: without a control frame */
	struct vmm_disk_config disk[VMM_DISKS];
	struct vmm_net_config net[VMM_NETS];
	bool rtc_local;	 /* "rtc_local": the real-time clock is in local time */
	bool msr_ignore; /* "msr_ignore": unknown MSRs read as 0 and take writes without a fault */
};

#define CONFIG_MESSAGE_BYTES_MAX 256

/*
 * Takes the configuration from JSON text of `bytes` bytes. False: message says which member was
 * expected to be what, and *config is empty.
 */
bool vmm_config_parse(struct vmm_config *config, const char *text, size_t bytes,
		      char message[CONFIG_MESSAGE_BYTES_MAX]);
/* The same from a file descriptor, up to its end. */
bool vmm_config_read(struct vmm_config *config, int fd, char message[CONFIG_MESSAGE_BYTES_MAX]);
void vmm_config_free(struct vmm_config *config);
/* Bytes of the domain's memory that are no RAM: those of vmm_control_frames(). */
uint64_t vmm_control_bytes(const struct vmm_config *config);

#endif
