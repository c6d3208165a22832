/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware configuration device (QEMU, docs/specs/fw_cfg.rst): a selector, a data register that
 * gives the selected item byte by byte, and a way to have it copied into memory. Items cannot be
 * written.
 */
#include <string.h>

#include "vmm-user/vmm/fw_cfg.h"
#include "vmm-user/vmm/machine.h"

#define FW_CFG_VERSION 1u
#define SELECTOR_PORT  FW_CFG_PORT /* and the data register behind it */
#define DMA_PORT       (FW_CFG_PORT + 4)

#define ID_TRADITIONAL 1u
#define ID_DMA	       2u
#define DMA_SIGNATURE  0x51454d5520434647ull /* "QEMU CFG" */

#define DMA_ERROR	    0x01u
#define DMA_READ	    0x02u
#define DMA_SKIP	    0x04u
#define DMA_SELECT	    0x08u
#define DMA_WRITE	    0x10u
#define DMA_SELECTED(value) ((uint16_t)((value) >> 16))

#define SELECTOR_BITS 0x3fffu /* bit 15: architecture-specific; bit 14: for writing, once */

/* All of it big-endian. */
struct dma_access {
	uint32_t control, length;
	uint64_t address;
};

struct directory_entry {
	uint32_t bytes;
	uint16_t key, reserved;
	char name[FW_CFG_NAME_BYTES];
};

struct fw_cfg_state {
	uint64_t dma_address; /* the half of it that has been written */
	uint32_t offset;      /* of the next byte of the selected item */
	uint16_t selected, reserved;
};

struct fw_cfg {
	struct vmm *vmm;
	struct fw_cfg_state *state;
	struct {
		const uint8_t *content;
		uint32_t bytes;
	} item[FW_CFG_ITEMS];
	unsigned files;
	struct {
		uint32_t count;
		struct directory_entry entry[FW_CFG_FILES];
	} directory;
	uint32_t id;
};

static struct fw_cfg device;

/* Reading ------------------------------------------------------------------------------------ */

static void select_item(struct fw_cfg *fw_cfg, uint16_t key)
{
	fw_cfg->state->selected = key;
	fw_cfg->state->offset = 0;
}

/* What is left of the selected item; an item that does not exist has nothing. */
static uint32_t left(const struct fw_cfg *fw_cfg, const uint8_t **content)
{
	unsigned key = fw_cfg->state->selected;
	uint32_t offset = fw_cfg->state->offset;

	if ((key & SELECTOR_BITS) != key || key >= FW_CFG_ITEMS ||
	    offset >= fw_cfg->item[key].bytes)
		return 0;
	*content = fw_cfg->item[key].content + offset;
	return fw_cfg->item[key].bytes - offset;
}

static void advance(struct fw_cfg *fw_cfg, uint32_t bytes)
{
	uint32_t offset = fw_cfg->state->offset;

	fw_cfg->state->offset = offset + bytes < offset ? UINT32_MAX : offset + bytes;
}

/* Behind the end there are zeros. */
static uint64_t next_byte(struct fw_cfg *fw_cfg)
{
	const uint8_t *content;

	if (left(fw_cfg, &content) == 0)
		return 0;
	advance(fw_cfg, 1);
	return *content;
}

static bool copy(struct fw_cfg *fw_cfg, uint64_t address, uint32_t length)
{
	const uint8_t *content;
	uint32_t real = left(fw_cfg, &content);
	uint8_t *to = guest_memory(fw_cfg->vmm, address, length);

	if (to == NULL)
		return false;
	if (real > length)
		real = length;
	if (real > 0)
		memcpy(to, content, real);
	memset(to + real, 0, length - real);
	guest_memory_dirty(fw_cfg->vmm, address, length);
	advance(fw_cfg, length);
	return true;
}

/* Direct memory access ----------------------------------------------------------------------- */

/* The guest may change the structure at any time: it is taken once. */
static void dma(struct fw_cfg *fw_cfg, uint64_t at)
{
	struct dma_access *shared = guest_memory(fw_cfg->vmm, at, sizeof(*shared));
	struct dma_access access;
	uint32_t control, length;
	bool done = true;

	if (shared == NULL)
		return;
	memcpy(&access, shared, sizeof(access));
	control = __builtin_bswap32(access.control);
	length = __builtin_bswap32(access.length);
	if (control & DMA_SELECT)
		select_item(fw_cfg, DMA_SELECTED(control));
	if (control & DMA_READ)
		done = length == 0 || copy(fw_cfg, __builtin_bswap64(access.address), length);
	else if (control & DMA_WRITE)
		done = false;
	else if (control & DMA_SKIP)
		advance(fw_cfg, length);
	access.control = __builtin_bswap32(done ? 0 : DMA_ERROR);
	memcpy(shared, &access.control, sizeof(access.control));
	guest_memory_dirty(fw_cfg->vmm, at, sizeof(access.control));
}

/* Registers ---------------------------------------------------------------------------------- */

static uint64_t register_read(void *context, uint64_t offset, unsigned bytes)
{
	/* The data register is one byte wide, the selector can only be written. */
	return offset == 1 && bytes == 1 ? next_byte(context) : 0;
}

static void register_write(void *context, uint64_t offset, unsigned bytes, uint64_t value)
{
	if (offset == 0 && bytes == 2)
		select_item(context, (uint16_t)value);
}

/* The address register is big-endian; writing its low half starts the access. */
static uint64_t dma_read(void *context, uint64_t offset, unsigned bytes)
{
	(void)context;
	(void)bytes;
	return __builtin_bswap64(DMA_SIGNATURE) >> (8 * offset);
}

static void dma_write(void *context, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct fw_cfg *fw_cfg = context;
	struct fw_cfg_state *state = fw_cfg->state;
	uint64_t at;

	if (bytes == 8 && offset == 0) {
		state->dma_address = 0;
		dma(fw_cfg, __builtin_bswap64(value));
	} else if (bytes == 4 && offset == 0) {
		state->dma_address = (uint64_t)__builtin_bswap32((uint32_t)value) << 32;
	} else if (bytes == 4 && offset == 4) {
		at = state->dma_address | __builtin_bswap32((uint32_t)value);
		state->dma_address = 0;
		dma(fw_cfg, at);
	}
}

/* Items -------------------------------------------------------------------------------------- */

bool fw_cfg_add(struct vmm *vmm, uint16_t key, const void *content, uint32_t bytes)
{
	if (key >= FW_CFG_FILE_FIRST || device.item[key].content != NULL) {
		vmm_log(vmm, "fw_cfg: item %#x cannot be added", key);
		return false;
	}
	device.item[key].content = content;
	device.item[key].bytes = bytes;
	return true;
}

bool fw_cfg_add_file(struct vmm *vmm, const char *name, const void *content, uint32_t bytes)
{
	struct directory_entry *entry = &device.directory.entry[device.files];
	uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + device.files);
	bool known = false;

	for (unsigned i = 0; i < device.files; i++)
		if (strcmp(device.directory.entry[i].name, name) == 0)
			known = true;
	if (known || device.files == FW_CFG_FILES || strlen(name) >= FW_CFG_NAME_BYTES) {
		vmm_log(vmm, "fw_cfg: file %s cannot be added", name);
		return false;
	}
	*entry = (struct directory_entry){.bytes = __builtin_bswap32(bytes),
					  .key = __builtin_bswap16(key)};
	strcpy(entry->name, name);
	device.item[key].content = content;
	device.item[key].bytes = bytes;
	device.files++;
	device.directory.count = __builtin_bswap32(device.files);
	device.item[FW_CFG_FILE_DIR].bytes =
		(uint32_t)(sizeof(device.directory.count) +
			   device.files * sizeof(struct directory_entry));
	return true;
}

bool fw_cfg_create(struct vmm *vmm)
{
	const struct bus_range registers = {"fw_cfg",	   SELECTOR_PORT,  2,
					    register_read, register_write, &device};
	const struct bus_range address = {"fw_cfg DMA", DMA_PORT, 8, dma_read, dma_write, &device};
	bool fresh;

	memset(&device, 0, sizeof(device));
	device.vmm = vmm;
	device.state =
		state_section(vmm, "fw-cfg", 0, FW_CFG_VERSION, sizeof(*device.state), &fresh);
	if (device.state == NULL)
		return false;
	device.id = ID_TRADITIONAL | ID_DMA; /* little-endian, as the host is */
	return fw_cfg_add(vmm, FW_CFG_SIGNATURE, "QEMU", 4) &&
	       fw_cfg_add(vmm, FW_CFG_ID, &device.id, sizeof(device.id)) &&
	       fw_cfg_add(vmm, FW_CFG_FILE_DIR, &device.directory,
			  sizeof(device.directory.count)) &&
	       bus_add(vmm, BUS_PORT, &registers) && bus_add(vmm, BUS_PORT, &address);
}
