; SPDX-License-Identifier: BSD-2-Clause
; The way into the hypervisor, and the exception entries.

bits 64
default rel

HV_CPU_AREA_BYTES  equ 0x10000          ; hv/layout.h
HV_CPU_STACK_END   equ 0x5000
BOOT_INFO_CR3       equ 16              ; hv/boot_info.h
BOOT_INFO_CPU_AREAS equ 24
BOOT_INFO_CPU_COUNT equ 32
BOOT_INFO_CPU       equ 40
BOOT_CPU_STARTING   equ 1
BOOT_CPU_ARRIVED    equ 2

extern hv_start, hv_exception

section .text

; Every CPU comes here from the trampoline, in 64-bit mode, on the boot page tables, with interrupts
; off and no stack. RDI: virtual address of struct boot_info.
; A CPU finds its number by its APIC id, so one that answers late cannot take another's place.
global hv_entry
hv_entry:
        mov rsi, rdi
        mov rax, [rsi + BOOT_INFO_CR3]  ; the hypervisor's own tables: no identity mapping
        mov cr3, rax
        xor eax, eax
        cpuid
        cmp eax, 0xb
        jb .old
        mov eax, 0xb
        xor ecx, ecx
        cpuid
        test ebx, ebx                   ; no logical processors: the leaf is not implemented
        jz .old
        mov r8d, edx
        jmp .search
.old:   mov eax, 1
        cpuid
        mov r8d, ebx
        shr r8d, 24
.search:
        xor ecx, ecx
.next:  cmp ecx, [rsi + BOOT_INFO_CPU_COUNT]
        jae .unknown
        cmp [rsi + BOOT_INFO_CPU + rcx * 8], r8d
        je .found
        inc ecx
        jmp .next
.found: mov eax, BOOT_CPU_STARTING
        mov edx, BOOT_CPU_ARRIVED
        lock cmpxchg [rsi + BOOT_INFO_CPU + rcx * 8 + 4], edx
        jne .unknown                    ; given up, or started twice

        mov rax, rcx                    ; this CPU's area
        imul rax, rax, HV_CPU_AREA_BYTES
        add rax, [rsi + BOOT_INFO_CPU_AREAS]
        lea rsp, [rax + HV_CPU_STACK_END]
        mov rdi, rsi
        mov esi, ecx
        xor ebp, ebp
        call hv_start
.unknown:
        cli
        hlt
        jmp .unknown

; void cpu_load_tables(const void *gdt, const void *idt, uint16_t tss)
; Loads GDTR and IDTR (10-byte descriptors), TR, and every segment register.
global cpu_load_tables
cpu_load_tables:
        lgdt [rdi]
        lidt [rsi]
        mov eax, 0x10                   ; HV_SELECTOR_DATA
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        lldt ax
        ltr dx
        pop rax
        push 0x08                       ; HV_SELECTOR_CODE
        push rax
        retfq

; Exceptions: a stub a vector that pushes an error code (or 0) and the vector, then the common part.
; Of 32 vectors 8, 10-14, 17, 21, 29 and 30 have an error code.
%assign vector 0
%rep 32
exception_%[vector]:
%if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push 0
%endif
        push vector
        jmp exception_common
%assign vector vector + 1
%endrep

exception_common:                       ; struct exception_frame in panic.h
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
        cld
        mov rdi, rsp
        mov rbp, rsp                    ; RSP is unaligned where the code was; align and come back
        and rsp, -16
        call hv_exception
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
global exception_entries
exception_entries:
%assign vector 0
%rep 32
        dq exception_%[vector]
%assign vector vector + 1
%endrep
