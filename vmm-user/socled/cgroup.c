/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"

/* cpu.weight goes from 1 to 10000 with 100 in the middle; xl's weight has 256 there. */
#define WEIGHT_MIDDLE	 100u
#define XL_WEIGHT_MIDDLE 256u
#define WEIGHT_MAX	 10000u

#define PERIOD_MICROSECONDS 100000u

#define REMOVE_TRIES	    100
#define REMOVE_MICROSECONDS 1000

static bool write_file(const char *directory, const char *name, const char *text)
{
	char path[CGROUP_PATH_MAX + 32];
	int fd, saved;
	ssize_t done;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text));
	saved = errno;
	close(fd);
	errno = saved;
	return done == (ssize_t)strlen(text);
}

static void remove_children(const char *root)
{
	char path[CGROUP_PATH_MAX];
	DIR *directory = opendir(root);
	struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", root, entry->d_name) < (int)sizeof(path))
			cgroup_remove(path);
	}
	closedir(directory);
}

bool cgroup_open(const char *root)
{
	char parent[CGROUP_PATH_MAX];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", root);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent) {
		errno = EINVAL;
		return false;
	}
	*slash = 0;
	/* It passes nothing on if it cannot; the limits are then missed one by one. */
	write_file(parent, "cgroup.subtree_control", "+cpu");
	write_file(parent, "cgroup.subtree_control", "+cpuset");
	if (mkdir(root, 0755) != 0 && errno != EEXIST)
		return false;
	if (!write_file(root, "cgroup.subtree_control", "+cpu"))
		return false;
	write_file(root, "cgroup.subtree_control", "+cpuset");
	remove_children(root);
	return true;
}

static bool set_limits(const char *path, const struct domain_config *config)
{
	uint32_t weight = config->cpu_weight * WEIGHT_MIDDLE / XL_WEIGHT_MIDDLE;
	char text[64];

	weight = weight < 1 ? 1 : weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
	snprintf(text, sizeof(text), "%u", weight);
	if (!write_file(path, "cpu.weight", text))
		return false;
	if (config->cap > 0) {
		snprintf(text, sizeof(text), "%u %u", config->cap * (PERIOD_MICROSECONDS / 100),
			 PERIOD_MICROSECONDS);
		if (!write_file(path, "cpu.max", text))
			return false;
	}
	return config->cpus[0] == 0 || write_file(path, "cpuset.cpus", config->cpus);
}

bool cgroup_create(const char *root, const char *name, const struct domain_config *config,
		   char path[CGROUP_PATH_MAX])
{
	int saved;

	snprintf(path, CGROUP_PATH_MAX, "%s/%s", root, name);
	if (mkdir(path, 0755) != 0) {
		path[0] = 0;
		return false;
	}
	if (set_limits(path, config))
		return true;
	saved = errno;
	rmdir(path);
	path[0] = 0;
	errno = saved;
	return false;
}

bool cgroup_remove(const char *path)
{
	if (rmdir(path) == 0 || errno == ENOENT)
		return true;
	/* Children of the VMM: they are dying, which takes a moment. */
	write_file(path, "cgroup.kill", "1");
	for (int i = 0; i < REMOVE_TRIES; i++) {
		if (rmdir(path) == 0)
			return true;
		usleep(REMOVE_MICROSECONDS);
	}
	return false;
}
