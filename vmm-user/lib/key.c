/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI table "SOCL" (abi/socle_abi.h): the standard header of ACPI 6.4, section 5.2.6, then
 * struct socle_acpi_body.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "socle.h"

/* Offset of the field "Length" in the standard header. */
#define ACPI_LENGTH_OFFSET 4

#define TABLE_BYTES (SOCLE_ACPI_HEADER_BYTES + sizeof(struct socle_acpi_body))

/* More than any version of the table will need; a longer file is not our table. */
#define TABLE_BYTES_MAX 4096

/* CPUID leaf at which a hypervisor names itself; EBX ECX EDX hold twelve characters. */
#define CPUID_HYPERVISOR 0x40000000u
#define CPUID_SIGNATURE	 "SocleSocleSo"

static enum socle_open_status __attribute__((format(printf, 4, 5)))
fail(struct socle_open_error *error, enum socle_open_status status, int system_error,
     const char *format, ...)
{
	va_list arguments;

	if (error == NULL)
		return status;
	error->status = status;
	error->system_error = system_error;
	error->abi_version = 0;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	return status;
}

static enum socle_open_status fail_system(struct socle_open_error *error, const char *path,
					  int code)
{
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		return fail(error, SOCLE_OPEN_ABSENT, code,
			    "not running on Socle: expected the ACPI table %s, found no such file; "
			    "start the machine through socle.efi (or mount sysfs on /sys)",
			    path);
	case EACCES:
	case EPERM:
		return fail(
			error, SOCLE_OPEN_PERMISSION, code,
			"permission denied: the key in %s can be read by root only; run as root",
			path);
	default:
		return fail(error, SOCLE_OPEN_IO, code, "cannot read the key from %s: %s", path,
			    strerror(code));
	}
}

/* Reads at most size bytes; gives their number, or -1 with errno set. */
static ssize_t read_file(const char *path, uint8_t *buffer, size_t size)
{
	size_t filled = 0;
	ssize_t got = 0;
	int saved;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	while (filled < size) {
		got = read(fd, buffer + filled, size - filled);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		filled += (size_t)got;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return got < 0 ? -1 : (ssize_t)filled;
}

static enum socle_open_status check_header(const char *path, const uint8_t *table, size_t bytes,
					   struct socle_open_error *error)
{
	uint32_t length;
	uint8_t sum = 0;

	/* Up to and including abi_version, which says how the rest is to be read. */
	if (bytes < SOCLE_ACPI_HEADER_BYTES + sizeof(uint32_t) || bytes >= TABLE_BYTES_MAX)
		return fail(error, SOCLE_OPEN_DAMAGED, 0,
			    "%s is damaged: expected a table of %zu bytes, found a file of %zu%s; "
			    "restart the machine",
			    path, TABLE_BYTES, bytes, bytes >= TABLE_BYTES_MAX ? " or more" : "");
	if (memcmp(table, SOCLE_ACPI_SIGNATURE, 4) != 0)
		return fail(error, SOCLE_OPEN_DAMAGED, 0,
			    "%s is damaged: expected the signature " SOCLE_ACPI_SIGNATURE
			    ", found the bytes %02x %02x %02x %02x; restart the machine",
			    path, table[0], table[1], table[2], table[3]);
	memcpy(&length, table + ACPI_LENGTH_OFFSET, sizeof(length));
	if (length != bytes)
		return fail(error, SOCLE_OPEN_DAMAGED, 0,
			    "%s is damaged: its header says %u bytes, the file has %zu; restart "
			    "the machine",
			    path, length, bytes);
	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + table[i]);
	if (sum != 0)
		return fail(error, SOCLE_OPEN_DAMAGED, 0,
			    "%s is damaged: expected its bytes to add up to 0, found 0x%02x; "
			    "restart the machine",
			    path, sum);
	return SOCLE_OPEN_OK;
}

static enum socle_open_status check_body(const char *path, const uint8_t *table, size_t bytes,
					 struct socle_acpi_body *body,
					 struct socle_open_error *error)
{
	uint32_t version;

	memcpy(&version, table + SOCLE_ACPI_HEADER_BYTES, sizeof(version));
	if (version != SOCLE_ABI_VERSION) {
		fail(error, SOCLE_OPEN_ABI, 0,
		     "the hypervisor's ABI has version %u, this program was built for version %u; "
		     "install socle.efi and the service image of the same release",
		     version, SOCLE_ABI_VERSION);
		if (error != NULL)
			error->abi_version = version;
		return SOCLE_OPEN_ABI;
	}
	if (bytes < TABLE_BYTES)
		return fail(error, SOCLE_OPEN_DAMAGED, 0,
			    "%s is damaged: expected at least %zu bytes, found %zu; restart the "
			    "machine",
			    path, TABLE_BYTES, bytes);
	memcpy(body, table + SOCLE_ACPI_HEADER_BYTES, sizeof(*body));
	if (body->vendor != SOCLE_VENDOR_SVM && body->vendor != SOCLE_VENDOR_VMX)
		return fail(error, SOCLE_OPEN_DAMAGED, 0,
			    "%s is damaged: expected vendor %d (AMD-V) or %d (VT-x), found %u; "
			    "restart the machine",
			    path, SOCLE_VENDOR_SVM, SOCLE_VENDOR_VMX, body->vendor);
	return SOCLE_OPEN_OK;
}

enum socle_open_status socle_open(const char *path, struct socle_handle *handle,
				  struct socle_open_error *error)
{
	uint8_t table[TABLE_BYTES_MAX];
	struct socle_acpi_body body = {0};
	enum socle_open_status status;
	ssize_t bytes;

	if (path == NULL)
		path = SOCLE_KEY_PATH;
	bytes = read_file(path, table, sizeof(table));
	if (bytes < 0)
		return fail_system(error, path, errno);
	status = check_header(path, table, (size_t)bytes, error);
	if (status == SOCLE_OPEN_OK)
		status = check_body(path, table, (size_t)bytes, &body, error);
	if (status == SOCLE_OPEN_OK) {
		handle->vendor = (enum socle_vendor)body.vendor;
		handle->key = body.key;
		handle->raw =
			body.vendor == SOCLE_VENDOR_SVM ? socle_raw_vmmcall : socle_raw_vmcall;
		handle->run = NULL;
	}
	/* The key stays in the handle alone. */
	explicit_bzero(table, sizeof(table));
	explicit_bzero(&body, sizeof(body));
	return status;
}

bool socle_present(void)
{
	uint32_t eax, signature[3];

	/* On a processor without this leaf the answer is that of another one: no signature. */
	__cpuid(CPUID_HYPERVISOR, eax, signature[0], signature[1], signature[2]);
	return memcmp(signature, CPUID_SIGNATURE, sizeof(signature)) == 0;
}
