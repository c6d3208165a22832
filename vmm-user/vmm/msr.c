/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers that the hypervisor leaves to its VMM: a list, and a general-protection
 * fault for the rest (SDM volume 4; AMD BKDG and PPR for the C001 range).
 */
#include <cpuid.h>

#include "vmm-user/vmm/vcpu.h"

#define MSR_P5_MC_ADDR	      0x0
#define MSR_P5_MC_TYPE	      0x1
#define MSR_PLATFORM_ID	      0x17
#define MSR_APIC_BASE	      0x1b
#define MSR_EBL_CR_POWERON    0x2a
#define MSR_FEATURE_CONTROL   0x3a
#define MSR_BIOS_UPDT_TRIG    0x79
#define MSR_BIOS_SIGN_ID      0x8b
#define MSR_PLATFORM_INFO     0xce
#define MSR_MTRRCAP	      0xfe
#define MSR_MCG_CAP	      0x179
#define MSR_MCG_STATUS	      0x17a
#define MSR_PERF_STATUS	      0x198
#define MSR_PERF_CTL	      0x199
#define MSR_THERM_STATUS      0x19c
#define MSR_MISC_ENABLE	      0x1a0
#define MSR_DEBUGCTL	      0x1d9
#define MSR_X2APIC_LINT0      0x835
#define MSR_MTRR_PHYSBASE0    0x200
#define MSR_MTRR_FIX64K_00000 0x250
#define MSR_MTRR_FIX16K_80000 0x258
#define MSR_MTRR_FIX16K_A0000 0x259
#define MSR_MTRR_FIX4K_C0000  0x268
#define MSR_MTRR_FIX4K_F8000  0x26f
#define MSR_MTRR_DEF_TYPE     0x2ff
#define MSR_RAPL_POWER_UNIT   0x606
#define MSR_PKG_ENERGY_STATUS 0x611
#define MSR_HV_PARTITION      0x40000073
#define MSR_KVM_WALL_CLOCK    0x4b564d00
#define MSR_KVM_SYSTEM_TIME   0x4b564d01

#define MTRRCAP_VALUE	  (0x500u | MTRR_VARIABLE) /* fixed ranges, write-combining */
#define MTRR_VALID	  0x800ull
#define GIB		  0x40000000ull
#define DEF_TYPE_BITS	  0xcffull
#define FEATURE_LOCKED	  1ull
#define MISC_ENABLE_RESET 0x1801ull /* fast strings; no BTS, no PEBS */
#define MISC_ENABLE_BITS  0x400000001ull
#define APIC_BASE_ADDRESS 0xffffff000ull

struct constant {
	uint32_t first, last;
	uint64_t value;
	bool writable; /* what is written is forgotten */
};

/* Those of a processor of one vendor. */
static const struct constant intel[] = {
	{MSR_P5_MC_ADDR, MSR_P5_MC_TYPE, 0, true},
	{MSR_PLATFORM_ID, MSR_PLATFORM_ID, 0, false},
	{MSR_EBL_CR_POWERON, MSR_EBL_CR_POWERON, 0, true},
	{MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, FEATURE_LOCKED, false},
	{MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, 0, false},
	{MSR_PERF_STATUS, MSR_PERF_STATUS, 0, false},
	{MSR_PERF_CTL, MSR_PERF_CTL, 0, true},
	{MSR_THERM_STATUS, MSR_THERM_STATUS, 0, true},
	{MSR_RAPL_POWER_UNIT, MSR_RAPL_POWER_UNIT, 0, false},
	{MSR_PKG_ENERGY_STATUS, MSR_PKG_ENERGY_STATUS, 0, false},
};

static const struct constant amd[] = {
	{0xc0010000, 0xc0010007, 0, true},     /* PERF_CTL, PERF_CTR */
	{0xc0010010, 0xc0010010, 0, true},     /* SYSCFG */
	{0xc0010015, 0xc0010015, 0, true},     /* HWCR */
	{0xc001001a, 0xc001001a, 0, true},     /* TOP_MEM */
	{0xc001001d, 0xc001001d, 0, true},     /* TOP_MEM2 */
	{0xc001001f, 0xc001001f, 0, true},     /* NB_CFG */
	{0xc0010020, 0xc0010020, 0, true},     /* PATCH_LOADER */
	{0xc0010055, 0xc0010055, 0, true},     /* INT_PENDING */
	{0xc0010061, 0xc0010064, 0, false},    /* P-state limit, control, status, definition 0 */
	{0xc0010112, 0xc0010113, 0, true},     /* SMM_ADDR, SMM_MASK */
	{0xc0010114, 0xc0010114, 0x18, false}, /* VM_CR: disabled and locked */
	{0xc0010115, 0xc0010117, 0, false},    /* IGNNE, SMM_CTL, VM_HSAVE_PA */
	{0xc0010140, 0xc0010141, 0, true},     /* OSVW */
	{0xc0011020, 0xc0011023, 0, true},     /* LS_CFG, IC_CFG, DC_CFG, BU_CFG */
	{0xc0011029, 0xc001102a, 0, true},     /* DE_CFG, CU_CFG2 */
	{0xc001102c, 0xc001102c, 0, true},     /* CU_CFG3 */
};

static const struct constant both[] = {
	{MSR_BIOS_UPDT_TRIG, MSR_BIOS_UPDT_TRIG, 0, true},
	{MSR_MTRRCAP, MSR_MTRRCAP, MTRRCAP_VALUE, false},
	{MSR_MCG_CAP, MSR_MCG_CAP, 0, false}, /* no banks */
	{MSR_DEBUGCTL, MSR_DEBUGCTL, 0, false},
	{MSR_HV_PARTITION, MSR_HV_PARTITION, 0, true},
};

static const struct constant *find(const struct constant *list, unsigned count, uint32_t msr)
{
	for (unsigned i = 0; i < count; i++)
		if (msr >= list[i].first && msr <= list[i].last)
			return &list[i];
	return NULL;
}

static const struct constant *constant(const struct vcpu *vcpu, uint32_t msr)
{
	const struct constant *found = find(both, sizeof(both) / sizeof(both[0]), msr);

	if (found != NULL)
		return found;
	if (vcpu->vmm->config.vendor == SOCLE_VENDOR_SVM)
		return find(amd, sizeof(amd) / sizeof(amd[0]), msr);
	return find(intel, sizeof(intel) / sizeof(intel[0]), msr);
}

/* Where a register that can be written is kept, and which of its bits; NULL: it is none. */
static uint64_t *kept(struct vcpu *vcpu, uint32_t msr, uint64_t *bits)
{
	struct vcpu_state *state = vcpu->state;

	*bits = ~0ull;
	if (msr >= MSR_MTRR_PHYSBASE0 && msr < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE)
		return &state->mtrr_variable[msr - MSR_MTRR_PHYSBASE0];
	if (msr >= MSR_MTRR_FIX4K_C0000 && msr <= MSR_MTRR_FIX4K_F8000)
		return &state->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K_C0000];
	switch (msr) {
	case MSR_MTRR_FIX64K_00000:
		return &state->mtrr_fixed[0];
	case MSR_MTRR_FIX16K_80000:
	case MSR_MTRR_FIX16K_A0000:
		return &state->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K_80000];
	case MSR_MTRR_DEF_TYPE:
		*bits = DEF_TYPE_BITS;
		return &state->mtrr_def_type;
	case MSR_MISC_ENABLE:
		*bits = MISC_ENABLE_BITS;
		return vcpu->vmm->config.vendor == SOCLE_VENDOR_VMX ? &state->misc_enable : NULL;
	case MSR_MCG_STATUS:
		return &state->mcg_status;
	case MSR_BIOS_SIGN_ID:
		return &state->microcode;
	}
	return NULL;
}

static bool memory_type(uint64_t type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

/* What a processor would refuse of a memory-type range register (SDM volume 3, section 12.11). */
static bool mtrr_valid(uint32_t msr, uint64_t value)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return (value & ~DEF_TYPE_BITS) == 0 && memory_type(value & 0xff);
	if (msr < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE)
		return (msr & 1) != 0 || memory_type(value & 0xff);
	for (unsigned i = 0; i < 64; i += 8)
		if (!memory_type(value >> i & 0xff))
			return false;
	return true;
}

static bool write_apic_base(struct vcpu *vcpu, uint64_t value)
{
	const uint64_t both = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	uint64_t mode = value & both, from = vcpu->area->apic_base & both;

	/* The address does not move, and x2APIC mode without being enabled is none. */
	if ((value & ~(APIC_BASE_ADDRESS | APIC_BASE_BSP | mode)) != 0 || mode == APIC_BASE_X2APIC)
		return false;
	/* From x2APIC mode to xAPIC mode it goes by "disabled" only, and the other way by xAPIC. */
	if ((from == both && mode == APIC_BASE_ENABLE) || (from == 0 && mode == both))
		return false;
	if ((value & APIC_BASE_ADDRESS) != APIC_BASE) {
		vmm_log(vcpu->vmm, "vCPU %u: the local APIC stays at %#llx", vcpu->index,
			APIC_BASE);
		return false;
	}
	vcpu->area->apic_base = APIC_BASE | mode | (vcpu->area->apic_base & APIC_BASE_BSP);
	apic_mode_changed(vcpu);
	return true;
}

void msr_reset(struct vcpu *vcpu)
{
	unsigned eax, ebx, ecx, edx, bits = 36;

	if (__get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) && (eax & 0xff) <= 52)
		bits = eax & 0xff;
	vcpu->area->apic_base =
		APIC_BASE | APIC_BASE_ENABLE | (vcpu->index == 0 ? APIC_BASE_BSP : 0);
	vcpu->state->misc_enable = MISC_ENABLE_RESET;
	/* As firmware leaves them: write-back, uncached where the devices are. */
	vcpu->state->mtrr_def_type = 0xc06;
	vcpu->state->mtrr_variable[0] = 0xc0000000;
	vcpu->state->mtrr_variable[1] = (((1ull << bits) - 1) & ~(GIB - 1)) | MTRR_VALID;
	for (unsigned i = 0; i < 11; i++)
		vcpu->state->mtrr_fixed[i] = i == 2 ? 0 : 0x0606060606060606;
}

static bool unknown(struct vcpu *vcpu, const char *access, uint32_t msr)
{
	vmm_log(vcpu->vmm, "vCPU %u: %s MSR %#x at %#llx", vcpu->index, access, msr,
		(unsigned long long)vcpu->area->info[1]);
	return vcpu->vmm->config.msr_ignore;
}

bool msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct constant *found = constant(vcpu, msr);
	uint64_t bits;
	const uint64_t *register_ = kept(vcpu, msr, &bits);

	*value = 0;
	if (msr == MSR_APIC_BASE)
		*value = vcpu->area->apic_base;
	else if (msr == MSR_KVM_SYSTEM_TIME && kvm_clock_is_there(vcpu->vmm))
		*value = vcpu->state->kvm_time;
	else if (found != NULL)
		*value = found->value;
	else if (register_ != NULL)
		*value = *register_;
	else
		return unknown(vcpu, "reads", msr);
	return true;
}

bool msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct constant *found = constant(vcpu, msr);
	uint64_t bits;
	uint64_t *register_ = kept(vcpu, msr, &bits);

	if (msr == MSR_APIC_BASE)
		return write_apic_base(vcpu, value);
	if (msr == MSR_X2APIC_LINT0)
		return apic_write_lint0(vcpu, value);
	if (msr == MSR_KVM_SYSTEM_TIME)
		return kvm_clock_set_time(vcpu, value);
	if (msr == MSR_KVM_WALL_CLOCK)
		return kvm_clock_set_wall(vcpu, value);
	if (found != NULL) {
		/* The value that it has may always be written. */
		return found->writable || value == found->value || unknown(vcpu, "writes", msr);
	}
	if (register_ == NULL)
		return unknown(vcpu, "writes", msr);
	if (msr >= MSR_MTRR_PHYSBASE0 && msr <= MSR_MTRR_DEF_TYPE && !mtrr_valid(msr, value))
		return false;
	if (msr != MSR_MISC_ENABLE)
		*register_ = value & bits;
	else /* the rest is constant */
		*register_ = (*register_ & ~bits) | (value & bits);
	return true;
}
