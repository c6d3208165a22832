/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys. */
#ifndef HV_RANDOM_H
#define HV_RANDOM_H

#include "socle_abi.h"

/* Keeps the secret that keys are made from: 32 bytes of the loader's entropy. Boot CPU. */
void random_init(const uint8_t seed[32]);

/*
 * The ChaCha20 block function (RFC 8439, section 2.3): constants, key, counter and nonce in, 64
 * bytes of the key stream out.
 */
void chacha20_block(const uint32_t input[16], uint32_t output[16]);

/* A new key, which tells nothing of the others: ChaCha20 (RFC 8439) of a counter. The caller
 * serialises. */
struct socle_key random_key(void);

#endif
