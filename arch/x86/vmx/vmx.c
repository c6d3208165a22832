// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: a CPU. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/memory.h"
#include "hv/panic.h"
#include "hv/string.h"

#define CPUID_1_VMX   (1u << 5)
#define CPUID_1_XSAVE (1u << 26)

struct vmx_controls vmx_controls;

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
	{"NMI exiting and virtual NMIs", MSR_VMX_TRUE_PINBASED_CTLS,
	 PIN_NMI_EXITING | PIN_VIRTUAL_NMIS, 0, offsetof(struct vmx_controls, pin)},
	{"MSR bitmaps, NMI windows and secondary controls", MSR_VMX_TRUE_PROCBASED_CTLS,
	 PROCESSOR_USE_MSR_BITMAPS | PROCESSOR_NMI_WINDOW_EXITING | PROCESSOR_SECONDARY_CONTROLS, 0,
	 offsetof(struct vmx_controls, processor)},
	{"EPT", MSR_VMX_PROCBASED_CTLS2, SECONDARY_ENABLE_EPT, 0,
	 offsetof(struct vmx_controls, secondary)},
	{"unrestricted guest", MSR_VMX_PROCBASED_CTLS2,
	 SECONDARY_ENABLE_EPT | SECONDARY_UNRESTRICTED_GUEST,
	 SECONDARY_ENABLE_RDTSCP | SECONDARY_ENABLE_VPID | SECONDARY_ENABLE_INVPCID |
		 SECONDARY_ENABLE_XSAVES | SECONDARY_ENABLE_USER_WAIT,
	 offsetof(struct vmx_controls, secondary)},
	{"exits that switch EFER and PAT", MSR_VMX_TRUE_EXIT_CTLS,
	 EXIT_SAVE_DEBUG_CONTROLS | EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
		 EXIT_SAVE_EFER | EXIT_LOAD_EFER,
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

static uint32_t may_be_one(uint32_t msr)
{
	return (uint32_t)(rdmsr(msr) >> 32);
}

/* Says in text, a page, what is missing. */
static const char *missing(char *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *missing(char *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	format_text_v(text, PAGE_BYTES, format, arguments);
	va_end(arguments);
	return text;
}

static const char *choose_controls(struct vmx_controls *controls, char *text)
{
	for (unsigned i = 0; i < ARRAY_COUNT(control_words); i++) {
		const struct control_word *word = &control_words[i];
		uint32_t may = may_be_one(word->msr);

		if (word->required & ~may)
			return missing(text,
				       "VT-x without %s (MSR 0x%x: bits 0x%x needed, 0x%x offered)",
				       word->name, word->msr, word->required, word->required & may);
		*(uint32_t *)((uint8_t *)controls + word->offset) =
			must_be_one(word->msr) | word->required | (word->optional & may);
	}
	controls->processor &= ~PROCESSOR_NMI_WINDOW_EXITING; /* until an NMI waits */
	return NULL;
}

/* What the CPU has of VT-x. NULL: all that is needed. */
static const char *check(struct vmx_controls *controls, char *text)
{
	const uint64_t ept_needed = EPT_CAP_LEVELS4 | EPT_CAP_WB | EPT_CAP_PAGE_2M |
				    EPT_CAP_INVEPT | EPT_CAP_INVEPT_ALL;
	const char *error;
	uint64_t v;

	if (!(cpuid(1, 0).ecx & CPUID_1_VMX))
		return "no VT-x (CPUID 1 ECX bit 5 is 0)";
	v = rdmsr(MSR_FEATURE_CONTROL);
	if ((v & FEATURE_CONTROL_LOCK) && !(v & FEATURE_CONTROL_VMXON_OUTSIDE_SMX))
		return missing(text,
			       "VT-x is locked off by firmware (FEATURE_CONTROL is 0x%llx): "
			       "switch it on in the firmware's setup",
			       (unsigned long long)v);
	v = rdmsr(MSR_VMX_BASIC);
	if (!(v & VMX_BASIC_TRUE_CTLS))
		return missing(text, "VT-x too old (VMX_BASIC is 0x%llx, bit 55 needed)",
			       (unsigned long long)v);
	error = choose_controls(controls, text);
	if (error != NULL)
		return error;
	v = rdmsr(MSR_VMX_EPT_VPID_CAP);
	if (ept_needed & ~v)
		return missing(text,
			       "EPT lacks what is needed (EPT_VPID_CAP is 0x%llx, bits 0x%llx "
			       "needed)",
			       (unsigned long long)v, (unsigned long long)ept_needed);
	if (!(v & VPID_CAP_INVVPID) || !(v & VPID_CAP_INVVPID_ALL))
		controls->secondary &= ~SECONDARY_ENABLE_VPID;
	/* Unrestricted guests lift PE and PG. vmx_vcpu.c deals with NE and VMXE, with nothing else.
	 */
	if ((rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_NE | CR0_PG)) ||
	    (rdmsr(MSR_VMX_CR4_FIXED0) & ~CR4_VMXE))
		return missing(text, "VT-x fixes unknown bits (CR0 0x%llx, CR4 0x%llx)",
			       (unsigned long long)rdmsr(MSR_VMX_CR0_FIXED0),
			       (unsigned long long)rdmsr(MSR_VMX_CR4_FIXED0));
	return NULL;
}

/* VMXON, VMCLEAR, VMPTRLD (SDM volume 3, section 31.3). False: the instruction failed. */
#define VMX_INSTRUCTION(name)                                                                      \
	static bool name(hpa_t region)                                                             \
	{                                                                                          \
		bool failed;                                                                       \
                                                                                                   \
		__asm__ volatile(#name " %1" : "=@ccbe"(failed) : "m"(region.v) : "memory");       \
		return !failed;                                                                    \
	}
VMX_INSTRUCTION(vmxon)
VMX_INSTRUCTION(vmclear)
VMX_INSTRUCTION(vmptrld)

static void write_revision(void *region)
{
	*(uint32_t *)region = (uint32_t)rdmsr(MSR_VMX_BASIC) & VMX_BASIC_REVISION;
}

const char *vmx_cpu_enable(struct cpu *cpu, void *page)
{
	struct vmx_controls controls;
	const char *error = check(&controls, page); /* the page holds the message if there is one */
	uint64_t feature_control, cr4;

	if (error != NULL)
		return error;
	if (cpu->index == 0) { /* it comes first, and alone */
		vmx_controls = controls;
		vmx_msr_map_init();
	} else if (memcmp(&controls, &vmx_controls, sizeof(controls)) != 0) {
		return "VT-x offers other controls than on CPU 0";
	}

	feature_control = rdmsr(MSR_FEATURE_CONTROL);
	if (!(feature_control & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_FEATURE_CONTROL,
		      feature_control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX);
	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
	/* OSXSAVE: XSETBV is carried out for the guest. MCE: a machine check is no silent shutdown.
	 */
	cr4 = read_cr4() | CR4_MCE | rdmsr(MSR_VMX_CR4_FIXED0);
	if (cpuid(1, 0).ecx & CPUID_1_XSAVE)
		cr4 |= CR4_OSXSAVE;
	write_cr4(cr4 & rdmsr(MSR_VMX_CR4_FIXED1));
	write_revision(page);
	return vmxon(memory_physical(page)) ? NULL : "VMXON failed";
}

uint64_t vmx_cpu_features(void)
{
	uint64_t ept = rdmsr(MSR_VMX_EPT_VPID_CAP);
	uint32_t secondary = may_be_one(MSR_VMX_PROCBASED_CTLS2);
	uint64_t features = SOCLE_FEATURE_NEXT_RIP;

	if (ept & EPT_CAP_PAGE_1G)
		features |= SOCLE_FEATURE_PAGE_1G;
	if (secondary & SECONDARY_VIRTUAL_INTERRUPTS)
		features |= SOCLE_FEATURE_APICV;
	if (may_be_one(MSR_VMX_TRUE_PINBASED_CTLS) & PIN_PREEMPTION_TIMER)
		features |= SOCLE_FEATURE_TIMER;
	if ((ept & EPT_CAP_ACCESSED_DIRTY) || (secondary & SECONDARY_ENABLE_PML))
		features |= SOCLE_FEATURE_DIRTY_LOG;
	if (vmx_controls.secondary & SECONDARY_ENABLE_VPID)
		features |= SOCLE_FEATURE_ASID;
	return features;
}

/*
 * The NMI is noted, and the next moment at which the VM could take one is made an exit, which
 * injects it (open_nmi_window() in vmx_vcpu.c).
 *
 * Nothing is lost, wherever in the hypervisor the NMI strikes. Nothing but this function sets the
 * control, and nothing reads it to write it back; only the exit that it asks for takes it away, and
 * that looks at nmi_pending afterwards. So an entry that follows this function sees the control:
 * it is in the VMCS, which the processor reads at the entry, not in a variable that the entry path
 * has read already. An NMI that comes later than that is no longer the hypervisor's: it exits.
 * Before there is a current VMCS the VMWRITE fails, and vmx_service_init() looks at nmi_pending.
 */
void vmx_cpu_nmi(struct cpu *cpu)
{
	__atomic_store_n(&cpu->nmi_pending, true, __ATOMIC_RELAXED);
	vmcs_write(VMCS_PROCESSOR_CONTROLS, vmx_controls.processor | PROCESSOR_NMI_WINDOW_EXITING);
}

void vmx_vmcs_load(void *vmcs, hpa_t vmcs_pa)
{
	write_revision(vmcs);
	hv_assert(vmclear(vmcs_pa));
	hv_assert(vmptrld(vmcs_pa));
}

void vmx_invalidate_all(void)
{
	const uint64_t descriptor[2] = {0, 0};
	bool failed;

	__asm__ volatile("invept %1, %2"
			 : "=@ccbe"(failed)
			 : "m"(descriptor), "r"((uint64_t)INVALIDATE_ALL)
			 : "memory");
	hv_assert(!failed);
	if (!(vmx_controls.secondary & SECONDARY_ENABLE_VPID))
		return;
	__asm__ volatile("invvpid %1, %2"
			 : "=@ccbe"(failed)
			 : "m"(descriptor), "r"((uint64_t)INVALIDATE_ALL)
			 : "memory");
	hv_assert(!failed);
}

const struct arch_ops vmx_ops = {
	.name = "vmx",
	.ept_format = &ept_format_ept,
	.cpu_enable = vmx_cpu_enable,
	.cpu_features = vmx_cpu_features,
	.cpu_nmi = vmx_cpu_nmi,
	.service_init = vmx_service_init,
	.cpu_run = vmx_cpu_run,
	.vcpu_fault = vmx_vcpu_fault,
	.vcpu_read = vmx_vcpu_read,
	.msr_read = vmx_msr_read,
	.msr_write = vmx_msr_write,
	.vcpu_dump = vmx_vcpu_dump,
};
