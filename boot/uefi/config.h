/* SPDX-License-Identifier: BSD-2-Clause */
/* socle.conf: lines of "key = value"; "#" begins a comment. */
#ifndef BOOT_CONFIG_H
#define BOOT_CONFIG_H

#include "hv/types.h"

#define CONFIG_PATH_BYTES     128
#define CONFIG_COMMAND_BYTES  2048
#define CONFIG_MAX_INITRAMFS  4
#define CONFIG_MAX_FILE_BYTES 65536

struct config {
	char kernel[CONFIG_PATH_BYTES];
	char initramfs[CONFIG_MAX_INITRAMFS][CONFIG_PATH_BYTES];
	unsigned initramfs_count;
	char cmdline[CONFIG_COMMAND_BYTES];
	uint64_t pool_bytes;
	uint32_t cpus;	    /* most CPUs to use */
	uint32_t log_level; /* enum log_level */
	uint32_t serial;    /* I/O port of the serial console; 0: none */
	uint32_t selftest;  /* enum boot_selftest */
};

/*
 * Parses a file of `bytes` characters. True: *config is complete. False: error (of error_bytes)
 * says what is wrong and where: "line 3: ...".
 */
bool config_parse(const char *text, uint64_t bytes, struct config *config, char *error,
		  size_t error_bytes);

#endif
