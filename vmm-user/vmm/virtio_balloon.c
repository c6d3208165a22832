/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory balloon (virtio 1.2, section 5.5): inflate, deflate and statistics. */
#include <stdlib.h>
#include <string.h>

#include "vmm-user/vmm/virtio.h"

#define BALLOON_CLASS  0x00ff00u
#define BALLOON_QUEUE  128u
#define BALLOON_BUDGET 16u
#define BALLOON_PAGES  1024u /* page numbers in a request at most */
#define BALLOON_TAGS   16u
#define PAGE	       4096ull

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATISTICS, QUEUES };

/* Section 5.5.3. */
#define BALLOON_F_MUST_TELL_HOST (1ull << 0)
#define BALLOON_F_STATS_VQ	 (1ull << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)

/* Section 5.5.4. */
struct balloon_config {
	uint32_t pages, actual;
};
#define CONFIG_ACTUAL 4

/* Section 5.5.6.3. */
struct balloon_statistic {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

/* In the state region. */
struct balloon_state {
	struct balloon_config config;
	uint64_t value[BALLOON_TAGS];
	uint32_t told; /* tags that have a value */
	uint32_t asked;
};

struct virtio_balloon {
	struct virtio_device virtio;
	struct balloon_state *state;
	const struct virtio_balloon_hooks *hooks;
	void *context;
	struct virtq_chain chain;
	uint32_t page[BALLOON_PAGES];
};

/*
 * The page numbers of a chain. Neighbours are told at once; what is not all RAM is skipped: the
 * guest only harms itself.
 */
static void pages(struct virtio_balloon *balloon, bool inflated)
{
	struct vmm *vmm = balloon->virtio.vmm;
	size_t count = virtq_read(&balloon->chain, 0, balloon->page, sizeof(balloon->page)) / 4;

	for (size_t i = 0; i < count;) {
		uint64_t at = balloon->page[i] * PAGE, run = 1;

		while (i + run < count && balloon->page[i + run] == balloon->page[i] + run)
			run++;
		i += run;
		if (guest_memory(vmm, at, run * PAGE) != NULL)
			balloon->hooks->pages(balloon->context, at, run * PAGE, inflated);
	}
}

static void tell(struct virtio_balloon *balloon)
{
	if (balloon->hooks->told != NULL)
		balloon->hooks->told(balloon->context);
}

static void change(struct virtio_balloon *balloon, unsigned index)
{
	struct virtq *queue = &balloon->virtio.queue[index];
	unsigned budget = BALLOON_BUDGET;

	for (; budget != 0 && virtq_take(queue, &balloon->chain); budget--) {
		if (balloon->chain.out_bytes > sizeof(balloon->page)) {
			virtio_broken(&balloon->virtio, "more pages than a request may have");
			return;
		}
		pages(balloon, index == QUEUE_INFLATE);
		virtq_give(queue, balloon->chain.head, 0);
	}
	virtq_signal(queue);
	if (budget == 0)
		virtio_later(&balloon->virtio, index);
}

/*
 * The driver gives one buffer, and gets it back when statistics are wanted: then it fills it in and
 * gives it again. It is not taken before that: the next one taken is the last one's answer.
 */
static void statistics(struct virtio_balloon *balloon)
{
	struct virtq *queue = &balloon->virtio.queue[QUEUE_STATISTICS];
	struct balloon_state *state = balloon->state;
	struct balloon_statistic statistic;

	if (!virtq_take(queue, &balloon->chain))
		return;
	for (unsigned i = 0; i < 2 * BALLOON_TAGS; i++) {
		if (virtq_read(&balloon->chain, i * sizeof(statistic), &statistic,
			       sizeof(statistic)) != sizeof(statistic))
			break;
		if (statistic.tag >= BALLOON_TAGS)
			continue;
		state->value[statistic.tag] = statistic.value;
		state->told |= 1u << statistic.tag;
	}
	tell(balloon);
	if (state->asked) {
		state->asked = 0;
		virtq_give(queue, balloon->chain.head, 0);
		virtq_signal(queue);
	} else {
		virtq_untake(queue, balloon->chain.head);
	}
}

static void notify(void *device, unsigned queue)
{
	if (queue == QUEUE_STATISTICS)
		statistics(device);
	else
		change(device, queue);
}

static void config_write(void *device, unsigned offset, unsigned bytes, uint64_t value)
{
	struct virtio_balloon *balloon = device;

	if (offset != CONFIG_ACTUAL || bytes != 4)
		return;
	balloon->state->config.actual = (uint32_t)value;
	tell(balloon);
}

static bool reset(void *device)
{
	struct virtio_balloon *balloon = device;

	balloon->state->config.actual = 0;
	balloon->state->told = 0;
	balloon->state->asked = 0;
	return true;
}

void virtio_balloon_target(struct virtio_balloon *balloon, uint64_t bytes)
{
	uint64_t limit =
		guest_memory_low(balloon->virtio.vmm) + guest_memory_high(balloon->virtio.vmm);

	balloon->state->config.pages = (uint32_t)((bytes < limit ? bytes : limit) / PAGE);
	virtio_config_changed(&balloon->virtio);
}

uint64_t virtio_balloon_actual(const struct virtio_balloon *balloon)
{
	return balloon->state->config.actual * PAGE;
}

bool virtio_balloon_statistic(const struct virtio_balloon *balloon, unsigned tag, uint64_t *value)
{
	if (tag >= BALLOON_TAGS || !(balloon->state->told & 1u << tag))
		return false;
	*value = balloon->state->value[tag];
	return true;
}

void virtio_balloon_ask(struct virtio_balloon *balloon)
{
	balloon->state->asked = 1;
	statistics(balloon);
}

/* Makes a balloon. NULL, reported: no slot is free. */
struct virtio_balloon *
virtio_balloon_create(struct vmm *vmm, const struct virtio_balloon_hooks *hooks, void *context)
{
	struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));

	if (balloon == NULL)
		return NULL;
	balloon->hooks = hooks;
	balloon->context = context;
	balloon->virtio =
		(struct virtio_device){.vmm = vmm,
				       .name = "virtio-balloon",
				       .type = VIRTIO_TYPE_BALLOON,
				       .class = BALLOON_CLASS,
				       .features = BALLOON_F_MUST_TELL_HOST | BALLOON_F_STATS_VQ |
						   BALLOON_F_DEFLATE_ON_OOM,
				       .queues = QUEUES,
				       .queue_size = {BALLOON_QUEUE, BALLOON_QUEUE, BALLOON_QUEUE},
				       .own_bytes = sizeof(*balloon->state),
				       .config_bytes = sizeof(balloon->state->config),
				       .device = balloon,
				       .notify = notify,
				       .config_write = config_write,
				       .reset = reset};
	if (!virtio_add(&balloon->virtio))
		return NULL;
	balloon->state = balloon->virtio.own;
	balloon->virtio.config = (uint8_t *)&balloon->state->config;
	return balloon;
}
