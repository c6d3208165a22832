/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/epoll.h>
#include <unistd.h>

#include "loop.h"

bool loop_open(struct loop *loop)
{
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll >= 0;
}

void loop_close(struct loop *loop)
{
	close(loop->epoll);
	loop->epoll = -1;
}

bool loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events,
		void (*ready)(void *owner, uint32_t events), void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	bool known = watch->fd == fd && watch->ready != NULL;

	if (known && watch->events == events)
		return true;
	if (epoll_ctl(loop->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
		return false;
	*watch = (struct watch){fd, events, ready, owner};
	return true;
}

void loop_drop(struct loop *loop, struct watch *watch)
{
	if (watch->fd >= 0 && watch->ready != NULL) {
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
		close(watch->fd);
	}
	*watch = (struct watch){.fd = -1};
}

void loop_step(struct loop *loop, int timeout)
{
	struct epoll_event event;
	struct watch *watch;

	/* Level-triggered: what else is ready comes in the next round. */
	if (epoll_wait(loop->epoll, &event, 1, timeout) != 1)
		return;
	watch = event.data.ptr;
	watch->ready(watch->owner, event.events);
}
