/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercall instruction. The hypervisor preserves every register but RAX and the six that
 * carry the key and the arguments in and the reply out, and it touches no memory of its caller.
 * So nothing is saved here and nothing is clobbered beyond those. (APM volume 3 "VMMCALL", SDM
 * volume 3 "VMCALL".)
 */
#include "socle.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): what asm takes, and a function's name */
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

/* NOLINTEND(bugprone-macro-parentheses) */
RAW_CALL(socle_raw_vmmcall, "vmmcall")
RAW_CALL(socle_raw_vmcall, "vmcall")

#define XMM_ALL(move)                                                                              \
	move(0, 0) move(1, 16) move(2, 32) move(3, 48) move(4, 64) move(5, 80) move(6, 96)         \
		move(7, 112) move(8, 128) move(9, 144) move(10, 160) move(11, 176) move(12, 192)   \
			move(13, 208) move(14, 224) move(15, 240)
#define XMM_LOAD(number, offset)  "movups " #offset "(%[vectors]), %%xmm" #number "\n\t"
#define XMM_STORE(number, offset) "movups %%xmm" #number ", " #offset "(%[vectors])\n\t"

/* The compiler must not come between the registers and the instruction. There is no reply. */
#define RAW_RUN(name, instruction)                                                                 \
	int64_t name(const struct socle_key *key, uint64_t vcpu, uint64_t domain,                  \
		     struct socle_vectors *vectors, uint64_t load)                                 \
	{                                                                                          \
		uint64_t rax = SOCLE_CALL_VCPU_RUN;                                                \
		register uint64_t r10 __asm__("r10") = vcpu;                                       \
                                                                                                   \
		__asm__ volatile(                                                                  \
			"testb %[wanted], %b[load]\n\t"                                            \
			"jz 1f\n\t" XMM_ALL(XMM_LOAD) "1: " instruction "\n\t"                     \
						      "cmpq %[violation], %%rax\n\t"               \
						      "jne 2f\n\t" XMM_ALL(XMM_STORE) "2:"         \
			: "+a"(rax)                                                                \
			: "D"(key->word[0]), "S"(key->word[1]), "d"(domain),                       \
			  "r"(r10), [vectors] "r"(vectors), [load] "r"(load),                      \
			  [wanted] "i"(SOCLE_LOAD_VECTORS),                                        \
			  [violation] "i"(SOCLE_EXIT_SECOND_LEVEL)                                 \
			: "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",  \
			  "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",     \
			  "xmm15");                                                                \
		return (int64_t)rax;                                                               \
	}

RAW_RUN(socle_run_vmmcall, "vmmcall")
RAW_RUN(socle_run_vmcall, "vmcall")
