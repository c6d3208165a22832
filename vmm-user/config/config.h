/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A domain's configuration in the grammar of xl.cfg(5).
 *
 * Text is parsed into a tree of keys and values (parse.c), which can travel as JSON (tree.c), and
 * the tree is made into a struct domain_config, with every value checked (domain_config.c, disk.c,
 * net.c). What is wrong or passed over is told to a reporter with file, line, what was expected and
 * what was found.
 */
#ifndef SOCLE_CONFIG_H
#define SOCLE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reports -------------------------------------------------------------------------------------- */

#define CONFIG_MESSAGE_BYTES 512

struct config_reporter {
	/* Takes one message, without a newline. */
	void (*say)(void *context, const char *message);
	void *context;
	unsigned int errors, warnings; /* counted by config_error and config_warn */
};

struct config_place {
	const char *source; /* file name, or "command line" */
	unsigned int line;  /* 0: none */
};

void config_error(struct config_reporter *reporter, struct config_place place, const char *format,
		  ...) __attribute__((format(printf, 3, 4)));
void config_warn(struct config_reporter *reporter, struct config_place place, const char *format,
		 ...) __attribute__((format(printf, 3, 4)));

/* tree.c: keys and values ---------------------------------------------------------------------- */

enum config_type { CONFIG_STRING, CONFIG_NUMBER, CONFIG_LIST };

#define CONFIG_TEXT_BYTES_MAX (1u << 20) /* of a file */
#define CONFIG_STRING_MAX     4096u	 /* characters of a string */
#define CONFIG_VALUES_MAX     4096u	 /* in all */
#define CONFIG_DEPTH_MAX      4u	 /* lists in lists */

struct config_value {
	enum config_type type;
	struct config_place place;
	char *text; /* CONFIG_STRING */
	int64_t number;
	struct config_value *item; /* CONFIG_LIST */
	size_t items;
};

struct config_entry {
	char *key;
	struct config_place place;
	struct config_value value;
};

struct config_tree {
	struct config_entry *entry; /* each key once: a later one replaces an earlier one */
	size_t entries;
	size_t values; /* all values ever added, against CONFIG_VALUES_MAX */
};

void config_tree_free(struct config_tree *tree);
void config_value_free(struct config_value *value);
const struct config_value *config_find(const struct config_tree *tree, const char *key);

/* Takes the value over. With append it is added to the end of the string or list already there. */
bool config_set(struct config_tree *tree, struct config_reporter *reporter,
		struct config_place place, const char *key, struct config_value *value,
		bool append);

/* Adds an item, taken over, to a list. */
bool config_append(struct config_value *list, struct config_value *item);

/* {"key": string | integer | array}. The other way, anything else in it is an error. */
json_t *config_tree_json(const struct config_tree *tree);
bool config_tree_from_json(struct config_tree *tree, const json_t *object,
			   struct config_reporter *reporter);

/* "the string \"x\"", "the number 5", "a list": for messages. Static: valid until the next call. */
const char *config_describe(const struct config_value *value);

/* parse.c: the grammar ------------------------------------------------------------------------- */

/*
 * Adds what the text says to the tree, which may have entries already.
 *
 * @source the file's name for messages; has to stay as long as the tree
 * @bytes  of text, which may have any bytes in it
 *
 * Gives true if there was no error. Goes on behind an error, at the next line, to find more.
 */
bool config_parse_text(struct config_tree *tree, const char *source, const char *text, size_t bytes,
		       struct config_reporter *reporter);

/*
 * Adds one "key=value" of a command line. The value is as in a file; one that is no
 * decimal number and starts neither with a quote nor with a bracket is a string as it stands.
 */
bool config_parse_override(struct config_tree *tree, const char *text,
			   struct config_reporter *reporter);

/* domain_config.c: what the keys mean ---------------------------------------------------------- */

#define CONFIG_NAME_MAX	    63
#define CONFIG_PATH_MAX	    1023
#define CONFIG_CMDLINE_MAX  2047
#define CONFIG_DISKS_MAX    16
#define CONFIG_NETS_MAX	    8
#define CONFIG_SERIALS_MAX  2
#define CONFIG_CHANNELS_MAX 4
#define CONFIG_MEMORY_MAX   (16u << 20) /* MiB */
#define CONFIG_CPUS_MAX	    1024

enum domain_type { DOMAIN_HVM, DOMAIN_PVH };
enum domain_action { ACTION_DESTROY, ACTION_RESTART, ACTION_PRESERVE, ACTION_RENAME_RESTART };

struct disk_config {
	char target[CONFIG_PATH_MAX + 1]; /* "" for a CD drive without a disc */
	char vdev[16];
	char format[8]; /* "raw" */
	bool readonly, cdrom, snapshot;
};

enum net_mode { NET_USER, NET_TAP };

struct net_config {
	uint8_t mac[6];
	enum net_mode mode; /* NET_TAP exactly if a bridge is given */
	char bridge[16];
};

struct domain_config {
	char name[CONFIG_NAME_MAX + 1];
	uint8_t uuid[16];
	enum domain_type type;
	uint32_t memory_mib; /* even */
	uint32_t vcpus;
	char cpus[256];	     /* as cpuset takes it, "0-2,5"; "" for all */
	uint32_t cpu_weight; /* 1 .. 65535 */
	uint32_t cap;	     /* percent of one CPU; 0: none */
	char kernel[CONFIG_PATH_MAX + 1];
	char ramdisk[CONFIG_PATH_MAX + 1];
	char firmware[CONFIG_PATH_MAX + 1]; /* path, or "uefi" for the default one; "": none */
	char cmdline[CONFIG_CMDLINE_MAX + 1];
	struct disk_config disk[CONFIG_DISKS_MAX];
	unsigned int disks;
	struct net_config net[CONFIG_NETS_MAX];
	unsigned int nets;
	bool serial[CONFIG_SERIALS_MAX];       /* the UART has a console */
	char channel[CONFIG_CHANNELS_MAX][64]; /* names of virtio consoles */
	unsigned int channels;
	bool local_time; /* the real-time clock is in local time */
	enum domain_action on_poweroff, on_reboot, on_crash, on_watchdog;
};

/*
 * Makes a configuration of the tree. A name, uuid and MAC addresses that are not given are made:
 * the name is an error, the others are random.
 *
 * @directory what relative paths are relative to; NULL: they are errors
 */
bool config_domain(const struct config_tree *tree, const char *directory,
		   struct domain_config *config, struct config_reporter *reporter);

const char *domain_action_name(enum domain_action action);

/* 36 characters and a zero byte. */
void config_format_uuid(const uint8_t uuid[16], char text[37]);

/* 1 .. CONFIG_NAME_MAX letters, digits, and - _ . + behind the first, and not all digits. */
bool config_name_valid(const char *name);

/* disk.c, net.c -------------------------------------------------------------------------------- */

/* One string of "disk", in both forms of xl-disk-configuration(5). */
bool config_disk(const struct config_value *value, const char *directory, struct disk_config *disk,
		 struct config_reporter *reporter);

/* One string of "vif" (xl-network-configuration(5)). */
bool config_net(const struct config_value *value, struct net_config *net,
		struct config_reporter *reporter);

/* channel.c: the keys "serial" and "channel"; NULL if they are not there. */
bool config_serial(const struct config_value *value, struct domain_config *config,
		   struct config_reporter *reporter);
bool config_channels(const struct config_value *value, struct domain_config *config,
		     struct config_reporter *reporter);

/* cpus.c: "0-3,^2,7" in the form that cpuset takes; false: it is no set, or does not fit. */
bool config_cpus(const char *text, char *out, size_t size);

/* words.c: pieces of strings, used by the two above -------------------------------------------- */

/*
 * Cuts the next comma-separated word off *rest, without blanks around it, in place; NULL at the
 * end.
 */
char *config_next_word(char **rest);

/* If word is "key = value", cuts it in two and gives the value, else NULL. */
char *config_cut_pair(char *word);

/* Copies a path, with the directory in front if it is relative; false, reported, if that fails. */
bool config_path(char *out, size_t size, const char *path, const char *directory,
		 struct config_place place, struct config_reporter *reporter);

#endif
