; SPDX-License-Identifier: BSD-2-Clause
; Where the service VM's secondary CPUs wait for their kernel: the multiprocessor wakeup mailbox (ACPI
; 6.4, section 5.2.12.19). The code is copied to the page behind the mailbox. RSI: this CPU's APIC id.

bits 64
section .text
global wakeup_loop, wakeup_loop_end

MAILBOX_PAGE   equ 4096
COMMAND        equ 0                    ; 16 bits: 1 is "wake up"
APIC_ID        equ 4
VECTOR         equ 8

wakeup_loop:
        lea rdi, [rel wakeup_loop - MAILBOX_PAGE]
.wait:  pause
        cmp word [rdi + COMMAND], 1
        jne .wait
        cmp [rdi + APIC_ID], esi
        jne .wait
        mov rax, [rdi + VECTOR]
        mov word [rdi + COMMAND], 0     ; acknowledged
        jmp rax
wakeup_loop_end:
