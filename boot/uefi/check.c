// SPDX-License-Identifier: BSD-2-Clause
/* What Socle needs of a CPU (SDM volume 3, sections 24.6, 24.7, appendix A; APM volume 2, 15.4). */
#include "boot/uefi/loader.h"

#include "arch/x86/asm.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/x86.h"

#define SYSCFG_SMEE	 (1ull << 23)
#define MSR_TME_ACTIVATE 0x982
#define CPUID_7_ECX_TME	 (1u << 13)

/* The service VM's map covers this many address bits at most: with 1 GiB pages, and without. */
#define BITS_1G 48
#define BITS_2M 40

/* The back ends know what they need; here it can still be said while the firmware is there. */
static void check_svm(struct loader *loader)
{
	char text[SVM_CHECK_BYTES];
	const char *error = svm_check(text);

	if (error != NULL)
		fail("%s", error);
	loader->vendor = SOCLE_VENDOR_SVM;
	loader->pages_1g = (cpuid(0x80000001, 0).edx & (1u << 26)) != 0;
}

static void check_vmx(struct loader *loader)
{
	char text[VMX_CHECK_BYTES];
	struct vmx_controls controls;
	const char *error = vmx_check(&controls, text);

	if (error != NULL)
		fail("%s", error);
	loader->vendor = SOCLE_VENDOR_VMX;
	loader->pages_1g = (rdmsr(MSR_VMX_EPT_VPID_CAP) & EPT_CAP_PAGE_1G) != 0;
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
