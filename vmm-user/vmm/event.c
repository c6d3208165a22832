/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time and file descriptors: the loop of the one thread that is no vCPU. It waits in epoll without
 * the lock and calls devices with it, one event at a time, so that a device may add and remove
 * whatever it likes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm-user/vmm/machine.h"

#define NANOSECONDS   1000000000ull
#define CLOCK_VERSION 1u
#define EXPIRE_MAX    64 /* timers that expire between two looks at file descriptors */

/* In the state region. */
struct event_clock {
	uint64_t offset;  /* vmm_now() - CLOCK_MONOTONIC, modulo 2^64, while it runs */
	uint64_t stopped; /* vmm_now() while it stands still */
	uint64_t running; /* 0 or 1 */
};

struct event_watch {
	void (*ready)(void *device, uint32_t events);
	void *device;
	uint32_t serial; /* of this use of the file descriptor: a late event has another */
};

static uint64_t monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/* Time --------------------------------------------------------------------------------------- */

uint64_t vmm_now(struct vmm *vmm)
{
	const struct event_clock *clock = vmm->events.clock;

	return clock->running ? monotonic() + clock->offset : clock->stopped;
}

int64_t vmm_wall_clock(struct vmm *vmm)
{
	struct timespec now;

	(void)vmm;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * (int64_t)NANOSECONDS + now.tv_nsec;
}

static void arm(struct vmm *vmm)
{
	const struct event_clock *clock = vmm->events.clock;
	const struct vmm_timer *first = vmm->events.timers;
	struct itimerspec when = {0};

	if (first != NULL && clock->running) {
		uint64_t at = first->deadline - clock->offset;

		/* Due before the clock was started, or at 0, which would mean "never". */
		if ((int64_t)at <= 0)
			at = 1;
		when.it_value.tv_sec = (time_t)(at / NANOSECONDS);
		when.it_value.tv_nsec = (long)(at % NANOSECONDS);
	}
	timerfd_settime(vmm->events.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void take_out(struct vmm_timer *timer)
{
	*timer->link = timer->next; /* NOLINT(clang-analyzer-core.NullDereference): it is set */
	if (timer->next != NULL)
		timer->next->link = timer->link;
	timer->link = NULL;
	timer->deadline = 0;
}

void timer_set(struct vmm *vmm, struct vmm_timer *timer, uint64_t deadline)
{
	struct vmm_timer *first = vmm->events.timers;
	uint64_t was = first == NULL ? 0 : first->deadline;
	struct vmm_timer **link = &vmm->events.timers;

	if (timer->link != NULL)
		take_out(timer);
	timer->deadline = deadline == 0 ? 1 : deadline;
	while (*link != NULL && (*link)->deadline <= timer->deadline)
		link = &(*link)->next;
	timer->next = *link;
	timer->link = link;
	if (timer->next != NULL)
		timer->next->link = &timer->next;
	*link = timer;
	if (vmm->events.timers->deadline != was)
		arm(vmm);
}

/* A timer that is gone leaves the descriptor armed: one early wake-up costs less than a call. */
void timer_clear(struct vmm *vmm, struct vmm_timer *timer)
{
	(void)vmm;
	if (timer->link != NULL)
		take_out(timer);
}

static void expire(struct vmm *vmm)
{
	uint64_t now = vmm_now(vmm);

	/* A timer that always sets itself into the past must not hold the loop for ever. */
	for (unsigned i = 0; i < EXPIRE_MAX && vmm->events.clock->running; i++) {
		struct vmm_timer *timer = vmm->events.timers;

		if (timer == NULL || timer->deadline > now)
			break;
		take_out(timer);
		timer->expired(timer->device);
	}
	arm(vmm);
}

void event_clock_stop(struct vmm *vmm)
{
	struct event_clock *clock = vmm->events.clock;

	clock->stopped = vmm_now(vmm);
	clock->running = 0;
	arm(vmm);
}

void event_clock_start(struct vmm *vmm)
{
	struct event_clock *clock = vmm->events.clock;

	if (clock->running)
		return;
	clock->offset = clock->stopped - monotonic();
	clock->running = 1;
	arm(vmm);
}

/* File descriptors --------------------------------------------------------------------------- */

static bool grow(struct vmm *vmm, unsigned fd)
{
	unsigned room = fd + 16;
	struct event_watch *grown;

	if (fd < vmm->events.watches)
		return true;
	grown = realloc(vmm->events.watch, room * sizeof(*grown));
	if (grown == NULL)
		return false;
	memset(&grown[vmm->events.watches], 0, (room - vmm->events.watches) * sizeof(*grown));
	vmm->events.watch = grown;
	vmm->events.watches = room;
	return true;
}

bool event_watch(struct vmm *vmm, int fd, uint32_t events,
		 void (*ready)(void *device, uint32_t events), void *device)
{
	struct epoll_event event = {.events = events};
	struct event_watch *watch;

	if (fd < 0 || !grow(vmm, (unsigned)fd))
		return false;
	watch = &vmm->events.watch[fd];
	if (events == 0) {
		if (watch->ready != NULL)
			epoll_ctl(vmm->events.epoll, EPOLL_CTL_DEL, fd, NULL);
		watch->ready = NULL;
		return true;
	}
	event.data.u64 = (uint64_t)(watch->serial + 1) << 32 | (unsigned)fd;
	if (epoll_ctl(vmm->events.epoll, watch->ready == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd,
		      &event) != 0)
		return false;
	*watch = (struct event_watch){ready, device, watch->serial + 1};
	return true;
}

static void drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

bool event_step(struct vmm *vmm)
{
	struct epoll_event event;
	int count = epoll_wait(vmm->events.epoll, &event, 1, -1);
	unsigned fd = (uint32_t)event.data.u64;

	if (count != 1)
		return count == 0 || errno == EINTR;
	vmm_lock(vmm);
	if ((int)fd == vmm->events.timer) {
		drain((int)fd);
		expire(vmm);
	} else if ((int)fd == vmm->events.wake) {
		drain((int)fd);
	} else {
		/* By value: the function may make the table grow. */
		struct event_watch watch = vmm->events.watch[fd];

		if (watch.ready != NULL && watch.serial == event.data.u64 >> 32)
			watch.ready(watch.device, event.events);
	}
	vmm_unlock(vmm);
	return true;
}

void event_wake(struct vmm *vmm)
{
	uint64_t one = 1;

	while (write(vmm->events.wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static bool add_own(struct vmm *vmm, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (unsigned)fd};

	return fd >= 0 && epoll_ctl(vmm->events.epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool event_open(struct vmm *vmm)
{
	struct events *events = &vmm->events;
	bool fresh;

	*events = (struct events){-1, -1, -1, NULL, NULL, 0, NULL};
	events->clock =
		state_section(vmm, "clock", 0, CLOCK_VERSION, sizeof(*events->clock), &fresh);
	if (events->clock == NULL)
		return false;
	events->epoll = epoll_create1(EPOLL_CLOEXEC);
	events->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	events->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (events->epoll < 0 || !add_own(vmm, events->timer) || !add_own(vmm, events->wake)) {
		vmm_log(vmm, "events: %s", strerror(errno));
		event_close(vmm);
		return false;
	}
	return true;
}

void event_close(struct vmm *vmm)
{
	struct events *events = &vmm->events;

	if (events->epoll >= 0)
		close(events->epoll);
	if (events->timer >= 0)
		close(events->timer);
	if (events->wake >= 0)
		close(events->wake);
	free(events->watch);
	*events = (struct events){-1, -1, -1, NULL, NULL, 0, NULL};
}
