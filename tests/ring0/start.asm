; SPDX-License-Identifier: BSD-2-Clause
; A kernel of our own in the service VM's place: the header of a bzImage, the entry, exceptions, calls
; that may fault, calls from ring 3.

bits 64
default rel

LOAD_ADDRESS equ 0x2000000
STACK_BYTES  equ 0x4000

extern ring0_main, ring0_exception, ring0_nmi, ap_main, bss_start, image_end

; Linux: Documentation/x86/boot.rst. The first 1024 bytes stay behind.
section .setup
setup:  times 0x1f1 db 0
        db 1                            ; setup_sects
        times 0x1fe - ($ - setup) db 0
        dw 0xaa55
        db 0xeb, 0x6a                   ; the jump says how long the header is
        db 'HdrS'
        dw 0x020c
        times 0x230 - ($ - setup) db 0
        dd 0x200000                     ; kernel_alignment
        times 0x236 - ($ - setup) db 0
        dw 1                            ; xloadflags: 64-bit entry
        dd 255                          ; cmdline_size
        times 0x258 - ($ - setup) db 0
        dq LOAD_ADDRESS                 ; pref_address
        dd 0x400000                     ; init_size
        times 1024 - ($ - setup) db 0

section .entry
        times 0x200 db 0
global entry
entry:                                  ; RSI: the zero page
        lea rax, [rel $$]
        cmp rax, LOAD_ADDRESS
        jne .elsewhere
        mov rdi, bss_start
        mov rcx, image_end
        sub rcx, rdi
        xor eax, eax
        rep stosb
        lea rsp, [stack_end]
        mov rdi, rsi
        call ring0_main
.stop:  cli
        hlt
        jmp .stop
.elsewhere:                             ; "?" on the serial port: nothing here can be moved
        mov dx, 0x3f8
        mov al, '?'
        out dx, al
        jmp .stop

section .text
; Where the second CPU leaves the mailbox.
global ap_entry
ap_entry:
        lea rsp, [ap_stack_end]
        call ap_main
.stop:  cli
        hlt
        jmp .stop

; void load_tables(const void *gdtr, const void *idtr, uint16_t tss)
global load_tables
load_tables:
        lgdt [rdi]
        lidt [rsi]
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        test dx, dx
        jz .no_tss
        ltr dx
.no_tss:
        pop rax
        push 0x08
        push rax
        retfq

; int try_call(void (*function)(void))
; Gives the vector of the exception that ended the call, or -1. One at a time, CPU 0 only.
global try_call, try_fault
try_call:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [try_rsp], rsp
        call rdi
        mov eax, -1
try_out:
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
; Where ring0_exception() sends a faulting call; EAX: the vector.
try_fault:
        mov rsp, [try_rsp]
        jmp try_out

%macro push_all 0
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
%endmacro
%macro pop_all 0
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
%endmacro

%assign vector 0
%rep 32
stub_%[vector]:
%if vector == 2
        jmp nmi_entry
%else
%if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push 0
%endif
        push vector
        jmp exception_entry
%endif
%assign vector vector + 1
%endrep

exception_entry:
        push_all
        mov rdi, rsp
        mov rbp, rsp
        and rsp, -16
        cld
        call ring0_exception
        mov rsp, rbp
        pop_all
        add rsp, 16
        iretq

nmi_entry:
        push_all
        mov rbp, rsp
        and rsp, -16
        cld
        call ring0_nmi
        mov rsp, rbp
        pop_all
        iretq

; void ring3_call(uint64_t registers[7], bool amd, uint64_t *rsp0)
; Executes a hypercall in ring 3. The registers: RAX RDI RSI RDX R10 R8 R9.
global ring3_call, ring3_return
ring3_call:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [ring3_registers], rdi
        mov [rdx], rsp                  ; where the way back begins, aligned down
        mov [ring3_rsp], rsp
        lea rcx, [ring3_vmcall]
        lea rax, [ring3_vmmcall]
        test sil, sil
        cmovnz rcx, rax
        lea rax, [ring3_stack_end]
        push 0x18 | 3
        push rax
        push 2
        push 0x20 | 3
        push rcx
        mov rax, [rdi]
        mov rsi, [rdi + 16]
        mov rdx, [rdi + 24]
        mov r10, [rdi + 32]
        mov r8,  [rdi + 40]
        mov r9,  [rdi + 48]
        mov rdi, [rdi + 8]
        iretq
ring3_vmcall:
        vmcall
        int 0x80
ring3_vmmcall:
        vmmcall
        int 0x80
; Vector 0x80.
ring3_return:
        mov rsp, [ring3_rsp]
        push rdi
        mov rdi, [ring3_registers]
        mov [rdi], rax
        mov [rdi + 16], rsi
        mov [rdi + 24], rdx
        mov [rdi + 32], r10
        mov [rdi + 40], r8
        mov [rdi + 48], r9
        pop rax
        mov [rdi + 8], rax
        jmp try_out

section .rodata
global exception_stubs
exception_stubs:
%assign vector 0
%rep 32
        dq stub_%[vector]
%assign vector vector + 1
%endrep

section .bss
align 16
        resb STACK_BYTES
stack_end:
        resb STACK_BYTES
ap_stack_end:
        resb STACK_BYTES
ring3_stack_end:
try_rsp: resq 1
ring3_registers: resq 1
ring3_rsp: resq 1

section .note.GNU-stack noalloc noexec nowrite progbits
