// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: a vCPU. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/interrupts.h"
#include "hv/cpu.h"
#include "hv/log.h"
#include "hv/panic.h"

void vmx_world_exit(void);

#define VPID_SERVICE 1
#define NO_VMCS	     (~0ull)
#define DR7_RESET    0x400

/* The bits of CR0 and CR4 that VT-x keeps at 1; and SMXE, for GETSEC is not the guest's. */
#define CR0_OWNED CR0_NE
#define CR4_OWNED (CR4_VMXE | CR4_SMXE)

/* VMWRITE of a field that must exist. */
static void set(uint64_t field, uint64_t value)
{
	if (!vmcs_write(field, value))
		panic("VMWRITE of field %llx failed", (unsigned long long)field);
}

static void set_segment(enum vmcs_segment segment, uint16_t selector, uint64_t limit,
			uint32_t access_rights)
{
	unsigned offset = 2 * (unsigned)segment;

	set(VMCS_GUEST_ES_SELECTOR + offset, selector);
	set(VMCS_GUEST_ES_LIMIT + offset, limit);
	set(VMCS_GUEST_ES_ACCESS_RIGHTS + offset, access_rights);
	set(VMCS_GUEST_ES_BASE + offset, 0);
}

void vmx_vmcs_init(const struct vmx_controls *controls, const struct ept *memory, hpa_t msr_map,
		   uint16_t vpid)
{
	set(VMCS_PIN_CONTROLS, controls->pin);
	set(VMCS_PROCESSOR_CONTROLS, controls->processor);
	set(VMCS_SECONDARY_CONTROLS, controls->secondary);
	set(VMCS_EXIT_CONTROLS, controls->exit);
	set(VMCS_ENTRY_CONTROLS, controls->entry);
	set(VMCS_EXCEPTION_BITMAP, 0);
	set(VMCS_PAGE_FAULT_MASK, 0);
	set(VMCS_PAGE_FAULT_MATCH, 0);
	set(VMCS_CR3_TARGET_COUNT, 0);
	set(VMCS_EXIT_MSR_STORE_COUNT, 0);
	set(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	set(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	set(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	set(VMCS_TSC_OFFSET, 0);
	set(VMCS_GUEST_PREEMPTION_TIMER, 0);
	set(VMCS_LINK_POINTER, NO_VMCS);
	set(VMCS_GUEST_DEBUGCTL, 0);
	set(VMCS_GUEST_ACTIVITY, 0);
	set(VMCS_MSR_BITMAP, msr_map.v);
	set(VMCS_EPT_POINTER,
	    memory->root.v | EPT_POINTER_WB | EPT_POINTER_LEVELS4 |
		    (rdmsr(MSR_VMX_EPT_VPID_CAP) & EPT_CAP_ACCESSED_DIRTY ? EPT_POINTER_DIRTY : 0));
	if (controls->secondary & SECONDARY_ENABLE_VPID)
		set(VMCS_VPID, vpid);
	if (controls->secondary & SECONDARY_ENABLE_XSAVES)
		set(VMCS_XSS_EXITING_BITMAP, 0);
}

void vmx_host_init(const struct cpu *cpu)
{
	set(VMCS_HOST_CR0, read_cr0());
	set(VMCS_HOST_CR3, read_cr3());
	set(VMCS_HOST_CR4, read_cr4());
	set(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	set(VMCS_HOST_PAT, PAT_RESET);
	set(VMCS_HOST_CS_SELECTOR, HV_SELECTOR_CODE);
	set(VMCS_HOST_SS_SELECTOR, HV_SELECTOR_DATA);
	set(VMCS_HOST_DS_SELECTOR, HV_SELECTOR_DATA);
	set(VMCS_HOST_ES_SELECTOR, HV_SELECTOR_DATA);
	set(VMCS_HOST_FS_SELECTOR, 0);
	set(VMCS_HOST_GS_SELECTOR, 0);
	set(VMCS_HOST_TR_SELECTOR, HV_SELECTOR_TSS);
	set(VMCS_HOST_FS_BASE, 0);
	set(VMCS_HOST_GS_BASE, 0);
	set(VMCS_HOST_TR_BASE, (uint64_t)cpu->tss);
	set(VMCS_HOST_GDTR_BASE, (uint64_t)cpu->gdt);
	set(VMCS_HOST_IDTR_BASE, interrupts_idt());
	set(VMCS_HOST_SYSENTER_CS, 0);
	set(VMCS_HOST_SYSENTER_ESP, 0);
	set(VMCS_HOST_SYSENTER_EIP, 0);
	set(VMCS_HOST_RIP, (uint64_t)vmx_world_exit);
}

static void init_guest(const struct boot_info *boot, const struct boot_service_entry *entry)
{
	set_segment(SEGMENT_CS, BOOT_SELECTOR_CODE, 0xffffffff, ACCESS_RIGHTS_CODE64);
	for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
		if (i != SEGMENT_CS)
			set_segment(i, BOOT_SELECTOR_DATA, 0xffffffff, ACCESS_RIGHTS_DATA);
	set_segment(SEGMENT_LDTR, 0, 0, ACCESS_RIGHTS_UNUSABLE);
	set_segment(SEGMENT_TR, 0, 0xffff, ACCESS_RIGHTS_TSS);
	set(VMCS_GUEST_GDTR_BASE, boot->service_gdt);
	set(VMCS_GUEST_GDTR_LIMIT, boot->service_gdt_limit);
	set(VMCS_GUEST_IDTR_BASE, 0);
	set(VMCS_GUEST_IDTR_LIMIT, 0);
	set(VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP);
	set(VMCS_GUEST_CR3, boot->service_cr3);
	set(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	set(VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	set(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
	set(VMCS_GUEST_DR7, DR7_RESET);
	set(VMCS_GUEST_SYSENTER_CS, 0);
	set(VMCS_GUEST_SYSENTER_ESP, 0);
	set(VMCS_GUEST_SYSENTER_EIP, 0);
	set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	set(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
	set(VMCS_CR0_MASK, CR0_OWNED);
	set(VMCS_CR0_READ_SHADOW, CR0_OWNED);
	set(VMCS_CR4_MASK, CR4_OWNED);
	set(VMCS_CR4_READ_SHADOW, 0);
	set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	set(VMCS_GUEST_RSP, entry->rsp);
	set(VMCS_GUEST_RIP, entry->rip);
}

void vmx_service_init(struct vcpu *vcpu, const struct boot_info *boot,
		      const struct boot_service_entry *entry, const struct ept *memory)
{
	vmx_vmcs_format(vcpu);
	vmx_vmcs_load(vcpu->cpu, vcpu);
	vmx_run_ticks = boot->tsc_hz / VMX_RUNS_PER_SECOND;
	vmx_timer_shift = VMX_MISC_TIMER_SHIFT(rdmsr(MSR_VMX_MISC));
	vmx_vmcs_init(&vmx_controls, memory, vmx_msr_map(), VPID_SERVICE);
	vmx_host_init(vcpu->cpu);
	init_guest(boot, entry);
	vmx_invalidate_all();
	vcpu->regs->rsi = entry->rsi;
	vmx_vmcs_load(vcpu->cpu, vcpu); /* for an NMI that came before the controls were there */
}

/*
 * The call goes to vmx_world.asm, which keeps RSP and RBP only: nothing is saved for nobody. RSP is
 * the same at each call of a CPU, so the first entry of a VMCS sets the host's RSP for all. False:
 * VMLAUNCH or VMRESUME failed.
 */
static inline bool world_switch(struct vcpu *vcpu)
{
	struct vcpu_registers *regs = vcpu->regs;
	uint64_t result = vcpu->launched;

	__asm__ volatile("call vmx_world_switch"
			 : "+D"(regs), "+a"(result)
			 :
			 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "cc", "memory");
	return result != 0;
}

static enum socle_exit_reason entry_failed(struct vcpu *vcpu)
{
	vcpu->exit.rip = vmcs_read(VMCS_GUEST_RIP);
	vcpu->exit.code = VMX_CODE_INSTRUCTION_FAILED;
	vcpu->exit.information = vmcs_read(VMCS_VM_INSTRUCTION_ERROR);
	return SOCLE_EXIT_ENTRY_FAILURE;
}

_Noreturn void vmx_cpu_run(struct cpu *cpu)
{
	uint32_t left = rdtsc_low();

	for (;;) {
		struct vcpu *vcpu = cpu->current;
		enum socle_exit_reason reason;
		bool entered;

		if (vcpu->domain != NULL && vmx_timer_is_stale(vcpu))
			vmx_timer_update(vcpu);
		if (__builtin_expect(vcpu->apic_stale, false))
			vmx_apic_update(vcpu);
		cpu->hypervisor_cycles += rdtsc_low() - left;
		entered = world_switch(vcpu);
		left = rdtsc_low();
		vcpu = cpu->current;
		vcpu->launched = true;
		reason = __builtin_expect(entered, true) ? vmx_decode_exit(vcpu)
							 : entry_failed(vcpu);
		vcpu->exits[reason]++;
		vcpu->handlers[reason](vcpu);
	}
}

void vmx_vcpu_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
	uint32_t event = INTERRUPTION_VALID | INTERRUPTION_EXCEPTION | vector;

	vmcs_write(VMCS_GUEST_RIP, vcpu->exit.rip);
	/* An entry would be refused with a shadow and no single step pending (section 27.3.1.5). */
	vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
	vmx_end_shadow();
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	/* Real mode has no error codes, and an entry with one is refused (section 27.2.1.3). */
	if ((vector == VECTOR_GP || vector == VECTOR_PF) && (vmcs_read(VMCS_GUEST_CR0) & CR0_PE)) {
		event |= INTERRUPTION_ERROR_CODE;
		vmcs_write(VMCS_ENTRY_ERROR_CODE, error_code);
	}
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, event);
}

/* A control register as the VM sees it. */
static uint64_t shadowed(uint64_t field, uint64_t shadow_field, uint64_t mask_field)
{
	uint64_t owned = vmcs_read(mask_field);

	return (vmcs_read(field) & ~owned) | (vmcs_read(shadow_field) & owned);
}

uint64_t vmx_vcpu_read(struct vcpu *vcpu, enum vcpu_register which)
{
	(void)vcpu;
	switch (which) {
	case VCPU_RIP:
		return vmcs_read(VMCS_GUEST_RIP);
	case VCPU_CR0:
		return shadowed(VMCS_GUEST_CR0, VMCS_CR0_READ_SHADOW, VMCS_CR0_MASK);
	case VCPU_CR3:
		return vmcs_read(VMCS_GUEST_CR3);
	case VCPU_CR4:
		return shadowed(VMCS_GUEST_CR4, VMCS_CR4_READ_SHADOW, VMCS_CR4_MASK);
	case VCPU_EFER:
		return vmcs_read(VMCS_GUEST_EFER);
	case VCPU_RSP:
		return vmcs_read(VMCS_GUEST_RSP);
	case VCPU_RFLAGS:
		return vmcs_read(VMCS_GUEST_RFLAGS);
	case VCPU_CS_BASE:
		return vmcs_read(VMCS_GUEST_CS_BASE);
	}
	return 0;
}

void vmx_vcpu_dump(struct vcpu *vcpu)
{
	const struct vcpu_exit *exit = &vcpu->exit;

	if (exit->code == VMX_CODE_INSTRUCTION_FAILED)
		log_error("VM entry failed: VM-instruction error %llu",
			  (unsigned long long)exit->information);
	else
		log_error("exit reason %llx (%llu) qualification %llx idt vectoring %llx gpa %llx",
			  (unsigned long long)exit->code,
			  (unsigned long long)(exit->code & EXIT_REASON_BASIC),
			  (unsigned long long)vmcs_read(VMCS_EXIT_QUALIFICATION),
			  (unsigned long long)vmcs_read(VMCS_IDT_VECTORING_INFO),
			  (unsigned long long)vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	log_error("cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx",
		  (unsigned long long)vmcs_read(VMCS_GUEST_CR0), (unsigned long long)read_cr2(),
		  (unsigned long long)vmcs_read(VMCS_GUEST_CR3),
		  (unsigned long long)vmcs_read(VMCS_GUEST_CR4),
		  (unsigned long long)vmcs_read(VMCS_GUEST_EFER));
	log_error("cs base %llx rip %llx rsp %llx rflags %llx interruptibility %llx activity %llx",
		  (unsigned long long)vmcs_read(VMCS_GUEST_CS_BASE),
		  (unsigned long long)vmcs_read(VMCS_GUEST_RIP),
		  (unsigned long long)vmcs_read(VMCS_GUEST_RSP),
		  (unsigned long long)vmcs_read(VMCS_GUEST_RFLAGS),
		  (unsigned long long)vmcs_read(VMCS_GUEST_INTERRUPTIBILITY),
		  (unsigned long long)vmcs_read(VMCS_GUEST_ACTIVITY));
}
