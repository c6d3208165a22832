/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out the instruction by which a guest touched a memory-mapped register, and string I/O.
 *
 * Everything here is called on the vCPU's own thread while the vCPU is not running. Registers are
 * accessed with bus_do_read() and bus_do_write(); no lock is taken here.
 */
#ifndef VMM_INSN_H
#define VMM_INSN_H

#include "socle_abi.h"
#include "vmm-user/vmm/vmm.h"

enum insn_result {
	INSN_DONE,	 /* done, or a part of a long REP: run the vCPU */
	INSN_FAULT,	 /* the instruction raised an exception, now in area->event: run the vCPU */
	INSN_UNSUPPORTED /* nothing was done: insn_describe() says what is there */
};

#define INSN_BYTES_MAX	15
#define INSN_TEXT_BYTES 128
#define INSN_CHUNK	1024 /* elements of a REP that one call carries out at most */

/* Exception vectors that may be given to insn_raise() (SDM volume 3, table 6-1). */
#define INSN_DEBUG_EXCEPTION	1
#define INSN_UNDEFINED_OPCODE	6
#define INSN_STACK_FAULT	12
#define INSN_GENERAL_PROTECTION 13
#define INSN_PAGE_FAULT		14

/*
 * Does the instruction at area->rip, after SOCLE_EXIT_SECOND_LEVEL.
 *
 * gpa:    the guest-physical address of the exit: info[0]
 * access: what was tried there: info[1], enum socle_access
 *
 * The area's registers, and its system state, are those of the exit; what changes is written back
 * with SOCLE_LOAD_RUN and, for CR2, DR6 and the interrupt shadow, SOCLE_LOAD_SYSTEM. Every memory
 * operand is translated before the first is read, and read at most once. INSN_UNSUPPORTED too if
 * area->event is valid: the access was then an event's delivery and not the instruction's.
 */
enum insn_result insn_execute(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t gpa,
			      uint64_t access);

/*
 * Does INS or OUTS at area->rip with its REP, after SOCLE_EXIT_IO with SOCLE_IO_STRING. It needs
 * the system state in the area. info: info[0] of the exit; the port and the size are taken from
 * there. The processor has checked the right to use the port.
 */
enum insn_result insn_string_io(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t info);

/*
 * Does the MOV to CR8 at area->rip; it needs the system state in the area. *value is what was
 * written, 0 .. 15, and for the caller to put into the local APIC.
 */
enum insn_result insn_write_cr8(struct vmm *vmm, struct socle_vcpu_area *area, uint64_t *value);

/*
 * Raises an exception at the next entry, with the error code where the vector has one (it is
 * dropped in real mode). A page fault's address is for the caller to put in system.cr2.
 */
void insn_raise(struct socle_vcpu_area *area, unsigned vector, uint32_t error);

/* Writes mode, rip and the instruction's bytes to text, for the log. Gives text. */
const char *insn_describe(struct vmm *vmm, struct socle_vcpu_area *area,
			  char text[INSN_TEXT_BYTES]);

/*
 * The guest's XMM registers, low 128 bits. The area does not hold them, so somebody who can reach
 * them must give these; false: not now. Without them SSE moves are INSN_UNSUPPORTED.
 */
struct insn_vectors {
	bool (*get)(struct vmm *vmm, struct socle_vcpu_area *area, unsigned number,
		    uint64_t value[2]);
	bool (*set)(struct vmm *vmm, struct socle_vcpu_area *area, unsigned number,
		    const uint64_t value[2]);
};
/* To be called before the first vCPU runs; NULL takes them away. The structure is not copied. */
void insn_use_vectors(const struct insn_vectors *vectors);

#endif
