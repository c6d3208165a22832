// SPDX-License-Identifier: BSD-2-Clause
#include "hv/random.h"

#include "hv/string.h"

#define ROUNDS 20

static uint32_t secret[8];
static uint64_t counter;

void random_init(const uint8_t seed[32])
{
	memcpy(secret, seed, sizeof(secret));
}

static uint32_t rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

/* The quarter round (RFC 8439, section 2.1). */
static void quarter(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint32_t input[16], uint32_t output[16])
{
	uint32_t x[16];

	memcpy(x, input, sizeof(x));
	for (unsigned round = 0; round < ROUNDS; round += 2) {
		for (unsigned i = 0; i < 4; i++)
			quarter(x, i, 4 + i, 8 + i, 12 + i);
		for (unsigned i = 0; i < 4; i++)
			quarter(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
	}
	for (unsigned i = 0; i < 16; i++)
		output[i] = x[i] + input[i];
}

struct socle_key random_key(void)
{
	/* "expand 32-byte k", the secret, the counter, a nonce of zeros. */
	uint32_t input[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
	uint32_t output[16];
	struct socle_key key;

	memcpy(input + 4, secret, sizeof(secret));
	memcpy(input + 12, &counter, sizeof(counter));
	counter++;
	chacha20_block(input, output);
	memcpy(&key, output, sizeof(key));
	return key;
}
