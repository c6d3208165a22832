/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction with a memory operand: every operand is translated first, then read, then the
 * result is written; so a fault leaves nothing half done.
 */
#include <stdio.h>

#include "vmm-user/vmm/insn_internal.h"

#define ATTRIBUTE_BIG	 (1u << 10)
#define DR6_SINGLE_STEP	 (1ull << 14)
#define CR0_PE		 1ull
#define HAS_ERROR_CODE	 0x27d00u /* vectors 8, 10 .. 14, 17 */
#define VECTOR_FAULT_MAX 31

static const struct insn_vectors *vectors;

void insn_use_vectors(const struct insn_vectors *use)
{
	vectors = use;
}

void insn_raise(struct socle_vcpu_area *area, unsigned vector, uint32_t error)
{
	area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_EXCEPTION | vector;
	if (vector <= VECTOR_FAULT_MAX && (HAS_ERROR_CODE >> vector & 1) &&
	    (area->system.cr0 & CR0_PE))
		area->event |= SOCLE_EVENT_ERROR_CODE | (uint64_t)error << 32;
	/* A fault's handler finds RF set (SDM volume 3, section 18.3.1.1). */
	area->rflags |= FLAG_RF;
	area->load |= SOCLE_LOAD_RUN;
	if (vector == INSN_PAGE_FAULT)
		area->load |= SOCLE_LOAD_SYSTEM;
}

enum insn_result insn_finish(struct execution *execution, uint64_t rip)
{
	struct socle_vcpu_area *area = execution->area;

	area->rip = execution->mode == MODE_64 ? rip : (uint32_t)rip;
	area->load |= SOCLE_LOAD_RUN;
	if (area->system.interrupt_shadow != 0) {
		area->system.interrupt_shadow = 0;
		area->load |= SOCLE_LOAD_SYSTEM;
	}
	area->rflags &= ~FLAG_RF;
	if (area->rflags & FLAG_TF) {
		area->system.dr6 |= DR6_SINGLE_STEP;
		area->load |= SOCLE_LOAD_SYSTEM;
		area->event = SOCLE_EVENT_VALID | SOCLE_EVENT_EXCEPTION | INSN_DEBUG_EXCEPTION;
	}
	return INSN_DONE;
}

static enum insn_result next(struct execution *execution)
{
	return insn_finish(execution, execution->area->rip + execution->insn->length);
}

/* The place of an operand; of one that is not memory there is none. */
static bool locate(struct execution *execution, const struct operand *operand, unsigned access,
		   struct place *place)
{
	if (operand->kind != OPERAND_MEMORY)
		return true;
	return insn_resolve(execution, execution->insn->segment,
			    insn_effective_address(execution->insn, execution->area, 0),
			    operand->bytes, access, place);
}

static uint64_t get(struct execution *execution, const struct operand *operand,
		    const struct place *place)
{
	uint64_t value;

	switch (operand->kind) {
	case OPERAND_MEMORY:
		return insn_load(execution, place);
	case OPERAND_IMMEDIATE:
		return execution->insn->immediate;
	case OPERAND_SEGMENT:
		return insn_segment(execution->area, operand->number)->selector;
	default:
		value = *insn_register(execution->area, operand->number);
		if (operand->kind == OPERAND_HIGH)
			value >>= 8;
		return value & insn_mask(operand->bytes);
	}
}

static void set(struct execution *execution, const struct operand *operand,
		const struct place *place, uint64_t value)
{
	uint64_t *at;

	switch (operand->kind) {
	case OPERAND_MEMORY:
		insn_store(execution, place, value);
		break;
	case OPERAND_HIGH:
		at = insn_register(execution->area, operand->number);
		*at = (*at & ~0xff00ull) | (value & 0xff) << 8;
		break;
	default:
		insn_set_register(execution->area, operand->number, operand->bytes, value);
		break;
	}
}

/* Only general registers, memory and (as the source) an immediate; else the form is not known. */
static bool plain(const struct insn *insn)
{
	return insn->operand[0].kind <= OPERAND_MEMORY &&
	       insn->operand[1].kind <= OPERAND_IMMEDIATE;
}

static enum insn_result do_alu(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	const struct operand *to = &insn->operand[0], *from = &insn->operand[1];
	bool writes = insn->op != OP_CMP && insn->op != OP_TEST && insn->op != OP_BT;
	uint64_t flags = execution->area->rflags, b = 0, result;
	struct place place;

	if (!locate(execution, to, writes ? WALK_WRITE : 0, &place) ||
	    (from->kind == OPERAND_MEMORY && !locate(execution, from, 0, &place)))
		return INSN_FAULT;
	if (from->kind != OPERAND_NONE)
		b = get(execution, from, &place);
	result = insn_alu(insn->op, to->bytes, get(execution, to, &place), b, &flags);
	if (writes)
		set(execution, to, &place, result);
	execution->area->rflags = flags;
	return next(execution);
}

/* BT and its kin with memory: a register names any bit from there on, an immediate one of these. */
static enum insn_result do_bit(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	const struct operand *to = &insn->operand[0];
	unsigned bytes = to->bytes, bits = 8 * bytes;
	uint64_t flags = execution->area->rflags, result, more = 0;
	uint64_t number = get(execution, &insn->operand[1], NULL);
	struct place place;

	if (insn->operand[1].kind == OPERAND_REGISTER) {
		int64_t offset = (int64_t)(number << (64 - bits)) >> (64 - bits);

		/* Rounded down to whole operands. */
		more = (uint64_t)((offset & -(int64_t)bits) / 8);
	}
	if (!insn_resolve(execution, insn->segment,
			  insn_effective_address(insn, execution->area, more), bytes,
			  insn->op == OP_BT ? 0 : WALK_WRITE, &place))
		return INSN_FAULT;
	result = insn_alu(insn->op, bytes, insn_load(execution, &place), number, &flags);
	if (insn->op != OP_BT)
		insn_store(execution, &place, result);
	execution->area->rflags = flags;
	return next(execution);
}

static uint64_t swapped(uint64_t value, unsigned bytes)
{
	return __builtin_bswap64(value) >> (64 - 8 * bytes);
}

static enum insn_result do_move(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	struct operand to = insn->operand[0];
	const struct operand *from = &insn->operand[1];
	bool happens =
		insn->op != OP_MOVE_IF || insn_condition(insn->condition, execution->area->rflags);
	struct place place;
	uint64_t value;

	if (to.kind == OPERAND_SEGMENT)
		return INSN_UNSUPPORTED;
	if (to.kind == OPERAND_MEMORY ? !locate(execution, &to, WALK_WRITE, &place)
				      : !locate(execution, from, 0, &place))
		return INSN_FAULT;
	value = get(execution, from, &place);
	if (insn->op == OP_MOVE_SIGNED) {
		unsigned shift = 64 - 8 * from->bytes;

		value = (uint64_t)((int64_t)(value << shift) >> shift);
	} else if (insn->op == OP_MOVE_SWAPPED) {
		value = swapped(value, to.bytes);
	} else if (!happens) {
		/* The memory is read all the same, and a 32-bit register loses its upper half. */
		value = get(execution, &to, NULL);
	}
	set(execution, &to, &place, value);
	return next(execution);
}

static enum insn_result do_set(struct execution *execution)
{
	const struct operand *to = &execution->insn->operand[0];
	struct place place;

	if (!locate(execution, to, WALK_WRITE, &place))
		return INSN_FAULT;
	set(execution, to, &place,
	    insn_condition(execution->insn->condition, execution->area->rflags));
	return next(execution);
}

/* XCHG, XADD, CMPXCHG: memory and a register, both written. */
static enum insn_result do_exchange(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	const struct operand *to = &insn->operand[0], *from = &insn->operand[1];
	const struct operand rax = {OPERAND_REGISTER, REGISTER_RAX, to->bytes};
	uint64_t flags = execution->area->rflags, old, value;
	struct place place;

	/* XCHG's operands come in either order. */
	if (from->kind == OPERAND_MEMORY) {
		to = &insn->operand[1];
		from = &insn->operand[0];
	}
	if (!locate(execution, to, WALK_WRITE, &place))
		return INSN_FAULT;
	old = get(execution, to, &place);
	value = get(execution, from, NULL);
	if (insn->op == OP_COMPARE_EXCHANGE) {
		insn_alu(OP_CMP, to->bytes, get(execution, &rax, NULL), old, &flags);
		/* Memory is written in either case (SDM volume 2, CMPXCHG). */
		set(execution, to, &place, flags & FLAG_ZF ? value : old);
		if (!(flags & FLAG_ZF))
			set(execution, &rax, NULL, old);
	} else {
		if (insn->op == OP_EXCHANGE_ADD)
			value = insn_alu(OP_ADD, to->bytes, old, value, &flags);
		set(execution, from, NULL, old);
		set(execution, to, &place, value);
	}
	execution->area->rflags = flags;
	return next(execution);
}

static unsigned stack_bytes(const struct execution *execution)
{
	if (execution->mode == MODE_64)
		return 8;
	return execution->area->system.ss.attributes & ATTRIBUTE_BIG ? 4 : 2;
}

/* Moves the stack pointer, as wide as the stack is. */
static void move_stack(struct execution *execution, uint64_t rsp)
{
	uint64_t mask = insn_mask(stack_bytes(execution));

	execution->area->rsp = (execution->area->rsp & ~mask) | (rsp & mask);
}

/* PUSH of memory, CALL and JMP through memory. */
static enum insn_result do_push(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	struct socle_vcpu_area *area = execution->area;
	const struct operand *from = &insn->operand[0];
	uint64_t rsp = (area->rsp - from->bytes) & insn_mask(stack_bytes(execution)), value;
	struct place place, stack;

	if (!locate(execution, from, 0, &place))
		return INSN_FAULT;
	execution->exit_access = 0;
	if (insn->op != OP_JUMP &&
	    !insn_resolve(execution, SEGMENT_SS, rsp, from->bytes, WALK_WRITE, &stack))
		return INSN_FAULT;
	value = insn_load(execution, &place);
	if (insn->op != OP_PUSH && (execution->mode == MODE_64 ? value + (1ull << 47) >= 1ull << 48
							       : value > area->system.cs.limit)) {
		insn_raise(area, INSN_GENERAL_PROTECTION, 0);
		return INSN_FAULT;
	}
	if (insn->op != OP_JUMP) {
		insn_store(execution, &stack,
			   insn->op == OP_PUSH ? value : area->rip + insn->length);
		move_stack(execution, rsp);
	}
	return insn->op == OP_PUSH ? next(execution) : insn_finish(execution, value);
}

/* POP to memory; an address with RSP in it counts from behind the pop. */
static enum insn_result do_pop(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	const struct operand *to = &insn->operand[0];
	uint64_t rsp = execution->area->rsp;
	struct place place, stack;
	bool good;

	execution->exit_access = 0;
	if (!insn_resolve(execution, SEGMENT_SS, rsp & insn_mask(stack_bytes(execution)), to->bytes,
			  0, &stack))
		return INSN_FAULT;
	move_stack(execution, rsp + to->bytes);
	good = locate(execution, to, WALK_WRITE, &place);
	if (!good) {
		execution->area->rsp = rsp;
		return INSN_FAULT;
	}
	insn_store(execution, &place, insn_load(execution, &stack));
	return next(execution);
}

static enum insn_result do_vector(struct execution *execution)
{
	const struct insn *insn = execution->insn;
	bool store = insn->operand[0].kind == OPERAND_MEMORY;
	const struct operand *memory = &insn->operand[store ? 0 : 1];
	const struct operand *reg = &insn->operand[store ? 1 : 0];
	uint64_t value[2] = {0, 0},
		 offset = insn_effective_address(execution->insn, execution->area, 0);
	struct place place;

	if (vectors == NULL || reg->kind != OPERAND_VECTOR || memory->bytes > sizeof(value))
		return INSN_UNSUPPORTED;
	if (!insn_resolve(execution, insn->segment, offset, memory->bytes, store ? WALK_WRITE : 0,
			  &place))
		return INSN_FAULT;
	if (insn->op == OP_VECTOR_ALIGNED && (place.gpa[0] & 15)) {
		insn_raise(execution->area, INSN_GENERAL_PROTECTION, 0);
		return INSN_FAULT;
	}
	/* The register first: a register that cannot be had must not cost a read of the device. */
	if (!vectors->get(execution->vmm, execution->area, reg->number, value))
		return INSN_UNSUPPORTED;
	if (store) {
		insn_store_bytes(execution, &place, value);
		return next(execution);
	}
	value[0] = value[1] = 0;
	insn_load_bytes(execution, &place, value);
	if (!vectors->set(execution->vmm, execution->area, reg->number, value))
		return INSN_UNSUPPORTED;
	return next(execution);
}

static enum insn_result dispatch(struct execution *execution)
{
	const struct insn *insn = execution->insn;

	if (insn->op >= OP_STRING_MOVE)
		return insn->op >= OP_STRING_IN ? INSN_UNSUPPORTED : insn_string(execution);
	if (insn->operand[0].kind != OPERAND_MEMORY && insn->operand[1].kind != OPERAND_MEMORY)
		return INSN_UNSUPPORTED; /* no access to memory: not what exited */
	for (unsigned i = 0; i < 2; i++)
		if (insn->operand[i].kind != OPERAND_NONE && insn->operand[i].bytes == 0)
			return INSN_UNSUPPORTED;
	if (insn->op == OP_VECTOR || insn->op == OP_VECTOR_ALIGNED)
		return do_vector(execution);
	if (insn->operand[0].bytes > 8 || insn->operand[1].bytes > 8)
		return INSN_UNSUPPORTED;
	if (insn->op >= OP_MOVE && insn->op <= OP_MOVE_SWAPPED)
		return do_move(execution);
	if (!plain(insn))
		return INSN_UNSUPPORTED;
	switch (insn->op) {
	case OP_BT:
	case OP_BTS:
	case OP_BTR:
	case OP_BTC:
		return do_bit(execution);
	case OP_MOVE_IF:
		return do_move(execution);
	case OP_SET:
		return do_set(execution);
	case OP_EXCHANGE:
	case OP_EXCHANGE_ADD:
	case OP_COMPARE_EXCHANGE:
		return do_exchange(execution);
	case OP_PUSH:
	case OP_CALL:
	case OP_JUMP:
		return do_push(execution);
	case OP_POP:
		return do_pop(execution);
	default:
		return do_alu(execution);
	}
}

/* Apart, so that what it takes on the stack costs nothing where it is not needed. */
static __attribute__((noinline)) enum insn_result
execute(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t gpa, uint64_t access)
{
	struct execution execution;
	enum insn_result result;

	insn_begin(&execution, vmm, area);
	result = insn_decode(&execution);
	if (result != INSN_DONE || execution.insn == NULL)
		return result;
	if (execution.insn->op < OP_STRING_MOVE) {
		execution.exit_gpa = gpa;
		execution.exit_access = (unsigned)access & (SOCLE_ACCESS_READ | SOCLE_ACCESS_WRITE);
	}
	return dispatch(&execution);
}

enum insn_result insn_execute(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t gpa,
			      uint64_t access)
{
	if (area->event & SOCLE_EVENT_VALID)
		return INSN_UNSUPPORTED;
	if (insn_quick(vmm, area, gpa, access))
		return INSN_DONE;
	return execute(vmm, area, gpa, access);
}

const char *insn_describe(struct vmm *vmm, struct socle_vcpu_area *area, char text[INSN_TEXT_BYTES])
{
	static const unsigned bits[MODE_COUNT] = {16, 32, 64};
	struct execution execution;
	uint64_t byte[2];
	unsigned bytes, used;

	insn_begin(&execution, vmm, area);
	bytes = insn_fetch(&execution, byte, false);
	used = (unsigned)snprintf(text, INSN_TEXT_BYTES,
				  "%u-bit code at %x:%llx:", bits[execution.mode],
				  area->system.cs.selector, (unsigned long long)area->rip);
	for (unsigned i = 0; i < bytes && used < INSN_TEXT_BYTES - 4; i++)
		used += (unsigned)snprintf(text + used, INSN_TEXT_BYTES - used, " %02x",
					   ((const uint8_t *)byte)[i]);
	if (bytes == 0)
		snprintf(text + used, INSN_TEXT_BYTES - used, " not readable");
	else if (area->event & SOCLE_EVENT_VALID)
		snprintf(text + used, INSN_TEXT_BYTES - used, ", event %llx pending",
			 (unsigned long long)area->event);
	return text;
}
