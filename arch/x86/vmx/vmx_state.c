// SPDX-License-Identifier: BSD-2-Clause
/* VT-x: a guest's system state, in the area's form and in the VMCS's. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "hv/cpu.h"
#include "hv/string.h"

#define DR7_ENABLES 0xff

/* The bits of attributes in the area, and where the upper ones are in access rights. */
#define ATTRIBUTES_LOW	   0x0ffu
#define ATTRIBUTES_HIGH	   0xf00u
#define ATTRIBUTES_SHIFT   4
#define ATTRIBUTES_PRESENT 0x080u
#define ATTRIBUTES_DPL	   0x060u
#define ATTRIBUTES_G	   0x800u

/* No processor takes it in CR4: makes an entry fail. */
#define CR4_IMPOSSIBLE (1ull << 63)

#define PDPTES	      4
#define STATE_BLOCKED 1u /* nmi_blocked */
#define STATE_PENDING 2u

/*
 * The area is the VMM's too, at any time: what is checked has to be what is used.
 */
static struct socle_system_state taken(const struct socle_system_state *shared)
{
	struct socle_system_state copy;

	memcpy(&copy, shared, sizeof(copy));
	__asm__ volatile("" : "+m"(copy)); /* no second look at where it came from */
	return copy;
}

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

static bool has_pae_paging(const struct socle_system_state *s)
{
	return (s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE) && !(s->efer & EFER_LME);
}

/*
 * EFER.LMA follows from the others, and the entry control from it. With EPT the processor takes the
 * PDPTEs of PAE paging from the VMCS (section 27.3.2.4).
 */
static void load_paging(const struct socle_system_state *s)
{
	uint64_t efer = s->efer & ~EFER_LMA;
	uint64_t entry = vmcs_read(VMCS_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST;

	if ((efer & EFER_LME) && (s->cr0 & CR0_PG)) {
		efer |= EFER_LMA;
		entry |= ENTRY_IA32E_MODE_GUEST;
	}
	vmcs_write(VMCS_GUEST_CR0, (s->cr0 & ~VMX_GUEST_CR0_OWNED) | CR0_NE);
	vmcs_write(VMCS_CR0_READ_SHADOW, s->cr0);
	vmcs_write(VMCS_GUEST_CR3, s->cr3);
	vmcs_write(VMCS_GUEST_CR4, (s->cr4 & VMX_GUEST_CR4_KNOWN) | CR4_VMXE | CR4_MCE);
	if (s->cr4 & ~VMX_GUEST_CR4_KNOWN)
		refuse_entry();
	vmcs_write(VMCS_CR4_READ_SHADOW, s->cr4);
	vmcs_write(VMCS_GUEST_EFER, efer);
	vmcs_write(VMCS_ENTRY_CONTROLS, entry);
	for (unsigned i = 0; has_pae_paging(s) && i < PDPTES; i++)
		vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, s->pdpte[i]);
}

/*
 * The processor refuses an entry with a shadow after STI while interrupts are off, and one with a
 * shadow whose single step is not pending (section 27.3.1.5).
 */
static void load_interruptibility(struct vcpu *vcpu, const struct socle_system_state *s)
{
	uint64_t rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	uint64_t value = s->nmi_blocked & STATE_BLOCKED ? INTERRUPTIBILITY_NMI : 0;
	bool shadow = s->interrupt_shadow & 1;

	if (shadow)
		value |= rflags & RFLAGS_IF ? INTERRUPTIBILITY_STI : INTERRUPTIBILITY_MOV_SS;
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, value);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
		   shadow && (rflags & RFLAGS_TF) ? PENDING_DEBUG_BS : 0);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	vcpu->nmi_pending = (s->nmi_blocked & STATE_PENDING) != 0;
	if (vcpu->nmi_pending)
		vmx_want_nmi_window();
}

static void load_debug(struct vcpu *vcpu, const struct socle_system_state *s)
{
	memcpy(vcpu->dr, s->dr, sizeof(vcpu->dr));
	vcpu->dr6 = (uint32_t)s->dr6;
	vmcs_write(VMCS_GUEST_DR7, s->dr7);
	if (!(s->dr7 & DR7_ENABLES))
		return;
	vcpu->uses_debug = true;
	vmcs_write(VMCS_PROCESSOR_CONTROLS,
		   vmcs_read(VMCS_PROCESSOR_CONTROLS) & ~(uint64_t)PROCESSOR_MOV_DR_EXITING);
}

bool vmx_switched_valid(enum vmx_switched which, uint64_t value)
{
	if (which == VMX_STAR)
		return true;
	return which == VMX_SFMASK ? value >> 32 == 0 : is_canonical(value);
}

static void load_switched(struct vcpu *vcpu, const struct socle_system_state *s)
{
	const uint64_t msrs[VMX_SWITCHED] = {s->star, s->lstar, s->cstar, s->sfmask,
					     s->kernel_gs_base};

	for (unsigned i = 0; i < VMX_SWITCHED; i++) {
		if (vmx_switched_valid(i, msrs[i]))
			vcpu->switched[i] = msrs[i];
		else
			refuse_entry();
	}
}

void vmx_guest_load_system(struct vcpu *vcpu, const struct socle_system_state *shared)
{
	const struct socle_system_state s = taken(shared);
	const struct socle_segment *segment = (const struct socle_segment *)&s;

	_Static_assert(offsetof(struct socle_system_state, tr) ==
			       SEGMENT_TR * sizeof(struct socle_segment),
		       "the segments are in the order of enum vmcs_segment");
	for (unsigned i = SEGMENT_ES; i <= SEGMENT_TR; i++)
		load_segment(2 * i, segment[i]);
	vmcs_write(VMCS_GUEST_GDTR_BASE, s.gdtr.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, s.gdtr.limit);
	vmcs_write(VMCS_GUEST_IDTR_BASE, s.idtr.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, s.idtr.limit);
	load_paging(&s);
	load_interruptibility(vcpu, &s);
	load_debug(vcpu, &s);
	load_switched(vcpu, &s);
	vcpu->cr2 = s.cr2;
	vmcs_write(VMCS_GUEST_PAT, s.pat);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, s.sysenter_cs);
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, s.sysenter_esp);
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, s.sysenter_eip);
	vcpu->tsc_offset = s.tsc_offset;
	vmcs_write(VMCS_TSC_OFFSET, s.tsc_offset);
}

static void save_switched(struct vcpu *vcpu, struct socle_system_state *s)
{
	s->star = vcpu->switched[VMX_STAR];
	s->lstar = vcpu->switched[VMX_LSTAR];
	s->cstar = vcpu->switched[VMX_CSTAR];
	s->sfmask = vcpu->switched[VMX_SFMASK];
	s->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}

static void save_interruptibility(struct vcpu *vcpu, struct socle_system_state *s)
{
	uint64_t value = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	s->interrupt_shadow = (value & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) != 0;
	s->nmi_blocked = (value & INTERRUPTIBILITY_NMI ? STATE_BLOCKED : 0) |
			 (vcpu->nmi_pending ? STATE_PENDING : 0);
}

void vmx_guest_save_system(struct vcpu *vcpu)
{
	struct socle_system_state *s = &vcpu->area->system;
	struct socle_segment *segment = (struct socle_segment *)s;

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
	for (unsigned i = 0; has_pae_paging(s) && i < PDPTES; i++)
		s->pdpte[i] = vmcs_read(VMCS_GUEST_PDPTE0 + 2 * i);
	s->xcr0 = guest_fpu_xcr0(vcpu);
	guest_debug_read(vcpu);
	memcpy(s->dr, vcpu->dr, sizeof(s->dr));
	s->dr6 = read_dr6();
	s->dr7 = vmcs_read(VMCS_GUEST_DR7);
	s->pat = vmcs_read(VMCS_GUEST_PAT);
	save_switched(vcpu, s);
	s->sysenter_cs = vmcs_read(VMCS_GUEST_SYSENTER_CS);
	s->sysenter_esp = vmcs_read(VMCS_GUEST_SYSENTER_ESP);
	s->sysenter_eip = vmcs_read(VMCS_GUEST_SYSENTER_EIP);
	save_interruptibility(vcpu, s);
}
