/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two back ends: a stream socket that carries each frame behind its length (four bytes, big
 * endian), as passt(1) and QEMU's "-netdev stream" do; and a tap device.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm-user/vmm/net_backend.h"

#define LENGTH_BYTES	4u
#define ETHERNET_HEADER 14u
#define SEND_PARTS	(VIRTQ_CHAIN_MAX - 1) /* and the length: what sendmsg(2) takes */

static void ready(void *opaque, uint32_t events);

static void watch(struct net_backend *backend)
{
	uint32_t events = 0;

	if (backend->watching_in && !backend->dead)
		events |= POLLIN;
	if (backend->watching_out && !backend->dead)
		events |= POLLOUT;
	event_watch(backend->vmm, backend->fd, events, ready, backend);
}

void net_listen(struct net_backend *backend, bool on)
{
	if (backend->watching_in == on)
		return;
	backend->watching_in = on;
	watch(backend);
}

static void wait_for_room(struct net_backend *backend, bool on)
{
	if (backend->watching_out == on)
		return;
	backend->watching_out = on;
	watch(backend);
}

/* The other side is gone or talks nonsense: the guest's cable is cut. */
static void die(struct net_backend *backend, const char *why)
{
	if (backend->dead)
		return;
	vmm_log(backend->vmm, "network: %s", why);
	backend->dead = true;
	backend->first = backend->last = 0;
	backend->to_send = backend->sent = 0;
	watch(backend);
}

static void ready(void *opaque, uint32_t events)
{
	struct net_backend *backend = opaque;

	if (events & (POLLIN | POLLHUP | POLLERR) && backend->watching_in)
		backend->readable(backend->device);
	if (events & (POLLOUT | POLLHUP | POLLERR) && backend->watching_out) {
		wait_for_room(backend, false);
		backend->writable(backend->device);
	}
	/* A hang-up is always told: with nobody interested it would come for ever. */
	if (events & (POLLHUP | POLLERR) && !backend->watching_in)
		die(backend, "the other side has gone");
}

bool net_open(struct net_backend *backend)
{
	int flags = fcntl(backend->fd, F_GETFL), bytes = NET_HEADER_BYTES;
	struct ifreq request = {0};

	if (flags < 0 || fcntl(backend->fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		vmm_log(backend->vmm, "network: %s", strerror(errno));
		return false;
	}
	if (backend->kind != VIRTIO_NET_TAP)
		return true;
	if (ioctl(backend->fd, TUNGETIFF, &request) != 0 || !(request.ifr_flags & IFF_TAP) ||
	    !(request.ifr_flags & IFF_NO_PI)) {
		vmm_log(backend->vmm, "network: not a tap device without packet information");
		return false;
	}
	backend->offload = request.ifr_flags & IFF_VNET_HDR &&
			   ioctl(backend->fd, TUNSETVNETHDRSZ, &bytes) == 0;
	if (request.ifr_flags & IFF_VNET_HDR && !backend->offload) {
		vmm_log(backend->vmm, "network: the tap device's headers: %s", strerror(errno));
		return false;
	}
	return true;
}

void net_set_offload(struct net_backend *backend, unsigned flags)
{
	if (backend->offload && ioctl(backend->fd, TUNSETOFFLOAD, (unsigned long)flags) != 0)
		vmm_log(backend->vmm, "network: offloads %#x: %s", flags, strerror(errno));
}

/* Receiving --------------------------------------------------------------------------------------
 */

/* Reads more; false: there is nothing. */
static bool fill(struct net_backend *backend)
{
	ssize_t bytes;

	if (backend->dead)
		return false;
	if (backend->first != 0) {
		memmove(backend->in, backend->in + backend->first, backend->last - backend->first);
		backend->last -= backend->first;
		backend->first = 0;
	}
	if (backend->kind == VIRTIO_NET_TAP && backend->last != 0)
		return false;
	bytes = read(backend->fd, backend->in + backend->last, NET_BUFFER - backend->last);
	if (bytes > 0) {
		backend->last += (size_t)bytes;
		return true;
	}
	if (bytes == 0)
		die(backend, "the other side has gone");
	else if (errno != EAGAIN && errno != EINTR)
		die(backend, strerror(errno));
	return false;
}

/* The length of the frame at the start of in[], if all of it is there. */
static bool framed(struct net_backend *backend, size_t *bytes)
{
	size_t there = backend->last - backend->first;
	uint32_t length;

	if (backend->kind == VIRTIO_NET_TAP) {
		*bytes = there;
		return there != 0;
	}
	if (there < LENGTH_BYTES)
		return false;
	memcpy(&length, backend->in + backend->first, LENGTH_BYTES);
	*bytes = ntohl(length);
	if (*bytes > NET_FRAME_MAX) {
		die(backend, "a frame longer than any");
		return false;
	}
	return there - LENGTH_BYTES >= *bytes;
}

uint8_t *net_receive(struct net_backend *backend, size_t *bytes)
{
	while (!framed(backend, bytes))
		if (!fill(backend))
			return NULL;
	return backend->in + backend->first + (backend->kind == VIRTIO_NET_TAP ? 0 : LENGTH_BYTES);
}

void net_received(struct net_backend *backend)
{
	size_t bytes;

	if (!framed(backend, &bytes))
		return;
	backend->first += bytes + (backend->kind == VIRTIO_NET_TAP ? 0 : LENGTH_BYTES);
	if (backend->first == backend->last)
		backend->first = backend->last = 0;
}

/* Sending ----------------------------------------------------------------------------------------
 */

/* Sends the rest of a frame; false: there still is one. */
static bool flush(struct net_backend *backend)
{
	while (backend->sent < backend->to_send) {
		ssize_t bytes = send(backend->fd, backend->out + backend->sent,
				     backend->to_send - backend->sent, MSG_NOSIGNAL);

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0 && errno == EAGAIN)
			return false;
		if (bytes < 0) {
			die(backend, strerror(errno));
			return true;
		}
		backend->sent += (size_t)bytes;
	}
	backend->sent = backend->to_send = 0;
	return true;
}

/* Keeps what is left of a message of which `sent` bytes are out. */
static void keep(struct net_backend *backend, const struct iovec *iov, size_t count, size_t sent)
{
	size_t skip = sent;

	backend->sent = backend->to_send = 0;
	for (size_t i = 0; i < count; i++) {
		size_t part = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		memcpy(backend->out + backend->to_send, (const uint8_t *)iov[i].iov_base + part,
		       iov[i].iov_len - part);
		backend->to_send += iov[i].iov_len - part;
		skip -= part;
	}
}

static enum net_sent send_stream(struct net_backend *backend, const struct iovec *iov,
				 unsigned count, size_t bytes)
{
	uint32_t length = htonl((uint32_t)bytes);
	struct iovec parts[SEND_PARTS + 1];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = count + 1};
	ssize_t sent;

	if (!flush(backend)) {
		wait_for_room(backend, true);
		return NET_WAIT;
	}
	parts[0] = (struct iovec){&length, LENGTH_BYTES};
	memcpy(&parts[1], iov, count * sizeof(*iov));
	sent = sendmsg(backend->fd, &message, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		wait_for_room(backend, true);
		return NET_WAIT;
	}
	if (sent < 0) {
		die(backend, strerror(errno));
		return NET_LOST;
	}
	if ((size_t)sent < bytes + LENGTH_BYTES) {
		keep(backend, parts, count + 1, (size_t)sent);
		wait_for_room(backend, true);
	}
	return NET_SENT;
}

enum net_sent net_send(struct net_backend *backend, const struct iovec *iov, unsigned count,
		       size_t bytes)
{
	if (backend->dead || bytes < ETHERNET_HEADER || count > SEND_PARTS ||
	    bytes > NET_FRAME_MAX + (backend->offload ? NET_HEADER_BYTES : 0))
		return NET_LOST;
	if (backend->kind == VIRTIO_NET_STREAM)
		return send_stream(backend, iov, count, bytes);
	if (writev(backend->fd, iov, (int)count) >= 0)
		return NET_SENT;
	if (errno != EAGAIN)
		return NET_LOST;
	wait_for_room(backend, true);
	return NET_WAIT;
}
