/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercall instruction. The hypervisor preserves every register but RAX and the six that
 * carry the key and the arguments in and the reply out, and it touches no memory of its caller.
 * So nothing is saved here and nothing is clobbered beyond those. (APM volume 3 "VMMCALL", SDM
 * volume 3 "VMCALL".)
 */
#include "socle.h"

#define RAW_CALL(name, instruction)                                                                \
	int64_t name(uint64_t call, const struct socle_key *key, const uint64_t argument[4],       \
		     struct socle_reply *reply)                                                    \
	{                                                                                          \
		uint64_t rax = call;                                                               \
		uint64_t rdi = key->word[0];                                                       \
		uint64_t rsi = key->word[1];                                                       \
		uint64_t rdx = argument[0];                                                        \
		register uint64_t r10 __asm__("r10") = argument[1];                                \
		register uint64_t r8 __asm__("r8") = argument[2];                                  \
		register uint64_t r9 __asm__("r9") = argument[3];                                  \
                                                                                                   \
		__asm__ volatile(instruction                                                       \
				 : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10),          \
				   "+r"(r8), "+r"(r9));                                            \
		if ((int64_t)rax >= 0)                                                             \
			*reply = (struct socle_reply){{rdi, rsi, rdx, r10, r8, r9}};               \
		return (int64_t)rax;                                                               \
	}

RAW_CALL(socle_raw_vmmcall, "vmmcall")
RAW_CALL(socle_raw_vmcall, "vmcall")
