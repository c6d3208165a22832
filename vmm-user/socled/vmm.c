/* SPDX-License-Identifier: BSD-2-Clause */
/* A domain's VMM: its start, the control protocol, its end. It may have been taken over by its
 * guest, so nothing that it says is believed beyond its own domain. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"

#define LOG_BLOCK 4096

void vmm_set_end(struct domain *domain, enum domain_end end, const char *format, ...)
{
	va_list arguments;

	if (domain->end != END_NONE)
		return;
	domain->end = end;
	va_start(arguments, format);
	vsnprintf(domain->reason, sizeof(domain->reason), format, arguments);
	va_end(arguments);
	/* It may be a guest's text on its way to a terminal. */
	for (char *c = domain->reason; *c != 0; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

void vmm_kill(struct domain *domain, const char *reason)
{
	vmm_set_end(domain, END_CRASH, "%s", reason);
	if (domain->pid > 0)
		kill(domain->pid, SIGKILL);
	domain->deadline = 0;
}

/* A VMM that does not read for so long is not worth waiting for. */
static bool say(struct domain *domain, const char *line)
{
	size_t length = strlen(line);

	return domain->control.fd >= 0 && send(domain->control.fd, line, length,
					       MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

bool vmm_say(struct domain *domain, const char *what)
{
	char line[64];

	snprintf(line, sizeof(line), "{\"do\": \"%s\"}\n", what);
	return say(domain, line);
}

bool vmm_say_memory(struct domain *domain, uint32_t mib)
{
	char line[64];

	snprintf(line, sizeof(line), "{\"do\": \"%s\", \"mib\": %u}\n", VMM_DO_MEMORY, mib);
	return say(domain, line);
}

/* What it says ----------------------------------------------------------------------------------
 */

static void on_ready(struct domain *domain)
{
	if (domain->state != DOMAIN_STARTING)
		return;
	domain->deadline = 0;
	domain->started = daemon_now();
	domain->state = DOMAIN_PAUSED;
	if (!domain->start_paused) {
		domain->state = DOMAIN_RUNNING;
		domain->was_started = true;
		vmm_say(domain, VMM_DO_START);
	}
	daemon_notify(domain, NOTICE_STARTED);
}

/* Nothing but the list's figures follows from it, and those are kept within what is possible. */
static void on_memory(struct domain *domain, const json_t *object)
{
	json_int_t all = domain->config.memory_mib;
	json_int_t now = json_integer_value(json_object_get(object, "mib"));
	const json_t *spare = json_object_get(object, "free_mib");

	if (now >= 0 && now <= all)
		domain->memory_now = (uint32_t)now;
	if (json_is_integer(spare) && json_integer_value(spare) >= 0 &&
	    json_integer_value(spare) <= all)
		domain->memory_free = json_integer_value(spare);
}

static void on_ended(struct domain *domain, const json_t *object)
{
	static const struct {
		const char *how;
		enum domain_end end;
	} ends[] = {
		{VMM_HOW_POWEROFF, END_POWEROFF},
		{VMM_HOW_REBOOT, END_REBOOT},
		{VMM_HOW_CRASH, END_CRASH},
		{VMM_HOW_DESTROY, END_DESTROY},
	};
	const char *how = json_string_value(json_object_get(object, "how"));
	const char *reason = json_string_value(json_object_get(object, "reason"));

	domain->deadline = daemon_now() + VMM_QUIT_SECONDS;
	for (size_t i = 0; how != NULL && i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (strcmp(ends[i].how, how) == 0)
			vmm_set_end(domain, ends[i].end, "%s", reason != NULL ? reason : "");
	}
	vmm_set_end(domain, END_CRASH, "the VMM ended in an unknown way");
}

static void on_line(struct domain *domain, const char *line, size_t bytes)
{
	json_t *object;
	const char *event;

	/* It is being killed, or has said its last word. */
	if (domain->end != END_NONE)
		return;
	object = json_loadb(line, bytes, 0, NULL);
	event = json_string_value(json_object_get(object, "event"));
	if (event == NULL) {
		vmm_kill(domain, "the VMM said something that is no event");
	} else if (strcmp(event, VMM_EVENT_READY) == 0) {
		on_ready(domain);
	} else if (strcmp(event, VMM_EVENT_PAUSED) == 0) {
		if (domain->state == DOMAIN_RUNNING)
			domain->state = DOMAIN_PAUSED;
		daemon_notify(domain, NOTICE_PAUSED);
	} else if (strcmp(event, VMM_EVENT_UNPAUSED) == 0 ||
		   strcmp(event, VMM_EVENT_STARTED) == 0) {
		if (domain->state == DOMAIN_PAUSED && domain->was_started)
			domain->state = DOMAIN_RUNNING;
		daemon_notify(domain, NOTICE_UNPAUSED);
	} else if (strcmp(event, VMM_EVENT_MEMORY) == 0) {
		on_memory(domain, object);
	} else if (strcmp(event, VMM_EVENT_ENDED) == 0) {
		on_ended(domain, object);
	}
	json_decref(object);
}

/* Takes what there is; false: there is no more, now (with EAGAIN) or ever. */
static bool hear(struct domain *domain)
{
	ssize_t got = recv(domain->control.fd, domain->line + domain->line_bytes,
			   sizeof(domain->line) - domain->line_bytes, MSG_DONTWAIT);
	char *end;

	if (got <= 0) {
		if (got == 0)
			errno = 0;
		return false;
	}
	domain->line_bytes += (size_t)got;
	while ((end = memchr(domain->line, '\n', domain->line_bytes)) != NULL) {
		size_t length = (size_t)(end - domain->line);

		on_line(domain, domain->line, length);
		domain->line_bytes -= length + 1;
		memmove(domain->line, end + 1, domain->line_bytes);
	}
	if (domain->line_bytes == sizeof(domain->line)) {
		vmm_kill(domain, "the VMM said a line that is too long");
		domain->line_bytes = 0;
	}
	return true;
}

static void control_ready(void *owner, uint32_t events)
{
	struct domain *domain = owner;

	(void)events;
	/* Its process ends, or has, if it closes this: process_ready tells. */
	if (!hear(domain) && errno != EAGAIN && errno != EINTR)
		loop_drop(&domain->daemon->loop, &domain->control);
}

/* Its standard error --------------------------------------------------------------------------- */

static bool hear_log(struct domain *domain)
{
	char block[LOG_BLOCK];
	ssize_t got = read(domain->log_pipe.fd, block, sizeof(block));

	if (got > 0)
		ring_put(&domain->log, block, (size_t)got);
	return got > 0;
}

static void log_ready(void *owner, uint32_t events)
{
	struct domain *domain = owner;

	(void)events;
	if (!hear_log(domain) && errno != EAGAIN && errno != EINTR)
		loop_drop(&domain->daemon->loop, &domain->log_pipe);
}

/* Its end -------------------------------------------------------------------------------------- */

/* The last line that it wrote, without what may not go to a terminal (see vmm_set_end). */
static void last_line(const struct domain *domain, char *text, size_t size)
{
	char *start, *end;

	ring_copy(&domain->log, text, size);
	end = text + strlen(text);
	while (end > text && (end[-1] == '\n' || end[-1] == '\r'))
		*--end = 0;
	start = strrchr(text, '\n');
	if (start != NULL)
		memmove(text, start + 1, strlen(start + 1) + 1);
}

static void note_exit(struct domain *domain, int status)
{
	char line[200];

	last_line(domain, line, sizeof(line));
	if (WIFSIGNALED(status))
		vmm_set_end(domain, END_CRASH, "the VMM was ended by signal %d (%s)%s%s",
			    WTERMSIG(status), strsignal(WTERMSIG(status)), line[0] ? ": " : "",
			    line);
	else
		vmm_set_end(domain, END_CRASH, "the VMM exited with status %d%s%s",
			    WEXITSTATUS(status), line[0] ? ": " : "", line);
}

static void disconnect(struct domain *domain)
{
	for (int i = 0; i < DOMAIN_CONSOLES; i++) {
		if (domain->console[i] != NULL)
			console_disconnect(domain->console[i]);
	}
}

static void process_ready(void *owner, uint32_t events)
{
	struct domain *domain = owner;
	struct loop *loop = &domain->daemon->loop;
	double seconds = vmm_cpu_seconds(domain);
	int status = 0;

	(void)events;
	if (waitpid(domain->pid, &status, WNOHANG) != domain->pid)
		return;
	domain->cpu_seconds += seconds;
	domain->pid = 0;
	domain->deadline = 0;
	/* What it said before it ended. The kernel buffers so much and no more. */
	while (domain->control.fd >= 0 && hear(domain))
		;
	while (domain->log_pipe.fd >= 0 && hear_log(domain))
		;
	domain->deadline = 0;
	domain->line_bytes = 0;
	note_exit(domain, status);
	loop_drop(loop, &domain->control);
	loop_drop(loop, &domain->log_pipe);
	loop_drop(loop, &domain->process);
	disconnect(domain);
	domain_vmm_gone(domain);
}

double vmm_cpu_seconds(const struct domain *domain)
{
	struct timespec time;
	clockid_t clock;

	if (domain->pid <= 0 || clock_getcpuclockid(domain->pid, &clock) != 0 ||
	    clock_gettime(clock, &time) != 0)
		return 0;
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

bool vmm_is_busy(const struct domain *domain)
{
	char path[64], line[128];
	struct dirent *entry;
	bool busy = false;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", domain->pid);
	tasks = opendir(path);
	if (tasks == NULL)
		return false;
	while (!busy && (entry = readdir(tasks)) != NULL) {
		char name[384];
		const char *state;
		FILE *file;

		snprintf(name, sizeof(name), "%s/%s/stat", path, entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(name, "re");
		if (file == NULL)
			continue;
		/* "PID (NAME) STATE": proc(5). */
		if (fgets(line, sizeof(line), file) != NULL && (state = strrchr(line, ')')) != NULL)
			busy = strncmp(state, ") R", 3) == 0;
		fclose(file);
	}
	closedir(tasks);
	return busy;
}

/* Its start ------------------------------------------------------------------------------------ */

static int config_file(const json_t *config)
{
	char *text = json_dumps(config, JSON_COMPACT);
	int fd = memfd_create("socle-vmm-config", MFD_CLOEXEC);
	bool good = text != NULL && fd >= 0 &&
		    write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
		    lseek(fd, 0, SEEK_SET) == 0;

	/* The domain's key is in it. */
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
	if (good)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Makes the socket and the pipe; our ends are watched, the VMM's are in *inherit and *log. */
static bool make_channels(struct domain *domain, struct inherit *inherit, int *control, int *log)
{
	struct loop *loop = &domain->daemon->loop;
	int pair[2], ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	*control = inherit_add(inherit, pair[1]);
	if (!loop_watch(loop, &domain->control, pair[0], EPOLLIN, control_ready, domain)) {
		close(pair[0]);
		return false;
	}
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	*log = ends[1];
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 &&
	    loop_watch(loop, &domain->log_pipe, ends[0], EPOLLIN, log_ready, domain))
		return true;
	close(ends[0]);
	return false;
}

static bool run_program(struct domain *domain, const json_t *config, struct inherit *inherit,
			int log)
{
	const struct options *options = &domain->daemon->options;
	int fd = inherit_add(inherit, config_file(config));
	char number[16];
	char *const arguments[] = {(char *)(uintptr_t)options->vmm, "--config", number, NULL};
	struct spawn how = {
		.what = "the VMM",
		.program = options->vmm,
		.arguments = arguments,
		.inherit = inherit,
		.log = log,
		.cgroup = domain->cgroup,
		.uid = options->first_uid != 0 ? options->first_uid + domain->number : 0,
	};
	int pidfd = -1;

	if (fd < 0)
		return false;
	snprintf(number, sizeof(number), "%d", fd);
	domain->pid = spawn(&how, &pidfd);
	if (domain->pid > 0 && loop_watch(&domain->daemon->loop, &domain->process, pidfd, EPOLLIN,
					  process_ready, domain))
		return true;
	if (domain->pid > 0) {
		kill(domain->pid, SIGKILL);
		waitpid(domain->pid, NULL, 0);
		close(pidfd);
	}
	domain->pid = 0;
	return false;
}

bool vmm_start(struct domain *domain)
{
	struct loop *loop = &domain->daemon->loop;
	struct inherit inherit = {.count = 0};
	int control = -1, log = -1, console[DOMAIN_CONSOLES];
	json_t *config = NULL;
	bool good = make_channels(domain, &inherit, &control, &log);

	for (int i = 0; i < DOMAIN_CONSOLES; i++) {
		console[i] = -1;
		if (!good || domain->console[i] == NULL)
			continue;
		console[i] = inherit_add(&inherit, console_connect(domain->console[i]));
		good = console[i] >= 0;
	}
	if (good) {
		config = image_config(domain, control, console, log, &inherit);
		good = config != NULL && run_program(domain, config, &inherit, log);
	}
	if (!good)
		vmm_set_end(domain, END_CRASH, "cannot start %s: %s", domain->daemon->options.vmm,
			    strerror(errno));
	json_decref(config);
	inherit_close(&inherit);
	if (log >= 0)
		close(log);
	if (good) {
		domain->deadline = daemon_now() + VMM_READY_SECONDS;
		return true;
	}
	disconnect(domain);
	loop_drop(loop, &domain->control);
	loop_drop(loop, &domain->log_pipe);
	return false;
}
