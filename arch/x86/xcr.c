// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/xcr.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"

#define XCR0_SSE    (1ull << 1)
#define XCR0_AVX    (1ull << 2)
#define XCR0_MPX    (3ull << 3)
#define XCR0_AVX512 (7ull << 5)
#define XCR0_AMX    (3ull << 17)

/* The components that mask names are all there or all absent. */
static bool all_or_none(uint64_t value, uint64_t mask)
{
	return (value & mask) == 0 || (value & mask) == mask;
}

bool xcr0_valid(uint64_t value, uint64_t supported)
{
	if ((value & ~supported) || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & XCR0_AVX512) && !(value & XCR0_AVX))
		return false;
	return all_or_none(value, XCR0_MPX) && all_or_none(value, XCR0_AVX512) &&
	       all_or_none(value, XCR0_AMX);
}

bool xcr_write(uint32_t index, uint64_t value)
{
	struct cpuid_result r = cpuid(0xd, 0);

	if (index != 0 || !xcr0_valid(value, (uint64_t)r.edx << 32 | r.eax))
		return false;
	xsetbv(0, value);
	return true;
}
