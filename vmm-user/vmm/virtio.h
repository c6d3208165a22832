/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices (virtio 1.2) behind the modern PCI transport, and the devices there are.
 *
 * A device has one struct virtio_device inside its own structure, fills in its upper part and calls
 * virtio_add(). From then on it is called, with the machine's lock held, when the driver notifies a
 * queue, and takes chains from it (virtqueue.h).
 */
#ifndef VMM_VIRTIO_H
#define VMM_VIRTIO_H

#include "vmm-user/vmm/pci.h"
#include "vmm-user/vmm/virtqueue.h"

#define VIRTIO_QUEUES	  16u
#define VIRTIO_NO_VECTOR  0xffffu
#define VIRTIO_CONFIG_MAX 256u /* bytes of device-specific configuration */

/* Section 5: device types; the PCI device id is 0x1040 more. */
enum virtio_type {
	VIRTIO_TYPE_NET = 1,
	VIRTIO_TYPE_BLOCK = 2,
	VIRTIO_TYPE_CONSOLE = 3,
	VIRTIO_TYPE_ENTROPY = 4,
	VIRTIO_TYPE_BALLOON = 5,
};

/* Section 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER	  0x02u
#define VIRTIO_STATUS_DRIVER_OK	  0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED	  0x80u

/* Section 6: features of all devices. The core offers these three. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

/* In the state region; the queues follow it. */
struct virtio_state {
	uint64_t features; /* accepted by the driver */
	uint32_t feature_select, driver_feature_select;
	uint16_t config_vector, queue_select;
	uint8_t status, isr, generation;
	uint8_t resetting; /* the driver asked for a reset; buffers are still in use */
	uint8_t reserved[4];
	struct virtq_state queue[];
};

struct virtio_device {
	/* Set by the device. */
	struct vmm *vmm;
	const char *name; /* at most 15 characters */
	enum virtio_type type;
	uint32_t class;	   /* PCI class code */
	uint64_t features; /* offered, beside the core's */
	unsigned queues;
	uint16_t queue_size[VIRTIO_QUEUES]; /* powers of two, at most VIRTQ_SIZE_MAX */
	uint8_t *config; /* device-specific configuration, kept up to date; may be NULL */
	unsigned config_bytes;
	size_t own_bytes; /* of the state region that the device wants for itself */
	void *device;
	/* The driver put something into that queue. */
	void (*notify)(void *device, unsigned queue);
	/* The driver wrote [offset, offset + bytes) of the configuration; NULL: read-only. */
	void (*config_write)(void *device, unsigned offset, unsigned bytes, uint64_t value);
	/* The driver set DRIVER_OK, or, after a takeover, had done so; may be NULL. */
	void (*started)(void *device);
	/*
	 * The driver resets the device: forget its buffers. False: some are in use; virtio_quiet()
	 * will be called when none is any more. May be NULL.
	 */
	bool (*reset)(void *device);

	/* The core's. */
	struct pci_device pci;
	unsigned window; /* offset of the capability that gives access to the BAR */
	struct virtio_state *state;
	void *own;		/* own_bytes, zeros if they are fresh */
	bool fresh;		/* no earlier process left this device */
	struct virtq *queue;	/* queues of them */
	struct vmm_timer timer; /* queues to be notified from the event loop */
	uint32_t later;
	bool resume;
};

/* Makes the PCI device. False: reported. A takeover goes on from the event loop. */
bool virtio_add(struct virtio_device *device);
/* True while the driver may not expect anything: not DRIVER_OK, broken, or being reset. */
bool virtio_stopped(const struct virtio_device *device);
/* The driver did what no driver may: asks for a reset (section 2.1.2), and says why in the log. */
void virtio_broken(struct virtio_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Interrupts the driver for a queue. */
void virtio_interrupt(struct virtio_device *device, struct virtq *queue);
/* The device changed its configuration: tells the driver (section 4.1.4.3.1). */
void virtio_config_changed(struct virtio_device *device);
/* notify() for that queue from the event loop: lets others have the lock in a long queue. */
void virtio_later(struct virtio_device *device, unsigned queue);
/* All buffers are given back: a reset that waited is done. */
void virtio_quiet(struct virtio_device *device);

/* Devices
 * --------------------------------------------------------------------------------------------- */

struct virtio_blk_options {
	const char *path; /* of a raw file or a block device; NULL: it is open already, as fd */
	int fd;		  /* the disk's from now on; open for writing unless it is only read */
	const char *id;	  /* what get-id says, at most 20 characters; NULL: none */
	const char *name; /* in messages; NULL: the path, or the id */
	bool readonly;
	bool snapshot; /* what is written is forgotten in the end */
	/* For a snapshot: where its temporary file is to be; NULL: in memory. */
	const char *directory;
	unsigned queues; /* 1 .. VIRTIO_QUEUES */
};
struct virtio_blk;
/* NULL: reported. */
struct virtio_blk *virtio_blk_create(struct vmm *vmm, const struct virtio_blk_options *options);
/* Waits until all that was written to the images of all disks is on the medium: at the end. */
void virtio_blk_flush_all(struct vmm *vmm);

enum virtio_net_backend {
	VIRTIO_NET_STREAM, /* a stream socket, each frame behind its length: passt(1) */
	VIRTIO_NET_TAP /* a tap device's descriptor (IFF_TAP | IFF_NO_PI, or IFF_VNET_HDR too) */
};
struct virtio_net_options {
	enum virtio_net_backend backend;
	int fd; /* the device's from now on */
	uint8_t mac[6];
	uint16_t mtu; /* bytes; what the guest is told; 0: nothing */
};
struct virtio_net;
struct virtio_net *virtio_net_create(struct vmm *vmm, const struct virtio_net_options *options);

struct virtio_console;
/* input and output: file descriptors, -1 for none; may be the same. */
struct virtio_console *virtio_console_create(struct vmm *vmm, int input, int output);

struct virtio_rng;
struct virtio_rng *virtio_rng_create(struct vmm *vmm);

struct virtio_balloon;
struct virtio_balloon_hooks {
	/*
	 * With inflated true: the guest does not use [at, at + bytes) of its memory, whose contents
	 * may be lost, any more; false: it does again.
	 */
	void (*pages)(void *context, uint64_t at, uint64_t bytes, bool inflated);
	/* The guest told how much it has given up in all, or new statistics. NULL: not wanted. */
	void (*told)(void *context);
};
struct virtio_balloon *
virtio_balloon_create(struct vmm *vmm, const struct virtio_balloon_hooks *hooks, void *context);
/* Asks the guest to give up `bytes` (whole 4 KiB pages) in all; what it has given up. */
void virtio_balloon_target(struct virtio_balloon *balloon, uint64_t bytes);
uint64_t virtio_balloon_actual(const struct virtio_balloon *balloon);
/* Statistic `tag` (section 5.5.6.4) as the guest last told; false: it did not. */
bool virtio_balloon_statistic(const struct virtio_balloon *balloon, unsigned tag, uint64_t *value);
/* Asks for new statistics; they come when the guest likes. */
void virtio_balloon_ask(struct virtio_balloon *balloon);

#endif
