/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of insn_*.c know of each other. */
#ifndef VMM_INSN_INTERNAL_H
#define VMM_INSN_INTERNAL_H

#include <string.h>

#include "vmm-user/vmm/insn.h"
#include "vmm-user/vmm/walk.h"

#define INSN_CACHE_ENTRIES 256 /* a power of two */
/* The place of CPUID 0x80000008 in the area's table: bits 7:0 of EAX are MAXPHYADDR. */
#define INSN_LEAF_ADDRESS_BITS (SOCLE_CPUID_EXTENDED + 8)

#define FLAG_CF	   (1ull << 0)
#define FLAG_PF	   (1ull << 2)
#define FLAG_AF	   (1ull << 4)
#define FLAG_ZF	   (1ull << 6)
#define FLAG_SF	   (1ull << 7)
#define FLAG_TF	   (1ull << 8)
#define FLAG_DF	   (1ull << 10)
#define FLAG_OF	   (1ull << 11)
#define FLAG_RF	   (1ull << 16)
#define FLAG_VM	   (1ull << 17)
#define FLAG_AC	   (1ull << 18)
#define FLAG_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* What insn_alu() does with one or two values; the others are insn.c's. */
enum insn_op {
	OP_UNKNOWN,
	/* two values, a result */
	OP_ADD,
	OP_ADC,
	OP_SUB,
	OP_SBB,
	OP_AND,
	OP_OR,
	OP_XOR,
	/* two values, flags only */
	OP_CMP,
	OP_TEST,
	/* one value */
	OP_INC,
	OP_DEC,
	OP_NEG,
	OP_NOT,
	/* a value and a count */
	OP_ROL,
	OP_ROR,
	OP_RCL,
	OP_RCR,
	OP_SHL,
	OP_SHR,
	OP_SAR,
	/* a value and the number of a bit */
	OP_BT,
	OP_BTS,
	OP_BTR,
	OP_BTC,
	OP_LAST_ALU = OP_BTC,
	OP_MOVE,	/* zero-extended, if the destination is wider */
	OP_MOVE_SIGNED, /* sign-extended */
	OP_MOVE_SWAPPED,
	OP_SET,
	OP_MOVE_IF,
	OP_EXCHANGE,
	OP_EXCHANGE_ADD,
	OP_COMPARE_EXCHANGE,
	OP_PUSH,
	OP_POP,
	OP_CALL,
	OP_JUMP,
	OP_VECTOR, /* a move between an XMM register and memory */
	OP_VECTOR_ALIGNED,
	OP_STRING_MOVE,
	OP_STRING_STORE,
	OP_STRING_LOAD,
	OP_STRING_COMPARE,
	OP_STRING_SCAN,
	OP_STRING_IN,
	OP_STRING_OUT,
};

enum insn_mode { MODE_16, MODE_32, MODE_64, MODE_COUNT };

enum insn_segment { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS };

enum operand_kind {
	OPERAND_NONE,
	OPERAND_REGISTER,
	OPERAND_HIGH, /* AH, CH, DH, BH: bits 15:8 of register `number` */
	OPERAND_MEMORY,
	OPERAND_IMMEDIATE,
	OPERAND_SEGMENT,
	OPERAND_VECTOR
};

struct operand {
	uint8_t kind, number, bytes;
};

#define REGISTER_RAX  0
#define REGISTER_RCX  1
#define REGISTER_RSP  4
#define REGISTER_RSI  6
#define REGISTER_RDI  7
#define REGISTER_RIP  16
#define REGISTER_NONE 0xff

enum insn_repeat { REPEAT_NONE, REPEAT, REPEAT_NOT };

/* An instruction, as little of it as carrying it out takes. */
struct insn {
	uint64_t byte[2]; /* as fetched; those behind its length are 0 */
	uint8_t length, mode;
	uint8_t op;	       /* enum insn_op */
	uint8_t condition;     /* of OP_SET and OP_MOVE_IF: the opcode's low four bits */
	uint8_t bytes;	       /* operand size, or a string's element size */
	uint8_t address_bytes; /* address size */
	uint8_t repeat;	       /* enum insn_repeat */
	bool quick;	       /* what insn_quick() does, if it is 64-bit code */
	uint8_t segment, base, index, scale;
	struct operand operand[2];
	int64_t displacement;
	uint64_t immediate;
	/* insn_quick()'s: where it found the code, and by what; NULL: nowhere. */
	const uint8_t *code;
	uint64_t rip, cr3, cr4, efer;
	unsigned user;
	struct walk_path path;
};

/* One instruction being carried out. */
struct execution {
	struct vmm *vmm;
	struct socle_vcpu_area *area;
	const struct insn *insn;
	struct walk_registers registers;
	unsigned mode, user; /* enum insn_mode; WALK_USER or 0 */
	/* The exit's address may stand for a walk: one memory operand, with the access that it was.
	 */
	uint64_t exit_gpa;
	unsigned exit_access; /* enum socle_access; 0: it may not */
};

/* A memory operand after segmentation and paging. */
struct place {
	uint64_t gpa[2]; /* of its first byte; of its first byte on a second page */
	unsigned bytes;
	unsigned first; /* bytes on the first page */
};

/* insn_decode.c */

/* Starts an execution: everything but the instruction. */
void insn_begin(struct execution *execution, struct vmm *vmm, struct socle_vcpu_area *area);
/* The bytes at rip; how many there are before a fault, which is raised if there are none. */
unsigned insn_fetch(struct execution *execution, uint64_t byte[2], bool raise);
/*
 * Fetches and decodes into execution->insn. INSN_DONE with insn NULL: the code's second page came
 * while we looked, run the vCPU again.
 */
enum insn_result insn_decode(struct execution *execution);

/* What this thread has decoded, by address; length 0: nothing. */
extern _Thread_local struct insn insn_cache[INSN_CACHE_ENTRIES];

static inline struct insn *insn_cached(uint64_t rip)
{
	return &insn_cache[(rip ^ rip >> 8) % INSN_CACHE_ENTRIES];
}

/* What the page walk depends on, from the area. */
static inline struct walk_registers insn_walk_registers(const struct socle_vcpu_area *area)
{
	unsigned bits = area->cpuid[INSN_LEAF_ADDRESS_BITS].eax & 0xff;

	return (struct walk_registers){
		.cr0 = area->system.cr0,
		.cr3 = area->system.cr3,
		.cr4 = area->system.cr4,
		.efer = area->system.efer,
		.physical_bits = bits >= 32 && bits <= 52 ? bits : 52,
	};
}

/* insn_quick.c */

/* As insn_execute(), for the usual. False: nothing was done. */
bool insn_quick(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t gpa, uint64_t access);

/* insn_memory.c */

/*
 * Checks and translates `bytes` bytes at an offset in a segment; false: a fault was raised. With
 * WALK_WRITE in access it is for writing, or for reading and then writing.
 */
bool insn_resolve(struct execution *execution, unsigned segment, uint64_t offset, unsigned bytes,
		  unsigned access, struct place *place);
/* As far as segmentation goes: the linear address. */
bool insn_linear(struct execution *execution, unsigned segment, uint64_t offset, unsigned bytes,
		 unsigned access, uint64_t *linear);
uint64_t insn_load(struct execution *execution, const struct place *place);
void insn_store(struct execution *execution, const struct place *place, uint64_t value);
void insn_load_bytes(struct execution *execution, const struct place *place, void *value);
void insn_store_bytes(struct execution *execution, const struct place *place, const void *value);

/* insn_alu.c */

/* The result of op on values of that many bytes; *flags changes as the processor's would. */
uint64_t insn_alu(enum insn_op op, unsigned bytes, uint64_t a, uint64_t b, uint64_t *flags);
bool insn_condition(unsigned condition, uint64_t flags);

/* insn_string.c */
enum insn_result insn_string(struct execution *execution);

/* insn.c */

/* rip goes to `rip`; what every finished instruction does besides. */
enum insn_result insn_finish(struct execution *execution, uint64_t rip);

static inline uint64_t insn_mask(unsigned bytes)
{
	return ~0ull >> (64 - 8 * bytes);
}

/* The general register with the number it has in instructions; the area has RSP behind the rest. */
static inline uint64_t *insn_register(struct socle_vcpu_area *area, unsigned number)
{
	return &area->rax + (number < REGISTER_RSP    ? number
			     : number == REGISTER_RSP ? 15
						      : number - 1);
}

/* Writes the low `bytes` of a register: a 32-bit result clears the upper half. */
static inline void insn_set_register(struct socle_vcpu_area *area, unsigned number, unsigned bytes,
				     uint64_t value)
{
	uint64_t *at = insn_register(area, number), mask = insn_mask(bytes);

	*at = bytes >= 4 ? value & mask : (*at & ~mask) | (value & mask);
}

/* True if the first `length` bytes of both are the same. */
static inline bool insn_same_bytes(const uint64_t a[2], const uint64_t b[2], unsigned length)
{
	if (length < 8)
		return ((a[0] ^ b[0]) & ((1ull << 8 * length) - 1)) == 0;
	return a[0] == b[0] && ((a[1] ^ b[1]) & ((1ull << 8 * (length - 8)) - 1)) == 0;
}

/* True if that is the instruction at `code`, of which INSN_BYTES_MAX bytes can be read. */
static inline bool insn_same(const struct insn *insn, const uint8_t *code)
{
	uint64_t byte[2] = {0, 0};

	memcpy(byte, code, 8);
	if (insn->length > 8)
		memcpy(&byte[1], code + 8, INSN_BYTES_MAX - 8);
	return insn_same_bytes(insn->byte, byte, insn->length);
}

/* The offset in its segment of the memory operand, moved by `more` bytes. */
static inline uint64_t insn_effective_address(const struct insn *insn, struct socle_vcpu_area *area,
					      uint64_t more)
{
	uint64_t offset = (uint64_t)insn->displacement + more;

	if (insn->base == REGISTER_RIP)
		offset += area->rip + insn->length;
	else if (insn->base != REGISTER_NONE)
		offset += *insn_register(area, insn->base);
	if (insn->index < REGISTER_RIP)
		offset += *insn_register(area, insn->index) * insn->scale;
	return offset & insn_mask(insn->address_bytes);
}

static inline struct socle_segment *insn_segment(struct socle_vcpu_area *area, unsigned number)
{
	return &area->system.es + number;
}

#endif
