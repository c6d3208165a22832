; SPDX-License-Identifier: BSD-2-Clause
; From 64-bit mode to real mode and back, with instructions that exit on the way. The code is copied to
; TRIP and runs there.


TRIP       equ 0x8000
TRIP_STACK equ 0x7f00
%define at(label) (TRIP + (label - trip))

section .text
global trip, trip_end, trip_gdtr, trip_results
bits 64

; void trip(struct trip_result *at_its_copy): called at TRIP. Interrupts are off.
trip:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        sidt [at(saved_idtr)]
        sgdt [at(saved_gdtr)]
        mov [at(saved_rsp)], rsp
        mov rax, cr3
        mov [at(saved_cr3)], rax
        push 0x28                       ; 32-bit code
        push at(compatibility)
        retfq

bits 32
compatibility:
        mov eax, 0x10
        mov ds, eax
        mov ss, eax
        mov esp, TRIP_STACK
        xor eax, eax
        cpuid                           ; in compatibility mode
        mov [at(trip_results)], ebx
        mov eax, cr0
        and eax, ~0x80000000
        mov cr0, eax                    ; leaves long mode
        mov ecx, 0xc0000080
        rdmsr
        mov [at(trip_results) + 4], eax ; LMA is 0
        and eax, ~0x100
        wrmsr
        xor eax, eax
        cpuid                           ; in protected mode without paging
        mov [at(trip_results) + 8], ebx
        jmp 0x30:at(protected16)        ; 16-bit code

bits 16
protected16:
        mov ax, 0x38
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov eax, cr0
        and eax, ~1
        mov cr0, eax
        jmp TRIP >> 4:real - trip       ; CS selector with RPL 0

real:
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, TRIP_STACK
        lidt [at(real_idtr)]
        mov word [6 * 4], real_fault - trip
        mov word [6 * 4 + 2], TRIP >> 4
        mov word [13 * 4], real_fault - trip
        mov word [13 * 4 + 2], TRIP >> 4
        xor eax, eax
        cpuid                           ; in real mode
        mov [at(trip_results) + 12], ebx
        mov eax, 3                      ; a hypercall in real mode: not from ring 3
        cmp byte [at(trip_results) + 32], 0
        jne .amd
        vmcall
        jmp .called
.amd:   vmmcall
.called:
        mov [at(trip_results) + 16], eax
        mov dword [at(trip_results) + 20], 0
        mov ecx, [at(trip_results) + 36] ; an MSR that is not there
        rdmsr
        nop
        mov ax, sp
        mov [at(trip_results) + 24], ax
        mov eax, cr0
        mov [at(trip_results) + 28], eax

        or eax, 1
        mov cr0, eax
        jmp dword 0x28:at(protected32)

; #GP and #UD of real mode push no error code: past the two bytes of RDMSR.
real_fault:
        push bp
        mov bp, sp
        add word [bp + 2], 2
        inc dword [at(trip_results) + 20]
        pop bp
        iret

bits 32
protected32:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov eax, [at(saved_cr3)]
        mov cr3, eax
        mov ecx, 0xc0000080
        rdmsr
        or eax, 0x100
        wrmsr
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp 0x08:at(back)

bits 64
back:
        lgdt [at(saved_gdtr)]
        lidt [at(saved_idtr)]
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov rsp, [at(saved_rsp)]
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret

align 8
saved_rsp:  dq 0
saved_cr3:  dq 0
saved_idtr: dw 0, 0, 0, 0, 0
saved_gdtr: dw 0, 0, 0, 0, 0
real_idtr:  dw 0x3ff
            dd 0
align 8
trip_results: times 40 db 0
trip_end:

section .note.GNU-stack noalloc noexec nowrite progbits
