/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * socled: what its parts know of each other. One thread; nothing waits but loop_step().
 *
 * A domain's way: created (frames taken, the hypervisor's domain made) -> DOMAIN_PREPARING (its
 * memory is zeroed) -> DOMAIN_STARTING (its VMM runs, and is not ready) -> DOMAIN_RUNNING,
 * DOMAIN_PAUSED -> DOMAIN_SHUTDOWN or DOMAIN_CRASHED if that is to be preserved, DOMAIN_DYING
 * (everything is taken back) else -> gone, or again from the start if it is to be restarted.
 */
#ifndef SOCLED_DAEMON_H
#define SOCLED_DAEMON_H

#include <jansson.h>
#include <sys/types.h>

#include "cgroup.h"
#include "config.h"
#include "console.h"
#include "loop.h"
#include "pool.h"
#include "ring.h"
#include "socle.h"
#include "tsc.h"
#include "vmm-user/vmm/control.h"

#define SOCKET_PATH "/run/socle/socled.sock"

#define DOMAIN_REASON_BYTES 320
#define DOMAIN_META_MAX	    16 /* frames donated to the hypervisor */
#define ENDED_MAX	    32 /* domains that are gone and remembered */

/* Consoles by number: the UARTs, then the channels. */
#define DOMAIN_CONSOLES (CONFIG_SERIALS_MAX + CONFIG_CHANNELS_MAX)

/* A domain that ends as soon as this after its start is not restarted more often than this. */
#define RESTART_SECONDS 10
#define RESTART_LIMIT	5

enum domain_state {
	DOMAIN_PREPARING,
	DOMAIN_STARTING,
	DOMAIN_RUNNING,
	DOMAIN_PAUSED,
	DOMAIN_SHUTDOWN,
	DOMAIN_CRASHED,
	DOMAIN_DYING
};

/* How a domain, or its VMM, came to its end. */
enum domain_end { END_NONE, END_POWEROFF, END_REBOOT, END_CRASH, END_DESTROY };

struct domain {
	struct daemon *daemon;
	struct domain *next;
	struct domain_config config;
	json_t *tree; /* the configuration as it was given, for "list" */
	enum domain_state state;
	bool start_paused, was_started;
	enum domain_end end;
	char reason[DOMAIN_REASON_BYTES]; /* of the end; "" while there is none */
	bool restart;			  /* after DOMAIN_DYING */
	unsigned int restarts, quick_restarts;
	double created, started; /* seconds of the monotonic clock */

	/* What it has of the machine. */
	uint32_t number; /* 0: none */
	struct socle_key key;
	uint32_t meta[DOMAIN_META_MAX];
	unsigned int metas;
	struct pool_part part;
	unsigned int dying_step;
	char cgroup[CGROUP_PATH_MAX];
	double cpu_seconds; /* of VMMs that have ended */

	/* Its VMM. */
	pid_t pid; /* 0: none */
	pid_t passt[CONFIG_NETS_MAX];
	struct watch process, control, log_pipe;
	double deadline; /* to be killed then; 0: none */
	char line[VMM_CONTROL_LINE_BYTES];
	size_t line_bytes;
	struct ring log;
	struct console *console[DOMAIN_CONSOLES]; /* NULL: there is none of that number */
	/* MiB: what its guest is to use of its memory, what it uses, what of that is free (-1: it
	 * has not said). As its VMM says, within bounds. */
	uint32_t memory_target, memory_now;
	int64_t memory_free;
};

/* What a client waits for (daemon_notify). */
enum notice { NOTICE_STARTED, NOTICE_PAUSED, NOTICE_UNPAUSED, NOTICE_ENDED, NOTICE_GONE };

struct options {
	const char *socket; /* path */
	const char *vmm;    /* path of the program */
	const char *cgroup; /* directory for all domains */
	const char *pool;   /* file or device to be used as the pool; NULL: find it */
	const char *firmware;
	const char *passt; /* path of the program */
	bool lazy;	   /* the pool is not prepared: other programs use it */
	/* A domain's VMM runs as this plus its number, its passt as SOCLE_MAX_DOMAINS more. */
	uid_t first_uid;
};

struct server;

struct daemon {
	struct options options;
	struct socle_handle handle; /* with the root key */
	struct loop loop;
	struct pool pool;
	bool cgroups;
	struct domain *domains;
	json_t *ended; /* array, oldest first */
	struct tsc_sample started;
	struct server *server;
};

/* daemon.c ------------------------------------------------------------------------------------- */

/*
 * Takes the pool, and takes apart what an earlier socled left in the hypervisor. The handle is in
 * *daemon already, and so are the options. False: error says why.
 */
bool daemon_open(struct daemon *daemon, char error[POOL_ERROR_BYTES]);

/* Ends all domains and waits for that. */
void daemon_close(struct daemon *daemon);

/* Waits for something to do, at most `timeout` milliseconds, and does it. */
void daemon_step(struct daemon *daemon, int timeout);

/* By name or by number in decimal; NULL: no such domain. */
struct domain *daemon_find(struct daemon *daemon, const char *name);

double daemon_now(void);

/* One line on standard error. */
void daemon_log(const struct domain *domain, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* domain.c ------------------------------------------------------------------------------------- */

/*
 * Makes a domain; the VMM is started by and by.
 *
 * @config and @tree taken over on success: copied, and referred to
 *
 * NULL: error says why, nothing is left.
 */
struct domain *domain_create(struct daemon *daemon, const struct domain_config *config,
			     json_t *tree, bool paused, char error[DOMAIN_REASON_BYTES]);

/* Does one bounded piece of work; false: there is none now. *domain may be freed. */
bool domain_work(struct domain *domain);

/* Makes the domain go, whatever state it is in. */
void domain_destroy(struct domain *domain);

/* False: error says why not. The answer comes as NOTICE_PAUSED, NOTICE_UNPAUSED. */
bool domain_pause(struct domain *domain, char error[DOMAIN_REASON_BYTES]);
bool domain_unpause(struct domain *domain, char error[DOMAIN_REASON_BYTES]);

/* Asks the guest to use so many MiB of its memory. False: error says why not. */
bool domain_set_memory(struct domain *domain, int64_t mib, char error[DOMAIN_REASON_BYTES]);

/* The VMM has ended, and *domain has `end` and `reason`: what happens now is up to the config. */
void domain_vmm_gone(struct domain *domain);

/* vmm.c ---------------------------------------------------------------------------------------- */

/* Opens what the domain needs and starts its VMM; false: domain->reason says why. */
bool vmm_start(struct domain *domain);

/* Sends {"do": what}; false: it does not hear. */
bool vmm_say(struct domain *domain, const char *what);
bool vmm_say_memory(struct domain *domain, uint32_t mib);

void vmm_kill(struct domain *domain, const char *reason);

/* The VMM's processor time in seconds, while it runs. */
double vmm_cpu_seconds(const struct domain *domain);

/* True if a thread of the VMM runs now or waits for a processor. */
bool vmm_is_busy(const struct domain *domain);

/* Sets end and reason unless there is an end already. */
void vmm_set_end(struct domain *domain, enum domain_end end, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* image.c -------------------------------------------------------------------------------------- */

#define INHERIT_MAX (CONFIG_DISKS_MAX + CONFIG_NETS_MAX + DOMAIN_CONSOLES + 8)

/* Descriptors, all close-on-exec, that the VMM gets under the same numbers. */
struct inherit {
	int fd[INHERIT_MAX];
	unsigned int count;
};

/* Adds fd; gives it. */
int inherit_add(struct inherit *inherit, int fd);
void inherit_close(struct inherit *inherit);

/*
 * The VMM's configuration (control.h) with all files opened. NULL: domain->reason says why; what
 * was opened so far is in *inherit all the same.
 *
 * @control and @console the VMM's ends; -1: none
 * @log where helpers of the domain write to
 */
json_t *image_config(struct domain *domain, int control, const int console[DOMAIN_CONSOLES],
		     int log, struct inherit *inherit);

/* tap.c ---------------------------------------------------------------------------------------- */

/* Makes a tap device on a bridge, up; gives its descriptor or -1 with errno. */
int tap_open(const char *name, const char *bridge);

/* passt.c -------------------------------------------------------------------------------------- */

/*
 * Starts a passt(1) for network `index` of the domain; gives a descriptor of the VMM's end, or -1
 * with errno. It ends when that is closed, at the latest by passt_end().
 */
int passt_start(struct domain *domain, unsigned int index, int log);

/* Ends those of the domain; nothing that they do is waited for. */
void passt_end(struct domain *domain);

/* spawn.c -------------------------------------------------------------------------------------- */

struct spawn {
	const char *what;	/* it is, for messages */
	const char *program;	/* its path */
	char *const *arguments; /* with the program's name, and NULL behind the last */
	const struct inherit *inherit;
	int log;	    /* becomes standard output and standard error */
	const char *cgroup; /* "" for none */
	uid_t uid;	    /* also the group; 0: stays */
};

/* Starts it; gives the process and in *pidfd its descriptor, or -1 with errno. */
pid_t spawn(const struct spawn *spawn, int *pidfd);

/* list.c --------------------------------------------------------------------------------------- */

const char *domain_end_name(enum domain_end end);

/* What "list --json" shows of a domain. */
json_t *domain_json(const struct domain *domain);

/* The name that the service VM has in the list, as it has under xl. */
#define LIST_SERVICE_NAME "Domain-0"

/* The same of the service VM, as far as it has it: its memory, processors and their time. */
json_t *service_json(const struct daemon *daemon);

/* Remembers a domain that goes now; forgets the last one of that name. */
void list_remember(struct domain *domain);
void list_forget(struct daemon *daemon, const char *name);

/* server.c ------------------------------------------------------------------------------------- */

/*
 * Listens at options.socket.
 */
bool server_open(struct daemon *daemon, char error[POOL_ERROR_BYTES]);
void server_close(struct daemon *daemon);

/* Tells the clients that wait for it. */
void daemon_notify(struct domain *domain, enum notice notice);

#endif
