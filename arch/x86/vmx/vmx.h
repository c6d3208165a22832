/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the VT-x back end share. The functions are those of struct arch_ops. */
#ifndef ARCH_X86_VMX_VMX_H
#define ARCH_X86_VMX_VMX_H

#include "arch/x86/arch.h"
#include "arch/x86/guest_debug.h"
#include "arch/x86/guest_fpu.h"
#include "arch/x86/vmx/vmcs.h"

/* What the service VM does not ask for and guests do. Every CPU must offer it. */
#define VMX_PIN_GUESTS PIN_EXTERNAL_INTERRUPT
#define VMX_PROCESSOR_GUESTS                                                                       \
	(PROCESSOR_TSC_OFFSETTING | PROCESSOR_HLT_EXITING | PROCESSOR_MWAIT_EXITING |              \
	 PROCESSOR_RDPMC_EXITING | PROCESSOR_MOV_DR_EXITING | PROCESSOR_IO_EXITING |               \
	 PROCESSOR_MONITOR_EXITING | PROCESSOR_CR8_EXITING)
#define VMX_EXIT_GUESTS EXIT_SAVE_PREEMPTION_TIMER

/*
 * The bits of CR0 and CR4 that are not a guest's. No exit changes CD and NW: set, they would slow
 * down the service VM too. With MCE clear, a machine check would stop the CPU. In CR4 a guest has
 * those known here: others come with state that nobody would switch (CET, PKS, UINTR, key locker),
 * with five levels, or with VT-x.
 */
#define VMX_GUEST_CR0_OWNED (CR0_NE | CR0_NW | CR0_CD)
#define VMX_GUEST_CR4_KNOWN 0x00770fffull /* VME .. UMIP, FSGSBASE .. OSXSAVE, SMEP, SMAP, PKE */

/*
 * Registers that no entry or exit switches. A guest reads all and writes KERNEL_GS_BASE (SWAPGS)
 * with no exit; its writes of the others exit, once in a boot, so that what they hold is known when
 * it is left. The service VM writes them as it likes: they are read when a guest is entered.
 */
enum vmx_switched { VMX_STAR, VMX_LSTAR, VMX_CSTAR, VMX_SFMASK, VMX_KERNEL_GS_BASE, VMX_SWITCHED };

/* The controls of the service VM: what is wanted and this machine offers. The same on every CPU. */
struct vmx_controls {
	uint32_t pin, processor, secondary, exit, entry;
};

/*
 * vmx_check.c: what this CPU has of VT-x. NULL: all that is needed, and *controls is what to use of
 * it. Else what is missing; text, of VMX_CHECK_BYTES, may hold it.
 */
#define VMX_CHECK_BYTES 256
const char *vmx_check(struct vmx_controls *controls, char *text);

/* The high half of a capability MSR: the controls that may be 1 (SDM volume 3, section A.3). */
uint32_t vmx_may_be_one(uint32_t msr);

/* Set by the first vmx_cpu_enable(). */
extern struct vmx_controls vmx_controls;

/*
 * The longest that a guest runs on end, in ticks of the TSC. Interrupts end its runs before that;
 * but not where the service VM has switched its tick off, nor under Bochs 2.7, which keeps all
 * interrupts back from a guest that is entered with RFLAGS.IF clear.
 */
#define VMX_RUNS_PER_SECOND 100
extern uint64_t vmx_run_ticks;

/* The VMX-preemption timer counts the TSC >> this. */
extern unsigned vmx_timer_shift;

/*
 * exit.code of an entry that VMLAUNCH or VMRESUME refused: exit.information is the VM-instruction
 * error (SDM volume 3, section 31.4). Other exit codes are exit reasons.
 */
#define VMX_CODE_INSTRUCTION_FAILED (1ull << 32)
#define VMX_CODE_NOT_ENTERED	    (2ull << 32) /* yet: a guest that has just been loaded */

const char *vmx_cpu_enable(struct cpu *cpu, void *page);
uint64_t vmx_cpu_features(void);
void vmx_cpu_nmi(struct cpu *cpu);
void vmx_service_init(struct vcpu *vcpu, const struct boot_info *boot,
		      const struct boot_service_entry *entry, const struct ept *memory);
_Noreturn void vmx_cpu_run(struct cpu *cpu);
void vmx_cpu_flush(struct cpu *cpu);
void vmx_vcpu_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error_code);
uint64_t vmx_vcpu_read(struct vcpu *vcpu, enum vcpu_register which);
bool vmx_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool vmx_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void vmx_vcpu_dump(struct vcpu *vcpu);

bool vmx_guest_init(struct vcpu *vcpu, const struct ept *memory);
void vmx_guest_load(struct vcpu *vcpu, uint64_t load);
void vmx_guest_leave(struct vcpu *vcpu);
void vmx_guest_save_system(struct vcpu *vcpu);
bool vmx_guest_interrupt(struct vcpu *vcpu, uint8_t vector);
bool vmx_guest_event(struct vcpu *vcpu, uint64_t event);

/*
 * vmx_state.c: takes the system state into the current VMCS, the vCPU's. Whether it makes sense is
 * the processor's to judge, at the entry (SDM volume 3, section 27.3.1). What entries do not check
 * is checked here; it makes the entry fail as well. *shared may change meanwhile.
 */
void vmx_guest_load_system(struct vcpu *vcpu, const struct socle_system_state *shared);

/* What WRMSR takes: anything else would be a fault of the hypervisor's. */
bool vmx_switched_valid(enum vmx_switched which, uint64_t value);

/* vmx_msr_read() and vmx_msr_write() for guests. */
bool vmx_guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool vmx_guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
/* Fills the guests' MSR bitmap. Boot CPU, once. */
void vmx_guest_map_init(void);

/* Fills the service VM's MSR bitmap. Boot CPU, once. */
void vmx_msr_map_init(void);

/* Its host-physical address. */
hpa_t vmx_msr_map(void);

/* Makes a zeroed page an empty VMCS. */
void vmx_vmcs_format(struct vcpu *vcpu);

/* Makes a vCPU's VMCS the current one of this CPU; and takes one that is not current off the CPU.
 */
void vmx_vmcs_load(struct cpu *cpu, const struct vcpu *vcpu);
void vmx_vmcs_clear(struct vcpu *vcpu);

/*
 * Sets what no exit changes of the current VMCS: controls, with nothing owned and no exception
 * exiting; and what an exit loads on a CPU.
 */
void vmx_vmcs_init(const struct vmx_controls *controls, const struct ept *memory, hpa_t msr_map,
		   uint16_t vpid);
void vmx_host_init(const struct cpu *cpu);

/*
 * vmx.c: answers the NMIs that came, at an exit. The machine's are the service VM's to take. False:
 * there were none.
 */
bool vmx_nmis_answer(struct cpu *cpu);

/* Asks for an exit of the VM whose VMCS is current when it can take an NMI. */
void vmx_want_nmi_window(void);

/*
 * A guest's VMX-preemption timer follows the deadline of its local APIC's timer. wanted: that
 * deadline; is_stale: it is not what the timer was set by; update: sets the timer in the current
 * VMCS, the vCPU's.
 */
static inline uint64_t vmx_timer_wanted(const struct vcpu *vcpu)
{
	return *(const volatile uint64_t *)&vcpu->area->timer_deadline;
}

static inline bool vmx_timer_is_stale(const struct vcpu *vcpu)
{
	return __builtin_expect(vmx_timer_wanted(vcpu) != vcpu->timer_set, false);
}

void vmx_timer_update(struct vcpu *vcpu);

/*
 * vmx_apic.c: virtual-interrupt delivery (SDM volume 3, chapter 30), where the processor offers all
 * of it. controls: adds what a guest needs for it; init: sets the rest in the current VMCS, the
 * vCPU's; load: when a run begins, behind the rest; update: takes over what common code has changed
 * in the image.
 */
void vmx_apic_controls(struct vmx_controls *controls);
void vmx_apic_init(struct vcpu *vcpu);
void vmx_apic_load(struct vcpu *vcpu);
void vmx_apic_update(struct vcpu *vcpu);

/* The guests' MSR bitmap, and one that lets a guest in x2APIC mode at the image. */
hpa_t vmx_guest_map(bool x2apic);

/* vmx_exit.c: says in common words why the vCPU was left. */
enum socle_exit_reason vmx_decode_exit(struct vcpu *vcpu);

/* Ends the shadow of an STI or MOV SS in the current VMCS. */
void vmx_end_shadow(void);

/* Drops what this CPU has cached of any second-level table, and of any VPID; or of one VPID. */
void vmx_invalidate_all(void);
void vmx_invalidate_vpid(uint16_t vpid);

#endif
