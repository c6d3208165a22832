// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: whether a CPU has what is needed (SDM volume 3, appendix A). The boot loader asks too. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "hv/string.h"

#define CPUID_1_VMX (1u << 5)

/* One word of controls: what the service VM cannot do without, and what it takes if offered. */
struct control_word {
	const char *name;
	uint32_t msr;
	uint32_t required, optional;
	size_t offset; /* in struct vmx_controls */
};

/*
 * The guest has its interrupts, ports, HLT, RDTSC, CR3 and debug registers: none of those exits is
 * asked for. EFER, PAT, DR7 and IA32_DEBUGCTL are switched: a guest may put any of them in a state
 * that the hypervisor could not run in (PAT entry 0 not write-back, a breakpoint on its code).
 */
static const struct control_word control_words[] = {
	{"MSR bitmaps, windows and secondary controls", MSR_VMX_TRUE_PROCBASED_CTLS,
	 PROCESSOR_USE_MSR_BITMAPS | PROCESSOR_NMI_WINDOW_EXITING | PROCESSOR_SECONDARY_CONTROLS |
		 PROCESSOR_INTERRUPT_WINDOW | VMX_PROCESSOR_GUESTS,
	 0, offsetof(struct vmx_controls, processor)},
	{"EPT", MSR_VMX_PROCBASED_CTLS2, SECONDARY_ENABLE_EPT, 0,
	 offsetof(struct vmx_controls, secondary)},
	{"unrestricted guest", MSR_VMX_PROCBASED_CTLS2,
	 SECONDARY_ENABLE_EPT | SECONDARY_UNRESTRICTED_GUEST,
	 SECONDARY_ENABLE_RDTSCP | SECONDARY_ENABLE_VPID | SECONDARY_ENABLE_INVPCID |
		 SECONDARY_ENABLE_XSAVES | SECONDARY_ENABLE_USER_WAIT,
	 offsetof(struct vmx_controls, secondary)},
	{"NMI exiting, virtual NMIs and the VMX-preemption timer", MSR_VMX_TRUE_PINBASED_CTLS,
	 PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER | VMX_PIN_GUESTS, 0,
	 offsetof(struct vmx_controls, pin)},
	{"exits that switch EFER and PAT, and save the VMX-preemption timer",
	 MSR_VMX_TRUE_EXIT_CTLS,
	 EXIT_SAVE_DEBUG_CONTROLS | EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
		 EXIT_SAVE_EFER | EXIT_LOAD_EFER | VMX_EXIT_GUESTS,
	 0, offsetof(struct vmx_controls, exit)},
	{"entries that switch EFER and PAT", MSR_VMX_TRUE_ENTRY_CTLS,
	 ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_IA32E_MODE_GUEST | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0,
	 offsetof(struct vmx_controls, entry)},
};

/* A capability MSR's low half: the bits that must be 1; its high half: those that may (A.3). */
static uint32_t must_be_one(uint32_t msr)
{
	return (uint32_t)rdmsr(msr);
}

uint32_t vmx_may_be_one(uint32_t msr)
{
	return (uint32_t)(rdmsr(msr) >> 32);
}

/* Says in text what is missing. */
static const char *missing(char *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *missing(char *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	format_text_v(text, VMX_CHECK_BYTES, format, arguments);
	va_end(arguments);
	return text;
}

static const char *choose_controls(struct vmx_controls *controls, char *text)
{
	for (unsigned i = 0; i < ARRAY_COUNT(control_words); i++) {
		const struct control_word *word = &control_words[i];
		uint32_t may = vmx_may_be_one(word->msr);

		if (word->required & ~may)
			return missing(text, "%s needed: MSR 0x%x offers bits 0x%x of 0x%x",
				       word->name, word->msr, word->required & may, word->required);
		*(uint32_t *)((uint8_t *)controls + word->offset) =
			must_be_one(word->msr) | word->required | (word->optional & may);
	}
	/* The guests', and those that are asked for only while something waits. */
	controls->pin &= ~(PIN_PREEMPTION_TIMER | VMX_PIN_GUESTS);
	controls->exit &= ~VMX_EXIT_GUESTS;
	controls->processor &=
		~(PROCESSOR_NMI_WINDOW_EXITING | PROCESSOR_INTERRUPT_WINDOW | VMX_PROCESSOR_GUESTS);
	return NULL;
}

const char *vmx_check(struct vmx_controls *controls, char *text)
{
	const uint64_t ept_needed = EPT_CAP_LEVELS4 | EPT_CAP_WB | EPT_CAP_PAGE_2M |
				    EPT_CAP_INVEPT | EPT_CAP_INVEPT_ALL;
	const char *error;
	uint64_t v;

	if (!(cpuid(1, 0).ecx & CPUID_1_VMX))
		return "VT-x needed: CPUID 1 ECX has bit 5 clear";
	v = rdmsr(MSR_FEATURE_CONTROL);
	if ((v & FEATURE_CONTROL_LOCK) && !(v & FEATURE_CONTROL_VMXON_OUTSIDE_SMX))
		return missing(
			text,
			"VT-x is present but locked off by firmware: FEATURE_CONTROL=0x%llx; "
			"enable VT-x in the firmware's setup",
			(unsigned long long)v);
	v = rdmsr(MSR_VMX_BASIC);
	if (!(v & VMX_BASIC_TRUE_CTLS))
		return missing(text,
			       "VT-x with true controls needed: VMX_BASIC=0x%llx has bit 55 clear",
			       (unsigned long long)v);
	error = choose_controls(controls, text);
	if (error != NULL)
		return error;
	v = rdmsr(MSR_VMX_EPT_VPID_CAP);
	if (ept_needed & ~v)
		return missing(
			text,
			"EPT with 4 levels, write-back tables, 2 MiB pages and INVEPT needed: "
			"EPT_VPID_CAP=0x%llx lacks some of 0x%llx",
			(unsigned long long)v, (unsigned long long)ept_needed);
	if (!(v & VPID_CAP_INVVPID) || !(v & VPID_CAP_INVVPID_ALL))
		controls->secondary &= ~SECONDARY_ENABLE_VPID;
	/* Unrestricted guests lift PE and PG. vmx_vcpu.c deals with NE and VMXE, with nothing else.
	 */
	if ((rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_NE | CR0_PG)) ||
	    (rdmsr(MSR_VMX_CR4_FIXED0) & ~CR4_VMXE))
		return missing(text,
			       "VT-x that fixes NE and VMXE alone needed: CR0_FIXED0=0x%llx, "
			       "CR4_FIXED0=0x%llx",
			       (unsigned long long)rdmsr(MSR_VMX_CR0_FIXED0),
			       (unsigned long long)rdmsr(MSR_VMX_CR4_FIXED0));
	return NULL;
}
