; SPDX-License-Identifier: BSD-2-Clause
; A 32-bit guest's start from a Multiboot loader, and the entries of all 256 vectors.

bits 32
extern guest_main, guest_trap

section .multiboot progbits alloc exec nowrite align=4
        dd 0x1badb002, 0, -0x1badb002

section .text
global start
start:
        cli
        mov [guest_boot_magic], eax
        mov [guest_boot_info], ebx
        lgdt [gdt_pointer]
        jmp 0x08:.loaded
.loaded:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov esp, stack_end
        mov eax, cr0
        and eax, ~0x6000000c            ; CD, NW, TS, EM
        or eax, 0x22                    ; NE, MP
        mov cr0, eax
        fninit
        call guest_main
.stop:  cli
        hlt
        jmp .stop

%assign vector 0
%rep 256
stub_%[vector]:
%if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push 0
%endif
        push dword vector
        jmp near enter_frame
%assign vector vector + 1
%endrep

enter_frame:
        pushad
        mov ecx, ds
        mov ebx, es
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov eax, esp
        push ecx                        ; kept over the call, with ES
        push ebx
        cld
        push eax
        call guest_trap
        add esp, 4
        pop ebx
        pop ecx
        mov es, ebx
        mov ds, ecx
        popad
        add esp, 8
        iretd

; void guest_recover(struct frame *): goes on at the recovery address with the frame's registers.
global guest_recover
guest_recover:
        mov esp, [esp + 4]
        push dword 0
        pop fs
        push dword 0
        pop gs
        popad
        push dword 0x10
        pop ss
        mov esp, [guest_recovery_esp]
        push dword 2
        popfd
        jmp [guest_recovery_eip]

section .rodata
global guest_stubs
guest_stubs:
%assign vector 0
%rep 256
        dd stub_%[vector]
%assign vector vector + 1
%endrep

section .data
align 8
%macro descriptor 2
        dw 0xffff, 0
        db 0, %1, %2 | 0xf, 0
%endmacro
global guest_gdt
guest_gdt:
        dq 0
        descriptor 0x9b, 0xc0           ; 08 code
        descriptor 0x93, 0xc0           ; 10 data
        descriptor 0xf3, 0xc0           ; 18 user data
        descriptor 0xfb, 0xc0           ; 20 user code
        dw 0xffff, 0                    ; 28 16-bit code, 64 KiB
        db 0, 0x9b, 0, 0
        dw 0xffff, 0                    ; 30 16-bit data, 64 KiB
        db 0, 0x93, 0, 0
        descriptor 0x13, 0xc0           ; 38 data, not present
        dq 0                            ; 40 TSS
        times 8 dq 0                    ; 48 on: the tests'
gdt_end:
gdt_pointer:
        dw gdt_end - guest_gdt - 1
        dd guest_gdt
global guest_recovery_eip, guest_recovery_esp
guest_recovery_eip: dd 0
guest_recovery_esp: dd 0

section .bss
global guest_boot_magic, guest_boot_info
alignb 16
        resb 16384
stack_end:
guest_boot_magic: resd 1
guest_boot_info: resd 1

section .note.GNU-stack noalloc noexec nowrite progbits
