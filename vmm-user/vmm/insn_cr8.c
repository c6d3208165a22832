/* SPDX-License-Identifier: BSD-2-Clause */
/* MOV to CR8 (SDM volume 2, MOV to/from control registers; APM volume 3, LOCK MOV CR0). */
#include "vmm-user/vmm/insn_internal.h"

#define PREFIX_LOCK	0xf0
#define OPCODE_MOV_CR	0x220f /* 0f 22 */
#define MODRM_REG(byte) ((byte) >> 3 & 7)
#define CR8_MAX		15u

/* Prefixes that mean nothing here; LOCK stands for REX.R where there is no REX. */
static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64 ... 0x67:
	case 0xf2:
	case 0xf3:
	case PREFIX_LOCK:
		return true;
	default:
		return false;
	}
}

enum insn_result insn_write_cr8(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t *value)
{
	struct execution execution;
	uint64_t word[2];
	const uint8_t *byte = (const uint8_t *)word;
	unsigned bytes, at = 0, number = 0, rex = 0;

	insn_begin(&execution, vmm, area);
	bytes = insn_fetch(&execution, word, true);
	if (bytes == 0)
		return INSN_FAULT;
	for (; at < bytes && is_prefix(byte[at]); at++)
		if (byte[at] == PREFIX_LOCK)
			number = 8;
	if (at < bytes && execution.mode == MODE_64 && (byte[at] & 0xf0) == 0x40)
		rex = byte[at++];
	if (bytes < at + 3 || (byte[at] | byte[at + 1] << 8) != OPCODE_MOV_CR)
		return INSN_UNSUPPORTED;
	if (rex & 4)
		number = 8;
	if (MODRM_REG(byte[at + 2]) != 0 || number != 8)
		return INSN_UNSUPPORTED;
	*value = *insn_register(area, (byte[at + 2] & 7) | (rex & 1 ? 8 : 0));
	if (execution.mode != MODE_64)
		*value = (uint32_t)*value;
	if (*value > CR8_MAX) {
		insn_raise(area, INSN_GENERAL_PROTECTION, 0);
		return INSN_FAULT;
	}
	return insn_finish(&execution, area->rip + at + 3);
}
