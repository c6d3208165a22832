// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: a CPU. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/memory.h"
#include "hv/panic.h"
#include "hv/string.h"

#define CPUID_1_XSAVE (1u << 26)

struct vmx_controls vmx_controls;

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
	const char *error = vmx_check(&controls, page); /* the page holds a message, if any */
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
	uint32_t secondary = vmx_may_be_one(MSR_VMX_PROCBASED_CTLS2);
	uint64_t features = SOCLE_FEATURE_NEXT_RIP;

	if (ept & EPT_CAP_PAGE_1G)
		features |= SOCLE_FEATURE_PAGE_1G;
	if (secondary & SECONDARY_VIRTUAL_INTERRUPTS)
		features |= SOCLE_FEATURE_APICV;
	if (vmx_may_be_one(MSR_VMX_TRUE_PINBASED_CTLS) & PIN_PREEMPTION_TIMER)
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
