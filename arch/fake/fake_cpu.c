// SPDX-License-Identifier: BSD-2-Clause
#include "fake_cpu.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "hv/console.h"

#define MSRS_MAX   128
#define LEAVES_MAX 64

static struct {
	uint32_t number;
	uint64_t value;
} msrs[MSRS_MAX];
static unsigned msr_count, msr_writes;

static struct {
	uint32_t leaf, subleaf;
	struct cpuid_result result;
} leaves[LEAVES_MAX];
static unsigned leaf_count;

static uint64_t tsc, tsc_step, xcr0;
static void (*on_pause)(void);
static uint64_t cr3, cr4 = CR4_PAE | CR4_OSXSAVE, debug_registers[4], stack;
static unsigned cr3_writes;

static uint8_t ports[0x10000];
static uint32_t outs[4096];
static unsigned out_count;
static unsigned xsetbv_count, wbinvd_count;

static char console[8192];
static size_t console_length;

void fake_cpu_reset(void)
{
	msr_count = msr_writes = leaf_count = 0;
	xsetbv_count = wbinvd_count = 0;
	tsc = tsc_step = xcr0 = 0;
	on_pause = NULL;
	cr3 = stack = 0;
	cr4 = CR4_PAE | CR4_OSXSAVE;
	memset(debug_registers, 0, sizeof(debug_registers));
	cr3_writes = out_count = 0;
	memset(ports, 0xff, sizeof(ports));
	console_length = 0;
	console[0] = '\0';
}

static unsigned find_msr(uint32_t msr)
{
	unsigned i = 0;

	while (i < msr_count && msrs[i].number != msr)
		i++;
	return i;
}

void fake_msr(uint32_t msr, uint64_t value)
{
	unsigned i = find_msr(msr);

	ck_assert_uint_lt(i, MSRS_MAX);
	msrs[i].number = msr;
	msrs[i].value = value;
	if (i == msr_count)
		msr_count++;
}

uint64_t rdmsr(uint32_t msr)
{
	unsigned i = find_msr(msr);

	ck_assert_msg(i < msr_count, "RDMSR of 0x%x, which the CPU lacks", msr);
	return msrs[i].value;
}

uint64_t fake_msr_value(uint32_t msr)
{
	return rdmsr(msr);
}

void wrmsr(uint32_t msr, uint64_t v)
{
	unsigned i = find_msr(msr);

	ck_assert_msg(i < msr_count, "WRMSR of 0x%x, which the CPU lacks", msr);
	msrs[i].value = v;
	msr_writes++;
}

unsigned fake_msr_writes(void)
{
	return msr_writes;
}

void fake_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_result result)
{
	unsigned i = 0;

	while (i < leaf_count && (leaves[i].leaf != leaf || leaves[i].subleaf != subleaf))
		i++;
	ck_assert_uint_lt(i, LEAVES_MAX);
	leaves[i].leaf = leaf;
	leaves[i].subleaf = subleaf;
	leaves[i].result = result;
	if (i == leaf_count)
		leaf_count++;
}

struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < leaf_count; i++)
		if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
			return leaves[i].result;
	return (struct cpuid_result){0};
}

void fake_tsc(uint64_t now)
{
	tsc = now;
}

void fake_tsc_step(uint64_t ticks)
{
	tsc_step = ticks;
}

uint64_t rdtsc(void)
{
	tsc += tsc_step;
	return tsc;
}

void fake_on_pause(void (*function)(void))
{
	on_pause = function;
}

void cpu_pause(void)
{
	tsc += tsc_step;
	if (on_pause != NULL)
		on_pause();
}

struct cpu *fake_cpu_new(uint32_t index, uint32_t apic_id)
{
	uint8_t *area = aligned_alloc(HV_CPU_AREA_BYTES, HV_CPU_AREA_BYTES);
	struct cpu *cpu;

	ck_assert_ptr_nonnull(area);
	memset(area, 0, HV_CPU_AREA_BYTES);
	cpu = (struct cpu *)(area + HV_CPU_STACK_END);
	cpu->index = index;
	cpu->apic_id = apic_id;
	return cpu;
}

void fake_cpu_is(struct cpu *cpu)
{
	stack = (uint64_t)cpu - 64;
}

uint64_t read_rsp(void)
{
	ck_assert_msg(stack != 0, "no CPU runs this");
	return stack;
}

uint64_t read_cr2(void)
{
	return 0xc2c2c2c2;
}

uint64_t read_cr3(void)
{
	return cr3;
}

void write_cr3(uint64_t v)
{
	cr3 = v;
	cr3_writes++;
}

unsigned fake_flushes(void)
{
	return cr3_writes;
}

uint64_t read_cr4(void)
{
	return cr4;
}

void write_cr4(uint64_t v)
{
	cr4 = v;
}

#define DEBUG_REGISTER(n)                                                                          \
	uint64_t read_dr##n(void)                                                                  \
	{                                                                                          \
		return debug_registers[n];                                                         \
	}                                                                                          \
	void write_dr##n(uint64_t v)                                                               \
	{                                                                                          \
		debug_registers[n] = v;                                                            \
	}
DEBUG_REGISTER(0)
DEBUG_REGISTER(1)
DEBUG_REGISTER(2)
DEBUG_REGISTER(3)

void fake_port(uint16_t port, uint8_t value)
{
	ports[port] = value;
}

uint8_t inb(int port)
{
	return ports[(uint16_t)port];
}

void outb(int port, uint8_t v)
{
	ck_assert_uint_lt(out_count, ARRAY_COUNT(outs));
	outs[out_count++] = (uint32_t)port << 8 | v;
}

unsigned fake_outs(void)
{
	return out_count;
}

uint32_t fake_out(unsigned index)
{
	ck_assert_uint_lt(index, out_count);
	return outs[index];
}

void xsetbv(uint32_t index, uint64_t v)
{
	ck_assert_uint_eq(index, 0);
	xcr0 = v;
	xsetbv_count++;
}

uint32_t read_xcr0(void)
{
	return (uint32_t)xcr0;
}

uint64_t fake_xcr0(void)
{
	return xcr0;
}

unsigned fake_xsetbv_count(void)
{
	return xsetbv_count;
}

void wbinvd(void)
{
	wbinvd_count++;
}

unsigned fake_wbinvd_count(void)
{
	return wbinvd_count;
}

__attribute__((weak)) void console_write(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes && console_length + 1 < sizeof(console); i++)
		console[console_length++] = text[i];
	console[console_length] = '\0';
}

const char *fake_console(void)
{
	return console;
}
