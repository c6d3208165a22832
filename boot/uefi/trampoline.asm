; SPDX-License-Identifier: BSD-2-Clause
; The way of every CPU into the hypervisor. It is copied to a page below 1 MiB. A secondary CPU comes
; in real mode by SIPI; the boot CPU comes in 64-bit mode and takes the same way from 32-bit mode on,
; so that it does not matter how the firmware's page tables look.

%define at(label) (label - trampoline)

section .text
bits 16
global trampoline, trampoline_end, trampoline_boot_cpu, trampoline_data
trampoline:
        cli
        xor ebx, ebx
        mov bx, cs
        mov ds, bx
        shl ebx, 4                      ; EBX: address of this page, all the way
        o32 lgdt [at(gdtr)]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp far dword [at(far32)]

; void trampoline_boot_cpu(uint64_t page) (System V): does not return. At its copy.
bits 64
trampoline_boot_cpu:
        cli
        mov rbx, rdi
        lgdt [rbx + at(gdtr)]
        jmp far dword [rbx + at(far32)]

bits 32
code32:
        mov eax, 0x18
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov fs, eax
        mov gs, eax
        mov eax, cr0                    ; leave long mode, if this CPU is in it
        and eax, 0x7fffffff
        mov cr0, eax
        mov ecx, 0xc0000080             ; EFER: LME, NXE
        rdmsr
        and eax, ~0x400
        or eax, 0x900
        wrmsr
        mov eax, 0x20                   ; CR4: PAE
        mov cr4, eax
        mov eax, [ebx + at(cr3_value)]
        mov cr3, eax
        mov eax, 0x80010033             ; CR0: PG WP NE ET MP PE
        mov cr0, eax
        jmp far dword [ebx + at(far64)]

bits 64
code64:
        mov ebx, ebx
        mov rdi, [rbx + at(boot_info)]
        mov rax, [rbx + at(entry)]
        jmp rax

align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; 0x08: 32-bit code
        dq 0x00af9b000000ffff           ; 0x10: 64-bit code
        dq 0x00cf93000000ffff           ; 0x18: data
; struct trampoline_data of smp.c
align 8
trampoline_data:
gdtr:   dw 31
        dq 0                            ; address of gdt
far32:  dd 0                            ; address of code32
        dw 0x08, 0
far64:  dd 0
        dw 0x10, 0
cr3_value:
        dd 0, 0
entry:  dq 0
boot_info:
        dq 0
trampoline_end:

section .rodata
global trampoline_offsets
trampoline_offsets:                     ; of gdt, code32, code64, trampoline_data, trampoline_boot_cpu
        dd at(gdt), at(code32), at(code64), at(trampoline_data), at(trampoline_boot_cpu)
