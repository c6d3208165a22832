/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOCLE_FUZZ_CODE_H
#define SOCLE_FUZZ_CODE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Fills memory with code: instructions that exit, that change modes and tables, that touch memory
 * and vector registers, and bytes that mean nothing.
 *
 * @bits 16, 32 or 64: the size of an operand
 * @base guest-physical address of the guest's frame
 */
void fuzz_code(uint8_t *to, size_t bytes, unsigned int bits, uint64_t base, uint64_t *random);

#endif
