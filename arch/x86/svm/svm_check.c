// SPDX-License-Identifier: BSD-2-Clause
/* AMD-V: whether a CPU has what is needed (APM volume 2, section 15.4). The boot loader asks too.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "hv/string.h"

#define CPUID_EXT_1	0x80000001
#define CPUID_EXT_1_SVM (1u << 2)
#define CPUID_SVM	0x8000000a

const char *svm_check(char *text)
{
	uint64_t vm_cr;
	uint32_t edx;

	if (!(cpuid(CPUID_EXT_1, 0).ecx & CPUID_EXT_1_SVM))
		return "AMD-V needed: CPUID 0x80000001 ECX has bit 2 clear";
	vm_cr = rdmsr(MSR_VM_CR);
	edx = cpuid(CPUID_SVM, 0).edx;
	if (vm_cr & VM_CR_SVMDIS)
		format_text(
			text, SVM_CHECK_BYTES,
			"AMD-V is present but switched off by firmware: VM_CR=0x%llx; enable SVM "
			"in the firmware's setup",
			(unsigned long long)vm_cr);
	else if (!(edx & SVM_FEATURE_NP))
		format_text(text, SVM_CHECK_BYTES,
			    "nested paging (NPT) needed: CPUID 0x8000000A EDX=0x%x has bit 0 clear",
			    edx);
	else
		return NULL;
	return text;
}
