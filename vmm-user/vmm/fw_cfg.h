/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware configuration device: numbered items and named files that firmware reads (QEMU,
 * docs/specs/fw_cfg.rst).
 */
#ifndef VMM_FW_CFG_H
#define VMM_FW_CFG_H

#include "vmm-user/vmm/vmm.h"

#define FW_CFG_PORT	  0x510u /* selector, data, and from 0x514 on direct memory access */
#define FW_CFG_PORTS	  12u
#define FW_CFG_FILES	  64u
#define FW_CFG_NAME_BYTES 56u

/* Selectors that are not files. */
#define FW_CFG_SIGNATURE  0x00
#define FW_CFG_ID	  0x01
#define FW_CFG_RAM_SIZE	  0x03
#define FW_CFG_NB_CPUS	  0x05
#define FW_CFG_BOOT_MENU  0x0e
#define FW_CFG_MAX_CPUS	  0x0f
#define FW_CFG_FILE_DIR	  0x19
#define FW_CFG_FILE_FIRST 0x20
#define FW_CFG_ITEMS	  (FW_CFG_FILE_FIRST + FW_CFG_FILES)

bool fw_cfg_create(struct vmm *vmm);
/*
 * Gives item `key` (below FW_CFG_FILE_FIRST) that content, which must stay where it is and as it
 * is. False, reported: there is no such key, or it has content.
 */
bool fw_cfg_add(struct vmm *vmm, uint16_t key, const void *content, uint32_t bytes);
/*
 * The same for a file. Files get their selectors in the order in which they are added, so a VMM
 * that takes over must add the same ones. False, reported: the name is too long or there already,
 * or there are too many.
 */
bool fw_cfg_add_file(struct vmm *vmm, const char *name, const void *content, uint32_t bytes);

#endif
