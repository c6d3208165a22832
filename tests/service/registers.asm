; SPDX-License-Identifier: BSD-2-Clause
; See registers.h. System V calling convention: the argument is in RDI; RBX, RBP, R12 .. R15 and the
; direction flag belong to the caller.

bits 64
default rel

%define INTEGER(n) ((n) * 8)
%define XMM(n)	   (16 * 8 + (n) * 16)
%define MXCSR	   (16 * 8 + 16 * 16)
%define RFLAGS	   15

; All integer registers but RDI (5), which holds the address.
%macro for_integers 1
	%1 rax, 0
	%1 rbx, 1
	%1 rcx, 2
	%1 rdx, 3
	%1 rsi, 4
	%1 rbp, 6
	%1 r8, 7
	%1 r9, 8
	%1 r10, 9
	%1 r11, 10
	%1 r12, 11
	%1 r13, 12
	%1 r14, 13
	%1 r15, 14
%endmacro

%macro load 2
	mov %1, [rdi + INTEGER(%2)]
%endmacro

%macro store 2
	mov [rdi + INTEGER(%2)], %1
%endmacro

%macro call_with 2
global %1:function
%1:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	pushfq
	sub rsp, 8
	stmxcsr [rsp]
	push rdi

%assign i 0
%rep 16
	movdqu xmm %+ i, [rdi + XMM(i)]
%assign i i + 1
%endrep
	ldmxcsr [rdi + MXCSR]
	push qword [rdi + INTEGER(RFLAGS)]
	popfq
	for_integers load
	mov rdi, [rdi + INTEGER(5)]

	%2

	; Nothing below changes the flags until they are stored.
	push rdi
	mov rdi, [rsp + 8]
	for_integers store
	pushfq
	pop rax
	mov [rdi + INTEGER(RFLAGS)], rax
	pop rax
	mov [rdi + INTEGER(5)], rax
%assign i 0
%rep 16
	movdqu [rdi + XMM(i)], xmm %+ i
%assign i i + 1
%endrep
	stmxcsr [rdi + MXCSR]

	pop rdi
	ldmxcsr [rsp]
	add rsp, 8
	popfq
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
%endmacro

section .text
call_with registers_vmmcall, vmmcall
call_with registers_vmcall, vmcall

section .note.GNU-stack noalloc noexec nowrite progbits
