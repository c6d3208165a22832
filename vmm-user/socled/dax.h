/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux's sysfs interface to dax devices (drivers/dax/bus.c). Errors: false or -1 with errno. */
#ifndef SOCLED_DAX_H
#define SOCLED_DAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the number in BUS/devices/DEVICE/ATTRIBUTE. */
bool dax_read(const char *bus, const char *device, const char *attribute, uint64_t *out);

/* The directory that has the region's create and delete. */
bool dax_region(const char *bus, const char *device, char *out, size_t size);

/* Takes the device from its driver, and its memory from the device. */
bool dax_empty(const char *bus, const char *device);

/* Takes an empty device away. The first of a region (daxN.0) stays. */
bool dax_delete(const char *region, const char *device);

struct dax_range {
	uint64_t start, bytes; /* host-physical */
};

/*
 * Makes a device of these ranges, one behind the other in it, with its node; its name goes to
 * `device`.
 */
bool dax_create(const char *bus, const char *region, const struct dax_range *range,
		unsigned int ranges, char *device, size_t size);

#endif
