// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: a CPU. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/memory.h"
#include "hv/panic.h"
#include "hv/shootdown.h"
#include "hv/string.h"

#define CPUID_1_XSAVE	(1u << 26)
#define TIMER_TICKS_MIN 1024 /* of the TSC */

struct vmx_controls vmx_controls;
uint64_t vmx_run_ticks;
unsigned vmx_timer_shift;

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
		vmx_guest_map_init();
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
	if (ept & EPT_CAP_ACCESSED_DIRTY)
		features |= SOCLE_FEATURE_DIRTY_LOG;
	if (vmx_controls.secondary & SECONDARY_ENABLE_VPID)
		features |= SOCLE_FEATURE_ASID;
	return features;
}

/* An entry with the timer at 0 ends before the VM's next instruction (section 27.7.4). */
static void ask_for_exit(void)
{
	vmcs_write(VMCS_GUEST_PREEMPTION_TIMER, 0);
	vmcs_write(VMCS_PIN_CONTROLS, vmcs_read(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
}

/*
 * An NMI that strikes in the hypervisor is counted, and answered at the next exit: what the CPU is
 * at may hold a reference to a domain, which an answer would disown (hv/shootdown.h). That exit is
 * made to come at once, by the VMX-preemption timer in the current VMCS. A window would not do for
 * a guest, which could keep it shut with interrupts off and in its NMI handler, and whoever sent
 * the NMI waits for the answer.
 *
 * No answer is lost, wherever the NMI strikes:
 * - The request is in the VMCS and not in a variable, and nothing interrupts this function. An
 *   entry that follows it sees the request; an NMI that comes later than that exits by itself.
 * - vmx_nmis_answer() takes the request back, and then the count. An NMI before it has taken the
 *   count is answered there, one behind it makes its request again.
 * - vmx_timer_update() sets a guest's timer, and then looks at the count: as the next one. Nothing
 *   else writes these fields of a VMCS that is in use.
 * - vmx_vmcs_load() makes another VMCS the current one, and then looks at the count: an NMI before
 *   is in the count, one behind it makes its request in the new one. There is always a current
 *   VMCS, since one is cleared only when another is current. Before the first there is the count,
 *   and the instructions here fail harmlessly. A request left behind in a VMCS that is no longer
 *   current costs one exit that finds nothing to do.
 *
 * Nobody waits for ever: whoever waits for answers holds the domains' lock, the only one that may
 * be held for so long, and who waits for that answers meanwhile (spin_lock_answering()). All others
 * are in a VM and exit, or get to their next exit in bounded time.
 */
void vmx_cpu_nmi(struct cpu *cpu)
{
	__atomic_fetch_add(&cpu->nmis_arrived, 1, __ATOMIC_RELAXED);
	ask_for_exit();
}

/*
 * Ends the guest's next entry when its local APIC's timer is due, or its run is over. It executes
 * something at any rate: with a period that is too short for that it would only exit.
 */
static void set_timer(struct vcpu *vcpu)
{
	uint64_t now = rdtsc(), end = vcpu->run_end;

	vcpu->timer_set = vmx_timer_wanted(vcpu);
	if (vcpu->timer_set != 0 && vcpu->timer_set < end)
		end = vcpu->timer_set;
	if (end < now + TIMER_TICKS_MIN)
		end = now + TIMER_TICKS_MIN;
	vmcs_write(VMCS_GUEST_PREEMPTION_TIMER, ((end - now) >> vmx_timer_shift) + 1);
}

void vmx_timer_update(struct vcpu *vcpu)
{
	set_timer(vcpu);
	if (__atomic_load_n(&vcpu->cpu->nmis_arrived, __ATOMIC_RELAXED) != 0)
		ask_for_exit();
}

bool vmx_nmis_answer(struct cpu *cpu)
{
	uint32_t count;

	if (cpu->current == &cpu->service)
		vmcs_write(VMCS_PIN_CONTROLS, vmx_controls.pin);
	else
		set_timer(cpu->current);
	count = __atomic_exchange_n(&cpu->nmis_arrived, 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < count; i++)
		if (!shootdown_answer(cpu))
			cpu->service.nmi_pending = true;
	if (cpu->service.nmi_pending && cpu->current == &cpu->service)
		vmx_want_nmi_window();
	return count != 0;
}

void vmx_want_nmi_window(void)
{
	vmcs_write(VMCS_PROCESSOR_CONTROLS,
		   vmcs_read(VMCS_PROCESSOR_CONTROLS) | PROCESSOR_NMI_WINDOW_EXITING);
}

void vmx_vmcs_format(struct vcpu *vcpu)
{
	write_revision(vcpu->control);
	vmx_vmcs_clear(vcpu);
}

void vmx_vmcs_load(struct cpu *cpu, const struct vcpu *vcpu)
{
	hv_assert(vmptrld(vcpu->control_pa));
	if (__atomic_load_n(&cpu->nmis_arrived, __ATOMIC_RELAXED) != 0)
		ask_for_exit();
}

void vmx_vmcs_clear(struct vcpu *vcpu)
{
	hv_assert(vmclear(vcpu->control_pa));
	vcpu->launched = false;
}

/* INVEPT and INVVPID (SDM volume 3, section 31.3). */
#define INVALIDATE(name)                                                                           \
	static void name(uint64_t type, uint64_t context)                                          \
	{                                                                                          \
		const uint64_t descriptor[2] = {context, 0};                                       \
		bool failed;                                                                       \
                                                                                                   \
		__asm__ volatile(#name " %1, %2"                                                   \
				 : "=@ccbe"(failed)                                                \
				 : "m"(descriptor), "r"(type)                                      \
				 : "memory");                                                      \
		hv_assert(!failed);                                                                \
	}
INVALIDATE(invept)
INVALIDATE(invvpid)

void vmx_invalidate_all(void)
{
	invept(INVALIDATE_ALL, 0);
	if (vmx_controls.secondary & SECONDARY_ENABLE_VPID)
		invvpid(INVALIDATE_ALL, 0);
}

void vmx_invalidate_vpid(uint16_t vpid)
{
	if (!(vmx_controls.secondary & SECONDARY_ENABLE_VPID))
		return;
	if (rdmsr(MSR_VMX_EPT_VPID_CAP) & VPID_CAP_INVVPID_SINGLE)
		invvpid(INVALIDATE_SINGLE, vpid);
	else
		invvpid(INVALIDATE_ALL, 0);
}

void vmx_cpu_flush(struct cpu *cpu)
{
	(void)cpu;
	vmx_invalidate_all();
}

const struct arch_ops vmx_ops = {
	.name = "vmx",
	.ept_format = &ept_format_ept,
	.cpu_enable = vmx_cpu_enable,
	.cpu_features = vmx_cpu_features,
	.cpu_nmi = vmx_cpu_nmi,
	.cpu_flush = vmx_cpu_flush,
	.service_init = vmx_service_init,
	.cpu_run = vmx_cpu_run,
	.vcpu_fault = vmx_vcpu_fault,
	.vcpu_read = vmx_vcpu_read,
	.msr_read = vmx_msr_read,
	.msr_write = vmx_msr_write,
	.guest_init = vmx_guest_init,
	.guest_load = vmx_guest_load,
	.guest_leave = vmx_guest_leave,
	.guest_save_system = vmx_guest_save_system,
	.guest_event = vmx_guest_event,
	.guest_interrupt = vmx_guest_interrupt,
	.vcpu_dump = vmx_vcpu_dump,
};
