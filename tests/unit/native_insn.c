/* SPDX-License-Identifier: BSD-2-Clause */
#include "native_insn.h"

#include <string.h>
#include <sys/mman.h>

#define NATIVE_FLAGS 0xcd5u /* CF PF AF ZF SF DF OF */

extern const uint8_t native_blob[], native_slot[], native_state[], native_blob_end[];

/* The registers, in their order in struct native, around a slot of 15 bytes. */
__asm__(".pushsection .rodata\n"
	"native_blob:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_state + 136(%rip)\n"
	"	push native_state + 128(%rip)\n"
	"	popfq\n"
	"	mov native_state + 0(%rip), %rax; mov native_state + 8(%rip), %rcx\n"
	"	mov native_state + 16(%rip), %rdx; mov native_state + 24(%rip), %rbx\n"
	"	mov native_state + 32(%rip), %rsp; mov native_state + 40(%rip), %rbp\n"
	"	mov native_state + 48(%rip), %rsi; mov native_state + 56(%rip), %rdi\n"
	"	mov native_state + 64(%rip), %r8; mov native_state + 72(%rip), %r9\n"
	"	mov native_state + 80(%rip), %r10; mov native_state + 88(%rip), %r11\n"
	"	mov native_state + 96(%rip), %r12; mov native_state + 104(%rip), %r13\n"
	"	mov native_state + 112(%rip), %r14; mov native_state + 120(%rip), %r15\n"
	"native_slot:\n"
	"	.fill 15, 1, 0x90\n"
	"	mov %rsp, native_state + 32(%rip)\n"
	"	mov native_state + 136(%rip), %rsp\n"
	"	pushfq\n"
	"	pop native_state + 128(%rip)\n"
	"	cld\n"
	"	mov %rax, native_state + 0(%rip); mov %rcx, native_state + 8(%rip)\n"
	"	mov %rdx, native_state + 16(%rip); mov %rbx, native_state + 24(%rip)\n"
	"	mov %rbp, native_state + 40(%rip); mov %rsi, native_state + 48(%rip)\n"
	"	mov %rdi, native_state + 56(%rip); mov %r8, native_state + 64(%rip)\n"
	"	mov %r9, native_state + 72(%rip); mov %r10, native_state + 80(%rip)\n"
	"	mov %r11, native_state + 88(%rip); mov %r12, native_state + 96(%rip)\n"
	"	mov %r13, native_state + 104(%rip); mov %r14, native_state + 112(%rip)\n"
	"	mov %r15, native_state + 120(%rip)\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	"	.balign 64\n"
	"native_state:\n"
	"	.fill 144, 1, 0\n"
	"native_blob_end:\n"
	".popsection\n");

static uint8_t *map(uint64_t at, uint64_t bytes, int protection)
{
	void *got = mmap((void *)at, bytes, protection,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return got == (void *)at ? got : NULL;
}

int native_start(void)
{
	uint8_t *code = map(NATIVE_CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);

	if (code == NULL || map(NATIVE_MEMORY, NATIVE_BYTES, PROT_READ | PROT_WRITE) == NULL)
		return 0;
	memcpy(code, native_blob, (size_t)(native_blob_end - native_blob));
	return 1;
}

uint64_t native_address(void)
{
	return NATIVE_CODE + (uint64_t)(native_slot - native_blob);
}

void native_run(struct native *native, const uint8_t *insn, unsigned bytes)
{
	uint8_t *slot = (uint8_t *)native_address();
	struct native *state =
		(struct native *)(NATIVE_CODE + (uint64_t)(native_state - native_blob));

	memset(slot, 0x90, 15);
	memcpy(slot, insn, bytes);
	*state = *native;
	state->flags = 0x202 | (native->flags & NATIVE_FLAGS);
	((void (*)(void))NATIVE_CODE)();
	*native = *state;
}
