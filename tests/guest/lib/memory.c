/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guest.h"

uint8_t *window_map(unsigned index, uint64_t entry)
{
	uint8_t *at = (uint8_t *)(WINDOW + index * 4096ull);

	((volatile uint64_t *)guest_window_table)[index] = entry;
	flush_page(at);
	return at;
}

void *memory_set(void *to, int value, size_t bytes)
{
	uint8_t *at = to;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)value;
	return to;
}

void *memory_copy(void *to, const void *from, size_t bytes)
{
	uint8_t *a = to;
	const uint8_t *b = from;

	for (size_t i = 0; i < bytes; i++)
		a[i] = b[i];
	return to;
}

int memory_compare(const void *a, const void *b, size_t bytes)
{
	const uint8_t *one = a, *other = b;

	for (size_t i = 0; i < bytes; i++)
		if (one[i] != other[i])
			return one[i] < other[i] ? -1 : 1;
	return 0;
}

/* The compiler calls these for structures. */
void *memset(void *to, int value, size_t bytes);
void *memset(void *to, int value, size_t bytes)
{
	return memory_set(to, value, bytes);
}

void *memcpy(void *to, const void *from, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes)
{
	return memory_copy(to, from, bytes);
}
