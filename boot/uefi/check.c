// SPDX-License-Identifier: BSD-2-Clause
/* What Socle needs of a CPU (SDM volume 3, sections 24.6, 24.7, appendix A; APM volume 2, 15.4). */
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "arch/x86/x86.h"

#define MSR_SYSCFG		0xc0010010
#define SYSCFG_SMEE		(1ull << 23)
#define MSR_TME_ACTIVATE	0x982
#define CPUID_7_ECX_TME		(1u << 13)
#define MSR_VM_CR		0xc0010114
#define VM_CR_SVMDIS		(1ull << 4)
#define FEATURE_LOCK		(1ull << 0)
#define FEATURE_VMXON		(1ull << 2)
#define MSR_VMX_PROCBASED	0x482
#define MSR_VMX_PROCBASED2	0x48b
#define MSR_VMX_EPT		0x48c
#define ALLOWED(bit)		(1ull << (32 + (bit)))
#define PROCBASED_SECOND	31
#define PROCBASED_MSR_MAP	28
#define PROCBASED2_EPT		1
#define PROCBASED2_UNRESTRICTED 7
#define EPT_CAP_WALK4		(1ull << 6)
#define EPT_CAP_WB		(1ull << 14)
#define EPT_CAP_2M		(1ull << 16)
#define EPT_CAP_1G		(1ull << 17)

/* The service VM's map covers this many address bits at most: with 1 GiB pages, and without. */
#define BITS_1G 48
#define BITS_2M 40

static void check_svm(struct loader *loader)
{
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		fail("AMD-V is present but switched off by firmware: VM_CR=0x%llx; enable SVM in "
		     "the "
		     "firmware's setup",
		     (unsigned long long)rdmsr(MSR_VM_CR));
	if (!(cpuid(0x8000000a, 0).edx & 1))
		fail("nested paging (NPT) needed: CPUID 0x8000000A EDX=0x%x has bit 0 clear",
		     cpuid(0x8000000a, 0).edx);
	loader->vendor = SOCLE_VENDOR_SVM;
	loader->pages_1g = (cpuid(0x80000001, 0).edx & (1u << 26)) != 0;
}

static void check_vmx(struct loader *loader)
{
	uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);
	uint64_t ept;

	if ((feature & FEATURE_LOCK) && !(feature & FEATURE_VMXON))
		fail("VT-x is present but locked off by firmware: FEATURE_CONTROL=0x%llx; enable "
		     "VT-x "
		     "in the firmware's setup",
		     (unsigned long long)feature);
	if (!(rdmsr(MSR_VMX_PROCBASED) & ALLOWED(PROCBASED_SECOND)) ||
	    !(rdmsr(MSR_VMX_PROCBASED) & ALLOWED(PROCBASED_MSR_MAP)))
		fail("secondary controls and MSR bitmaps needed: IA32_VMX_PROCBASED_CTLS=0x%llx",
		     (unsigned long long)rdmsr(MSR_VMX_PROCBASED));
	if (!(rdmsr(MSR_VMX_PROCBASED2) & ALLOWED(PROCBASED2_EPT)))
		fail("EPT needed: IA32_VMX_PROCBASED_CTLS2=0x%llx does not allow it",
		     (unsigned long long)rdmsr(MSR_VMX_PROCBASED2));
	if (!(rdmsr(MSR_VMX_PROCBASED2) & ALLOWED(PROCBASED2_UNRESTRICTED)))
		fail("unrestricted guest needed: IA32_VMX_PROCBASED_CTLS2=0x%llx does not allow it",
		     (unsigned long long)rdmsr(MSR_VMX_PROCBASED2));
	ept = rdmsr(MSR_VMX_EPT);
	if ((ept & (EPT_CAP_WALK4 | EPT_CAP_WB | EPT_CAP_2M)) !=
	    (EPT_CAP_WALK4 | EPT_CAP_WB | EPT_CAP_2M))
		fail("EPT with 4 levels, write-back tables and 2 MiB pages needed: "
		     "IA32_VMX_EPT_VPID_CAP=0x%llx",
		     (unsigned long long)ept);
	loader->vendor = SOCLE_VENDOR_VMX;
	loader->pages_1g = (ept & EPT_CAP_1G) != 0;
}

/*
 * Address bits that memory encryption takes for key numbers (APM volume 2, section 7.10; SDM volume
 * 3, IA32_TME_ACTIVATE). Addresses that differ in them alone are one place, so the map must end
 * below.
 */
static unsigned encryption_bits(const struct loader *loader)
{
	struct cpuid_result r;

	if (loader->vendor == SOCLE_VENDOR_SVM) {
		if (cpuid(0x80000000, 0).eax < 0x8000001f)
			return 0;
		r = cpuid(0x8000001f, 0);
		return (r.eax & 1) && (rdmsr(MSR_SYSCFG) & SYSCFG_SMEE) ? r.ebx >> 6 & 0x3f : 0;
	}
	if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ecx & CPUID_7_ECX_TME))
		return 0;
	return (unsigned)(rdmsr(MSR_TME_ACTIVATE) >> 32 & 0xf);
}

void check_cpu(struct loader *loader)
{
	uint32_t extended = cpuid(0x80000000, 0).eax;
	unsigned bits = extended >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
	unsigned limit;

	if (extended < 0x80000001 || !(cpuid(0x80000001, 0).edx & (1u << 20)))
		fail("no-execute pages needed: CPUID 0x80000001 EDX bit 20 is 0; enable NX (XD) in "
		     "the "
		     "firmware's setup");
	if (cpuid(1, 0).ecx & (1u << 5))
		check_vmx(loader);
	else if (extended >= 0x8000000a && (cpuid(0x80000001, 0).ecx & (1u << 2)))
		check_svm(loader);
	else
		fail("VT-x or AMD-V needed, found neither: CPUID 1 ECX=0x%x (bit 5 is VT-x), "
		     "0x80000001 ECX=0x%x (bit 2 is AMD-V); use a processor that has one, and "
		     "enable "
		     "it in the firmware's setup",
		     cpuid(1, 0).ecx, cpuid(0x80000001, 0).ecx);
	bits -= encryption_bits(loader);
	limit = loader->pages_1g ? BITS_1G : BITS_2M;
	loader->physical_bits = bits < limit ? bits : limit;
}
