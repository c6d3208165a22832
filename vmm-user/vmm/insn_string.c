/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions with their REP (SDM volume 2, REP and each instruction). An element is done
 * or not at all; after INSN_CHUNK of them the vCPU runs again and comes back for the rest, so that
 * interrupts get their turn.
 */
#include "vmm-user/vmm/insn_internal.h"

#define DESTINATION 0
#define SOURCE	    1

/* What an element touches: a page that was translated is not walked again in the same call. */
struct string {
	struct execution *execution;
	unsigned bytes;
	uint64_t page[2]; /* linear | 1: known; [DESTINATION], [SOURCE] */
	uint64_t page_gpa[2];
	uint16_t port;
};

static bool string_place(struct string *string, unsigned which, unsigned access,
			 struct place *place)
{
	struct execution *execution = string->execution;
	const struct insn *insn = execution->insn;
	unsigned segment = which == SOURCE ? insn->segment : SEGMENT_ES;
	uint64_t offset =
		*insn_register(execution->area, which == SOURCE ? REGISTER_RSI : REGISTER_RDI) &
		insn_mask(insn->address_bytes);
	uint64_t linear;

	if (!insn_linear(execution, segment, offset, string->bytes, access, &linear))
		return false;
	if (string->page[which] == ((linear & ~4095ull) | 1) &&
	    (linear & 4095) + string->bytes <= 4096) {
		place->gpa[0] = string->page_gpa[which] | (linear & 4095);
		place->first = place->bytes = string->bytes;
		return true;
	}
	if (!insn_resolve(execution, segment, offset, string->bytes, access, place))
		return false;
	if (place->first == place->bytes) {
		string->page[which] = (linear & ~4095ull) | 1;
		string->page_gpa[which] = place->gpa[0] & ~4095ull;
	}
	return true;
}

/* Moves RSI or RDI on by one element, as wide as addresses are. */
static void step(struct string *string, unsigned number)
{
	struct socle_vcpu_area *area = string->execution->area;
	uint64_t delta = area->rflags & FLAG_DF ? 0 - (uint64_t)string->bytes : string->bytes;

	insn_set_register(area, number, string->execution->insn->address_bytes,
			  *insn_register(area, number) + delta);
}

/* One element; false: a fault was raised. */
static bool element(struct string *string)
{
	struct execution *execution = string->execution;
	struct socle_vcpu_area *area = execution->area;
	unsigned bytes = string->bytes, op = execution->insn->op;
	bool to = op != OP_STRING_LOAD && op != OP_STRING_OUT;
	bool from = op == OP_STRING_MOVE || op == OP_STRING_LOAD || op == OP_STRING_COMPARE ||
		    op == OP_STRING_OUT;
	bool writes = op == OP_STRING_MOVE || op == OP_STRING_STORE || op == OP_STRING_IN;
	struct place destination, source;
	uint64_t value = area->rax & insn_mask(bytes);

	if (from && !string_place(string, SOURCE, 0, &source))
		return false;
	if (to && !string_place(string, DESTINATION, writes ? WALK_WRITE : 0, &destination))
		return false;
	if (from)
		value = insn_load(execution, &source);
	if (op == OP_STRING_IN)
		value = bus_do_read(execution->vmm, BUS_PORT, string->port, bytes);
	if (op == OP_STRING_OUT)
		bus_do_write(execution->vmm, BUS_PORT, string->port, bytes, value);
	if (writes)
		insn_store(execution, &destination, value);
	if (op == OP_STRING_LOAD)
		insn_set_register(area, REGISTER_RAX, bytes, value);
	if (op == OP_STRING_COMPARE || op == OP_STRING_SCAN)
		insn_alu(OP_CMP, bytes, value, insn_load(execution, &destination), &area->rflags);
	if (from)
		step(string, REGISTER_RSI);
	if (to)
		step(string, REGISTER_RDI);
	return true;
}

/* True if REPE or REPNE ends behind this element. */
static bool found(const struct execution *execution)
{
	const struct insn *insn = execution->insn;

	if (insn->op != OP_STRING_COMPARE && insn->op != OP_STRING_SCAN)
		return false;
	return (insn->repeat == REPEAT) == !(execution->area->rflags & FLAG_ZF);
}

static enum insn_result run(struct string *string)
{
	struct execution *execution = string->execution;
	struct socle_vcpu_area *area = execution->area;
	const struct insn *insn = execution->insn;
	uint64_t next = area->rip + insn->length, left;

	if (insn->repeat == REPEAT_NONE)
		return element(string) ? insn_finish(execution, next) : INSN_FAULT;
	left = area->rcx & insn_mask(insn->address_bytes);
	if (left == 0)
		return insn_finish(execution, next);
	for (unsigned i = 0; i < INSN_CHUNK; i++) {
		if (!element(string))
			return INSN_FAULT;
		left--;
		insn_set_register(area, REGISTER_RCX, insn->address_bytes, left);
		if (left == 0 || found(execution))
			return insn_finish(execution, next);
		/* A trap comes after each element. */
		if (area->rflags & FLAG_TF)
			break;
	}
	return insn_finish(execution, area->rip);
}

enum insn_result insn_string(struct execution *execution)
{
	struct string string = {.execution = execution, .bytes = execution->insn->bytes};

	return run(&string);
}

enum insn_result insn_string_io(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t info)
{
	struct execution execution;
	struct string string = {.execution = &execution, .port = SOCLE_IO_PORT(info)};
	enum insn_result result;

	if (area->event & SOCLE_EVENT_VALID)
		return INSN_UNSUPPORTED;
	insn_begin(&execution, vmm, area);
	result = insn_decode(&execution);
	if (result != INSN_DONE || execution.insn == NULL)
		return result;
	/* The processor's word on what it was counts; another vCPU may have changed the code. */
	string.bytes = SOCLE_IO_BYTES(info);
	if (execution.insn->op != (info & SOCLE_IO_IN ? OP_STRING_IN : OP_STRING_OUT) ||
	    execution.insn->bytes != string.bytes)
		return INSN_UNSUPPORTED;
	return run(&string);
}
