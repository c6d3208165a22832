/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fuzzers share: an input taken apart into numbers. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* libFuzzer calls it; gives 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
	const uint8_t *at;
	size_t left;
};

/* A number of `bytes` bytes, at most 8; behind the input's end there are zeros. */
static inline uint64_t input_take(struct input *input, size_t bytes)
{
	size_t there = bytes < input->left ? bytes : input->left;
	uint64_t value = 0;

	memcpy(&value, input->at, there);
	input->at += there;
	input->left -= there;
	return value;
}

static inline uint64_t input_below(struct input *input, uint64_t limit)
{
	return input_take(input, limit > 0xffff ? 4 : limit > 0xff ? 2 : 1) % limit;
}

/* 1, 2, 4 or 8: the size of an access. */
static inline unsigned int input_size(struct input *input)
{
	return 1u << input_take(input, 1) % 4;
}

/* A number whose size is part of the input, so that small ones are short. */
static inline uint64_t input_number(struct input *input)
{
	return input_take(input, input_size(input));
}

#endif
