/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dax.h"

#define PATH_BYTES 512
#define DRIVER	   "drivers/device_dax"

static bool write_text(const char *path, const char *text)
{
	size_t length = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int saved;
	ssize_t done;

	if (fd < 0)
		return false;
	done = write(fd, text, length);
	saved = errno;
	close(fd);
	errno = saved;
	return done == (ssize_t)length;
}

static ssize_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, text, size - 1);
	close(fd);
	if (got < 0)
		return -1;
	while (got > 0 && text[got - 1] == '\n')
		got--;
	text[got] = 0;
	return got;
}

bool dax_read(const char *bus, const char *device, const char *attribute, uint64_t *out)
{
	char path[PATH_BYTES], text[64], *end;

	snprintf(path, sizeof(path), "%s/devices/%s/%s", bus, device, attribute);
	if (read_text(path, text, sizeof(text)) <= 0)
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return errno == 0 && *end == 0;
}

bool dax_region(const char *bus, const char *device, char *out, size_t size)
{
	char path[PATH_BYTES], *real;
	int length;

	snprintf(path, sizeof(path), "%s/devices/%s", bus, device);
	real = realpath(path, NULL);
	if (real == NULL)
		return false;
	length = snprintf(out, size, "%.*s/dax_region", (int)(strrchr(real, '/') - real), real);
	free(real);
	if (length < 0 || (size_t)length >= size) {
		errno = ENAMETOOLONG;
		return false;
	}
	return access(out, X_OK) == 0;
}

bool dax_empty(const char *bus, const char *device)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/" DRIVER "/unbind", bus);
	/* ENODEV: it was not bound. */
	if (!write_text(path, device) && errno != ENODEV)
		return false;
	snprintf(path, sizeof(path), "%s/devices/%s/size", bus, device);
	return write_text(path, "0");
}

bool dax_delete(const char *region, const char *device)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/delete", region);
	return write_text(path, device);
}

static bool bind(const char *bus, const char *device)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/" DRIVER "/bind", bus);
	if (write_text(path, device))
		return true;
	/* Where device_dax does not take every device it has to be told of this one, which binds it
	 * as well. */
	snprintf(path, sizeof(path), "%s/" DRIVER "/new_id", bus);
	return write_text(path, device);
}

static bool add_range(const char *bus, const char *device, const struct dax_range *range)
{
	char path[PATH_BYTES], text[64];

	snprintf(path, sizeof(path), "%s/devices/%s/mapping", bus, device);
	snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64, range->start,
		 range->start + range->bytes - 1);
	return write_text(path, text);
}

bool dax_create(const char *bus, const char *region, const struct dax_range *range,
		unsigned int ranges, char *device, size_t size)
{
	char path[PATH_BYTES];
	uint64_t resource = 0;
	bool good = true;
	int saved;

	snprintf(path, sizeof(path), "%s/create", region);
	/* Reading gives the name of the device that was made last. */
	if (!write_text(path, "1") || read_text(path, device, size) <= 0)
		return false;
	for (unsigned int i = 0; good && i < ranges; i++)
		good = add_range(bus, device, &range[i]);
	if (good && bind(bus, device) && dax_read(bus, device, "resource", &resource)) {
		if (resource == range[0].start)
			return true;
		errno = ERANGE;
	}
	saved = errno;
	dax_empty(bus, device);
	dax_delete(region, device);
	errno = saved;
	return false;
}
