/* SPDX-License-Identifier: BSD-2-Clause */
/* Network device (virtio 1.2, section 5.1). The frames' other end is net_backend.c's. */
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-user/vmm/net_backend.h"
#include "vmm-user/vmm/virtio.h"

#define NET_CLASS	  0x020000u
#define NET_QUEUE	  256u
#define NET_CONTROL_QUEUE 64u
#define NET_BUFFERS	  64u /* that one frame may be spread over */
#define NET_BUDGET	  256u

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUE_CONTROL, QUEUES };

/* Section 5.1.3. */
#define NET_F_CSUM	    (1ull << 0)
#define NET_F_GUEST_CSUM    (1ull << 1)
#define NET_F_MTU	    (1ull << 3)
#define NET_F_MAC	    (1ull << 5)
#define NET_F_GUEST_TSO4    (1ull << 7)
#define NET_F_GUEST_TSO6    (1ull << 8)
#define NET_F_GUEST_ECN	    (1ull << 9)
#define NET_F_HOST_TSO4	    (1ull << 11)
#define NET_F_HOST_TSO6	    (1ull << 12)
#define NET_F_HOST_ECN	    (1ull << 13)
#define NET_F_MRG_RXBUF	    (1ull << 15)
#define NET_F_STATUS	    (1ull << 16)
#define NET_F_CTRL_VQ	    (1ull << 17)
#define NET_F_CTRL_RX	    (1ull << 18)
#define NET_F_CTRL_MAC_ADDR (1ull << 23)

#define NET_S_LINK_UP 1u

/* Section 5.1.6.5: the control queue. */
#define CONTROL_RX	 0u
#define CONTROL_RX_LAST	 5u /* promiscuous .. no broadcast: all frames are delivered anyhow */
#define CONTROL_MAC	 1u
#define CONTROL_MAC_SET	 1u
#define CONTROL_MAC_LAST 1u
#define CONTROL_OK	 0u
#define CONTROL_ERROR	 1u

/* Section 5.1.6: where num_buffers is. */
#define HEADER_BUFFERS 10u

/* Section 5.1.4. */
struct net_config {
	uint8_t mac[6];
	uint16_t status, queue_pairs, mtu;
};
#define NET_CONFIG_BYTES 12

/* In the state region. */
struct net_state {
	uint8_t mac[6]; /* the guest may have set another */
	uint8_t reserved[2];
};

struct virtio_net {
	struct virtio_device virtio;
	struct net_config config;
	struct net_state *state;
	struct net_backend backend;
	struct virtq_chain chain;
	struct iovec part[VIRTQ_CHAIN_MAX];
};

/* Receiving --------------------------------------------------------------------------------------
 */

enum delivery { DELIVERED, NO_BUFFERS, UNFIT };

/* A frame on its way to the guest: header, then the frame itself. */
struct arrival {
	uint8_t header[NET_HEADER_BYTES];
	const uint8_t *frame;
	size_t total;		 /* bytes, with the header */
	struct iovec buffers[2]; /* where the header's num_buffers is, in two parts at worst */
	unsigned buffer_parts;
};

/* Writes [from, from + bytes) of it to the chain; the first chain has the header, whole. */
static void write_part(struct virtio_net *net, struct arrival *arrival, size_t from, size_t bytes)
{
	struct virtq *queue = &net->virtio.queue[QUEUE_RECEIVE];
	const struct virtq_chain *chain = &net->chain;
	size_t skip = 0;

	if (from == 0) {
		skip = NET_HEADER_BYTES;
		virtq_write(queue, chain, 0, arrival->header, NET_HEADER_BYTES);
		/* Two bytes are in two buffers at most, the first of which is not empty. */
		for (unsigned i = 0; i < 2; i++)
			arrival->buffer_parts += iov_part(&arrival->buffers[arrival->buffer_parts],
							  chain->iov + chain->outs, chain->ins,
							  HEADER_BUFFERS + i, 1);
	}
	virtq_write(queue, chain, skip, arrival->frame + (from + skip - NET_HEADER_BYTES),
		    bytes - skip);
}

/*
 * Spreads header and frame over as many buffers as it takes (section 5.1.6.4): with mergeable
 * buffers up to NET_BUFFERS, else one.
 */
static enum delivery spread(struct virtio_net *net, struct arrival *arrival)
{
	struct virtq *queue = &net->virtio.queue[QUEUE_RECEIVE];
	unsigned limit = net->virtio.state->features & NET_F_MRG_RXBUF ? NET_BUFFERS : 1;
	uint16_t heads[NET_BUFFERS], count = 0;
	enum delivery result = UNFIT;

	for (size_t done = 0; done < arrival->total;) {
		size_t part = arrival->total - done;

		if (count == limit)
			goto back;
		result = NO_BUFFERS;
		if (!virtq_take(queue, &net->chain))
			goto back;
		result = UNFIT;
		heads[count] = net->chain.head;
		if (part > net->chain.in_bytes)
			part = net->chain.in_bytes;
		if (done == 0 && part < NET_HEADER_BYTES) {
			virtio_broken(&net->virtio, "a receive buffer without room for a header");
			return NO_BUFFERS;
		}
		write_part(net, arrival, done, part);
		virtq_put(queue, count++, net->chain.head, (uint32_t)part);
		done += part;
	}
	for (unsigned i = 0; i < arrival->buffer_parts; i++)
		*(uint8_t *)arrival->buffers[i].iov_base = (uint8_t)(count >> (8 * i));
	virtq_dirty(queue, arrival->buffers, arrival->buffer_parts, arrival->buffer_parts);
	virtq_publish(queue, count);
	return DELIVERED;
back:
	while (count > 0)
		virtq_untake(queue, heads[--count]);
	return result;
}

static void receive(struct virtio_net *net)
{
	struct net_backend *backend = &net->backend;
	size_t skip = backend->offload ? NET_HEADER_BYTES : 0, bytes;
	enum delivery delivery = NO_BUFFERS;
	unsigned budget = NET_BUDGET;
	uint8_t *frame = NULL;

	while (!virtio_stopped(&net->virtio) && budget != 0 &&
	       (frame = net_receive(backend, &bytes)) != NULL) {
		struct arrival arrival = {.frame = frame + skip,
					  .total = NET_HEADER_BYTES + bytes - skip};

		budget--;
		delivery = UNFIT;
		if (bytes > skip) {
			memcpy(arrival.header, frame, skip);
			delivery = spread(net, &arrival);
		}
		if (delivery == NO_BUFFERS)
			break;
		if (delivery == UNFIT)
			backend->dropped++;
		net_received(backend);
	}
	virtq_signal(&net->virtio.queue[QUEUE_RECEIVE]);
	/* Without buffers it goes on when the driver brings some. */
	net_listen(backend,
		   !virtio_stopped(&net->virtio) && !(frame != NULL && delivery == NO_BUFFERS));
	if (budget == 0)
		virtio_later(&net->virtio, QUEUE_RECEIVE);
}

static void readable(void *device)
{
	receive(device);
}

/* Transmitting -----------------------------------------------------------------------------------
 */

static void transmit(struct virtio_net *net)
{
	struct virtq *queue = &net->virtio.queue[QUEUE_TRANSMIT];
	struct virtq_chain *chain = &net->chain;
	uint64_t skip = net->backend.offload ? 0 : NET_HEADER_BYTES;
	unsigned budget = NET_BUDGET;

	for (; budget != 0 && virtq_take(queue, chain); budget--) {
		unsigned count;

		if (chain->out_bytes < NET_HEADER_BYTES) {
			virtio_broken(&net->virtio, "a frame to send without a header");
			return;
		}
		count = iov_part(net->part, chain->iov, chain->outs, skip, chain->out_bytes - skip);
		if (net_send(&net->backend, net->part, count, chain->out_bytes - skip) ==
		    NET_WAIT) {
			virtq_untake(queue, chain->head);
			break;
		}
		virtq_give(queue, chain->head, 0);
	}
	virtq_signal(queue);
	if (budget == 0)
		virtio_later(&net->virtio, QUEUE_TRANSMIT);
}

static void writable(void *device)
{
	transmit(device);
}

/* Control ----------------------------------------------------------------------------------------
 */

static uint8_t command(struct virtio_net *net)
{
	uint8_t header[2], mac[6];

	if (virtq_read(&net->chain, 0, header, 2) != 2)
		return CONTROL_ERROR;
	if (header[0] == CONTROL_RX && header[1] <= CONTROL_RX_LAST)
		return CONTROL_OK;
	if (header[0] != CONTROL_MAC || header[1] > CONTROL_MAC_LAST)
		return CONTROL_ERROR;
	if (header[1] == CONTROL_MAC_SET) {
		if (virtq_read(&net->chain, 2, mac, sizeof(mac)) != sizeof(mac))
			return CONTROL_ERROR;
		memcpy(net->state->mac, mac, sizeof(mac));
		memcpy(net->config.mac, mac, sizeof(mac));
	}
	return CONTROL_OK;
}

static void control(struct virtio_net *net)
{
	struct virtq *queue = &net->virtio.queue[QUEUE_CONTROL];
	unsigned budget = NET_BUDGET;

	for (; budget != 0 && virtq_take(queue, &net->chain); budget--) {
		uint8_t answer = command(net);

		if (virtq_write(queue, &net->chain, 0, &answer, 1) != 1) {
			virtio_broken(&net->virtio, "a command without room for its answer");
			return;
		}
		virtq_give(queue, net->chain.head, 1);
	}
	virtq_signal(queue);
	if (budget == 0)
		virtio_later(&net->virtio, QUEUE_CONTROL);
}

/* The device -------------------------------------------------------------------------------------
 */

static void notify(void *device, unsigned queue)
{
	struct virtio_net *net = device;

	switch (queue) {
	case QUEUE_RECEIVE:
		receive(net);
		break;
	case QUEUE_TRANSMIT:
		transmit(net);
		break;
	default:
		control(net);
	}
}

static void started(void *device)
{
	struct virtio_net *net = device;
	uint64_t features = net->virtio.state->features;
	unsigned flags = 0;

	if (features & NET_F_GUEST_CSUM) {
		flags |= TUN_F_CSUM;
		flags |= features & NET_F_GUEST_TSO4 ? TUN_F_TSO4 : 0;
		flags |= features & NET_F_GUEST_TSO6 ? TUN_F_TSO6 : 0;
		flags |= features & NET_F_GUEST_ECN ? TUN_F_TSO_ECN : 0;
	}
	net_set_offload(&net->backend, flags);
	net_listen(&net->backend, true);
}

static bool reset(void *device)
{
	struct virtio_net *net = device;

	net_listen(&net->backend, false);
	return true;
}

static void configure(struct virtio_net *net, const struct virtio_net_options *options)
{
	struct virtio_device *virtio = &net->virtio;

	net->config.status = NET_S_LINK_UP;
	net->config.queue_pairs = 1;
	net->config.mtu = options->mtu;
	virtio->features = NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | NET_F_CTRL_VQ |
			   NET_F_CTRL_RX | NET_F_CTRL_MAC_ADDR;
	if (options->mtu != 0)
		virtio->features |= NET_F_MTU;
	if (net->backend.offload)
		virtio->features |= NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 |
				    NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | NET_F_HOST_TSO4 |
				    NET_F_HOST_TSO6 | NET_F_HOST_ECN;
	virtio->name = "virtio-net";
	virtio->type = VIRTIO_TYPE_NET;
	virtio->class = NET_CLASS;
	virtio->queues = QUEUES;
	virtio->queue_size[QUEUE_RECEIVE] = NET_QUEUE;
	virtio->queue_size[QUEUE_TRANSMIT] = NET_QUEUE;
	virtio->queue_size[QUEUE_CONTROL] = NET_CONTROL_QUEUE;
	virtio->config = (uint8_t *)&net->config;
	virtio->config_bytes = NET_CONFIG_BYTES;
	virtio->own_bytes = sizeof(*net->state);
	virtio->device = net;
	virtio->notify = notify;
	virtio->started = started;
	virtio->reset = reset;
}

/*
 * Makes a network device; options->fd is its own from now on. NULL, reported: the descriptor is not
 * one that the back end needs, or no slot is free.
 */
struct virtio_net *virtio_net_create(struct vmm *vmm, const struct virtio_net_options *options)
{
	struct virtio_net *net = calloc(1, sizeof(*net));

	if (net == NULL)
		return NULL;
	net->virtio.vmm = vmm;
	net->backend.vmm = vmm;
	net->backend.kind = options->backend;
	net->backend.fd = options->fd;
	net->backend.device = net;
	net->backend.readable = readable;
	net->backend.writable = writable;
	if (!net_open(&net->backend)) {
		free(net);
		return NULL;
	}
	configure(net, options);
	if (!virtio_add(&net->virtio))
		return NULL;
	net->state = net->virtio.own;
	if (net->virtio.fresh)
		memcpy(net->state->mac, options->mac, sizeof(options->mac));
	memcpy(net->config.mac, net->state->mac, sizeof(net->config.mac));
	return net;
}
