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
#define DR7_ENABLES  0xff
#define MXCSR_OFFSET 24 /* in the XSAVE area */
#define MXCSR_RESET  0x1f80

/* The bits of attributes in the area, and where the upper ones are in access rights. */
#define ATTRIBUTES_LOW	   0x0ffu
#define ATTRIBUTES_HIGH	   0xf00u
#define ATTRIBUTES_SHIFT   4
#define ATTRIBUTES_PRESENT 0x080u
#define ATTRIBUTES_DPL	   0x060u
#define ATTRIBUTES_G	   0x800u

/*
 * The bits of CR0 and CR4 that are not the guest's. No exit changes CD and NW: set, they would slow
 * down the service VM too. With MCE clear, a machine check would stop the CPU. In CR4 a guest has
 * those known here: others come with state that nobody would switch (CET, PKS, UINTR, key locker),
 * with five levels, or with VT-x.
 */
#define CR0_OWNED (CR0_NE | CR0_NW | CR0_CD)
#define CR4_KNOWN 0x00770fffull /* VME .. UMIP, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP, PKE */
#define CR4_OWNED (~CR4_KNOWN | CR4_MCE)

/* No processor takes it in CR4: makes an entry fail. */
#define CR4_IMPOSSIBLE (1ull << 63)

/* Exceptions with an error code (SDM volume 3, table 6-1). */
#define HAVE_ERROR_CODE	 0x00227d00u
#define FIRST_INTERRUPT	 32
#define EVENT_ERROR_BITS 32 /* where the error code is in the area's event */

/*
 * Registers that no entry or exit switches. The guest reads all and writes KERNEL_GS_BASE (SWAPGS)
 * with no exit; its writes of the others exit, once in a boot, so that what they hold is known when
 * it is left. The service VM writes them as it likes: they are read when a guest is entered.
 */
enum switched { STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE, SWITCHED };
static const uint32_t switched_msr[SWITCHED] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
						MSR_KERNEL_GS_BASE};
_Static_assert(ARRAY_COUNT(((struct vcpu *)0)->switched) == SWITCHED, "struct vcpu");

/* The MSR bitmap (SDM volume 3, section 25.6.9): all exit, but for those that are the guest's. */
#define MSR_MAP_READ_LOW   0
#define MSR_MAP_READ_HIGH  1024
#define MSR_MAP_WRITE_LOW  2048
#define MSR_MAP_WRITE_HIGH 3072
#define MSR_RANGE_HIGH	   0xc0000000

static uint8_t msr_map[PAGE_BYTES] __attribute__((aligned(4096)));

static void pass(uint32_t msr, bool write)
{
	uint32_t bit = msr % MSR_RANGE_HIGH;
	uint32_t read_map = msr >= MSR_RANGE_HIGH ? MSR_MAP_READ_HIGH : MSR_MAP_READ_LOW;
	uint32_t write_map = msr >= MSR_RANGE_HIGH ? MSR_MAP_WRITE_HIGH : MSR_MAP_WRITE_LOW;

	msr_map[read_map + bit / 8] &= (uint8_t) ~(1 << bit % 8);
	if (write)
		msr_map[write_map + bit / 8] &= (uint8_t) ~(1 << bit % 8);
}

void vmx_guest_map_init(void)
{
	static const uint32_t own[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
				       MSR_FS_BASE,	MSR_GS_BASE,	  MSR_KERNEL_GS_BASE};

	memset(msr_map, 0xff, sizeof(msr_map));
	for (unsigned i = 0; i < ARRAY_COUNT(own); i++)
		pass(own[i], true);
	for (unsigned i = STAR; i <= SFMASK; i++)
		pass(switched_msr[i], false);
}

/* VPID 1 is the service VM's; domains count from 1, so these begin at 64 and end at 65,535. */
static uint16_t vpid_of(const struct vcpu *vcpu)
{
	_Static_assert(SOCLE_MAX_DOMAINS * SOCLE_MAX_VCPUS <= 0x10000, "VPIDs have 16 bits");
	return (uint16_t)(vcpu->domain->id * SOCLE_MAX_VCPUS + vcpu->number);
}

/* System state ------------------------------------------------------------------------------------
 */

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/*
 * A limit is in bytes in both formats, and G in the VMCS has to agree with it (section 27.3.1.2);
 * AMD-V takes any G, and so does the area.
 */
static void load_segment(unsigned offset, struct socle_segment s)
{
	uint32_t attributes = s.attributes, limit = s.limit;

	if (limit >> 20 != 0) {
		attributes |= ATTRIBUTES_G;
		limit |= 0xfff;
	} else if ((limit & 0xfff) != 0xfff) {
		attributes &= ~ATTRIBUTES_G;
	}
	vmcs_write(VMCS_GUEST_ES_SELECTOR + offset, s.selector);
	vmcs_write(VMCS_GUEST_ES_LIMIT + offset, limit);
	vmcs_write(VMCS_GUEST_ES_BASE + offset, s.base);
	vmcs_write(VMCS_GUEST_ES_ACCESS_RIGHTS + offset,
		   (attributes & ATTRIBUTES_LOW) |
			   (attributes & ATTRIBUTES_HIGH) << ATTRIBUTES_SHIFT |
			   (attributes & ATTRIBUTES_PRESENT ? 0 : ACCESS_RIGHTS_UNUSABLE));
}

/* Of an unusable segment only the DPL is defined, which is the CPL in SS (section 25.4.1). */
static struct socle_segment save_segment(unsigned offset)
{
	uint32_t rights = (uint32_t)vmcs_read(VMCS_GUEST_ES_ACCESS_RIGHTS + offset);
	uint32_t attributes = rights & ACCESS_RIGHTS_UNUSABLE
				      ? rights & ATTRIBUTES_DPL
				      : (rights & ATTRIBUTES_LOW) |
						(rights >> ATTRIBUTES_SHIFT & ATTRIBUTES_HIGH);

	return (struct socle_segment){(uint16_t)vmcs_read(VMCS_GUEST_ES_SELECTOR + offset),
				      (uint16_t)attributes,
				      (uint32_t)vmcs_read(VMCS_GUEST_ES_LIMIT + offset),
				      vmcs_read(VMCS_GUEST_ES_BASE + offset)};
}

/* Makes the next entry fail. */
static void refuse_entry(void)
{
	vmcs_write(VMCS_GUEST_CR4, vmcs_read(VMCS_GUEST_CR4) | CR4_IMPOSSIBLE);
}

/* EFER.LMA follows from the others, and the entry control from it. */
static void load_paging(const struct socle_system_state *s)
{
	uint64_t cr0 = s->cr0, cr4 = s->cr4, efer = s->efer & ~EFER_LMA;
	uint64_t entry = vmcs_read(VMCS_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST;

	if ((efer & EFER_LME) && (cr0 & CR0_PG)) {
		efer |= EFER_LMA;
		entry |= ENTRY_IA32E_MODE_GUEST;
	}
	vmcs_write(VMCS_GUEST_CR0, (cr0 & ~CR0_OWNED) | CR0_NE);
	vmcs_write(VMCS_CR0_READ_SHADOW, cr0);
	vmcs_write(VMCS_GUEST_CR3, s->cr3);
	vmcs_write(VMCS_GUEST_CR4, (cr4 & CR4_KNOWN) | CR4_VMXE | CR4_MCE);
	if (cr4 & ~CR4_KNOWN)
		refuse_entry();
	vmcs_write(VMCS_CR4_READ_SHADOW, cr4);
	vmcs_write(VMCS_GUEST_EFER, efer);
	vmcs_write(VMCS_ENTRY_CONTROLS, entry);
}

/*
 * The processor refuses an entry with a shadow after STI while interrupts are off, and one with a
 * shadow whose single step is not pending (section 27.3.1.5).
 */
static void load_interruptibility(const struct socle_system_state *s)
{
	uint64_t rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	uint64_t value = s->nmi_blocked & 1 ? INTERRUPTIBILITY_NMI : 0;
	bool shadow = s->interrupt_shadow & 1;

	if (shadow)
		value |= rflags & RFLAGS_IF ? INTERRUPTIBILITY_STI : INTERRUPTIBILITY_MOV_SS;
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, value);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
		   shadow && (rflags & RFLAGS_TF) ? PENDING_DEBUG_BS : 0);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
}

static void use_debug(struct vcpu *vcpu)
{
	vcpu->uses_debug = true;
	vmcs_write(VMCS_PROCESSOR_CONTROLS,
		   vmcs_read(VMCS_PROCESSOR_CONTROLS) & ~(uint64_t)PROCESSOR_MOV_DR_EXITING);
}

/* What WRMSR takes: anything else would be a fault of the hypervisor's. */
static bool switched_valid(enum switched which, uint64_t value)
{
	if (which == STAR)
		return true;
	return which == SFMASK ? value >> 32 == 0 : is_canonical(value);
}

/*
 * Takes the system state. Whether it makes sense is the processor's to judge, at the entry (section
 * 27.3.1). What entries do not check is checked here; it makes the entry fail as well. s may change
 * meanwhile.
 */
static void load_system(struct vcpu *vcpu, const struct socle_system_state *s)
{
	const struct socle_segment *segment = (const struct socle_segment *)s;
	const uint64_t msrs[SWITCHED] = {s->star, s->lstar, s->cstar, s->sfmask, s->kernel_gs_base};

	_Static_assert(offsetof(struct socle_system_state, tr) ==
			       SEGMENT_TR * sizeof(struct socle_segment),
		       "the segments are in the order of enum vmcs_segment");
	for (unsigned i = SEGMENT_ES; i <= SEGMENT_TR; i++)
		load_segment(2 * i, segment[i]);
	vmcs_write(VMCS_GUEST_GDTR_BASE, s->gdtr.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, s->gdtr.limit);
	vmcs_write(VMCS_GUEST_IDTR_BASE, s->idtr.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, s->idtr.limit);
	load_paging(s);
	load_interruptibility(s);
	vcpu->cr2 = s->cr2;
	memcpy(vcpu->dr, s->dr, sizeof(vcpu->dr));
	vcpu->dr6 = (uint32_t)s->dr6;
	vmcs_write(VMCS_GUEST_DR7, s->dr7);
	if (s->dr7 & DR7_ENABLES)
		use_debug(vcpu);
	vmcs_write(VMCS_GUEST_PAT, s->pat);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, s->sysenter_cs);
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, s->sysenter_esp);
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, s->sysenter_eip);
	vcpu->tsc_offset = s->tsc_offset;
	vmcs_write(VMCS_TSC_OFFSET, vcpu->tsc_offset);
	for (unsigned i = 0; i < SWITCHED; i++) {
		uint64_t value = *(const volatile uint64_t *)&msrs[i];

		if (switched_valid(i, value))
			vcpu->switched[i] = value;
		else
			refuse_entry();
	}
}

void vmx_guest_save_system(struct vcpu *vcpu)
{
	struct socle_system_state *s = &vcpu->area->system;
	struct socle_segment *segment = (struct socle_segment *)s;
	uint64_t interruptibility = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	for (unsigned i = SEGMENT_ES; i <= SEGMENT_TR; i++)
		segment[i] = save_segment(2 * i);
	s->gdtr.base = vmcs_read(VMCS_GUEST_GDTR_BASE);
	s->gdtr.limit = (uint32_t)vmcs_read(VMCS_GUEST_GDTR_LIMIT);
	s->idtr.base = vmcs_read(VMCS_GUEST_IDTR_BASE);
	s->idtr.limit = (uint32_t)vmcs_read(VMCS_GUEST_IDTR_LIMIT);
	s->cr0 = vmx_vcpu_read(vcpu, VCPU_CR0);
	s->cr2 = read_cr2();
	s->cr3 = vmcs_read(VMCS_GUEST_CR3);
	s->cr4 = vmx_vcpu_read(vcpu, VCPU_CR4);
	s->efer = vmcs_read(VMCS_GUEST_EFER);
	s->xcr0 = vcpu->xcr0;
	guest_debug_read(vcpu);
	memcpy(s->dr, vcpu->dr, sizeof(s->dr));
	s->dr6 = read_dr6();
	s->dr7 = vmcs_read(VMCS_GUEST_DR7);
	s->pat = vmcs_read(VMCS_GUEST_PAT);
	s->star = vcpu->switched[STAR];
	s->lstar = vcpu->switched[LSTAR];
	s->cstar = vcpu->switched[CSTAR];
	s->sfmask = vcpu->switched[SFMASK];
	s->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	s->sysenter_cs = vmcs_read(VMCS_GUEST_SYSENTER_CS);
	s->sysenter_esp = vmcs_read(VMCS_GUEST_SYSENTER_ESP);
	s->sysenter_eip = vmcs_read(VMCS_GUEST_SYSENTER_EIP);
	s->interrupt_shadow =
		(interruptibility & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) != 0;
	s->nmi_blocked = (interruptibility & INTERRUPTIBILITY_NMI) != 0;
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
 * XSAVES and UMWAIT are left out: their registers (IA32_XSS, IA32_UMWAIT_CONTROL) are the service
 * VM's.
 */
static struct vmx_controls guest_controls(void)
{
	struct vmx_controls controls = vmx_controls;

	controls.pin |= VMX_PIN_GUESTS | PIN_PREEMPTION_TIMER;
	controls.processor |= VMX_PROCESSOR_GUESTS;
	controls.secondary &= ~(SECONDARY_ENABLE_XSAVES | SECONDARY_ENABLE_USER_WAIT);
	controls.exit |= vmx_may_be_one(MSR_VMX_TRUE_EXIT_CTLS) & EXIT_SAVE_PREEMPTION_TIMER;
	controls.secondary |= vmx_may_be_one(MSR_VMX_PROCBASED_CTLS2) & SECONDARY_WBINVD_EXITING;
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
	vmx_vmcs_init(&controls, memory, memory_physical(msr_map), vpid_of(vcpu));
	/*
	 * A guest that has #AC or #DB raised in their own delivery would be in it for ever, deaf to
	 * interrupts: each round exits. A machine check is the machine's.
	 */
	vmcs_write(VMCS_EXCEPTION_BITMAP, 1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_MC);
	vmcs_write(VMCS_CR0_MASK, CR0_OWNED);
	vmcs_write(VMCS_CR4_MASK, CR4_OWNED);
	vmcs_write(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_write(VMCS_GUEST_RSP, 0);
	vmcs_write(VMCS_GUEST_RIP, 0xfff0);
	load_system(vcpu, &reset_state);
	vmx_vmcs_load(cpu, &cpu->service);
	vmx_vmcs_clear(vcpu);
	vcpu->xcr0 = 1;
	memcpy((uint8_t *)vcpu->fpu + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	return true;
}

/* A VMM that moved RIP has done the instruction there: its shadow has ended. */
static void load_run(const struct socle_vcpu_area *area)
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
	if (vcpu->last_cpu != cpu) { /* here it has old translations, or another vCPU's */
		vcpu->last_cpu = cpu;
		vmx_host_init(cpu);
		vmx_invalidate_vpid(vpid_of(vcpu));
	}
	if (load & SOCLE_LOAD_RUN)
		load_run(vcpu->area);
	if (load & SOCLE_LOAD_SYSTEM) {
		load_system(vcpu, &vcpu->area->system);
		vmx_invalidate_vpid(vpid_of(vcpu));
	}
	vcpu->exit.code = VMX_CODE_NOT_ENTERED;
	for (unsigned i = 0; i < SWITCHED; i++) {
		uint64_t value = rdmsr(switched_msr[i]);

		cpu->service.switched[i] = value;
		if (value != vcpu->switched[i])
			wrmsr(switched_msr[i], vcpu->switched[i]);
	}
	write_cr2(vcpu->cr2);
	if (vcpu->dr6 != DR6_RESET)
		write_dr6(vcpu->dr6);
	guest_fpu_load(vcpu);
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
	vcpu->switched[KERNEL_GS_BASE] = rdmsr(MSR_KERNEL_GS_BASE);
	for (unsigned i = 0; i < SWITCHED; i++)
		if (service->switched[i] != vcpu->switched[i])
			wrmsr(switched_msr[i], service->switched[i]);
}

/*
 * The event whose delivery was cut short, in the area's format, which is the VMCS's for these three
 * types. A software interrupt or exception needs no raising: RIP is at its instruction, which runs
 * again.
 */
static uint64_t interrupted_event(void)
{
	uint64_t info = vmcs_read(VMCS_IDT_VECTORING_INFO);
	uint64_t type = info & INTERRUPTION_TYPE;
	uint64_t event = info & (INTERRUPTION_VALID | INTERRUPTION_VECTOR | INTERRUPTION_TYPE |
				 INTERRUPTION_ERROR_CODE);

	if (__builtin_expect(!(info & INTERRUPTION_VALID), true))
		return 0;
	if (type != INTERRUPTION_EXTERNAL && type != INTERRUPTION_NMI &&
	    type != INTERRUPTION_EXCEPTION)
		return 0;
	if (type == INTERRUPTION_NMI) /* its delivery blocked NMIs: it would be refused */
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
								~(uint64_t)INTERRUPTIBILITY_NMI);
	if (event & INTERRUPTION_ERROR_CODE)
		event |= vmcs_read(VMCS_IDT_VECTORING_ERROR_CODE) << EVENT_ERROR_BITS;
	return event;
}

void vmx_guest_leave(struct vcpu *vcpu)
{
	struct socle_vcpu_area *area = vcpu->area;
	struct cpu *cpu = vcpu->cpu;
	bool exited = vcpu->exit.code <= EXIT_REASON_BASIC;
	uint64_t event = exited ? interrupted_event() : 0;
	bool machine_check = vcpu->exit.code == EXIT_REASON_EXCEPTION_OR_NMI &&
			     (vcpu->exit.information & INTERRUPTION_VECTOR) == VECTOR_MC;

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

	(void)vcpu;
	if (type == INTERRUPTION_EXCEPTION && (vector >= FIRST_INTERRUPT || vector == VECTOR_NMI))
		return false;
	if (type != INTERRUPTION_EXCEPTION && type != INTERRUPTION_NMI &&
	    type != INTERRUPTION_EXTERNAL)
		return false;
	if (type == INTERRUPTION_NMI)
		info = INTERRUPTION_VALID | INTERRUPTION_NMI | VECTOR_NMI;
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
		if (!switched_valid(msr - MSR_STAR + STAR, value))
			return false;
		vcpu->switched[msr - MSR_STAR + STAR] = value;
		wrmsr(msr, value);
		return true;
	default:
		return false;
	}
}
