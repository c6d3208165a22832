/* SPDX-License-Identifier: BSD-2-Clause */
/* A control group (cgroup v2) for each domain's VMM. */
#ifndef SOCLED_CGROUP_H
#define SOCLED_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

#define CGROUP_PATH_MAX 256

/*
 * Makes the directory `root` in a cgroup2 file system, with the controllers cpu and cpuset passed
 * on, and takes away the groups that an earlier socled left in it, with the processes in them.
 * False with errno: domains go without limits.
 */
bool cgroup_open(const char *root);

/* Makes ROOT/NAME with the limits of the configuration; its path goes to `path`. */
bool cgroup_create(const char *root, const char *name, const struct domain_config *config,
		   char path[CGROUP_PATH_MAX]);

/* Kills what is in it and takes it away. False: it is not empty yet. */
bool cgroup_remove(const char *path);

#endif
