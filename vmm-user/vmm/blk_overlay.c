/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The overlay of a snapshot: a sparse file as long as the image, and behind it one bit a sector,
 * set if the sector was written since. With a bit a sector nothing ever has to be copied first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm-user/vmm/blk_image.h"
#include "vmm-user/vmm/vmm.h"

#define PAGE 4096ull

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/*
 * Makes an overlay for an image of `bytes`, in an unnamed file in that directory, or in memory
 * (directory NULL). False: reported.
 */
bool blk_overlay_create(struct vmm *vmm, struct blk_overlay *overlay, const char *directory,
			uint64_t bytes)
{
	uint64_t start = round_up(bytes, PAGE), length;
	void *bits = MAP_FAILED;

	overlay->sectors = bytes / BLK_SECTOR;
	length = round_up((overlay->sectors + 7) / 8, PAGE);
	overlay->fd = directory == NULL ? memfd_create("snapshot", MFD_CLOEXEC)
					: open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (overlay->fd >= 0 && ftruncate(overlay->fd, (off_t)(start + length)) == 0)
		bits = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, overlay->fd,
			    (off_t)start);
	if (bits == MAP_FAILED) {
		vmm_log(vmm, "snapshot: no room for it in %s: %s",
			directory == NULL ? "memory" : directory, strerror(errno));
		if (overlay->fd >= 0)
			close(overlay->fd);
		overlay->fd = -1;
		return false;
	}
	overlay->bits = bits;
	return true;
}

static bool bit(const struct blk_overlay *overlay, uint64_t sector)
{
	return overlay->bits[sector / 8] >> sector % 8 & 1;
}

uint64_t blk_overlay_run(const struct blk_overlay *overlay, uint64_t offset, uint64_t bytes,
			 bool *there)
{
	uint64_t first = offset / BLK_SECTOR, end = (offset + bytes) / BLK_SECTOR;
	uint64_t sector = first;

	*there = bit(overlay, first);
	while (sector < end) {
		uint8_t whole = *there ? 0xff : 0;

		if (sector % 8 == 0 && end - sector >= 8 && overlay->bits[sector / 8] == whole)
			sector += 8;
		else if (bit(overlay, sector) == *there)
			sector++;
		else
			break;
	}
	return (sector - first) * BLK_SECTOR;
}

void blk_overlay_set(struct blk_overlay *overlay, uint64_t offset, uint64_t bytes)
{
	uint64_t end = (offset + bytes) / BLK_SECTOR;

	for (uint64_t sector = offset / BLK_SECTOR; sector < end;) {
		if (sector % 8 == 0 && end - sector >= 8) {
			overlay->bits[sector / 8] = 0xff;
			sector += 8;
		} else {
			overlay->bits[sector / 8] |= (uint8_t)(1u << sector % 8);
			sector++;
		}
	}
}
