// SPDX-License-Identifier: BSD-2-Clause
/* AMD-V: a guest's vCPU. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "arch/x86/msr.h"
#include "hv/cpu.h"
#include "hv/memory.h"
#include "hv/string.h"

#define ASID_GUESTS	 2
#define CPUID_SVM	 0x8000000a
#define CODE_RESET	 0x009b /* attributes after a reset: present, accessed, execute/read */
#define DATA_RESET	 0x0093
#define LDT_RESET	 0x0082
#define TSS_RESET	 0x008b
#define EVENT_VECTOR	 0xffull
#define EVENT_ERROR_BITS 0xffffffff00000000ull
#define FIRST_INTERRUPT	 32
#define MXCSR_OFFSET	 24 /* in the XSAVE area */
#define MXCSR_RESET	 0x1f80
#define MAP_PASS_BITS	 3 /* read and write */

/* All ports and all registers exit, but for registers that the VMCB holds for each vCPU. */
static uint8_t io_map[3 * PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t msr_map[2 * PAGE_BYTES] __attribute__((aligned(4096)));

void svm_guest_maps_init(void)
{
	static const uint32_t own[] = {MSR_STAR,    MSR_LSTAR,	 MSR_CSTAR,	    MSR_SFMASK,
				       MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE};
	static const uint32_t own_low[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP};

	memset(io_map, 0xff, sizeof(io_map));
	memset(msr_map, 0xff, sizeof(msr_map));
	for (unsigned i = 0; i < ARRAY_COUNT(own); i++) {
		uint32_t bit = (own[i] - 0xc0000000) * 2;

		msr_map[2048 + bit / 8] &= (uint8_t) ~(MAP_PASS_BITS << bit % 8);
	}
	for (unsigned i = 0; i < ARRAY_COUNT(own_low); i++)
		msr_map[own_low[i] * 2 / 8] &= (uint8_t) ~(MAP_PASS_BITS << own_low[i] * 2 % 8);
}

bool svm_guest_init(struct vcpu *vcpu, const struct ept *memory)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	struct vmcb_segment data = {0, DATA_RESET, 0xffff, 0};
	uint32_t mxcsr = MXCSR_RESET;

	vmcb->intercept_dr = INTERCEPT_DR_ALL;
	/* Which register a MOV to CR8 reads, an early processor leaves to its VMM to find out. */
	if (!(cpuid(CPUID_SVM, 0).edx & SVM_FEATURE_DECODE_ASSISTS))
		vmcb->intercept_cr = INTERCEPT_CR8_WRITE;
	/*
	 * A guest that has #AC or #DB raised in their own delivery would be in it for ever, deaf to
	 * interrupts: each round exits. A machine check is the machine's.
	 */
	vmcb->intercept_exceptions = 1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_MC;
	vmcb->intercept3 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT |
			   INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_RSM | INTERCEPT_INVD |
			   INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IO | INTERCEPT_MSR |
			   INTERCEPT_TASK_SWITCH | INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN;
	vmcb->intercept4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
			   INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT |
			   INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
			   INTERCEPT_XSETBV;
	vmcb->iopm_base_pa = memory_physical(io_map).v;
	vmcb->msrpm_base_pa = memory_physical(msr_map).v;
	vmcb->asid = ASID_GUESTS;
	vmcb->v_intr = V_INTR_MASKING;
	vmcb->np_control = NP_ENABLE;
	vmcb->n_cr3 = memory->root.v;

	/* After a reset (APM volume 2, section 14.1.3). */
	vmcb->cs = (struct vmcb_segment){0xf000, CODE_RESET, 0xffff, 0xffff0000};
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->ldtr = (struct vmcb_segment){0, LDT_RESET, 0xffff, 0};
	vmcb->tr = (struct vmcb_segment){0, TSS_RESET, 0xffff, 0};
	vmcb->gdtr.limit = vmcb->idtr.limit = 0xffff;
	vmcb->cr0 = CR0_ET;
	vmcb->efer = EFER_SVME;
	vmcb->dr6 = 0xffff0ff0;
	vmcb->dr7 = 0x400;
	vmcb->g_pat = PAT_RESET;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->rip = 0xfff0;
	vcpu->xcr0 = 1;
	memcpy((uint8_t *)vcpu->fpu + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	return true;
}

static struct vmcb_segment to_vmcb(struct socle_segment s)
{
	return (struct vmcb_segment){s.selector, s.attributes, s.limit, s.base};
}

static struct socle_segment from_vmcb(struct vmcb_segment s)
{
	return (struct socle_segment){s.selector, s.attributes, s.limit, s.base};
}

/*
 * Takes the system state. Whether it makes sense is the processor's to judge, at VMRUN (APM volume
 * 2, section 15.5.1); only what would be the hypervisor's or another's to lose is set right here.
 */
static __attribute__((noinline)) void load_system(struct vcpu *vcpu)
{
	const struct socle_system_state *s = &vcpu->area->system;
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->es = to_vmcb(s->es);
	vmcb->cs = to_vmcb(s->cs);
	vmcb->ss = to_vmcb(s->ss);
	vmcb->ds = to_vmcb(s->ds);
	vmcb->fs = to_vmcb(s->fs);
	vmcb->gs = to_vmcb(s->gs);
	vmcb->ldtr = to_vmcb(s->ldtr);
	vmcb->tr = to_vmcb(s->tr);
	vmcb->gdtr = to_vmcb(s->gdtr);
	vmcb->idtr = to_vmcb(s->idtr);
	vmcb->cpl = vmcb->ss.attributes >> 5 & 3;
	vmcb->cr0 = s->cr0;
	vmcb->cr2 = s->cr2;
	vmcb->cr3 = s->cr3;
	vmcb->cr4 = s->cr4;
	vmcb->efer = s->efer | EFER_SVME;
	memcpy(vcpu->dr, s->dr, sizeof(vcpu->dr));
	vmcb->dr6 = s->dr6;
	vmcb->dr7 = s->dr7;
	vmcb->g_pat = s->pat;
	vmcb->star = s->star;
	vmcb->lstar = s->lstar;
	vmcb->cstar = s->cstar;
	vmcb->sfmask = s->sfmask;
	vmcb->kernel_gs_base = s->kernel_gs_base;
	vmcb->sysenter_cs = s->sysenter_cs;
	vmcb->sysenter_esp = s->sysenter_esp;
	vmcb->sysenter_eip = s->sysenter_eip;
	vmcb->tsc_offset = vcpu->tsc_offset = s->tsc_offset;
	vmcb->interrupt_shadow = s->interrupt_shadow & 1;
	vcpu->shadow_open = true;
	vcpu->nmi_pending = (s->nmi_blocked & 2) != 0;
	vcpu->nmi_step = false;
	vcpu->nmi_iret = SVM_NO_IRET;
	vmcb->intercept3 &= ~INTERCEPT_IRET;
	if (s->nmi_blocked & 1) /* it ends with the IRET: see deliver_nmi() */
		vmcb->intercept3 |= INTERCEPT_IRET;
	vmcb->clean = 0;
	vmcb->tlb_control = TLB_CONTROL_FLUSH;
}

void svm_guest_save_system(struct vcpu *vcpu)
{
	struct socle_system_state *s = &vcpu->area->system;
	const struct vmcb *vmcb = vmcb_of(vcpu);

	s->es = from_vmcb(vmcb->es);
	s->cs = from_vmcb(vmcb->cs);
	s->ss = from_vmcb(vmcb->ss);
	s->ss.attributes = (uint16_t)((s->ss.attributes & ~0x60) | vmcb->cpl << 5);
	s->ds = from_vmcb(vmcb->ds);
	svm_vmsave(vcpu->control_pa.v);
	s->fs = from_vmcb(vmcb->fs);
	s->gs = from_vmcb(vmcb->gs);
	s->ldtr = from_vmcb(vmcb->ldtr);
	s->tr = from_vmcb(vmcb->tr);
	s->gdtr = from_vmcb(vmcb->gdtr);
	s->idtr = from_vmcb(vmcb->idtr);
	s->cr0 = vmcb->cr0;
	s->cr2 = vmcb->cr2;
	s->cr3 = vmcb->cr3;
	s->cr4 = vmcb->cr4;
	s->efer = vmcb->efer & ~EFER_SVME;
	s->xcr0 = guest_fpu_xcr0(vcpu);
	guest_debug_read(vcpu);
	memcpy(s->dr, vcpu->dr, sizeof(s->dr));
	s->dr6 = vmcb->dr6;
	s->dr7 = vmcb->dr7;
	s->pat = vmcb->g_pat;
	s->star = vmcb->star;
	s->lstar = vmcb->lstar;
	s->cstar = vmcb->cstar;
	s->sfmask = vmcb->sfmask;
	s->kernel_gs_base = vmcb->kernel_gs_base;
	s->sysenter_cs = vmcb->sysenter_cs;
	s->sysenter_esp = vmcb->sysenter_esp;
	s->sysenter_eip = vmcb->sysenter_eip;
	s->interrupt_shadow = vmcb->interrupt_shadow & 1;
	if (vcpu->nmi_step)
		svm_nmi_unstep(vcpu);
	s->nmi_blocked = (svm_nmi_blocked(vcpu) ? 1 : 0) | (vcpu->nmi_pending ? 2 : 0);
}

/* A VMM that changed the task priority has changed something else, too: it did an instruction. */
static void load_state(struct vcpu *vcpu, uint64_t load)
{
	const struct socle_vcpu_area *area = vcpu->area;
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (load & SOCLE_LOAD_RUN) {
		vmcb->rip = area->rip;
		vmcb->rsp = area->rsp;
		vmcb->rflags = area->rflags | RFLAGS_FIXED;
	}
	if (load & SOCLE_LOAD_SYSTEM)
		load_system(vcpu);
	if (svm_task_priority(vcpu) != (vmcb->v_intr & V_TPR))
		vcpu->priority_open = true;
}

/* Puts the guest's state on this CPU, in the place of the service VM's. */
static inline void switch_state(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	struct cpu *cpu = vcpu->cpu;

	/* The guests of a CPU share one ASID: what another left there is not this one's. */
	if (cpu->last_guest != vcpu || vcpu->last_cpu != cpu) {
		cpu->last_guest = vcpu;
		vcpu->last_cpu = cpu;
		vmcb->tlb_control = TLB_CONTROL_FLUSH;
		vmcb->clean = 0;
	}
	svm_vmsave(cpu->service.control_pa.v);
	svm_vmload(vcpu->control_pa.v);
	guest_fpu_load(vcpu);
	if (__builtin_expect(vcpu->uses_debug, false))
		guest_debug_load(vcpu);
}

static __attribute__((noinline)) void load_and_switch(struct vcpu *vcpu, uint64_t load)
{
	load_state(vcpu, load);
	switch_state(vcpu);
}

/* What most runs do needs no stack. */
void svm_guest_load(struct vcpu *vcpu, uint64_t load)
{
	if (__builtin_expect(load == 0, true))
		switch_state(vcpu);
	else
		load_and_switch(vcpu, load);
}

void svm_guest_leave(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area;
	struct vmcb *vmcb;
	uint64_t event;

	svm_priority_save(vcpu);
	guest_fpu_save(vcpu);
	vmcb = vmcb_of(vcpu);
	area = vcpu->area;
	event = vmcb->exitintinfo;
	svm_vmsave(vcpu->control_pa.v);
	svm_vmload(vcpu->cpu->service.control_pa.v);
	area->rip = vmcb->rip;
	area->rsp = vmcb->rsp;
	area->rflags = vmcb->rflags;
	/*
	 * An event whose delivery was cut short is raised again. (QEMU 7.2 says "exception" of an
	 * interrupt, whose vector gives it away.) A software interrupt is not: RIP is at its
	 * instruction, which runs again.
	 */
	if (__builtin_expect((event & EVENT_VALID) != 0, false)) {
		if ((event & EVENT_TYPE) == EVENT_EXCEPTION &&
		    (event & EVENT_VECTOR) >= FIRST_INTERRUPT)
			event &= ~EVENT_TYPE;
		if ((event & EVENT_TYPE) == EVENT_NMI) /* it did not begin: none is blocked */
			vmcb->intercept3 &= ~INTERCEPT_IRET;
		if ((event & EVENT_TYPE) != EVENT_SOFTWARE)
			area->event = event;
	}
	if (__builtin_expect(vcpu->uses_debug, false))
		guest_debug_save(vcpu);
}

bool svm_guest_event(struct vcpu *vcpu, uint64_t event)
{
	uint64_t vector = event & EVENT_VECTOR, type = event & EVENT_TYPE;

	if (type == EVENT_EXCEPTION && (vector >= FIRST_INTERRUPT || vector == VECTOR_NMI))
		return false;
	if (type != EVENT_EXCEPTION && type != EVENT_NMI && type != 0)
		return false;
	if (type == EVENT_NMI) {
		vcpu->nmi_pending = true;
		return true;
	}
	if (!(vmcb_of(vcpu)->cr0 & CR0_PE)) /* real mode has no error codes */
		event &= ~(EVENT_ERROR_CODE | EVENT_ERROR_BITS);
	vmcb_of(vcpu)->eventinj = event & (EVENT_VALID | EVENT_VECTOR | EVENT_TYPE |
					   EVENT_ERROR_CODE | EVENT_ERROR_BITS);
	return true;
}

/*
 * V_IRQ serves as the window: it makes the guest exit as soon as it could take any interrupt. An
 * NMI that can be delivered goes first, for it would take the interrupt's place in the VMCB.
 */
bool svm_guest_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	bool nmi = vcpu->nmi_pending && !svm_nmi_blocked(vcpu);

	if (vector != 0 && (vmcb->rflags & RFLAGS_IF) && !(vmcb->interrupt_shadow & 1) &&
	    !(vmcb->eventinj & EVENT_VALID) && !nmi) {
		vmcb->eventinj = EVENT_VALID | vector;
		return true;
	}
	vmcb->v_intr |= V_IRQ | V_IGN_TPR;
	vmcb->intercept3 |= INTERCEPT_VINTR;
	vmcb->clean &= ~(CLEAN_INTERCEPT | CLEAN_TPR);
	return false;
}

/*
 * Sees that a guest exits when it lowers its task priority so far that what waits for that may
 * come. Where MOV to CR8 exits there is no need (and QEMU 7.2 aborts at one while V_IRQ is set).
 */
void svm_priority_wait(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if ((vmcb->v_intr & V_IRQ) || vmcb->intercept_cr != 0)
		return;
	vmcb->v_intr |= V_IRQ | V_INTR_PRIO(vcpu->waiting >> 4);
	vmcb->intercept3 |= INTERCEPT_VINTR;
	vmcb->clean &= ~CLEAN_INTERCEPT;
}

/* A VINTR exit: nothing is asked for any more. */
void svm_priority_close(struct vmcb *vmcb)
{
	vmcb->v_intr &= ~(V_IRQ | V_IGN_TPR | V_INTR_PRIO(0xf));
	vmcb->intercept3 &= ~INTERCEPT_VINTR;
	vmcb->clean &= ~(CLEAN_INTERCEPT | CLEAN_TPR);
}

bool svm_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = rdtsc() + vcpu->tsc_offset;
		return true;
	case MSR_EFER:
		*value = vmcb_of(vcpu)->efer & ~EFER_SVME;
		return true;
	case MSR_PAT:
		*value = vmcb_of(vcpu)->g_pat;
		return true;
	default:
		return false;
	}
}

bool svm_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	switch (msr) {
	case MSR_TSC:
		vcpu->tsc_offset = value - rdtsc();
		vcpu->area->system.tsc_offset = vcpu->tsc_offset;
		vmcb->tsc_offset = vcpu->tsc_offset;
		vmcb->clean &= ~CLEAN_INTERCEPT;
		return true;
	case MSR_EFER:
		return svm_efer_write(vcpu, value);
	case MSR_PAT:
		if (!msr_pat_valid(value))
			return false;
		vmcb->g_pat = value;
		vmcb->clean &= ~CLEAN_NESTED;
		return true;
	default:
		return false;
	}
}
