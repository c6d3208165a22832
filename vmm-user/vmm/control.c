/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMM's side of the protocol with socled (control.h), and the loop that runs the domain. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm-user/vmm/control.h"
#include "vmm-user/vmm/vcpu.h"
#include "vmm-user/vmm/virtio.h"

#define SEND_MILLISECONDS 1000

struct control {
	struct vmm *vmm;
	char line[VMM_CONTROL_LINE_BYTES];
	size_t filled;
	bool started, quit;
	bool pausing; /* a pause was asked for and has not been reported */
};

static struct control control;

/* Sending ------------------------------------------------------------------------------------ */

/* The other side has room for a line at any time; one that does not is not waited for long. */
static void send_text(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
		struct pollfd room = {.fd = fd, .events = POLLOUT};

		if (sent >= 0) {
			text += sent;
			bytes -= (size_t)sent;
		} else if (errno == EAGAIN) {
			if (poll(&room, 1, SEND_MILLISECONDS) <= 0)
				return;
		} else if (errno != EINTR) {
			return;
		}
	}
}

static void send_object(struct vmm *vmm, json_t *object)
{
	char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

	if (text != NULL) {
		send_text(vmm->config.control_fd, text, strlen(text));
		send_text(vmm->config.control_fd, "\n", 1);
	}
	free(text);
	json_decref(object);
}

static void send_event(struct vmm *vmm, const char *event)
{
	send_object(vmm, json_pack("{s:s}", "event", event));
}

void control_ended(struct vmm *vmm, const char *how, const char *reason)
{
	/* A guest may have put anything into the reason. */
	json_t *text = json_string(reason);

	if (text == NULL)
		text = json_string("the reason is no text");
	send_object(vmm, json_pack("{s:s, s:s, s:o}", "event", VMM_EVENT_ENDED, "how", how,
				   "reason", text));
}

void control_memory(struct vmm *vmm)
{
	uint64_t spare;
	json_t *object = json_pack("{s:s, s:I}", "event", VMM_EVENT_MEMORY, "mib",
				   (json_int_t)(ram_target_actual(vmm) >> 20));

	if (ram_target_free(vmm, &spare))
		json_object_set_new(object, "free_mib", json_integer((json_int_t)(spare >> 20)));
	send_object(vmm, object);
}

/* Receiving ---------------------------------------------------------------------------------- */

static void start(struct vmm *vmm)
{
	if (control.started)
		return;
	control.started = true;
	event_clock_start(vmm);
	if (!vcpu_start_all(vmm)) {
		vmm_end(vmm, VMM_CRASH, "the vCPUs' threads could not be started");
		return;
	}
	send_event(vmm, VMM_EVENT_STARTED);
}

static void set_memory(struct vmm *vmm, const json_t *mib)
{
	if (json_is_integer(mib) && json_integer_value(mib) >= 0 &&
	    (uint64_t)json_integer_value(mib) <= vmm->config.memory_bytes >> 20)
		ram_target_set(vmm, (uint64_t)json_integer_value(mib) << 20);
	else
		vmm_log(vmm, "control: a wrong amount of memory");
}

static void obey(struct vmm *vmm, const char *verb, const json_t *object)
{
	if (strcmp(verb, VMM_DO_START) == 0) {
		start(vmm);
	} else if (strcmp(verb, VMM_DO_PAUSE) == 0) {
		machine_pause(vmm);
		control.pausing = true;
	} else if (strcmp(verb, VMM_DO_UNPAUSE) == 0) {
		control.pausing = false;
		machine_unpause(vmm);
		send_event(vmm, VMM_EVENT_UNPAUSED);
	} else if (strcmp(verb, VMM_DO_SHUTDOWN) == 0) {
		acpi_pm_power_button(vmm);
	} else if (strcmp(verb, VMM_DO_RESET) == 0) {
		vmm_end(vmm, VMM_REBOOT, "reset by command");
	} else if (strcmp(verb, VMM_DO_MEMORY) == 0) {
		set_memory(vmm, json_object_get(object, "mib"));
	} else if (strcmp(verb, VMM_DO_QUIT) == 0) {
		control.quit = true;
		vmm_end(vmm, VMM_POWEROFF, "destroyed by command");
	} else {
		vmm_log(vmm, "control: \"%.40s\" is no command", verb);
	}
}

static void take_line(struct vmm *vmm, const char *line, size_t bytes)
{
	json_error_t error;
	json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error);
	const char *verb = json_string_value(json_object_get(object, "do"));

	if (verb != NULL)
		obey(vmm, verb, object);
	else
		vmm_log(vmm, "control: a line of %zu bytes is no command", bytes);
	json_decref(object);
}

static void hang_up(struct vmm *vmm)
{
	event_watch(vmm, vmm->config.control_fd, 0, NULL, NULL);
	control.quit = true;
	vmm_end(vmm, VMM_POWEROFF, "the control connection was closed");
}

static void ready(void *device, uint32_t events)
{
	struct vmm *vmm = device;
	ssize_t got = recv(vmm->config.control_fd, control.line + control.filled,
			   sizeof(control.line) - control.filled, MSG_DONTWAIT);
	char *end;

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		hang_up(vmm);
		return;
	}
	control.filled += (size_t)got;
	while ((end = memchr(control.line, '\n', control.filled)) != NULL) {
		size_t bytes = (size_t)(end - control.line);

		take_line(vmm, control.line, bytes);
		control.filled -= bytes + 1;
		memmove(control.line, end + 1, control.filled);
	}
	if (control.filled == sizeof(control.line)) {
		vmm_log(vmm, "control: a line is longer than %zu bytes", sizeof(control.line));
		hang_up(vmm);
	}
}

bool control_open(struct vmm *vmm)
{
	if (event_watch(vmm, vmm->config.control_fd, POLLIN, ready, vmm))
		return true;
	vmm_log(vmm, "control: descriptor %d cannot be watched", vmm->config.control_fd);
	return false;
}

/* The loop ----------------------------------------------------------------------------------- */

/* A pause is reported when the last vCPU has come to rest; from then on the clock stands too. */
static void look_for_pause(struct vmm *vmm)
{
	if (!control.pausing || vmm->running > 0 || !vmm->paused)
		return;
	control.pausing = false;
	event_clock_stop(vmm);
	send_event(vmm, VMM_EVENT_PAUSED);
}

void control_run(struct vmm *vmm)
{
	static const char *const how[] = {[VMM_POWEROFF] = VMM_HOW_POWEROFF,
					  [VMM_REBOOT] = VMM_HOW_REBOOT,
					  [VMM_CRASH] = VMM_HOW_CRASH};
	bool ending;

	send_event(vmm, VMM_EVENT_READY);
	do {
		if (!event_step(vmm)) {
			vmm_lock(vmm);
			vmm_end(vmm, VMM_CRASH, "events: %s", strerror(errno));
			vmm_unlock(vmm);
		}
		vmm_lock(vmm);
		look_for_pause(vmm);
		ending = vmm->ending;
		vmm_unlock(vmm);
	} while (!ending);
	vcpu_join_all(vmm);
	vmm_lock(vmm);
	virtio_blk_flush_all(vmm);
	vmm_unlock(vmm);
	control_ended(vmm, control.quit ? VMM_HOW_DESTROY : how[vmm->end], vmm->reason);
}
