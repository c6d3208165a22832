/* SPDX-License-Identifier: BSD-2-Clause */
/* SSE moves between vector registers and a device's registers. */
#include "mmio.h"

#define LOW  0x1111222233334444ull
#define HIGH 0x5555666677778888ull

static uint64_t registers[16][2] __attribute__((aligned(16)));
static uint64_t found[16][2] __attribute__((aligned(16)));

/* All sixteen, as the compiler of this guest uses none. */
#define EACH(move)                                                                                 \
	move(0) move(1) move(2) move(3) move(4) move(5) move(6) move(7) move(8) move(9) move(10)   \
		move(11) move(12) move(13) move(14) move(15)
#define LOAD(n)	 "movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%0)\n\t"

static void load_all(void)
{
	for (unsigned i = 0; i < 16; i++) {
		registers[i][0] = LOW + i;
		registers[i][1] = HIGH + i;
	}
	__asm__ volatile(EACH(LOAD) : : "r"(registers) : "memory");
}

/* The registers are as load_all() left them but for one, which holds this. */
static bool all_are(unsigned changed, uint64_t low, uint64_t high)
{
	__asm__ volatile(EACH(STORE) : : "r"(found) : "memory");
	registers[changed][0] = low;
	registers[changed][1] = high;
	return memory_compare(registers, found, sizeof(found)) == 0;
}

/* Timer 0's configuration and comparator are 16 bytes; the configuration keeps only some bits. */
#define CONFIG 0x1e00ull

/* A load of all 16 bytes to %xmm4 and %xmm15. */
#define LOADS(insn)                                                                                \
	do {                                                                                       \
		load_all();                                                                        \
		__asm__ volatile(insn " (%0), %%xmm4" : : "r"(HPET_TIMER(0)) : "memory");          \
		check_true(insn " from a device", all_are(4, config, HIGH ^ LOW));                 \
		load_all();                                                                        \
		__asm__ volatile(insn " (%0), %%xmm15" : : "r"(HPET_TIMER(0)) : "memory");         \
		check_true(insn " from a device to XMM15", all_are(15, config, HIGH ^ LOW));       \
	} while (0)

#define STORES(insn)                                                                               \
	do {                                                                                       \
		const uint64_t value[2] = {CONFIG, ~HIGH};                                         \
                                                                                                   \
		mmio_write64(HPET_COMPARATOR(0), 0);                                               \
		mmio_write64(HPET_TIMER(0), 0);                                                    \
		load_all();                                                                        \
		__asm__ volatile("movups %1, %%xmm9; " insn " %%xmm9, (%0)"                        \
				 :                                                                 \
				 : "r"(HPET_TIMER(0)), "m"(value)                                  \
				 : "memory");                                                      \
		check_true(insn " to a device: registers", all_are(9, CONFIG, ~HIGH));             \
		check_equal(insn " to a device: upper half", ~HIGH,                                \
			    mmio_read64(HPET_COMPARATOR(0)));                                      \
		check_equal(insn " to a device: lower half", CONFIG,                               \
			    mmio_read64(HPET_TIMER(0)) & 0x3e00);                                  \
	} while (0)

static void test_whole(void)
{
	uint64_t config;

	mmio_write64(HPET_TIMER(0), CONFIG);
	mmio_write64(HPET_COMPARATOR(0), HIGH ^ LOW);
	config = mmio_read64(HPET_TIMER(0));
	LOADS("movups");
	LOADS("movaps");
	LOADS("movupd");
	LOADS("movapd");
	LOADS("movdqu");
	LOADS("movdqa");
	LOADS("lddqu");
	STORES("movups");
	STORES("movaps");
	STORES("movdqu");
	STORES("movdqa");
	STORES("movntdq");
	STORES("movntps");
	mmio_write64(HPET_TIMER(0), 0);
}

static void test_parts(void)
{
	uint64_t at = HPET_COMPARATOR(1);

	mmio_write64(at, LOW ^ HIGH);
	load_all();
	__asm__ volatile("movq (%0), %%xmm2" : : "r"(at) : "memory");
	check_true("movq from a device", all_are(2, LOW ^ HIGH, 0));
	load_all();
	__asm__ volatile("movd (%0), %%xmm3" : : "r"(at) : "memory");
	check_true("movd from a device", all_are(3, (uint32_t)(LOW ^ HIGH), 0));
	load_all();
	__asm__ volatile("movss (%0), %%xmm5" : : "r"(at) : "memory");
	check_true("movss from a device", all_are(5, (uint32_t)(LOW ^ HIGH), 0));
	load_all();
	__asm__ volatile("movsd (%0), %%xmm6" : : "r"(at) : "memory");
	check_true("movsd from a device", all_are(6, LOW ^ HIGH, 0));
	load_all();
	__asm__ volatile("movq %%xmm7, (%0)" : : "r"(at) : "memory");
	check_equal("movq to a device", LOW + 7, mmio_read64(at));
	__asm__ volatile("movd %%xmm8, (%0)" : : "r"(at) : "memory");
	check_equal("movd to a device", (uint32_t)(LOW + 8), mmio_read(at));
	__asm__ volatile("movss %%xmm10, 4(%0)" : : "r"(at) : "memory");
	check_equal("movss to a device", (uint32_t)(LOW + 10), mmio_read(at + 4));
	__asm__ volatile("movsd %%xmm11, (%0)" : : "r"(at) : "memory");
	check_equal("movsd to a device", LOW + 11, mmio_read64(at));
	check_true("registers after all of these", all_are(0, LOW, HIGH));
}

void mmio_test_vectors(void)
{
	struct trap trap;

	test_whole();
	test_parts();
	trap = TRY("movaps (%0), %%xmm0", : : "r"(HPET_COMPARATOR(0)) : "memory");
	check_trap("movaps that is not aligned", trap, VECTOR_GP, 0);
}
