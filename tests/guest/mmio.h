/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_MMIO_H
#define GUEST_MMIO_H

#include "lib/guest.h"

#define HPET		   0xfed00000ull
#define HPET_TIMER(n)	   (HPET + 0x100 + 0x20 * (n))
#define HPET_COMPARATOR(n) (HPET_TIMER(n) + 8)

#define FLAG_FIXED  2ull
#define FLAGS_NONE  0ull
#define FLAGS_ALL   0x8d5ull /* CF PF AF ZF SF OF */
#define FLAGS_LOGIC 0x8c5ull /* AF is undefined */

/* What an instruction left: registers, flags, and the register at `at`. */
struct outcome {
	uint64_t rax, rdx, rcx, flags, at, memory;
};

struct outcome mmio_begin(bool device, unsigned bytes);
void mmio_end(struct outcome *o, unsigned bytes);
void mmio_compare(const char *name, const struct outcome *ram, const struct outcome *device,
		  uint64_t flags);

/* One form of an instruction, with RDI pointing to RAM and then to a device. */
#define FORM(name, bytes, insn, compared)                                                          \
	do {                                                                                       \
		struct outcome outcome[2];                                                         \
                                                                                                   \
		for (unsigned i = 0; i < 2; i++) {                                                 \
			struct outcome o = mmio_begin(i != 0, bytes);                              \
                                                                                                   \
			__asm__ volatile("pushq %3; popfq; " insn "; pushfq; popq %3"              \
					 : "+a"(o.rax), "+d"(o.rdx), "+c"(o.rcx), "+b"(o.flags)    \
					 : "D"(o.at)                                               \
					 : "memory", "cc");                                        \
			mmio_end(&o, bytes);                                                       \
			outcome[i] = o;                                                            \
		}                                                                                  \
		mmio_compare(name, &outcome[0], &outcome[1], compared);                            \
	} while (0)

extern uint8_t ram_page[4096];

void mmio_test_strings(void); /* mmio_strings.c */
void mmio_test_vectors(void); /* mmio_vectors.c */

#endif
