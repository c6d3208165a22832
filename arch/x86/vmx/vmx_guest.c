// SPDX-License-Identifier: BSD-2-Clause
/*
 * VT-x: a guest's vCPU.
 *
 * Its VMCS is a CPU's current one while it runs, and on no CPU otherwise: guest_leave() clears it.
 * That writes back what the CPU holds of it (a page at most) and makes the next entry a VMLAUNCH.
 * To leave it active would save that for a vCPU that comes back to the same CPU; one that moves
 * would have to wait until its old CPU had been interrupted and had cleared it, and so would the
 * return of its page when its domain is destroyed, or the processor would write into memory that is
 * another's. Between two runs there is a return to ring 3 and a switch of all vector state, which
 * cost more.
 *
 * Each vCPU has a VPID of its own: guests that take turns on a CPU keep their translations.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/msr.h"
#include "hv/cpu.h"
#include "hv/domain.h"
#include "hv/memory.h"
#include "hv/string.h"

#define CODE_RESET   0x009b /* attributes after a reset: present, accessed, execute/read */
#define DATA_RESET   0x0093
#define LDT_RESET    0x0082
#define TSS_RESET    0x008b
#define DR6_RESET    0xffff0ff0
#define DR7_RESET    0x400
#define MXCSR_OFFSET 24 /* in the XSAVE area */
#define MXCSR_RESET  0x1f80

/* Exceptions with an error code (SDM volume 3, table 6-1). */
#define HAVE_ERROR_CODE	 0x00227d00u
#define FIRST_INTERRUPT	 32
#define EVENT_ERROR_BITS 32 /* where the error code is in the area's event */

/* In the order of enum vmx_switched. */
static const uint32_t switched_msr[VMX_SWITCHED] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
						    MSR_KERNEL_GS_BASE};
_Static_assert(ARRAY_COUNT(((struct vcpu *)0)->switched) == VMX_SWITCHED, "struct vcpu");

/* The MSR bitmap (SDM volume 3, section 25.6.9): all exit, but for those that are the guest's. */
#define MSR_MAP_READ_LOW   0
#define MSR_MAP_READ_HIGH  1024
#define MSR_MAP_WRITE_LOW  2048
#define MSR_MAP_WRITE_HIGH 3072
#define MSR_RANGE_HIGH	   0xc0000000

static uint8_t msr_map[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t x2apic_map[PAGE_BYTES] __attribute__((aligned(4096)));

static void pass(uint8_t *map, uint32_t msr, bool write)
{
	uint32_t bit = msr % MSR_RANGE_HIGH;
	uint32_t read_map = msr >= MSR_RANGE_HIGH ? MSR_MAP_READ_HIGH : MSR_MAP_READ_LOW;
	uint32_t write_map = msr >= MSR_RANGE_HIGH ? MSR_MAP_WRITE_HIGH : MSR_MAP_WRITE_LOW;

	map[read_map + bit / 8] &= (uint8_t) ~(1 << bit % 8);
	if (write)
		map[write_map + bit / 8] &= (uint8_t) ~(1 << bit % 8);
}

/*
 * Registers of the local APIC that the processor reads from and writes to the image. The ICR and
 * the timer's count are not there as they are to be read.
 */
static const struct {
	uint8_t first, last;
	bool write;
} x2apic_own[] = {
	{0x02, 0x03, false}, {0x08, 0x08, true},  {0x0a, 0x0a, false}, {0x0d, 0x0d, false},
	{0x0f, 0x28, false}, {0x32, 0x38, false}, {0x3e, 0x3e, false},
};
#define APIC_EOI 0x0b

void vmx_guest_map_init(void)
{
	static const uint32_t own[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
				       MSR_FS_BASE,	MSR_GS_BASE,	  MSR_KERNEL_GS_BASE};
	uint32_t bit;

	memset(msr_map, 0xff, sizeof(msr_map));
	for (unsigned i = 0; i < ARRAY_COUNT(own); i++)
		pass(msr_map, own[i], true);
	for (unsigned i = VMX_STAR; i <= VMX_SFMASK; i++)
		pass(msr_map, switched_msr[i], false);
	memcpy(x2apic_map, msr_map, sizeof(x2apic_map));
	for (unsigned i = 0; i < ARRAY_COUNT(x2apic_own); i++)
		for (uint32_t n = x2apic_own[i].first; n <= x2apic_own[i].last; n++)
			pass(x2apic_map, MSR_X2APIC_FIRST + n, x2apic_own[i].write);
	bit = MSR_X2APIC_FIRST + APIC_EOI; /* nothing is there to be read */
	x2apic_map[MSR_MAP_WRITE_LOW + bit / 8] &= (uint8_t) ~(1 << bit % 8);
}

hpa_t vmx_guest_map(bool x2apic)
{
	return memory_physical(x2apic ? x2apic_map : msr_map);
}

/* VPID 1 is the service VM's; domains count from 1, so these begin at 64 and end at 65,535. */
static uint16_t vpid_of(const struct vcpu *vcpu)
{
	_Static_assert(SOCLE_MAX_DOMAINS * SOCLE_MAX_VCPUS <= 0x10000, "VPIDs have 16 bits");
	return (uint16_t)(vcpu->domain->id * SOCLE_MAX_VCPUS + vcpu->number);
}

/* Creation, and around a run ----------------------------------------------------------------------
 */

/* After a reset (SDM volume 3, table 10-1). */
static const struct socle_system_state reset_state = {
	.es = {0, DATA_RESET, 0xffff, 0},
	.cs = {0xf000, CODE_RESET, 0xffff, 0xffff0000},
	.ss = {0, DATA_RESET, 0xffff, 0},
	.ds = {0, DATA_RESET, 0xffff, 0},
	.fs = {0, DATA_RESET, 0xffff, 0},
	.gs = {0, DATA_RESET, 0xffff, 0},
	.ldtr = {0, LDT_RESET, 0xffff, 0},
	.tr = {0, TSS_RESET, 0xffff, 0},
	.gdtr = {.limit = 0xffff},
	.idtr = {.limit = 0xffff},
	.cr0 = CR0_ET,
	.dr6 = DR6_RESET,
	.dr7 = DR7_RESET,
	.pat = PAT_RESET,
};

/*
 * XSAVES, UMWAIT and RDTSCP, with RDPID, are left out: their registers (IA32_XSS,
 * IA32_UMWAIT_CONTROL, IA32_TSC_AUX) are the service VM's.
 */
static struct vmx_controls guest_controls(void)
{
	struct vmx_controls controls = vmx_controls;

	controls.pin |= VMX_PIN_GUESTS | PIN_PREEMPTION_TIMER;
	controls.processor |= VMX_PROCESSOR_GUESTS;
	controls.exit |= VMX_EXIT_GUESTS;
	controls.secondary &=
		~(SECONDARY_ENABLE_XSAVES | SECONDARY_ENABLE_USER_WAIT | SECONDARY_ENABLE_RDTSCP);
	controls.secondary |= vmx_may_be_one(MSR_VMX_PROCBASED_CTLS2) & SECONDARY_WBINVD_EXITING;
	vmx_apic_controls(&controls);
	return controls;
}

/*
 * With unrestricted guest the entry control "IA-32e mode guest" need not be followed through the
 * guest's changes of CR0.PG: MOV to CR0 sets EFER.LMA with no exit, and each exit puts that into
 * the control (SDM volume 3, section 28.2).
 */
bool vmx_guest_init(struct vcpu *vcpu, const struct ept *memory)
{
	struct cpu *cpu = cpu_current();
	struct vmx_controls controls = guest_controls();
	uint32_t mxcsr = MXCSR_RESET;

	vmx_vmcs_format(vcpu);
	vmx_vmcs_load(cpu, vcpu);
	vmx_vmcs_init(&controls, memory, vmx_guest_map(false), vpid_of(vcpu));
	vmx_apic_init(vcpu);
	/*
	 * A guest that has #AC or #DB raised in their own delivery would be in it for ever, deaf to
	 * interrupts: each round exits. A machine check is the machine's.
	 */
	vmcs_write(VMCS_EXCEPTION_BITMAP, 1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_MC);
	vmcs_write(VMCS_CR0_MASK, VMX_GUEST_CR0_OWNED);
	vmcs_write(VMCS_CR4_MASK, ~VMX_GUEST_CR4_KNOWN | CR4_MCE);
	vmcs_write(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_write(VMCS_GUEST_RSP, 0);
	vmcs_write(VMCS_GUEST_RIP, 0xfff0);
	vmx_guest_load_system(vcpu, &reset_state);
	vmx_vmcs_load(cpu, &cpu->service);
	vmx_vmcs_clear(vcpu);
	vcpu->xcr0 = 1;
	memcpy((uint8_t *)vcpu->fpu + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	return true;
}

/* A VMM that moved RIP has done the instruction there: its shadow has ended. */
static void load_run(const volatile struct socle_vcpu_area *area)
{
	uint64_t rip = area->rip;

	vmcs_write(VMCS_GUEST_RSP, area->rsp);
	vmcs_write(VMCS_GUEST_RFLAGS, area->rflags | RFLAGS_FIXED);
	if (vmcs_read(VMCS_GUEST_RIP) == rip)
		return;
	vmcs_write(VMCS_GUEST_RIP, rip);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
	vmx_end_shadow();
}

/* CR2 and DR6 are not worth saving for the service VM: its last faults have been handled. */
void vmx_guest_load(struct vcpu *vcpu, uint64_t load)
{
	struct cpu *cpu = vcpu->cpu;

	vmx_vmcs_load(cpu, vcpu);
	vcpu->run_end = rdtsc() + vmx_run_ticks;
	vmx_timer_update(vcpu);
	if (vcpu->last_cpu != cpu) { /* here it has old translations, or another vCPU's */
		vcpu->last_cpu = cpu;
		vmx_host_init(cpu);
		vmx_invalidate_vpid(vpid_of(vcpu));
	}
	guest_fpu_load(vcpu);
	if (load & SOCLE_LOAD_RUN)
		load_run(vcpu->area);
	if (load & SOCLE_LOAD_SYSTEM) {
		vmx_guest_load_system(vcpu, &vcpu->area->system);
		vmx_invalidate_vpid(vpid_of(vcpu));
	}
	vmx_apic_load(vcpu);
	vcpu->exit.code = VMX_CODE_NOT_ENTERED;
	for (unsigned i = 0; i < VMX_SWITCHED; i++) {
		uint64_t value = rdmsr(switched_msr[i]);

		cpu->service.switched[i] = value;
		if (value != vcpu->switched[i])
			wrmsr(switched_msr[i], vcpu->switched[i]);
	}
	write_cr2(vcpu->cr2);
	if (vcpu->dr6 != DR6_RESET)
		write_dr6(vcpu->dr6);
	if (vcpu->uses_debug)
		guest_debug_load(vcpu);
}

/* Takes from the processor what no VMCS holds, and gives the service VM its own. */
static void switch_back(struct vcpu *vcpu)
{
	const struct vcpu *service = &vcpu->cpu->service;

	guest_fpu_save(vcpu);
	if (vcpu->uses_debug)
		guest_debug_save(vcpu);
	vcpu->cr2 = read_cr2();
	vcpu->dr6 = read_dr6();
	if (vcpu->dr6 != DR6_RESET)
		write_dr6(DR6_RESET);
	vcpu->switched[VMX_KERNEL_GS_BASE] = rdmsr(MSR_KERNEL_GS_BASE);
	for (unsigned i = 0; i < VMX_SWITCHED; i++)
		if (service->switched[i] != vcpu->switched[i])
			wrmsr(switched_msr[i], service->switched[i]);
}

/* An event in the area's format, which is the VMCS's for interrupts, NMIs and exceptions. */
static uint64_t event_of(uint64_t info, uint64_t error_code_field)
{
	uint64_t event = info & (INTERRUPTION_VALID | INTERRUPTION_VECTOR | INTERRUPTION_TYPE |
				 INTERRUPTION_ERROR_CODE);

	if (event & INTERRUPTION_ERROR_CODE)
		event |= vmcs_read(error_code_field) << EVENT_ERROR_BITS;
	return event;
}

/*
 * The event whose delivery was cut short. A software interrupt or exception needs no raising: RIP
 * is at its instruction, which runs again.
 */
static uint64_t interrupted_event(void)
{
	uint64_t info = vmcs_read(VMCS_IDT_VECTORING_INFO);
	uint64_t type = info & INTERRUPTION_TYPE;

	if (__builtin_expect(!(info & INTERRUPTION_VALID), true))
		return 0;
	if (type != INTERRUPTION_EXTERNAL && type != INTERRUPTION_NMI &&
	    type != INTERRUPTION_EXCEPTION)
		return 0;
	if (type == INTERRUPTION_NMI) /* its delivery blocked NMIs: it would be refused */
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
								~(uint64_t)INTERRUPTIBILITY_NMI);
	return event_of(info, VMCS_IDT_VECTORING_ERROR_CODE);
}

void vmx_guest_leave(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;
	struct cpu *cpu = vcpu->cpu;
	bool exited = vcpu->exit.code <= EXIT_REASON_BASIC;
	bool exception = vcpu->exit.code == EXIT_REASON_EXCEPTION_OR_NMI &&
			 (vcpu->exit.information & INTERRUPTION_TYPE) == INTERRUPTION_EXCEPTION;
	bool machine_check =
		exception && (vcpu->exit.information & INTERRUPTION_VECTOR) == VECTOR_MC;
	uint64_t event = 0;

	/* An exception of the guest's own takes the place of what was being delivered. */
	if (exception && !machine_check)
		event = event_of(vcpu->exit.information, VMCS_EXIT_INTERRUPTION_ERROR);
	else if (exited)
		event = interrupted_event();
	switch_back(vcpu);
	area->rip = vmcs_read(VMCS_GUEST_RIP);
	area->rsp = vmcs_read(VMCS_GUEST_RSP);
	area->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	if (__builtin_expect(event != 0, false))
		area->event = event;
	if (__builtin_expect(!exited, false)) /* a failed entry keeps it (section 27.8) */
		vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	vmx_vmcs_load(cpu, &cpu->service);
	vmx_vmcs_clear(vcpu);
	if (__builtin_expect(machine_check, false)) /* the machine's: its owner looks into it */
		vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO,
			   INTERRUPTION_VALID | INTERRUPTION_EXCEPTION | VECTOR_MC);
	if (__builtin_expect(cpu->service.nmi_pending, false))
		vmx_want_nmi_window();
}

/* Events ------------------------------------------------------------------------------------------
 */

bool vmx_guest_event(struct vcpu *vcpu, uint64_t event)
{
	uint64_t vector = event & INTERRUPTION_VECTOR, type = event & INTERRUPTION_TYPE;
	uint64_t info = INTERRUPTION_VALID | type | vector;

	if (type == INTERRUPTION_EXCEPTION && (vector >= FIRST_INTERRUPT || vector == VECTOR_NMI))
		return false;
	if (type != INTERRUPTION_EXCEPTION && type != INTERRUPTION_NMI &&
	    type != INTERRUPTION_EXTERNAL)
		return false;
	if (type == INTERRUPTION_NMI) { /* when the guest can take one: perhaps at once */
		vcpu->nmi_pending = true;
		vmx_want_nmi_window();
		return true;
	}
	/* Whether there is an error code follows from the vector and the mode (27.2.1.3). */
	if (type == INTERRUPTION_EXCEPTION && (HAVE_ERROR_CODE >> vector & 1) &&
	    (vmcs_read(VMCS_GUEST_CR0) & CR0_PE)) {
		info |= INTERRUPTION_ERROR_CODE;
		vmcs_write(VMCS_ENTRY_ERROR_CODE, event >> EVENT_ERROR_BITS);
	}
	vmx_end_shadow();
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, info);
	return true;
}

bool vmx_guest_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	uint64_t shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	(void)vcpu;
	if (vector != 0 && (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
	    !(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & shadow) &&
	    !(vmcs_read(VMCS_ENTRY_INTERRUPTION_INFO) & INTERRUPTION_VALID)) {
		vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO,
			   INTERRUPTION_VALID | INTERRUPTION_EXTERNAL | vector);
		return true;
	}
	vmcs_write(VMCS_PROCESSOR_CONTROLS,
		   vmcs_read(VMCS_PROCESSOR_CONTROLS) | PROCESSOR_INTERRUPT_WINDOW);
	return false;
}

/* Model-specific registers ------------------------------------------------------------------------
 */

bool vmx_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = rdtsc() + vcpu->tsc_offset;
		return true;
	case MSR_EFER:
		*value = vmcs_read(VMCS_GUEST_EFER);
		return true;
	case MSR_PAT:
		*value = vmcs_read(VMCS_GUEST_PAT);
		return true;
	default:
		return false;
	}
}

static bool efer_write(uint64_t value)
{
	uint64_t efer = vmcs_read(VMCS_GUEST_EFER);

	if (!msr_efer_valid(efer, vmcs_read(VMCS_GUEST_CR0), value))
		return false;
	vmcs_write(VMCS_GUEST_EFER, (value & ~EFER_LMA) | (efer & EFER_LMA));
	return true;
}

bool vmx_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_TSC:
		vcpu->tsc_offset = value - rdtsc();
		vcpu->area->system.tsc_offset = vcpu->tsc_offset;
		vmcs_write(VMCS_TSC_OFFSET, vcpu->tsc_offset);
		return true;
	case MSR_EFER:
		return efer_write(value);
	case MSR_PAT:
		if (!msr_pat_valid(value))
			return false;
		vmcs_write(VMCS_GUEST_PAT, value);
		return true;
	case MSR_STAR ... MSR_SFMASK:
		if (!vmx_switched_valid(msr - MSR_STAR + VMX_STAR, value))
			return false;
		vcpu->switched[msr - MSR_STAR + VMX_STAR] = value;
		wrmsr(msr, value);
		return true;
	default:
		return false;
	}
}
