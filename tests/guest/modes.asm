; SPDX-License-Identifier: BSD-2-Clause
; A walk through the processor's modes: 64-bit, compatibility (32 and 16 bits), protected mode without
; paging (32 and 16 bits), with 32-bit paging, with PAE paging, real mode (with the limits of protected
; mode still in DS), and back. At each stop the same things are asked for, so that they exit in that
; mode: see struct stop in modes.c.

%include "lib/layout.inc"

REAL_AT     equ 0x10000                 ; where the real-mode part is copied
SELECTOR_CODE16 equ 0x30
SELECTOR_DATA16 equ 0x38
STOP_BYTES  equ 32
HPET        equ 0xfed00000

; What a stop does; EBX is not kept. %1: its number. The same text for each operand size.
%macro visit 1
        mov eax, 0x40000000
        cpuid
        mov [dword modes_stops + %1 * STOP_BYTES], ebx
        mov ecx, 0x1b
        rdmsr
        mov [dword modes_stops + %1 * STOP_BYTES + 4], eax
        mov esi, HPET
        mov eax, [esi]
        mov [dword modes_stops + %1 * STOP_BYTES + 8], eax
        mov al, 0x50 + %1
        out 0x21, al
        xor eax, eax
        in al, 0x21
        mov [dword modes_stops + %1 * STOP_BYTES + 12], eax
        smsw eax
        mov [dword modes_stops + %1 * STOP_BYTES + 16], eax
        mov eax, cs
        mov [dword modes_stops + %1 * STOP_BYTES + 20], eax
        lock add dword [dword modes_stops + %1 * STOP_BYTES + 24], 1 + %1
%endmacro

section .text
bits 64
extern modes_stops, modes_table32, modes_pae
global modes_walk, modes_real, modes_real_end

; void modes_walk(void)
modes_walk:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [saved_rsp], rsp
        mov rax, cr3
        mov [saved_cr3], rax
        sgdt [saved_gdt]
        sidt [saved_idt]
        visit 0
        lidt [no_idt]                   ; whatever goes wrong from here on ends where it does
        push SELECTOR_CODE32
        push compatibility32
        retfq

bits 32
compatibility32:
        mov eax, SELECTOR_DATA
        mov ss, eax
        visit 1
        jmp SELECTOR_CODE16:(compatibility16 - code16_base)
section .text
compatibility32_back:
        ; Paging off: long mode ends.
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        jmp SELECTOR_CODE32:.flat
.flat:  mov ecx, 0xc0000080
        rdmsr
        and eax, ~0x100
        wrmsr
        visit 3
        jmp SELECTOR_CODE16:(protected16 - code16_base)
protected16_back:
        ; 32-bit paging with 4 MiB pages.
        mov eax, cr4
        and eax, ~0x20
        or eax, 0x10
        mov cr4, eax
        mov eax, modes_table32
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp SELECTOR_CODE32:.paged
.paged: visit 5
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        ; PAE paging
        mov eax, cr4
        and eax, ~0x10
        or eax, 0x20
        mov cr4, eax
        mov eax, modes_pae
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp SELECTOR_CODE32:.pae
.pae:   visit 6
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        jmp SELECTOR_CODE16:(leave16 - code16_base)
real_back:                              ; in 32-bit protected mode again
        mov eax, SELECTOR_DATA
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov eax, cr4
        or eax, 0x20
        mov cr4, eax
        mov eax, [saved_cr3]
        mov cr3, eax
        mov ecx, 0xc0000080
        rdmsr
        or eax, 0x100
        wrmsr
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp SELECTOR_CODE:.long
bits 64
.long:  mov rsp, [saved_rsp]
        lidt [saved_idt]
        visit 8
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret

; The 16-bit code: copied to REAL_AT, where CODE16's base is set to.
modes_real:
code16_base:
bits 16
compatibility16:
        visit 2
        jmp dword SELECTOR_CODE32:compatibility32_back
protected16:
        visit 4
        jmp dword SELECTOR_CODE32:protected16_back
leave16:
        o32 lidt [dword real_idt]
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp REAL_AT >> 4:(.real - code16_base)
.real:  ; DS is still flat. A stack, and an interrupt through the vector table.
        mov ax, REAL_AT >> 4
        mov ss, ax
        mov sp, 0xf000
        mov word [dword 0x60 * 4], .interrupt - code16_base
        mov word [dword 0x60 * 4 + 2], REAL_AT >> 4
        visit 7
        int 0x60
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword SELECTOR_CODE32:real_back
.interrupt:
        mov dword [dword modes_stops + 7 * STOP_BYTES + 28], 0x60
        iret
modes_real_end:

section .rodata
real_idt:
        dw 0x3ff
        dd 0

no_idt: times 10 db 0

section .bss
saved_rsp: resq 1
saved_cr3: resq 1
saved_gdt: resb 10
saved_idt: resb 10

section .note.GNU-stack noalloc noexec nowrite progbits
