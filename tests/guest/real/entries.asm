; SPDX-License-Identifier: BSD-2-Clause
; A real-mode guest's way from a Multiboot loader's protected mode to real mode, the entries of all
; vectors, and short visits to protected mode.

extern real_main, real_trap

CODE16 equ 0x08
DATA16 equ 0x10
FLAT   equ 0x18

section .multiboot progbits alloc exec nowrite align=4
        dd 0x1badb002, 0, -0x1badb002

section .text
bits 32
global start
start:
        cli
        lgdt [gdt_pointer]
        jmp CODE16:protected16

bits 16
protected16:
        mov ax, DATA16
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov eax, cr0
        and eax, ~0x60000001            ; CD, NW, PE
        mov cr0, eax
        jmp 0:real
real:   xor ax, ax
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, 0xfff0
        o32 lidt [idt_pointer]
        ; the interrupt vectors: all stubs are six bytes long
        xor di, di
        mov ax, stubs
.next:  mov [di], ax
        mov word [di + 2], 0
        add ax, 6
        add di, 4
        cmp di, 256 * 4
        jb .next
        call dword real_main
.stop:  cli
        hlt
        jmp .stop

stubs:
%assign vector 0
%rep 256
        db 0x68                         ; PUSH of a word, also of a small one
        dw vector
        jmp near enter_frame
%assign vector vector + 1
%endrep

enter_frame:
        pushad
        push ds
        push es
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov eax, esp
        movzx ebp, sp
        cld
        push eax
        call dword real_trap
        mov sp, bp
        pop es
        pop ds
        popad
        add sp, 2
        iret

; void real_recover(struct frame *): goes on at the recovery address with the frame's registers.
global real_recover
real_recover:
        mov esp, [esp + 4]
        add sp, 4                       ; ES, DS: they are 0 again
        popad
        mov ss, [zero]
        mov esp, [real_recovery_esp]
        push dword 2
        popfd
        jmp [real_recovery_ip]

; void real_flat(void): gives FS the limit of 4 GiB, base 0.
global real_flat
real_flat:
        push ebx
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, FLAT
        mov fs, bx
        and al, 0xfe
        mov cr0, eax
        pop ebx
        o32 ret

; uint32_t real_visit(uint32_t port): to 16-bit protected mode and back; there CPUID, the port, a far
; call. What it read from the port.
global real_visit
real_visit:
        mov edx, [esp + 4]
        push ebx
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp CODE16:.protected
.protected:
        mov bx, DATA16
        mov ds, bx
        mov ss, bx
        call CODE16:.far
        mov ecx, eax
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0:.real
.real:  xor bx, bx
        mov ds, bx
        mov ss, bx
        mov eax, ecx
        pop ebx
        o32 ret
.far:   push edx
        mov eax, 0x40000000
        cpuid
        pop edx
        xor eax, eax
        in al, dx
        retf

; Copied to another segment: a far call to it adds its CS to EAX.
global real_far, real_far_end
real_far:
        mov bx, cs
        movzx ebx, bx
        add eax, ebx
        retf
real_far_end:

section .data
align 8
gdt:
        dq 0
        dw 0xffff, 0                    ; 08 16-bit code, 64 KiB
        db 0, 0x9b, 0, 0
        dw 0xffff, 0                    ; 10 16-bit data, 64 KiB
        db 0, 0x93, 0, 0
        dw 0xffff, 0                    ; 18 data, 4 GiB
        db 0, 0x93, 0xcf, 0
gdt_pointer:
        dw gdt_pointer - gdt - 1
        dd gdt
idt_pointer:
        dw 0x3ff
        dd 0
global real_recovery_ip, real_recovery_esp, guest_boot_magic, guest_boot_info
real_recovery_ip: dd 0
zero:   dw 0
real_recovery_esp: dd 0
guest_boot_magic: dd 0                  ; the command line is not in reach
guest_boot_info: dd 0

section .note.GNU-stack noalloc noexec nowrite progbits
