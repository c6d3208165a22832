/* SPDX-License-Identifier: BSD-2-Clause */
#include "socle.h"

static const char *const reason_name[] = {
	[SOCLE_EXIT_CPUID] = "cpuid",
	[SOCLE_EXIT_HYPERCALL] = "hypercall",
	[SOCLE_EXIT_XSETBV] = "xsetbv",
	[SOCLE_EXIT_MSR_READ] = "msr_read",
	[SOCLE_EXIT_MSR_WRITE] = "msr_write",
	[SOCLE_EXIT_SECOND_LEVEL] = "npf",
	[SOCLE_EXIT_NMI] = "nmi",
	[SOCLE_EXIT_NMI_WINDOW] = "nmi_window",
	[SOCLE_EXIT_INIT] = "init",
	[SOCLE_EXIT_SIPI] = "sipi",
	[SOCLE_EXIT_CR_ACCESS] = "cr_access",
	[SOCLE_EXIT_INVD] = "invd",
	[SOCLE_EXIT_REFUSED] = "refused",
	[SOCLE_EXIT_SHUTDOWN] = "shutdown",
	[SOCLE_EXIT_INTERRUPT] = "interrupt",
	[SOCLE_EXIT_EXCEPTION] = "exception",
	[SOCLE_EXIT_HLT] = "hlt",
	[SOCLE_EXIT_IO] = "io",
	[SOCLE_EXIT_ENTRY_FAILURE] = "entry_failure",
	[SOCLE_EXIT_OTHER] = "other",
	[SOCLE_EXIT_INTERRUPT_WINDOW] = "interrupt_window",
	[SOCLE_EXIT_EOI] = "eoi",
	[SOCLE_EXIT_IPI] = "ipi",
	[SOCLE_EXIT_WAKE] = "wake",
	[SOCLE_EXIT_TIMER] = "timer",
};
_Static_assert(sizeof(reason_name) / sizeof(reason_name[0]) == SOCLE_EXIT_COUNT,
	       "every exit reason has a name");

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{SOCLE_FEATURE_PAGE_1G, "page_1g"},	{SOCLE_FEATURE_APICV, "apicv"},
	{SOCLE_FEATURE_NEXT_RIP, "next_rip"},	{SOCLE_FEATURE_TIMER, "timer"},
	{SOCLE_FEATURE_DIRTY_LOG, "dirty_log"}, {SOCLE_FEATURE_ASID, "asid"},
	{SOCLE_FEATURE_X2APIC, "x2apic"},
};

const char *socle_vendor_name(enum socle_vendor vendor)
{
	switch (vendor) {
	case SOCLE_VENDOR_SVM:
		return "svm";
	case SOCLE_VENDOR_VMX:
		return "vmx";
	}
	return "unknown";
}

const char *socle_exit_reason_name(enum socle_vendor vendor, unsigned int reason)
{
	if (reason >= SOCLE_EXIT_COUNT)
		return NULL;
	if (reason == SOCLE_EXIT_SECOND_LEVEL && vendor == SOCLE_VENDOR_VMX)
		return "ept_violation";
	return reason_name[reason];
}

const char *socle_feature_name(unsigned int bit)
{
	for (size_t i = 0; bit < 64 && i < sizeof(features) / sizeof(features[0]); i++) {
		if (features[i].bit == 1ull << bit)
			return features[i].name;
	}
	return NULL;
}

const char *socle_error_text(int64_t error)
{
	switch (error) {
	case SOCLE_OK:
		return "no error";
	case SOCLE_ERROR_KEY:
		return "the key does not allow this call";
	case SOCLE_ERROR_RING:
		return "the call was not made from ring 3";
	case SOCLE_ERROR_CALL:
		return "the hypervisor has no such call";
	case SOCLE_ERROR_ARGUMENT:
		return "an argument is out of range";
	case SOCLE_ERROR_DOMAIN:
		return "there is no such domain, or it is being destroyed";
	case SOCLE_ERROR_OWNER:
		return "a frame is outside the pool, or has another owner than the call needs";
	case SOCLE_ERROR_MEMORY:
		return "the domain's donated frames are used up";
	case SOCLE_ERROR_BUSY:
		return "the vCPU runs, or exists already";
	case SOCLE_ERROR_LIMIT:
		return "no domain or vCPU number is left";
	case SOCLE_ERROR_REPLY:
		return "the hypervisor's reply makes no sense";
	default:
		return "an error that this program does not know";
	}
}
