/* SPDX-License-Identifier: BSD-2-Clause */
/* A hypercall with every register under control. registers.asm knows the offsets. */
#ifndef SOCLE_TEST_REGISTERS_H
#define SOCLE_TEST_REGISTERS_H

#include <stdint.h>

enum {
	REGISTER_RAX,
	REGISTER_RBX,
	REGISTER_RCX,
	REGISTER_RDX,
	REGISTER_RSI,
	REGISTER_RDI,
	REGISTER_RBP,
	REGISTER_R8,
	REGISTER_R9,
	REGISTER_R10,
	REGISTER_R11,
	REGISTER_R12,
	REGISTER_R13,
	REGISTER_R14,
	REGISTER_R15,
	REGISTER_RFLAGS,
	REGISTER_COUNT
};

struct registers {
	uint64_t integer[REGISTER_COUNT];
	uint64_t xmm[16][2];
	uint32_t mxcsr;
	uint32_t reserved;
};

/* Load all registers, execute the instruction, store all registers. RSP has to be preserved. */
void registers_vmmcall(struct registers *registers);
void registers_vmcall(struct registers *registers);

#endif
