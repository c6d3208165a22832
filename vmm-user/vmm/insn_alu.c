/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results and flags of the arithmetic instructions (SDM volume 1, section 3.4.3.1; volume 2 for
 * each instruction). Flags that the manual calls undefined are left alone, but AF of a logical
 * operation, which processors clear.
 */
#include "vmm-user/vmm/insn_internal.h"

/* ZF, SF and PF of a result. */
static uint64_t result_flags(unsigned bytes, uint64_t result)
{
	uint64_t flags = 0;

	if (result == 0)
		flags |= FLAG_ZF;
	if (result >> (8 * bytes - 1) & 1)
		flags |= FLAG_SF;
	if (__builtin_parity((unsigned)result & 0xff) == 0)
		flags |= FLAG_PF;
	return flags;
}

static void flags_set(uint64_t *flags, uint64_t which, uint64_t value)
{
	*flags = (*flags & ~which) | (value & which);
}

static uint64_t add(unsigned bytes, uint64_t a, uint64_t b, uint64_t carry, uint64_t *flags)
{
	unsigned top = 8 * bytes - 1;
	uint64_t result = (a + b + carry) & insn_mask(bytes), value = result_flags(bytes, result);

	if (((a & b) | ((a | b) & ~result)) >> top & 1)
		value |= FLAG_CF;
	if (((a ^ result) & (b ^ result)) >> top & 1)
		value |= FLAG_OF;
	value |= (a ^ b ^ result) & FLAG_AF;
	flags_set(flags, FLAG_ARITH, value);
	return result;
}

static uint64_t subtract(unsigned bytes, uint64_t a, uint64_t b, uint64_t borrow, uint64_t *flags)
{
	unsigned top = 8 * bytes - 1;
	uint64_t result = (a - b - borrow) & insn_mask(bytes), value = result_flags(bytes, result);

	if (((~a & b) | (~(a ^ b) & result)) >> top & 1)
		value |= FLAG_CF;
	if (((a ^ b) & (a ^ result)) >> top & 1)
		value |= FLAG_OF;
	value |= (a ^ b ^ result) & FLAG_AF;
	flags_set(flags, FLAG_ARITH, value);
	return result;
}

static uint64_t logical(unsigned bytes, uint64_t result, uint64_t *flags)
{
	flags_set(flags, FLAG_ARITH, result_flags(bytes, result));
	return result;
}

/* RCL and RCR: through the carry. OF is defined for a count of one; it is computed for all. */
static uint64_t rotate_carry(bool left, unsigned bytes, uint64_t a, unsigned count, uint64_t *flags)
{
	unsigned top = 8 * bytes - 1;
	uint64_t carry = *flags & FLAG_CF, out, overflow;

	count %= 8 * bytes + 1;
	if (count == 0)
		return a;
	for (unsigned i = 0; i < count; i++) {
		if (left) {
			out = a >> top & 1;
			a = (a << 1 | carry) & insn_mask(bytes);
		} else {
			out = a & 1;
			a = a >> 1 | carry << top;
		}
		carry = out;
	}
	overflow = left ? (a >> top & 1) ^ carry : (a >> top ^ a >> (top - 1)) & 1;
	flags_set(flags, FLAG_CF | FLAG_OF, carry | (overflow ? FLAG_OF : 0));
	return a;
}

static uint64_t rotate(bool left, unsigned bytes, uint64_t a, unsigned count, uint64_t *flags)
{
	unsigned bits = 8 * bytes, by = count % bits;
	uint64_t carry, overflow;

	if (!left)
		by = (bits - by) % bits;
	if (by != 0)
		a = (a << by | a >> (bits - by)) & insn_mask(bytes);
	carry = left ? a & 1 : a >> (bits - 1) & 1;
	overflow = left ? (a >> (bits - 1) & 1) ^ carry : (a >> (bits - 1) ^ a >> (bits - 2)) & 1;
	flags_set(flags, FLAG_CF | FLAG_OF, carry | (overflow ? FLAG_OF : 0));
	return a;
}

static uint64_t shift(enum insn_op op, unsigned bytes, uint64_t a, unsigned count, uint64_t *flags)
{
	unsigned bits = 8 * bytes;
	int64_t wide = (int64_t)(a << (64 - bits)) >> (64 - bits);
	uint64_t carry, overflow, result;

	if (op == OP_SHL) {
		carry = count <= bits ? a >> (bits - count) & 1 : 0;
		result = count < bits ? (a << count) & insn_mask(bytes) : 0;
		overflow = (result >> (bits - 1) & 1) ^ carry;
	} else if (op == OP_SHR) {
		carry = count <= bits ? a >> (count - 1) & 1 : 0;
		result = count < bits ? a >> count : 0;
		overflow = a >> (bits - 1) & 1;
	} else {
		carry = (uint64_t)(wide >> (count - 1)) & 1;
		result = (uint64_t)(wide >> count) & insn_mask(bytes);
		overflow = 0;
	}
	flags_set(flags, FLAG_ARITH & ~FLAG_AF,
		  result_flags(bytes, result) | carry | (overflow ? FLAG_OF : 0));
	return result;
}

static uint64_t count_op(enum insn_op op, unsigned bytes, uint64_t a, uint64_t b, uint64_t *flags)
{
	unsigned count = (unsigned)b & (bytes == 8 ? 63 : 31);

	if (count == 0)
		return a;
	switch (op) {
	case OP_ROL:
	case OP_ROR:
		return rotate(op == OP_ROL, bytes, a, count, flags);
	case OP_RCL:
	case OP_RCR:
		return rotate_carry(op == OP_RCL, bytes, a, count, flags);
	default:
		return shift(op, bytes, a, count, flags);
	}
}

static uint64_t bit_op(enum insn_op op, unsigned bytes, uint64_t a, uint64_t b, uint64_t *flags)
{
	uint64_t bit = 1ull << (b & (8 * bytes - 1));

	flags_set(flags, FLAG_CF, a & bit ? FLAG_CF : 0);
	switch (op) {
	case OP_BTS:
		return a | bit;
	case OP_BTR:
		return a & ~bit;
	case OP_BTC:
		return a ^ bit;
	default:
		return a;
	}
}

/* INC and DEC leave the carry alone. */
static uint64_t step(enum insn_op op, unsigned bytes, uint64_t a, uint64_t *flags)
{
	uint64_t carry = *flags & FLAG_CF;
	uint64_t result =
		op == OP_INC ? add(bytes, a, 1, 0, flags) : subtract(bytes, a, 1, 0, flags);

	flags_set(flags, FLAG_CF, carry);
	return result;
}

uint64_t insn_alu(enum insn_op op, unsigned bytes, uint64_t a, uint64_t b, uint64_t *flags)
{
	a &= insn_mask(bytes);
	if (op < OP_ROL)
		b &= insn_mask(bytes);
	switch (op) {
	case OP_ADD:
		return add(bytes, a, b, 0, flags);
	case OP_ADC:
		return add(bytes, a, b, *flags & FLAG_CF, flags);
	case OP_SUB:
	case OP_CMP:
		return subtract(bytes, a, b, 0, flags);
	case OP_SBB:
		return subtract(bytes, a, b, *flags & FLAG_CF, flags);
	case OP_AND:
	case OP_TEST:
		return logical(bytes, a & b, flags);
	case OP_OR:
		return logical(bytes, a | b, flags);
	case OP_XOR:
		return logical(bytes, a ^ b, flags);
	case OP_INC:
	case OP_DEC:
		return step(op, bytes, a, flags);
	case OP_NEG:
		return subtract(bytes, 0, a, 0, flags);
	case OP_NOT:
		return ~a & insn_mask(bytes);
	case OP_BT:
	case OP_BTS:
	case OP_BTR:
	case OP_BTC:
		return bit_op(op, bytes, a, b, flags);
	default:
		return count_op(op, bytes, a, b, flags);
	}
}

bool insn_condition(unsigned condition, uint64_t flags)
{
	bool less = !(flags & FLAG_SF) != !(flags & FLAG_OF), holds = false;

	switch (condition >> 1) {
	case 0:
		holds = (flags & FLAG_OF) != 0;
		break;
	case 1:
		holds = (flags & FLAG_CF) != 0;
		break;
	case 2:
		holds = (flags & FLAG_ZF) != 0;
		break;
	case 3:
		holds = (flags & (FLAG_CF | FLAG_ZF)) != 0;
		break;
	case 4:
		holds = (flags & FLAG_SF) != 0;
		break;
	case 5:
		holds = (flags & FLAG_PF) != 0;
		break;
	case 6:
		holds = less;
		break;
	default:
		holds = less || (flags & FLAG_ZF);
		break;
	}
	return holds != (condition & 1);
}
