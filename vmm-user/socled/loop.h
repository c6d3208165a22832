/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for file descriptors. One thread. */
#ifndef SOCLED_LOOP_H
#define SOCLED_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop {
	int epoll;
};

/* Embedded in whatever owns a descriptor. */
struct watch {
	int fd; /* -1: not watched */
	uint32_t events;
	/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */
	void (*ready)(void *owner, uint32_t events);
	void *owner;
};

bool loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Begins to watch fd, or changes the events if it is watched already. */
bool loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events,
		void (*ready)(void *owner, uint32_t events), void *owner);

/* Stops watching and closes the descriptor; harmless if there is none. */
void loop_drop(struct loop *loop, struct watch *watch);

/*
 * Waits up to timeout milliseconds (-1: for ever) and calls what is ready. One event a round: a
 * watch may be freed by the function of another.
 */
void loop_step(struct loop *loop, int timeout);

#endif
