/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that changes itself: instructions that ran once run anew, also those that exit. */
#include "lib/guest.h"

const char guest_name[] = "code";

#define ROUNDS 1000u

static uint8_t code[64] __attribute__((aligned(64)));

static uint32_t call(void)
{
	uint32_t result;

	__asm__ volatile("call *%1" : "=a"(result) : "r"(code) : "rbx", "rcx", "rdx", "memory");
	return result;
}

static void put(const void *from, size_t bytes)
{
	memory_copy(code, from, bytes);
	cpuid(0, 0); /* serializes */
}

void guest_test(void)
{
	static const uint8_t port[] = {0xe4, 0x21, 0x0f, 0xb6, 0xc0, 0xc3}; /* in al, 0x21 */
	static const uint8_t same[] = {0xb0, 0x77, 0x0f, 0xb6, 0xc0, 0xc3}; /* mov al, 0x77 */
	uint8_t constant[] = {0xb8, 0, 0, 0, 0, 0xc3};
	unsigned wrong = 0;
	uint8_t read[] = {0xa1, 0, 0, 0, 0, 0, 0, 0, 0, 0xc3}; /* mov eax, [absolute] */
	uint64_t address = 0xfed00000;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		memory_copy(constant + 1, &i, sizeof(i));
		put(constant, sizeof(constant));
		wrong += call() != i;
	}
	check_equal("a constant, changed a thousand times", 0, wrong);
	out8(0x21, 0x3c);
	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		put(port, sizeof(port));
		wrong += call() != 0x3c;
		put(same, sizeof(same));
		wrong += call() != 0x77;
	}
	check_equal("an instruction that exits, and one that does not", 0, wrong);
	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		uint64_t at = i & 1 ? address : address + 4;

		memory_copy(read + 1, &at, sizeof(at));
		put(read, sizeof(read));
		wrong += call() != mmio_read(at);
	}
	check_equal("an emulated instruction in the place of another", 0, wrong);
}
