/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetches an instruction and decodes it with Zydis. What Zydis said is kept per thread, found again
 * by the instruction's address and checked byte by byte: an entry depends on nothing else than its
 * bytes and the mode.
 */
#include <string.h>

#include <Zydis/Zydis.h>

#include "vmm-user/vmm/insn_internal.h"

#define CR0_PE		  1ull
#define EFER_LMA	  (1ull << 10)
#define ATTRIBUTE_LONG	  (1u << 9)
#define ATTRIBUTE_DEFAULT (1u << 10)
#define ATTRIBUTE_DPL(a)  ((a) >> 5 & 3)

_Thread_local struct insn insn_cache[INSN_CACHE_ENTRIES];

void insn_begin(struct execution *execution, struct vmm *vmm, struct socle_vcpu_area *area)
{
	const struct socle_system_state *system = &area->system;
	bool v86 = (system->cr0 & CR0_PE) && (area->rflags & FLAG_VM);

	*execution = (struct execution){.vmm = vmm, .area = area};
	execution->registers = insn_walk_registers(area);
	if ((system->efer & EFER_LMA) && (system->cs.attributes & ATTRIBUTE_LONG))
		execution->mode = MODE_64;
	else if ((system->cs.attributes & ATTRIBUTE_DEFAULT) && !v86)
		/* In real mode too: what CS had before CR0.PE was cleared stays until it is loaded.
		 */
		execution->mode = MODE_32;
	else
		execution->mode = MODE_16;
	if ((system->cr0 & CR0_PE) && (v86 || ATTRIBUTE_DPL(system->ss.attributes) == 3))
		execution->user = WALK_USER;
}

/* Up to `bytes` bytes of code at a linear address, all on one page. False: a page fault. */
static bool fetch_page(struct execution *execution, uint64_t linear, unsigned bytes, uint8_t *byte,
		       bool raise)
{
	uint64_t gpa;
	uint32_t error;
	const uint8_t *memory;

	if (!walk(execution->vmm, &execution->registers, linear, WALK_FETCH | execution->user, &gpa,
		  &error)) {
		if (raise) {
			execution->area->system.cr2 = linear;
			insn_raise(execution->area, INSN_PAGE_FAULT, error);
		}
		return false;
	}
	memory = guest_memory(execution->vmm, gpa, bytes);
	if (memory != NULL) {
		if (bytes == 15)
			memcpy(byte, memory, 15);
		else
			memcpy(byte, memory, bytes);
		return true;
	}
	/* A ROM may be a device of the bus. */
	for (unsigned i = 0; i < bytes; i++)
		byte[i] = (uint8_t)bus_do_read(execution->vmm, BUS_MEMORY, gpa + i, 1);
	return true;
}

unsigned insn_fetch(struct execution *execution, uint64_t byte[2], bool raise)
{
	const struct socle_segment *cs = &execution->area->system.cs;
	uint64_t rip = execution->area->rip, linear;
	unsigned bytes = INSN_BYTES_MAX, first;
	uint8_t *at = (uint8_t *)byte;

	byte[0] = byte[1] = 0;
	if (execution->mode == MODE_64) {
		linear = rip;
		if (linear + (1ull << 47) >= 1ull << 48)
			bytes = 0;
	} else {
		linear = (uint32_t)(cs->base + rip);
		if (rip > cs->limit)
			bytes = 0;
		else if (cs->limit - rip < bytes - 1)
			bytes = (unsigned)(cs->limit - rip) + 1;
	}
	if (bytes == 0) {
		if (raise)
			insn_raise(execution->area, INSN_GENERAL_PROTECTION, 0);
		return 0;
	}
	first = 4096 - (unsigned)(linear & 4095);
	if (first >= bytes)
		return fetch_page(execution, linear, bytes, at, raise) ? bytes : 0;
	if (!fetch_page(execution, linear, first, at, raise))
		return 0;
	linear += first;
	if (execution->mode != MODE_64)
		linear = (uint32_t)linear;
	return fetch_page(execution, linear, bytes - first, at + first, false) ? bytes : first;
}

static const struct {
	uint16_t mnemonic;
	uint8_t op, bytes; /* bytes: of a string's element */
} names[] = {
	{ZYDIS_MNEMONIC_MOV, OP_MOVE, 0},
	{ZYDIS_MNEMONIC_MOVNTI, OP_MOVE, 0},
	{ZYDIS_MNEMONIC_MOVZX, OP_MOVE, 0},
	{ZYDIS_MNEMONIC_MOVSX, OP_MOVE_SIGNED, 0},
	{ZYDIS_MNEMONIC_MOVSXD, OP_MOVE_SIGNED, 0},
	{ZYDIS_MNEMONIC_MOVBE, OP_MOVE_SWAPPED, 0},
	{ZYDIS_MNEMONIC_ADD, OP_ADD, 0},
	{ZYDIS_MNEMONIC_ADC, OP_ADC, 0},
	{ZYDIS_MNEMONIC_SUB, OP_SUB, 0},
	{ZYDIS_MNEMONIC_SBB, OP_SBB, 0},
	{ZYDIS_MNEMONIC_AND, OP_AND, 0},
	{ZYDIS_MNEMONIC_OR, OP_OR, 0},
	{ZYDIS_MNEMONIC_XOR, OP_XOR, 0},
	{ZYDIS_MNEMONIC_CMP, OP_CMP, 0},
	{ZYDIS_MNEMONIC_TEST, OP_TEST, 0},
	{ZYDIS_MNEMONIC_INC, OP_INC, 0},
	{ZYDIS_MNEMONIC_DEC, OP_DEC, 0},
	{ZYDIS_MNEMONIC_NEG, OP_NEG, 0},
	{ZYDIS_MNEMONIC_NOT, OP_NOT, 0},
	{ZYDIS_MNEMONIC_ROL, OP_ROL, 0},
	{ZYDIS_MNEMONIC_ROR, OP_ROR, 0},
	{ZYDIS_MNEMONIC_RCL, OP_RCL, 0},
	{ZYDIS_MNEMONIC_RCR, OP_RCR, 0},
	{ZYDIS_MNEMONIC_SHL, OP_SHL, 0},
	{ZYDIS_MNEMONIC_SHR, OP_SHR, 0},
	{ZYDIS_MNEMONIC_SAR, OP_SAR, 0},
	{ZYDIS_MNEMONIC_BT, OP_BT, 0},
	{ZYDIS_MNEMONIC_BTS, OP_BTS, 0},
	{ZYDIS_MNEMONIC_BTR, OP_BTR, 0},
	{ZYDIS_MNEMONIC_BTC, OP_BTC, 0},
	{ZYDIS_MNEMONIC_XCHG, OP_EXCHANGE, 0},
	{ZYDIS_MNEMONIC_XADD, OP_EXCHANGE_ADD, 0},
	{ZYDIS_MNEMONIC_CMPXCHG, OP_COMPARE_EXCHANGE, 0},
	{ZYDIS_MNEMONIC_PUSH, OP_PUSH, 0},
	{ZYDIS_MNEMONIC_POP, OP_POP, 0},
	{ZYDIS_MNEMONIC_CALL, OP_CALL, 0},
	{ZYDIS_MNEMONIC_JMP, OP_JUMP, 0},
	{ZYDIS_MNEMONIC_MOVD, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_MOVQ, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_MOVSS, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_MOVDQU, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_MOVUPS, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_MOVUPD, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_LDDQU, OP_VECTOR, 0},
	{ZYDIS_MNEMONIC_MOVDQA, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVAPS, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVAPD, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVNTDQ, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVNTPS, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVNTPD, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVNTDQA, OP_VECTOR_ALIGNED, 0},
	{ZYDIS_MNEMONIC_MOVSB, OP_STRING_MOVE, 1},
	{ZYDIS_MNEMONIC_MOVSW, OP_STRING_MOVE, 2},
	{ZYDIS_MNEMONIC_MOVSD, OP_STRING_MOVE, 4}, /* or SSE's MOVSD */
	{ZYDIS_MNEMONIC_MOVSQ, OP_STRING_MOVE, 8},
	{ZYDIS_MNEMONIC_STOSB, OP_STRING_STORE, 1},
	{ZYDIS_MNEMONIC_STOSW, OP_STRING_STORE, 2},
	{ZYDIS_MNEMONIC_STOSD, OP_STRING_STORE, 4},
	{ZYDIS_MNEMONIC_STOSQ, OP_STRING_STORE, 8},
	{ZYDIS_MNEMONIC_LODSB, OP_STRING_LOAD, 1},
	{ZYDIS_MNEMONIC_LODSW, OP_STRING_LOAD, 2},
	{ZYDIS_MNEMONIC_LODSD, OP_STRING_LOAD, 4},
	{ZYDIS_MNEMONIC_LODSQ, OP_STRING_LOAD, 8},
	{ZYDIS_MNEMONIC_CMPSB, OP_STRING_COMPARE, 1},
	{ZYDIS_MNEMONIC_CMPSW, OP_STRING_COMPARE, 2},
	{ZYDIS_MNEMONIC_CMPSD, OP_STRING_COMPARE, 4}, /* or SSE's CMPSD */
	{ZYDIS_MNEMONIC_CMPSQ, OP_STRING_COMPARE, 8},
	{ZYDIS_MNEMONIC_SCASB, OP_STRING_SCAN, 1},
	{ZYDIS_MNEMONIC_SCASW, OP_STRING_SCAN, 2},
	{ZYDIS_MNEMONIC_SCASD, OP_STRING_SCAN, 4},
	{ZYDIS_MNEMONIC_SCASQ, OP_STRING_SCAN, 8},
	{ZYDIS_MNEMONIC_INSB, OP_STRING_IN, 1},
	{ZYDIS_MNEMONIC_INSW, OP_STRING_IN, 2},
	{ZYDIS_MNEMONIC_INSD, OP_STRING_IN, 4},
	{ZYDIS_MNEMONIC_OUTSB, OP_STRING_OUT, 1},
	{ZYDIS_MNEMONIC_OUTSW, OP_STRING_OUT, 2},
	{ZYDIS_MNEMONIC_OUTSD, OP_STRING_OUT, 4},
};

static void name_op(const ZydisDecodedInstruction *from, struct insn *insn)
{
	bool string = from->meta.category == ZYDIS_CATEGORY_STRINGOP ||
		      from->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;

	if (from->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return;
	if (from->opcode_map == ZYDIS_OPCODE_MAP_0F && (from->opcode & 0xe0) == 0x80 &&
	    (from->opcode & 0x10)) {
		insn->op = OP_SET;
	} else if (from->opcode_map == ZYDIS_OPCODE_MAP_0F && (from->opcode & 0xf0) == 0x40) {
		insn->op = OP_MOVE_IF;
	}
	insn->condition = from->opcode & 15;
	for (size_t i = 0; insn->op == OP_UNKNOWN && i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].mnemonic != from->mnemonic)
			continue;
		if ((names[i].op >= OP_STRING_MOVE) == string) {
			insn->op = names[i].op;
			insn->bytes = names[i].bytes;
		} else if (from->mnemonic == ZYDIS_MNEMONIC_MOVSD) {
			insn->op = OP_VECTOR;
		}
		break;
	}
}

/* The instruction's number of a general register, or REGISTER_NONE. */
static uint8_t general_number(ZydisRegister name, bool *high)
{
	*high = false;
	if (name >= ZYDIS_REGISTER_RAX && name <= ZYDIS_REGISTER_R15)
		return (uint8_t)(name - ZYDIS_REGISTER_RAX);
	if (name >= ZYDIS_REGISTER_EAX && name <= ZYDIS_REGISTER_R15D)
		return (uint8_t)(name - ZYDIS_REGISTER_EAX);
	if (name >= ZYDIS_REGISTER_AX && name <= ZYDIS_REGISTER_R15W)
		return (uint8_t)(name - ZYDIS_REGISTER_AX);
	if (name >= ZYDIS_REGISTER_AL && name <= ZYDIS_REGISTER_BL)
		return (uint8_t)(name - ZYDIS_REGISTER_AL);
	if (name >= ZYDIS_REGISTER_AH && name <= ZYDIS_REGISTER_BH) {
		*high = true;
		return (uint8_t)(name - ZYDIS_REGISTER_AH);
	}
	if (name >= ZYDIS_REGISTER_SPL && name <= ZYDIS_REGISTER_DIL)
		return (uint8_t)(name - ZYDIS_REGISTER_SPL + 4);
	if (name >= ZYDIS_REGISTER_R8B && name <= ZYDIS_REGISTER_R15B)
		return (uint8_t)(name - ZYDIS_REGISTER_R8B + 8);
	if (name == ZYDIS_REGISTER_RIP || name == ZYDIS_REGISTER_EIP)
		return REGISTER_RIP;
	return REGISTER_NONE;
}

static uint8_t segment_number(ZydisRegister name)
{
	if (name >= ZYDIS_REGISTER_ES && name <= ZYDIS_REGISTER_GS)
		return (uint8_t)(name - ZYDIS_REGISTER_ES);
	return SEGMENT_DS;
}

static void take_memory(const ZydisDecodedOperand *from, struct insn *insn)
{
	bool high;

	insn->segment = segment_number(from->mem.segment);
	insn->base = general_number(from->mem.base, &high);
	insn->index = general_number(from->mem.index, &high);
	insn->scale = from->mem.scale;
	insn->displacement = from->mem.disp.has_displacement ? from->mem.disp.value : 0;
}

/* False: an operand that nothing here knows. */
static bool take_operand(const ZydisDecodedOperand *from, struct insn *insn, struct operand *to)
{
	bool high;

	to->bytes = (uint8_t)(from->size / 8);
	switch (from->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		to->kind = OPERAND_MEMORY;
		take_memory(from, insn);
		return from->mem.type == ZYDIS_MEMOP_TYPE_MEM;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		to->kind = OPERAND_IMMEDIATE;
		insn->immediate = from->imm.value.u;
		return true;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		break;
	default:
		return false;
	}
	to->number = general_number(from->reg.value, &high);
	to->kind = high ? OPERAND_HIGH : OPERAND_REGISTER;
	if (to->number < 16)
		return true;
	if (from->reg.value >= ZYDIS_REGISTER_ES && from->reg.value <= ZYDIS_REGISTER_GS) {
		to->kind = OPERAND_SEGMENT;
		to->number = segment_number(from->reg.value);
		return true;
	}
	to->kind = OPERAND_VECTOR;
	to->number = (uint8_t)(from->reg.value - ZYDIS_REGISTER_XMM0);
	return from->reg.value >= ZYDIS_REGISTER_XMM0 && from->reg.value <= ZYDIS_REGISTER_XMM15;
}

/* The prefixes that Zydis does not report for every instruction that heeds them. */
static void take_prefixes(const ZydisDecodedInstruction *from, struct insn *insn)
{
	insn->segment = SEGMENT_DS;
	for (unsigned i = 0; i < from->raw.prefix_count; i++) {
		static const uint8_t segment[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

		if (from->raw.prefixes[i].value == 0xf3)
			insn->repeat = REPEAT;
		if (from->raw.prefixes[i].value == 0xf2)
			insn->repeat = REPEAT_NOT;
		for (unsigned number = SEGMENT_ES; number <= SEGMENT_GS; number++)
			if (from->raw.prefixes[i].value == segment[number] &&
			    (insn->mode != MODE_64 || number >= SEGMENT_FS))
				insn->segment = (uint8_t)number;
	}
}

/* What insn_quick() knows: a move between memory and a whole register, or of an immediate. */
static bool is_quick(const struct insn *insn)
{
	const struct operand *to = &insn->operand[0], *from = &insn->operand[1];
	const struct operand *memory = to->kind == OPERAND_MEMORY ? to : from;
	const struct operand *other = to->kind == OPERAND_MEMORY ? from : to;

	return insn->op == OP_MOVE && insn->mode == MODE_64 && insn->segment < SEGMENT_FS &&
	       memory->kind == OPERAND_MEMORY && memory->bytes - 1u < 8 && other->bytes - 1u < 8 &&
	       (other->kind == OPERAND_REGISTER ||
		(other == from && other->kind == OPERAND_IMMEDIATE));
}

static ZyanStatus decode(unsigned mode, const uint64_t byte[2], unsigned bytes, struct insn *insn)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} kind[MODE_COUNT] = {
		{ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		{ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		{ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};
	ZydisDecoder decoder;
	ZydisDecodedInstruction from;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status;

	ZydisDecoderInit(&decoder, kind[mode].mode, kind[mode].stack);
	status = ZydisDecoderDecodeFull(&decoder, byte, bytes, &from, operand);
	if (!ZYAN_SUCCESS(status))
		return status;
	*insn = (struct insn){.length = from.length, .mode = (uint8_t)mode};
	memcpy(insn->byte, byte, from.length);
	insn->bytes = from.operand_width / 8;
	insn->address_bytes = from.address_width / 8;
	name_op(&from, insn);
	take_prefixes(&from, insn);
	if (insn->op >= OP_STRING_MOVE)
		return status;
	if ((insn->op == OP_CALL || insn->op == OP_JUMP) &&
	    from.meta.branch_type != ZYDIS_BRANCH_TYPE_NEAR)
		insn->op = OP_UNKNOWN;
	if (from.operand_count_visible > 2)
		insn->op = OP_UNKNOWN;
	for (unsigned i = 0; insn->op != OP_UNKNOWN && i < from.operand_count_visible; i++)
		if (!take_operand(&operand[i], insn, &insn->operand[i]))
			insn->op = OP_UNKNOWN;
	insn->quick = is_quick(insn);
	return status;
}

enum insn_result insn_decode(struct execution *execution)
{
	uint64_t byte[2], rip = execution->area->rip;
	struct insn *insn = insn_cached(rip);
	unsigned bytes = insn_fetch(execution, byte, true);
	ZyanStatus status;

	if (bytes == 0)
		return INSN_FAULT;
	execution->insn = insn;
	if (insn->length != 0 && insn->length <= bytes && insn->mode == execution->mode &&
	    insn_same_bytes(insn->byte, byte, insn->length))
		return insn->op == OP_UNKNOWN ? INSN_UNSUPPORTED : INSN_DONE;
	insn->length = 0;
	status = decode(execution->mode, byte, bytes, insn);
	if (status == ZYDIS_STATUS_NO_MORE_DATA && bytes < INSN_BYTES_MAX) {
		uint64_t linear = rip;

		/* The rest is on a page, or behind the segment's end, that faults. */
		if (execution->mode != MODE_64) {
			const struct socle_segment *cs = &execution->area->system.cs;

			linear = (uint32_t)(cs->base + rip);
			if (cs->limit - rip < bytes) {
				insn_raise(execution->area, INSN_GENERAL_PROTECTION, 0);
				return INSN_FAULT;
			}
		}
		linear += bytes;
		if (fetch_page(execution, execution->mode == MODE_64 ? linear : (uint32_t)linear, 1,
			       (uint8_t *)byte, true)) {
			execution->insn = NULL; /* it is there now: run and exit again */
			return INSN_DONE;
		}
		return INSN_FAULT;
	}
	if (status == ZYDIS_STATUS_NO_MORE_DATA || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) {
		insn_raise(execution->area, INSN_GENERAL_PROTECTION, 0);
		return INSN_FAULT;
	}
	if (status == ZYDIS_STATUS_ILLEGAL_LOCK) {
		insn_raise(execution->area, INSN_UNDEFINED_OPCODE, 0);
		return INSN_FAULT;
	}
	if (!ZYAN_SUCCESS(status))
		return INSN_UNSUPPORTED;
	return insn->op == OP_UNKNOWN ? INSN_UNSUPPORTED : INSN_DONE;
}
