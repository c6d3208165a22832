/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the service VM may do to XCR0 and to model-specific registers: the checks that keep an
 * instruction of the hypervisor's own from faulting, and the bitmaps of both vendors.
 */
#include <string.h>

#include "arch/fake/fake_cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/xcr.h"
#include "hv/memory.h"
#include "unit.h"

/* Guests' registers: the functions that the vendors' are to ask. */
static unsigned guest_reads, guest_writes;

bool svm_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	(void)vcpu;
	(void)msr;
	*value = 0x77;
	guest_reads++;
	return true;
}

bool svm_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)vcpu;
	(void)msr;
	(void)value;
	guest_writes++;
	return true;
}

/* Declared here too: not every vendor has guests. */
bool vmx_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool vmx_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

bool vmx_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	return svm_guest_msr_read(vcpu, msr, value);
}

bool vmx_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	return svm_guest_msr_write(vcpu, msr, value);
}

START_TEST(xcr0_combinations)
{
	const uint64_t all = 0x602e7; /* x87, SSE, AVX, AVX-512, PKRU, AMX */

	ck_assert(xcr0_valid(1, all));
	ck_assert(xcr0_valid(3, all));
	ck_assert(xcr0_valid(7, all));
	ck_assert(xcr0_valid(0x201, all)); /* PKRU alone */
	ck_assert(xcr0_valid(0xe7, all));
	ck_assert(xcr0_valid(all, all));
	ck_assert(!xcr0_valid(0, all));	      /* x87 must be on */
	ck_assert(!xcr0_valid(2, all));	      /* so */
	ck_assert(!xcr0_valid(5, all));	      /* AVX without SSE */
	ck_assert(!xcr0_valid(0x27, all));    /* a part of AVX-512 */
	ck_assert(!xcr0_valid(0xe3, all));    /* AVX-512 without AVX */
	ck_assert(!xcr0_valid(0x20001, all)); /* half of AMX */
	ck_assert(!xcr0_valid(0x1f, all));    /* MPX is not offered */
	ck_assert(xcr0_valid(0x1f, 0x1f));    /* here it is */
	ck_assert(!xcr0_valid(0x0f, 0x1f));   /* half of it */
	ck_assert(!xcr0_valid(1ull << 63 | 1, all));
	for (unsigned bit = 0; bit < 64; bit++)
		if (!(all >> bit & 1))
			ck_assert(!xcr0_valid(1ull << bit | 1, all));
}
END_TEST

START_TEST(xcr_writes)
{
	fake_cpu_reset();
	fake_cpuid(0xd, 0, (struct cpuid_result){.eax = 7});
	ck_assert(xcr_write(0, 7));
	ck_assert_uint_eq(fake_xcr0(), 7);
	ck_assert(!xcr_write(0, 0));
	ck_assert(!xcr_write(0, 0xe7));
	ck_assert(!xcr_write(1, 7));
	ck_assert(!xcr_write(0xffffffff, 7));
	ck_assert_uint_eq(fake_xsetbv_count(), 1);
}
END_TEST

START_TEST(efer)
{
	const uint64_t long_mode = EFER_LME | EFER_LMA;

	fake_cpu_reset();
	fake_cpuid(0x80000001, 0, (struct cpuid_result){.edx = 1u << 20}); /* NX */
	ck_assert(msr_efer_valid(long_mode, CR0_PG, long_mode | EFER_SCE | EFER_NXE));
	ck_assert(msr_efer_valid(0, 0, EFER_LME));
	ck_assert(!msr_efer_valid(long_mode, CR0_PG, EFER_LMA)); /* LME off, paging on */
	ck_assert(!msr_efer_valid(0, CR0_PG, EFER_LME));	 /* LME on, paging on */
	ck_assert(!msr_efer_valid(long_mode, CR0_PG, long_mode | EFER_SVME));
	ck_assert(!msr_efer_valid(long_mode, CR0_PG, long_mode | 1ull << 14)); /* FFXSR: none */
	ck_assert(!msr_efer_valid(long_mode, CR0_PG, long_mode | 1ull << 63));
	ck_assert(!msr_efer_valid(long_mode, CR0_PG, long_mode | 2));
	fake_cpuid(0x80000001, 0, (struct cpuid_result){.edx = 1u << 25});
	ck_assert(msr_efer_valid(long_mode, CR0_PG, long_mode | 1ull << 14));
	ck_assert(!msr_efer_valid(long_mode, CR0_PG, long_mode | EFER_NXE));
}
END_TEST

#define HERE (0xfee00000 | APIC_BASE_BSP)

START_TEST(apic_base)
{
	const uint64_t off = HERE, on = HERE | APIC_BASE_ENABLE;
	const uint64_t x2apic = on | APIC_BASE_X2APIC;
	static const uint64_t moved[] = {0xfed00000, 0x1fee00000, 0};

	fake_cpu_reset();
	fake_msr(MSR_APIC_BASE, on);
	ck_assert(!msr_apic_base_write(x2apic)); /* the CPU has none */
	fake_cpuid(1, 0, (struct cpuid_result){.ecx = 1u << 21});
	ck_assert(msr_apic_base_write(on));
	for (unsigned i = 0; i < ARRAY_COUNT(moved); i++)
		ck_assert(!msr_apic_base_write(moved[i] | APIC_BASE_BSP | APIC_BASE_ENABLE));
	ck_assert(!msr_apic_base_write(on ^ APIC_BASE_BSP));
	ck_assert(!msr_apic_base_write(on | 1));
	ck_assert(!msr_apic_base_write(on | 1ull << 52));
	ck_assert(!msr_apic_base_write(off | APIC_BASE_X2APIC));
	ck_assert_uint_eq(fake_msr_value(MSR_APIC_BASE), on);
	ck_assert(msr_apic_base_write(x2apic));
	ck_assert_uint_eq(fake_msr_value(MSR_APIC_BASE), x2apic);
	ck_assert(!msr_apic_base_write(on));  /* that is a way by off alone */
	ck_assert(!msr_apic_base_write(off)); /* other CPUs must be able to reach this one */
	ck_assert_uint_eq(fake_msr_value(MSR_APIC_BASE), x2apic);
}
END_TEST

/* The maps are found by their address: here, physical is virtual. */
static void identity(void)
{
	static struct boot_info boot = {.base = HV_BASE};

	fake_cpu_reset();
	memory_init(&boot);
}

/* SDM volume 3, section 25.6.9. */
static bool vmx_exits(uint32_t msr, bool write)
{
	const uint8_t *map = (const uint8_t *)vmx_msr_map().v;

	if (msr >= 0x2000 && !(msr >= 0xc0000000 && msr < 0xc0002000))
		return true;
	map += (write ? 2048 : 0) + (msr >= 0xc0000000 ? 1024 : 0);
	return map[msr % 0x2000 / 8] >> msr % 8 & 1;
}

/* APM volume 2, section 15.11. */
static bool svm_exits(uint32_t msr, bool write)
{
	const uint8_t *map = (const uint8_t *)svm_msr_map().v;
	uint32_t range = msr < 0x2000				 ? 0
			 : msr >= 0xc0000000 && msr < 0xc0002000 ? 1
			 : msr >= 0xc0010000 && msr < 0xc0012000 ? 2
								 : 3;
	uint32_t bit = msr % 0x2000 * 2 + (write ? 1 : 0);

	return range == 3 || (map[range * 2048 + bit / 8] >> bit % 8 & 1);
}

/*
 * A list of registers that exit, and no other does: each exit is one that the exitless service VM
 * was promised not to take.
 */
struct exits {
	uint32_t first, last;
	bool read, write;
};

static const struct exits vmx_list[] = {
	{MSR_APIC_BASE, MSR_APIC_BASE, false, true},
	{MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, true, true},
	{0x79, 0x79, false, true},     /* BIOS_UPDT_TRIG */
	{0x9b, 0x9b, false, true},     /* SMM_MONITOR_CTL */
	{0x1f2, 0x1f5, false, true},   /* SMRR, PRMRR */
	{0x3f1, 0x3f1, false, true},   /* PEBS_ENABLE */
	{0x480, 0x493, true, true},    /* VMX capabilities */
	{0x570, 0x570, false, true},   /* RTIT_CTL */
	{0x600, 0x600, false, true},   /* DS_AREA */
	{0x982, 0x982, false, true},   /* TME_ACTIVATE */
	{0x17d0, 0x17d0, false, true}, /* HW_FEEDBACK_PTR */
};

static const struct exits svm_list[] = {
	{MSR_APIC_BASE, MSR_APIC_BASE, false, true},
	{MSR_EFER, MSR_EFER, true, true},
	{MSR_SYSCFG, MSR_SYSCFG, false, true},
	{MSR_IORR_FIRST, MSR_IORR_LAST, false, true},
	{MSR_MMIO_CFG_BASE, MSR_MMIO_CFG_BASE, false, true},
	{MSR_TOP_MEM, MSR_TOP_MEM, false, true},
	{MSR_TOP_MEM2, MSR_TOP_MEM2, false, true},
	{MSR_SMM_BASE, MSR_SMM_MASK, false, true},
	{MSR_VM_CR, MSR_VM_CR, true, true},
	{MSR_VM_HSAVE_PA, MSR_VM_HSAVE_PA, true, true},
};

static bool listed(const struct exits *list, size_t count, uint32_t msr, bool write)
{
	for (size_t i = 0; i < count; i++)
		if (msr >= list[i].first && msr <= list[i].last)
			return write ? list[i].write : list[i].read;
	return false;
}

START_TEST(vmx_map)
{
	identity();
	vmx_msr_map_init();
	for (uint32_t i = 0; i < 0x4000; i++) {
		uint32_t msr = i < 0x2000 ? i : 0xc0000000 + i - 0x2000;

		for (int write = 0; write < 2; write++)
			ck_assert_msg(vmx_exits(msr, write) ==
					      listed(vmx_list, ARRAY_COUNT(vmx_list), msr, write),
				      "MSR %x, write %d", msr, write);
	}
}
END_TEST

START_TEST(svm_map)
{
	identity();
	for (uint32_t i = 0; i < 0x6000; i++) {
		uint32_t msr = i < 0x2000   ? i
			       : i < 0x4000 ? 0xc0000000 + i - 0x2000
					    : 0xc0010000 + i - 0x4000;

		for (int write = 0; write < 2; write++)
			ck_assert_msg(svm_exits(msr, write) ==
					      listed(svm_list, ARRAY_COUNT(svm_list), msr, write),
				      "MSR %x, write %d", msr, write);
	}
}
END_TEST

/* Whatever exits is refused or answered without touching a register that the CPU may lack. */
START_TEST(vmx_answers)
{
	static const uint64_t values[] = {1, UINT64_MAX, 0x1000, 1ull << 63};
	struct vcpu vcpu = {0};
	uint64_t value;

	identity();
	vmx_msr_map_init();
	fake_msr(MSR_FEATURE_CONTROL, 7);
	fake_msr(MSR_APIC_BASE, HERE | APIC_BASE_ENABLE);
	for (uint32_t i = 0; i < 0x4000; i++) {
		uint32_t msr = i < 0x2000 ? i : 0xc0000000 + i - 0x2000;

		if (vmx_exits(msr, false))
			ck_assert(vmx_msr_read(&vcpu, msr, &value) == (msr == MSR_FEATURE_CONTROL));
		for (unsigned k = 0; vmx_exits(msr, true) && k < ARRAY_COUNT(values); k++)
			ck_assert(vmx_msr_write(&vcpu, msr, values[k]) == (msr == 0x79));
	}
	ck_assert(vmx_msr_read(&vcpu, MSR_FEATURE_CONTROL, &value));
	ck_assert_uint_eq(value, 1); /* locked, VT-x off */
	ck_assert(!vmx_msr_write(&vcpu, MSR_FEATURE_CONTROL, 1));
	ck_assert(vmx_msr_write(&vcpu, MSR_APIC_BASE, HERE | APIC_BASE_ENABLE));
	ck_assert(vmx_msr_write(&vcpu, 0x600, 0));
	/* past the map's ranges, where no register is */
	ck_assert(!vmx_msr_read(&vcpu, 0x40000000, &value));
	ck_assert(!vmx_msr_read(&vcpu, 0xc0010015, &value));
	ck_assert(!vmx_msr_write(&vcpu, 0x2000, 0));
	ck_assert_uint_eq(fake_msr_writes(), 1);
}
END_TEST

START_TEST(svm_answers)
{
	static struct vmcb vmcb;
	struct vcpu vcpu = {.control = &vmcb};
	uint64_t value;

	identity();
	fake_cpuid(0x80000001, 0, (struct cpuid_result){.edx = 1u << 20});
	fake_msr(MSR_TOP_MEM, GIB(2));
	fake_msr(MSR_SYSCFG, 0x40000);
	vmcb.cr0 = CR0_PG | CR0_PE;
	vmcb.efer = EFER_SVME | EFER_LME | EFER_LMA;
	ck_assert(svm_msr_read(&vcpu, MSR_EFER, &value));
	ck_assert_uint_eq(value, EFER_LME | EFER_LMA);
	ck_assert(svm_msr_write(&vcpu, MSR_EFER, EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE));
	ck_assert_uint_eq(vmcb.efer, EFER_SVME | EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE);
	ck_assert_uint_eq(vmcb.tlb_control, TLB_CONTROL_FLUSH);
	ck_assert(!svm_msr_write(&vcpu, MSR_EFER, EFER_SVME | EFER_LME | EFER_LMA));
	ck_assert(svm_msr_read(&vcpu, MSR_VM_CR, &value));
	ck_assert_uint_eq(value, VM_CR_SVMDIS | VM_CR_LOCK);
	ck_assert(!svm_msr_write(&vcpu, MSR_VM_CR, 0));
	ck_assert(!svm_msr_read(&vcpu, MSR_VM_HSAVE_PA, &value));
	ck_assert(!svm_msr_write(&vcpu, MSR_VM_HSAVE_PA, 0));
	ck_assert(svm_msr_write(&vcpu, MSR_TOP_MEM, GIB(2)));
	ck_assert(!svm_msr_write(&vcpu, MSR_TOP_MEM, GIB(1)));
	ck_assert(!svm_msr_write(&vcpu, MSR_SYSCFG, 0));
	ck_assert_uint_eq(fake_msr_writes(), 0);
}
END_TEST

/* A CPU that has all of VT-x that is wanted, and no other control. */
static void vtx(uint64_t secondary)
{
	fake_cpu_reset();
	fake_cpuid(1, 0, (struct cpuid_result){.ecx = 1u << 5});
	fake_msr(MSR_FEATURE_CONTROL, 5);
	fake_msr(MSR_VMX_BASIC, 1ull << 55 | 0x12);
	fake_msr(MSR_VMX_TRUE_PINBASED_CTLS, (uint64_t)(PIN_NMI_EXITING | PIN_VIRTUAL_NMIS |
							PIN_PREEMPTION_TIMER | VMX_PIN_GUESTS |
							0x16) << 32 |
						     0x16);
	fake_msr(MSR_VMX_TRUE_PROCBASED_CTLS, (uint64_t)(0x90400000 | PROCESSOR_INTERRUPT_WINDOW |
							 VMX_PROCESSOR_GUESTS | 0x4006172)
							      << 32 |
						      0x4006172);
	fake_msr(MSR_VMX_PROCBASED_CTLS2, secondary << 32);
	fake_msr(MSR_VMX_TRUE_EXIT_CTLS, (0x7c0204ull | 0x36dfb) << 32 | 0x36dfb);
	fake_msr(MSR_VMX_TRUE_ENTRY_CTLS, (0xc204ull | 0x11fb) << 32 | 0x11fb);
	fake_msr(MSR_VMX_EPT_VPID_CAP, EPT_CAP_LEVELS4 | EPT_CAP_WB | EPT_CAP_PAGE_2M |
					       EPT_CAP_INVEPT | EPT_CAP_INVEPT_ALL);
	fake_msr(MSR_VMX_CR0_FIXED0, 0x80000021);
	fake_msr(MSR_VMX_CR0_FIXED1, 0xffffffff);
	fake_msr(MSR_VMX_CR4_FIXED0, CR4_VMXE);
	fake_msr(MSR_VMX_CR4_FIXED1, 0x7fffff);
}

#define EPT_AND_UNRESTRICTED (SECONDARY_ENABLE_EPT | SECONDARY_UNRESTRICTED_GUEST)

static const char *checked(void)
{
	static char text[VMX_CHECK_BYTES];
	struct vmx_controls controls;

	return vmx_check(&controls, text);
}

START_TEST(vmx_enough)
{
	struct vmx_controls controls;
	char text[VMX_CHECK_BYTES];

	vtx(EPT_AND_UNRESTRICTED);
	ck_assert_ptr_null(vmx_check(&controls, text));
	ck_assert_uint_eq(controls.pin, 0x3e);
	ck_assert_uint_eq(controls.exit & EXIT_SAVE_PREEMPTION_TIMER, 0); /* the guests' */
	ck_assert_uint_eq(controls.processor, 0x94006172); /* no NMI window until an NMI waits */
	ck_assert_uint_eq(controls.secondary, EPT_AND_UNRESTRICTED);
	/* what is offered beside is taken, VPID only if it can be invalidated */
	vtx(UINT32_MAX);
	ck_assert_ptr_null(vmx_check(&controls, text));
	ck_assert_uint_eq(controls.secondary, EPT_AND_UNRESTRICTED | SECONDARY_ENABLE_RDTSCP |
						      SECONDARY_ENABLE_INVPCID |
						      SECONDARY_ENABLE_XSAVES |
						      SECONDARY_ENABLE_USER_WAIT);
	fake_msr(MSR_VMX_EPT_VPID_CAP,
		 fake_msr_value(MSR_VMX_EPT_VPID_CAP) | VPID_CAP_INVVPID | VPID_CAP_INVVPID_ALL);
	ck_assert_ptr_null(vmx_check(&controls, text));
	ck_assert(controls.secondary & SECONDARY_ENABLE_VPID);
	/* nothing is changed by looking, and an unlocked FEATURE_CONTROL is no obstacle */
	fake_msr(MSR_FEATURE_CONTROL, 0);
	ck_assert_ptr_null(checked());
}
END_TEST

/* A guest's vCPU never reaches the service VM's registers, not even those that it may have. */
START_TEST(guests_have_their_own)
{
	struct vcpu vcpu = {.domain = (struct domain *)&vcpu};
	uint64_t value;

	identity();
	for (uint32_t msr = 0; msr < 0x2000; msr++) {
		ck_assert(svm_msr_read(&vcpu, msr, &value));
		ck_assert_uint_eq(value, 0x77);
		ck_assert(svm_msr_write(&vcpu, msr, 0));
	}
	ck_assert_uint_eq(guest_reads, 0x2000);
	ck_assert_uint_eq(guest_writes, 0x2000);
	ck_assert_uint_eq(fake_msr_writes(), 0);
}
END_TEST

/* Each register in turn offers nothing, or what nobody can deal with: the message names it. */
START_TEST(vmx_too_little)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
		const char *message;
	} cases[] = {
		{MSR_FEATURE_CONTROL, 1, "FEATURE_CONTROL=0x1;"},
		{MSR_FEATURE_CONTROL, 3, "FEATURE_CONTROL=0x3;"},
		{MSR_VMX_BASIC, 0x12, "true controls"},
		{MSR_VMX_TRUE_PINBASED_CTLS, 0x16ull << 32 | 0x16, "virtual NMIs"},
		{MSR_VMX_TRUE_PROCBASED_CTLS, 0x80400000ull << 32, "MSR bitmaps"},
		{MSR_VMX_PROCBASED_CTLS2, 0, "EPT needed"},
		{MSR_VMX_PROCBASED_CTLS2, 2ull << 32, "unrestricted guest"},
		{MSR_VMX_TRUE_EXIT_CTLS, 0, "EFER and PAT"},
		{MSR_VMX_TRUE_ENTRY_CTLS, 0, "EFER and PAT"},
		{MSR_VMX_EPT_VPID_CAP, EPT_CAP_LEVELS4, "0x40"},
		{MSR_VMX_CR0_FIXED0, 0x80000023, "0x80000023"},
		{MSR_VMX_CR4_FIXED0, CR4_VMXE | 1, "0x2001"},
	};
	const char *message;

	vtx(EPT_AND_UNRESTRICTED);
	fake_msr(cases[_i].msr, cases[_i].value);
	message = checked();
	ck_assert_ptr_nonnull(message);
	ck_assert_msg(strstr(message, cases[_i].message) != NULL, "%s", message);
}
END_TEST

START_TEST(vmx_none)
{
	fake_cpu_reset();
	ck_assert_ptr_nonnull(strstr(checked(), "VT-x needed"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("registers");
	TCase *tests = tcase_create("registers");

	tcase_add_test(tests, xcr0_combinations);
	tcase_add_test(tests, xcr_writes);
	tcase_add_test(tests, efer);
	tcase_add_test(tests, apic_base);
	tcase_add_test(tests, vmx_map);
	tcase_add_test(tests, svm_map);
	tcase_add_test(tests, vmx_answers);
	tcase_add_test(tests, svm_answers);
	tcase_add_test(tests, vmx_enough);
	tcase_add_loop_test(tests, vmx_too_little, 0, 12);
	tcase_add_test(tests, vmx_none);

	tcase_add_test(tests, guests_have_their_own);
	suite_add_tcase(suite, tests);
	return suite;
}
