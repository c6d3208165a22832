/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What nearly every access to a device register is, in few instructions: 64-bit code that moves
 * between memory and a general register, or an immediate to memory, and that was decoded before.
 * Whatever is unusual about it is left to the long way, and nothing is done here before that is
 * certain.
 */
#include "vmm-user/vmm/insn_internal.h"

#define EFER_LMA	 (1ull << 10)
#define ATTRIBUTE_LONG	 (1u << 9)
#define ATTRIBUTE_DPL(a) ((a) >> 5 & 3)
#define PAGE_MASK	 4095u
#define CANONICAL(at)	 ((at) + (1ull << 47) < 1ull << 48)

/* Looks for the bytes at rip in the guest's RAM, all that an instruction may have, and notes the
 * way; NULL: not there. */
static __attribute__((noinline)) const uint8_t *
find_code(struct vmm *vmm, const struct socle_vcpu_area *area, struct insn *insn, unsigned user)
{
	const struct socle_system_state *system = &area->system;
	struct walk_registers registers = insn_walk_registers(area);
	uint64_t gpa;
	uint32_t error;

	insn->code = NULL;
	if (!CANONICAL(area->rip) || (area->rip & PAGE_MASK) > PAGE_MASK + 1 - INSN_BYTES_MAX)
		return NULL;
	if (!walk_with_path(vmm, &registers, area->rip, WALK_FETCH | user, &gpa, &insn->path))
		return walk(vmm, &registers, area->rip, WALK_FETCH | user, &gpa, &error)
			       ? guest_memory(vmm, gpa, INSN_BYTES_MAX)
			       : NULL;
	insn->rip = area->rip;
	insn->cr3 = system->cr3;
	insn->cr4 = system->cr4;
	insn->efer = system->efer;
	insn->user = user;
	insn->code = guest_memory(vmm, gpa, INSN_BYTES_MAX);
	return insn->code;
}

/* The same. To have found them by the same entries of the page tables before is as good as a walk.
 */
static inline const uint8_t *code(struct vmm *vmm, const struct socle_vcpu_area *area,
				  struct insn *insn)
{
	const struct socle_system_state *system = &area->system;
	unsigned user = ATTRIBUTE_DPL(system->ss.attributes) == 3 ? WALK_USER : 0;

	if (insn->code != NULL && insn->rip == area->rip && insn->cr3 == system->cr3 &&
	    insn->cr4 == system->cr4 && insn->efer == system->efer && insn->user == user &&
	    walk_path_holds(&insn->path))
		return insn->code;
	return find_code(vmm, area, insn, user);
}

bool insn_quick(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t gpa, uint64_t access)
{
	struct insn *insn = insn_cached(area->rip);
	const struct operand *to = &insn->operand[0], *from = &insn->operand[1];
	bool store = to->kind == OPERAND_MEMORY;
	unsigned bytes = store ? to->bytes : from->bytes;
	const uint8_t *at;
	uint64_t linear;

	if (!insn->quick || !(area->system.efer & EFER_LMA) ||
	    !(area->system.cs.attributes & ATTRIBUTE_LONG) || (area->rflags & FLAG_TF) ||
	    area->system.interrupt_shadow != 0)
		return false;
	at = code(vmm, area, insn);
	if (at == NULL || !insn_same(insn, at))
		return false;
	/* The exit's address is the operand's, if it is where the operand has to be in its page. */
	linear = insn_effective_address(insn, area, 0);
	if (access != (store ? SOCLE_ACCESS_WRITE : SOCLE_ACCESS_READ) ||
	    ((linear ^ gpa) & PAGE_MASK) || (linear & PAGE_MASK) + bytes > PAGE_MASK + 1 ||
	    !CANONICAL(linear) || guest_memory(vmm, gpa, 1) != NULL)
		return false;
	if (!store)
		insn_set_register(area, to->number, to->bytes,
				  bus_do_read(vmm, BUS_MEMORY, gpa, bytes));
	else if (from->kind == OPERAND_IMMEDIATE)
		bus_do_write(vmm, BUS_MEMORY, gpa, bytes, insn->immediate);
	else
		bus_do_write(vmm, BUS_MEMORY, gpa, bytes, *insn_register(area, from->number));
	area->rip += insn->length;
	area->rflags &= ~FLAG_RF;
	area->load |= SOCLE_LOAD_RUN;
	return true;
}
