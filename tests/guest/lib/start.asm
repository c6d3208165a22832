; SPDX-License-Identifier: BSD-2-Clause
; Where a 64-bit guest starts: from a Multiboot loader's 32-bit protected mode, its other CPUs from a
; start-up IPI. Both ways lead to 64-bit mode, with the tables below, a stack and GS for each CPU.

%include "lib/layout.inc"

extern guest_main, guest_cpu_main, guest_cpus

section .multiboot progbits alloc exec nowrite align=4
        dd 0x1badb002, 0, -0x1badb002

section .text
bits 32
global start
start:
        cli
        mov [guest_boot_magic], eax
        mov [guest_boot_info], ebx
        ; 4 GiB one to one in 2 MiB pages, for everyone; behind it the window of 4 KiB pages.
        mov dword [pml4], pdpt + 7
        xor ecx, ecx
.pdpt:  mov eax, ecx
        shl eax, 12
        add eax, directories + 7
        mov [pdpt + ecx * 8], eax
        inc ecx
        cmp ecx, 5
        jb .pdpt
        mov dword [directories + 4 * 4096], guest_window_table + 7
        xor ecx, ecx
.pages: mov eax, ecx
        shl eax, 21
        add eax, 0x87
        mov [directories + ecx * 8], eax
        inc ecx
        cmp ecx, 4 * 512
        jb .pages
        xor edi, edi                    ; the first CPU
        ; fall through

; EDI: the CPU's number. From protected mode without paging.
to_long_mode:
        mov eax, 0x620                  ; PAE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov eax, pml4
        mov cr3, eax
        mov ecx, 0xc0000080
        rdmsr
        or eax, 0x900                   ; LME, NXE
        wrmsr
        mov eax, 0x80010033             ; PG, WP, NE, ET, MP, PE
        mov cr0, eax
        lgdt [gdt_pointer]
        jmp SELECTOR_CODE:.long
bits 64
.long:
        mov eax, SELECTOR_DATA
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov edi, edi
        imul rax, rdi, CPU_BYTES
        lea rax, [guest_cpus + rax]
        mov rdx, rax
        shr rdx, 32
        mov ecx, 0xc0000101             ; GS_BASE
        wrmsr
        lea rsp, [rdi + 1]
        shl rsp, STACK_SHIFT
        add rsp, stacks
        xor ebp, ebp
        fninit
        test edi, edi
        jnz .other
        call guest_main
.stop:  cli
        hlt
        jmp .stop
.other: call guest_cpu_main
        jmp .stop

; Copied to TRAMPOLINE, where a start-up IPI leads.
global guest_trampoline, guest_trampoline_end, guest_trampoline_cpu
bits 16
guest_trampoline:
        cli
        xor ax, ax
        mov ds, ax
        mov edi, [TRAMPOLINE + guest_trampoline_cpu - guest_trampoline]
        o32 lgdt [TRAMPOLINE + trampoline_pointer - guest_trampoline]
        mov eax, cr0
        and eax, ~0x60000000            ; CD, NW
        or al, 1
        mov cr0, eax
        jmp dword SELECTOR_CODE32:trampoline_protected
trampoline_pointer:
        dw GDT_BYTES - 1
        dd guest_gdt
align 4
guest_trampoline_cpu: dd 0
guest_trampoline_end:
bits 32
trampoline_protected:
        mov eax, SELECTOR_DATA
        mov ds, eax
        mov es, eax
        mov ss, eax
        jmp to_long_mode

section .data
align 16
; base 0, 4 GiB: access byte, flags
%macro descriptor 2
        dw 0xffff, 0
        db 0, %1, %2 | 0xf, 0
%endmacro
global guest_gdt
guest_gdt:
        dq 0
        descriptor 0x9b, 0xa0           ; 08 64-bit code
        descriptor 0x93, 0xc0           ; 10 data
        descriptor 0xf3, 0xc0           ; 18 user data
        descriptor 0xfb, 0xa0           ; 20 user 64-bit code
        descriptor 0x9b, 0xc0           ; 28 32-bit code
        dw 0xffff, 0                    ; 30 16-bit code, 64 KiB
        db 0, 0x9b, 0, 0
        dw 0xffff, 0                    ; 38 16-bit data, 64 KiB
        db 0, 0x93, 0, 0
        descriptor 0x13, 0xc0           ; 40 data, not present
        descriptor 0xfb, 0xc0           ; 48 user 32-bit code
        times (SELECTOR_TSS - 0x50) / 8 dq 0 ; 50 on: the tests'
        times 2 * CPUS dq 0             ; a TSS for each CPU
GDT_BYTES equ $ - guest_gdt
gdt_pointer:
        dw GDT_BYTES - 1
        dq guest_gdt

section .bss
alignb 4096
pml4:   resb 4096
pdpt:   resb 4096
directories: resb 5 * 4096
global guest_window_table, guest_boot_magic, guest_boot_info
guest_window_table: resb 4096
stacks: resb CPUS << STACK_SHIFT
guest_boot_magic: resd 1
guest_boot_info: resd 1

section .note.GNU-stack noalloc noexec nowrite progbits
