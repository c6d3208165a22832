/* SPDX-License-Identifier: BSD-2-Clause */
/* Basic types. The two address spaces are distinct types so that they cannot be mixed up. */
#ifndef HV_TYPES_H
#define HV_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A host-physical address. */
typedef struct {
	uint64_t v;
} hpa_t;

/* A guest-physical address. */
typedef struct {
	uint64_t v;
} gpa_t;

static inline hpa_t hpa(uint64_t v)
{
	return (hpa_t){v};
}

static inline gpa_t gpa(uint64_t v)
{
	return (gpa_t){v};
}

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE_SHIFT	 12
#define PAGE_BYTES	 KIB(4)
#define LARGE_PAGE_BYTES MIB(2)

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t align_up(uint64_t v, uint64_t alignment)
{
	return (v + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t align_down(uint64_t v, uint64_t alignment)
{
	return v & ~(alignment - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
