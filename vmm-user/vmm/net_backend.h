/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a network device's frames go and come from. */
#ifndef VMM_NET_BACKEND_H
#define VMM_NET_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm-user/vmm/virtio.h"

#define NET_HEADER_BYTES 12u /* struct virtio_net_hdr of modern devices (section 5.1.6) */
#define NET_FRAME_MAX	 (65535u + 18u)
#define NET_BUFFER	 (2u * (NET_HEADER_BYTES + NET_FRAME_MAX + 4u))

struct net_backend {
	struct vmm *vmm;
	enum virtio_net_backend kind;
	int fd;
	bool offload; /* frames come and go behind a struct virtio_net_hdr */
	void *device;
	void (*readable)(void *device); /* frames may be there */
	void (*writable)(void *device); /* there is room again, after net_send() said wait */

	bool watching_in, watching_out, dead;
	uint64_t dropped;     /* frames to the guest that were no frames */
	size_t first, last;   /* what is in in[] */
	size_t sent, to_send; /* of out[]: the rest of a frame of which a part was sent */
	uint8_t in[NET_BUFFER], out[NET_BUFFER];
};

enum net_sent { NET_SENT, NET_WAIT, NET_LOST };

/* False, reported: the descriptor is not one that the kind needs. */
bool net_open(struct net_backend *backend);
/* Whether readable() is to be called. */
void net_listen(struct net_backend *backend, bool on);
/*
 * The next frame, with its header if backend->offload, and how long it is; NULL: none is there. It
 * stays the next one, and its memory valid, until net_received().
 */
uint8_t *net_receive(struct net_backend *backend, size_t *bytes);
void net_received(struct net_backend *backend);
/*
 * Sends a frame of `bytes` (with its header if backend->offload). NET_WAIT: not now, writable()
 * will be called. NET_LOST: never.
 */
enum net_sent net_send(struct net_backend *backend, const struct iovec *iov, unsigned count,
		       size_t bytes);
/* Which offloads the guest can take from now on (TUN_F_*), for a tap device with headers. */
void net_set_offload(struct net_backend *backend, unsigned flags);

#endif
