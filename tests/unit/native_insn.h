/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs one instruction on the processor that the test runs on. */
#ifndef SOCLE_NATIVE_INSN_H
#define SOCLE_NATIVE_INSN_H

#include <stdint.h>

#define NATIVE_CODE   0x20000000ull /* where the code is: below 2 GiB */
#define NATIVE_MEMORY 0x10000000ull /* memory for its operands */
#define NATIVE_BYTES  0x4000ull

struct native {
	uint64_t reg[16]; /* by the number they have in instructions */
	uint64_t flags;
	uint64_t host_rsp;
};

/* Maps code and memory; false if the addresses are taken. */
int native_start(void);
/* The address at which the instruction will be: what RIP-relative addresses count from. */
uint64_t native_address(void);
/* Runs it with those registers and arithmetic flags (and DF); *native becomes what they are then.
 */
void native_run(struct native *native, const uint8_t *insn, unsigned bytes);

#endif
