/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: one JSON object, every member checked once. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm-user/vmm/config.h"
#include "vmm-user/vmm/control.h"

#define MHZ		 1000000
#define TSC_MHZ_MAX	 100000
#define TEXT_BYTES_FIRST 4096u
#define TEXT_BYTES_MAX	 (4u << 20)
#define MIB		 0x100000ull
#define MEMORY_MIB_MAX	 (64ll << 20) /* 64 TiB */

struct parser {
	struct vmm_config *config;
	char *message;
};

static bool wrong(struct parser *parser, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool wrong(struct parser *parser, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(parser->message, CONFIG_MESSAGE_BYTES_MAX, format, arguments);
	va_end(arguments);
	return false;
}

/* Members ------------------------------------------------------------------------------------ */

static bool text(struct parser *parser, const json_t *object, const char *name, bool needed,
		 char **out)
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL && !needed)
		return true;
	if (!json_is_string(value))
		return wrong(parser, "\"%s\" should be a string", name);
	*out = strdup(json_string_value(value));
	return *out != NULL || wrong(parser, "no memory for \"%s\"", name);
}

static bool integer(struct parser *parser, const json_t *object, const char *name, int64_t low,
		    int64_t high, int64_t *out)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < low ||
	    json_integer_value(value) > high)
		return wrong(parser, "\"%s\" should be an integer from %lld to %lld", name,
			     (long long)low, (long long)high);
	*out = json_integer_value(value);
	return true;
}

/* A file descriptor; absent: -1. */
static bool descriptor(struct parser *parser, const json_t *object, const char *name, bool needed,
		       int *out)
{
	int64_t value = -1;

	*out = -1;
	if (json_object_get(object, name) == NULL && !needed)
		return true;
	if (!integer(parser, object, name, 0, 65535, &value))
		return false;
	*out = (int)value;
	return true;
}

static bool flag(struct parser *parser, const json_t *object, const char *name, bool *out)
{
	const json_t *value = json_object_get(object, name);

	if (value != NULL && !json_is_boolean(value))
		return wrong(parser, "\"%s\" should be true or false", name);
	*out = json_is_true(value);
	return true;
}

static bool word(struct parser *parser, const json_t *value, const char *name, uint64_t *out)
{
	const char *digits = json_string_value(value);
	char *end;

	if (digits != NULL && strncmp(digits, "0x", 2) == 0 && digits[2] != 0) {
		errno = 0;
		*out = strtoull(digits, &end, 16);
		if (*end == 0 && errno == 0)
			return true;
	}
	return wrong(parser, "\"%s\" should be a string of the form 0x12ab", name);
}

static bool array(struct parser *parser, const json_t *object, const char *name, size_t maximum,
		  const json_t **out)
{
	const json_t *value = json_object_get(object, name);

	*out = value;
	if (value == NULL)
		return true;
	if (!json_is_array(value) || json_array_size(value) > maximum)
		return wrong(parser, "\"%s\" should be an array of at most %zu", name, maximum);
	return true;
}

uint64_t vmm_control_bytes(const struct vmm_config *config)
{
	return (uint64_t)vmm_control_frames(config->vcpus, config->disks + config->nets) *
	       SOCLE_FRAME_BYTES;
}

/* Parts -------------------------------------------------------------------------------------- */

static bool parse_extent(struct parser *parser, const json_t *object, struct vmm_extent *extent)
{
	int64_t offset, bytes;

	if (!integer(parser, object, "offset", 0, INT64_MAX, &offset) ||
	    !integer(parser, object, "bytes", SOCLE_FRAME_BYTES, MEMORY_MIB_MAX * (int64_t)MIB,
		     &bytes) ||
	    !word(parser, json_object_get(object, "physical"), "physical", &extent->physical))
		return false;
	extent->offset = (uint64_t)offset;
	extent->bytes = (uint64_t)bytes;
	if ((extent->offset | extent->bytes | extent->physical) % SOCLE_FRAME_BYTES != 0)
		return wrong(parser, "\"memory\" should have multiples of 2 MiB");
	return true;
}

static bool parse_memory(struct parser *parser, const json_t *root)
{
	struct vmm_config *config = parser->config;
	uint64_t sum = 0, wanted;
	const json_t *list;
	int64_t mib = 0;

	if (!descriptor(parser, root, "memory_fd", true, &config->memory_fd) ||
	    !integer(parser, root, "memory_mib", 2, MEMORY_MIB_MAX, &mib) ||
	    !array(parser, root, "memory", VMM_EXTENTS, &list))
		return false;
	if (json_array_size(list) == 0 || mib % 2 != 0)
		return wrong(parser, "\"memory\" should not be empty, and \"memory_mib\" even");
	config->memory_bytes = (uint64_t)mib * MIB;
	config->extent = calloc(json_array_size(list), sizeof(*config->extent));
	if (config->extent == NULL)
		return wrong(parser, "no memory for \"memory\"");
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!parse_extent(parser, json_array_get(list, i), &config->extent[i]))
			return false;
		sum += config->extent[i].bytes;
		config->extents++;
	}
	wanted = config->memory_bytes + vmm_control_bytes(config);
	if (sum != wanted)
		return wrong(parser, "\"memory\" should be %llu bytes in all, and is %llu",
			     (unsigned long long)wanted, (unsigned long long)sum);
	return true;
}

static bool parse_disk(struct parser *parser, const json_t *object, struct vmm_disk_config *disk)
{
	disk->fd = -1;
	if (!text(parser, object, "target", true, &disk->target) ||
	    !text(parser, object, "vdev", true, &disk->vdev) ||
	    !text(parser, object, "format", true, &disk->format) ||
	    !flag(parser, object, "readonly", &disk->readonly) ||
	    !flag(parser, object, "cdrom", &disk->cdrom) ||
	    !flag(parser, object, "snapshot", &disk->snapshot) ||
	    !descriptor(parser, object, "fd", true, &disk->fd))
		return false;
	return strcmp(disk->format, "raw") == 0 ||
	       wrong(parser, "\"format\" should be \"raw\", not \"%.40s\"", disk->format);
}

static bool parse_mac(struct parser *parser, const json_t *object, uint8_t mac[6])
{
	const char *value = json_string_value(json_object_get(object, "mac"));
	char rest;

	if (value == NULL || sscanf(value, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0],
				    &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], &rest) != 6)
		return wrong(parser, "\"mac\" should be of the form 00:16:3e:12:34:56");
	return true;
}

static bool parse_net(struct parser *parser, const json_t *object, struct vmm_net_config *net)
{
	const char *mode = json_string_value(json_object_get(object, "mode"));

	net->fd = -1;
	net->tap = mode != NULL && strcmp(mode, "tap") == 0;
	if (!net->tap && (mode == NULL || strcmp(mode, "user") != 0))
		return wrong(parser, "\"mode\" should be \"user\" or \"tap\"");
	return parse_mac(parser, object, net->mac) &&
	       text(parser, object, "model", false, &net->model) &&
	       text(parser, object, "bridge", false, &net->bridge) &&
	       descriptor(parser, object, "fd", true, &net->fd);
}

static bool parse_devices(struct parser *parser, const json_t *root)
{
	struct vmm_config *config = parser->config;
	const json_t *list;

	if (!array(parser, root, "disks", VMM_DISKS, &list))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		config->disks++;
		if (!parse_disk(parser, json_array_get(list, i), &config->disk[i]))
			return false;
	}
	if (!array(parser, root, "nets", VMM_NETS, &list))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		config->nets++;
		if (!parse_net(parser, json_array_get(list, i), &config->net[i]))
			return false;
	}
	return true;
}

/* Of channels only the descriptor matters: the guest sees them in their order. */
static bool parse_channels(struct parser *parser, const json_t *root)
{
	struct vmm_config *config = parser->config;
	const json_t *list;

	if (!array(parser, root, "channels", VMM_CHANNELS, &list))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!descriptor(parser, json_array_get(list, i), "fd", true,
				&config->channel_fd[i]))
			return false;
		config->channels++;
	}
	return descriptor(parser, root, "serial_fd", false, &config->serial_fd[0]) &&
	       descriptor(parser, root, "serial2_fd", false, &config->serial_fd[1]);
}

static bool parse_identity(struct parser *parser, const json_t *root)
{
	struct vmm_config *config = parser->config;
	const json_t *key = json_object_get(root, "key");
	const char *vendor = json_string_value(json_object_get(root, "vendor"));
	int64_t domain = 0, vcpus = 0, tsc_hz = 0;

	if (!text(parser, root, "name", true, &config->name) ||
	    !text(parser, root, "uuid", false, &config->uuid) ||
	    !integer(parser, root, "domain", 1, SOCLE_MAX_DOMAINS - 1, &domain) ||
	    !integer(parser, root, "vcpus", 1, SOCLE_MAX_VCPUS, &vcpus))
		return false;
	if (json_object_get(root, "tsc_hz") != NULL &&
	    !integer(parser, root, "tsc_hz", MHZ, TSC_MHZ_MAX * (int64_t)MHZ, &tsc_hz))
		return false;
	config->tsc_hz = (uint64_t)tsc_hz;
	config->domain = (uint32_t)domain;
	config->vcpus = (uint32_t)vcpus;
	if (!json_is_array(key) || json_array_size(key) != 2)
		return wrong(parser, "\"key\" should be an array of two words");
	for (unsigned i = 0; i < 2; i++)
		if (!word(parser, json_array_get(key, i), "key", &config->key.word[i]))
			return false;
	if (vendor != NULL && strcmp(vendor, "svm") == 0)
		config->vendor = SOCLE_VENDOR_SVM;
	else if (vendor != NULL && strcmp(vendor, "vmx") == 0)
		config->vendor = SOCLE_VENDOR_VMX;
	else
		return wrong(parser, "\"vendor\" should be \"svm\" or \"vmx\"");
	return true;
}

static bool parse_all(struct parser *parser, const json_t *root)
{
	struct vmm_config *config = parser->config;

	/* How much memory there has to be depends on what is read before. */
	return parse_identity(parser, root) && parse_devices(parser, root) &&
	       parse_memory(parser, root) &&
	       descriptor(parser, root, "control_fd", true, &config->control_fd) &&
	       parse_channels(parser, root) &&
	       descriptor(parser, root, "kernel_fd", false, &config->kernel_fd) &&
	       descriptor(parser, root, "ramdisk_fd", false, &config->ramdisk_fd) &&
	       text(parser, root, "kernel", false, &config->kernel) &&
	       text(parser, root, "ramdisk", false, &config->ramdisk) &&
	       text(parser, root, "firmware", false, &config->firmware) &&
	       text(parser, root, "cmdline", false, &config->cmdline) &&
	       flag(parser, root, "rtc_local", &config->rtc_local) &&
	       flag(parser, root, "msr_ignore", &config->msr_ignore);
}

/* Whole ------------------------------------------------------------------------------------- */

bool vmm_config_parse(struct vmm_config *config, const char *text, size_t bytes,
		      char message[CONFIG_MESSAGE_BYTES_MAX])
{
	struct parser parser = {config, message};
	json_error_t error;
	json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
	bool done;

	*config = (struct vmm_config){.control_fd = -1,
				      .serial_fd = {-1, -1},
				      .memory_fd = -1,
				      .kernel_fd = -1,
				      .ramdisk_fd = -1};
	if (!json_is_object(root)) {
		json_decref(root);
		return wrong(&parser, "line %d: %s", error.line,
			     root == NULL ? error.text : "an object was expected");
	}
	done = parse_all(&parser, root);
	json_decref(root);
	if (!done)
		vmm_config_free(config);
	return done;
}

/* Reads to the end of the file; NULL with the reason in message, else to be wiped and freed. */
static char *read_text(struct parser *parser, int fd, size_t *bytes)
{
	size_t room = TEXT_BYTES_FIRST, filled = 0;
	char *text = malloc(room);
	ssize_t got = 1;

	while (text != NULL && got != 0) {
		if (filled == room) {
			char *grown = room < TEXT_BYTES_MAX ? malloc(2 * room) : NULL;

			if (grown != NULL)
				memcpy(grown, text, filled);
			explicit_bzero(text, filled);
			free(text);
			text = grown;
			room *= 2;
			continue;
		}
		got = read(fd, text + filled, room - filled);
		if (got < 0 && errno != EINTR) {
			wrong(parser, "descriptor %d: %s", fd, strerror(errno));
			explicit_bzero(text, filled);
			free(text);
			return NULL;
		}
		filled += got > 0 ? (size_t)got : 0;
	}
	if (text == NULL)
		wrong(parser, "descriptor %d: more than a configuration", fd);
	*bytes = filled;
	return text;
}

bool vmm_config_read(struct vmm_config *config, int fd, char message[CONFIG_MESSAGE_BYTES_MAX])
{
	struct parser parser = {config, message};
	size_t bytes;
	char *text = read_text(&parser, fd, &bytes);
	bool done;

	if (text == NULL)
		return false;
	done = vmm_config_parse(config, text, bytes, message);
	explicit_bzero(text, bytes); /* the key was in it */
	free(text);
	return done;
}

void vmm_config_free(struct vmm_config *config)
{
	for (unsigned i = 0; i < config->disks; i++) {
		free(config->disk[i].target);
		free(config->disk[i].vdev);
		free(config->disk[i].format);
	}
	for (unsigned i = 0; i < config->nets; i++) {
		free(config->net[i].model);
		free(config->net[i].bridge);
	}
	free(config->extent);
	free(config->name);
	free(config->uuid);
	free(config->kernel);
	free(config->ramdisk);
	free(config->firmware);
	free(config->cmdline);
	*config = (struct vmm_config){0};
}
