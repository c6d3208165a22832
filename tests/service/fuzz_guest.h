/* SPDX-License-Identifier: BSD-2-Clause */
/* Random guests for machine_fuzz: memory, code and the area of a vCPU. */
#ifndef SOCLE_FUZZ_GUEST_H
#define SOCLE_FUZZ_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "socle.h"

/* What a guest of one vCPU lives in: one frame, at `base` in guest-physical memory. */
struct fuzz_guest {
	uint8_t *memory; /* the frame, here */
	uint64_t base;	 /* a multiple of SOCLE_FRAME_BYTES, below 1 GiB */
	struct socle_vcpu_area *area;
	int tame; /* states are good ones, and nothing changes behind the hypervisor's back */
};

/*
 * QEMU 7.2 as AMD-V has defects that a guest can bring it, or the hypervisor above it, down with.
 * Set, these are not tried:
 *
 * - It takes the debug registers at VMRUN without arming them, and faults when DR7 changes on
 *   another CPU than the one on which a breakpoint was enabled.
 * - It aborts at a change of rings if VMRUN loaded the task register as busy.
 * - An exit with EFER.LME set and CR0.PG and CR4.PAE clear leaves the host without paging.
 * - It aborts when it translates a BT, BTS, BTR or BTC of a register with a LOCK prefix.
 */
extern int fuzz_spare_qemu;

enum { FUZZ_SPARE_DEBUG = 1, FUZZ_SPARE_CR4 = 2, FUZZ_SPARE_WRMSR = 4, FUZZ_SPARE_ALL = 7 };

/* Makes MOVs to debug registers, and to CR4, something else, if they are not to be tried. */
void fuzz_defuse(void *code, size_t bytes, unsigned int what);

/* A number that comes near to meaning something, or any other. */
uint64_t fuzz_value(uint64_t *random);

/* Page tables, descriptors, interrupt tables and their handlers, once after the frame is there. */
void fuzz_guest_tables(struct fuzz_guest *guest, uint64_t *random);

/* Writes code and a state to begin with, in a mode of its choice, most times a good one. */
void fuzz_guest_begin(struct fuzz_guest *guest, uint64_t *random);

/* Changes words of the area, as a hostile VMM might before a run or during one. */
void fuzz_area_scribble(struct socle_vcpu_area *area, uint64_t *random);

/*
 * What a VMM does about an exit, or something else.
 *
 * @reason result of the run
 *
 * Gives 0 if the guest should begin anew.
 */
int fuzz_guest_answer(struct fuzz_guest *guest, int reason, uint64_t *random);

#endif
