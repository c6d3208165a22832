; SPDX-License-Identifier: BSD-2-Clause
; The entries of all 256 vectors. Each makes a struct frame (guest.h) for guest_trap().

bits 64
extern guest_trap

section .text
%assign vector 0
%rep 256
stub_%[vector]:
%if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push 0
%endif
        push qword vector
        jmp near enter
%assign vector vector + 1
%endrep

enter:
        push rax
        push rcx
        push rdx
        push rbx
        push rbp
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
        mov rdi, rsp
        mov rbp, rsp
        and rsp, -16
        cld
        call guest_trap
        mov rsp, rbp
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rbp
        pop rbx
        pop rdx
        pop rcx
        pop rax
        add rsp, 16
        iretq

section .rodata
global guest_stubs
guest_stubs:
%assign vector 0
%rep 256
        dq stub_%[vector]
%assign vector vector + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
