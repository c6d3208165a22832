/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of its memory the guest uses: a balloon in it takes pages from its system and gives them
 * to nobody. They stay mapped and keep what is in them: a domain's memory is one device of its own,
 * of which no page can go to another domain, so there is nothing to be won by losing it. What
 * changes, socled is told, but not as often as a guest likes.
 */
#include "vmm-user/vmm/machine.h"
#include "vmm-user/vmm/virtio.h"

#define STATISTIC_FREE 4u /* virtio 1.2, section 5.5.6.4: memory that is not used at all */
#define NEWS_INTERVAL  100000000ull /* nanoseconds */

static struct vmm_timer timer;

static void pages(void *context, uint64_t at, uint64_t bytes, bool inflated)
{
	(void)context;
	(void)at;
	(void)bytes;
	(void)inflated;
}

/* With the lock held, on any thread. */
static void told(void *context)
{
	struct vmm *vmm = context;

	if (timer.deadline == 0)
		timer_set(vmm, &timer, vmm_now(vmm) + NEWS_INTERVAL);
}

static void expired(void *vmm)
{
	control_memory(vmm);
}

bool ram_target_create(struct vmm *vmm)
{
	static const struct virtio_balloon_hooks hooks = {.pages = pages, .told = told};

	timer = (struct vmm_timer){.expired = expired, .device = vmm};
	vmm->balloon = virtio_balloon_create(vmm, &hooks, vmm);
	return vmm->balloon != NULL;
}

void ram_target_set(struct vmm *vmm, uint64_t bytes)
{
	uint64_t all = vmm->config.memory_bytes;

	virtio_balloon_target(vmm->balloon, bytes < all ? all - bytes : 0);
	virtio_balloon_ask(vmm->balloon);
}

uint64_t ram_target_actual(const struct vmm *vmm)
{
	uint64_t all = vmm->config.memory_bytes, taken = virtio_balloon_actual(vmm->balloon);

	return taken < all ? all - taken : 0;
}

bool ram_target_free(const struct vmm *vmm, uint64_t *free_bytes)
{
	return virtio_balloon_statistic(vmm->balloon, STATISTIC_FREE, free_bytes);
}
