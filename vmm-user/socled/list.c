/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

const char *domain_end_name(enum domain_end end)
{
	switch (end) {
	case END_POWEROFF:
		return "poweroff";
	case END_REBOOT:
		return "reboot";
	case END_CRASH:
		return "crash";
	case END_DESTROY:
		return "destroy";
	case END_NONE:
		break;
	}
	return NULL;
}

static const char *state_name(const struct domain *domain)
{
	switch (domain->state) {
	case DOMAIN_PREPARING:
	case DOMAIN_STARTING:
		return "starting";
	case DOMAIN_RUNNING:
		return vmm_is_busy(domain) ? "running" : "blocked";
	case DOMAIN_PAUSED:
		return "paused";
	case DOMAIN_SHUTDOWN:
		return "shutdown";
	case DOMAIN_CRASHED:
		return "crashed";
	case DOMAIN_DYING:
		break;
	}
	return "dying";
}

static json_t *number_or_null(uint64_t number)
{
	return number != 0 ? json_integer((json_int_t)number) : json_null();
}

static json_t *string_or_null(const char *text)
{
	return text != NULL && text[0] != 0 ? json_string(text) : json_null();
}

json_t *domain_json(const struct domain *domain)
{
	json_t *object = json_object();
	char uuid[37];

	config_format_uuid(domain->config.uuid, uuid);
	json_object_set_new(object, "name", json_string(domain->config.name));
	json_object_set_new(object, "domid", number_or_null(domain->number));
	json_object_set_new(object, "uuid", json_string(uuid));
	json_object_set_new(object, "memory_mib", json_integer(domain->memory_now));
	json_object_set_new(object, "memory_max_mib", json_integer(domain->config.memory_mib));
	json_object_set_new(object, "memory_target_mib", json_integer(domain->memory_target));
	json_object_set_new(object, "memory_free_mib",
			    domain->memory_free >= 0 ? json_integer(domain->memory_free)
						     : json_null());
	json_object_set_new(object, "vcpus", json_integer(domain->config.vcpus));
	json_object_set_new(object, "state", json_string(state_name(domain)));
	json_object_set_new(object, "time_seconds",
			    json_real(domain->cpu_seconds + vmm_cpu_seconds(domain)));
	json_object_set_new(object, "uptime_seconds",
			    domain->started > 0 ? json_real(daemon_now() - domain->started)
						: json_null());
	json_object_set_new(object, "end", string_or_null(domain_end_name(domain->end)));
	json_object_set_new(object, "reason", string_or_null(domain->reason));
	json_object_set_new(object, "restarts", json_integer(domain->restarts));
	json_object_set_new(object, "vmm_pid", number_or_null((uint64_t)domain->pid));
	json_object_set_new(object, "live", json_true());
	return object;
}

/* The number behind the word that a line of a file in /proc or of a control group begins with. */
static bool read_number(const char *path, const char *word, uint64_t *number)
{
	FILE *file = fopen(path, "re");
	char line[256], found[64];
	bool done = false;

	while (file != NULL && !done && fgets(line, sizeof(line), file) != NULL)
		done = sscanf(line, "%63s %" SCNu64, found, number) == 2 &&
		       strcmp(found, word) == 0;
	if (file != NULL)
		fclose(file);
	return done;
}

/* Seconds that all CPUs were busy, since the service VM's start (proc_stat(5)). */
static double busy_seconds(void)
{
	FILE *file = fopen("/proc/stat", "re");
	uint64_t user, nice, kernel, idle, wait, irq, softirq;
	double busy = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file,
		   "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64,
		   &user, &nice, &kernel, &idle, &wait, &irq, &softirq) == 7)
		busy = (double)(user + nice + kernel + irq + softirq) /
		       (double)sysconf(_SC_CLK_TCK);
	fclose(file);
	return busy;
}

json_t *service_json(const struct daemon *daemon)
{
	char path[CGROUP_PATH_MAX + 16];
	uint64_t domains = 0, memory = 0;
	json_t *object = json_object();
	double seconds = busy_seconds();

	/* The domains' own time, ended ones included, is theirs. */
	snprintf(path, sizeof(path), "%s/cpu.stat", daemon->options.cgroup);
	if (daemon->cgroups && read_number(path, "usage_usec", &domains))
		seconds -= (double)domains * 1e-6;
	read_number("/proc/meminfo", "MemTotal:", &memory);
	json_object_set_new(object, "name", json_string(LIST_SERVICE_NAME));
	json_object_set_new(object, "domid", json_integer(0));
	json_object_set_new(object, "memory_mib", json_integer((json_int_t)(memory >> 10)));
	json_object_set_new(object, "vcpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(object, "state", json_string("running"));
	json_object_set_new(object, "time_seconds", json_real(seconds > 0 ? seconds : 0));
	json_object_set_new(object, "live", json_true());
	return object;
}

void list_forget(struct daemon *daemon, const char *name)
{
	for (size_t i = json_array_size(daemon->ended); i-- > 0;) {
		const json_t *entry = json_array_get(daemon->ended, i);
		const char *entry_name = json_string_value(json_object_get(entry, "name"));

		if (entry_name != NULL && strcmp(entry_name, name) == 0)
			json_array_remove(daemon->ended, i);
	}
}

void list_remember(struct domain *domain)
{
	struct daemon *daemon = domain->daemon;
	json_t *object = domain_json(domain);

	list_forget(daemon, domain->config.name);
	json_object_set_new(object, "state",
			    json_string(domain->end == END_CRASH ? "crashed" : "shutdown"));
	json_object_set_new(object, "live", json_false());
	json_object_set_new(object, "domid", json_null());
	json_object_set_new(object, "uptime_seconds", json_null());
	if (json_array_size(daemon->ended) == ENDED_MAX)
		json_array_remove(daemon->ended, 0);
	json_array_append_new(daemon->ended, object);
}
