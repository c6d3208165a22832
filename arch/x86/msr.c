// SPDX-License-Identifier: BSD-2-Clause
#include "arch/x86/msr.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"

#define EFER_FFXSR  (1ull << 14)
#define EFER_TCE    (1ull << 15)
#define EFER_AIBRSE (1ull << 21)

#define CPUID_EXT_1_NX	  (1u << 20)
#define CPUID_EXT_1_FFXSR (1u << 25)
#define CPUID_EXT_1_TCE	  (1u << 17)
#define CPUID_1_X2APIC	  (1u << 21)

/* Bits of EFER that this CPU has and a guest may set. */
static uint64_t efer_bits(void)
{
	struct cpuid_result r = cpuid(0x80000001, 0);
	uint64_t bits = EFER_SCE | EFER_LME | EFER_LMA;

	if (r.edx & CPUID_EXT_1_NX)
		bits |= EFER_NXE;
	if (r.edx & CPUID_EXT_1_FFXSR)
		bits |= EFER_FFXSR;
	if (r.ecx & CPUID_EXT_1_TCE)
		bits |= EFER_TCE;
	/* Automatic IBRS (CPUID 0x80000021 EAX bit 8). */
	if (cpuid(0x80000000, 0).eax >= 0x80000021 && (cpuid(0x80000021, 0).eax & (1u << 8)))
		bits |= EFER_AIBRSE;
	return bits;
}

bool msr_efer_valid(uint64_t efer, uint64_t cr0, uint64_t value)
{
	if (value & ~efer_bits())
		return false;
	return !((cr0 & CR0_PG) && ((efer ^ value) & EFER_LME));
}

bool msr_pat_valid(uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t type = value >> 8 * i & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

bool msr_apic_base_write(uint64_t value)
{
	uint64_t old = rdmsr(MSR_APIC_BASE);
	uint64_t changed = old ^ value;
	uint64_t modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	/* Off, the hypervisor could not reach other CPUs through it, nor they this one. */
	if ((changed & ~modes) || !(value & APIC_BASE_ENABLE))
		return false;
	if ((value & APIC_BASE_X2APIC) && !(cpuid(1, 0).ecx & CPUID_1_X2APIC))
		return false;
	/* SDM volume 3, figure 11-9: x2APIC without APIC, and going back from x2APIC, are invalid.
	 */
	if ((value & modes) == APIC_BASE_X2APIC)
		return false;
	if ((old & APIC_BASE_X2APIC) && (value & modes) == APIC_BASE_ENABLE)
		return false;
	wrmsr(MSR_APIC_BASE, value);
	return true;
}
