; SPDX-License-Identifier: BSD-2-Clause
; The world switch of AMD-V.

bits 64
default rel
%include "arch/x86/registers.inc"

%macro load_registers 0
        mov rcx, [rdi + REG_RCX]
        mov rdx, [rdi + REG_RDX]
        mov rbx, [rdi + REG_RBX]
        mov rbp, [rdi + REG_RBP]
        mov rsi, [rdi + REG_RSI]
        mov r8,  [rdi + REG_R8]
        mov r9,  [rdi + REG_R9]
        mov r10, [rdi + REG_R10]
        mov r11, [rdi + REG_R11]
        mov r12, [rdi + REG_R12]
        mov r13, [rdi + REG_R13]
        mov r14, [rdi + REG_R14]
        mov r15, [rdi + REG_R15]
        mov rdi, [rdi + REG_RDI]
%endmacro

section .text

; Runs the vCPU until it exits. RDI: struct vcpu_registers; RAX: host-physical address of the VMCB. Keeps
; RSP and RBP, no other register. GIF is clear before and after. The vCPU's RAX, RSP, RIP and RFLAGS go
; through the VMCB. FS, GS, TR, LDTR and the syscall registers stay the vCPU's while the hypervisor runs:
; it uses none.
global svm_world_switch
svm_world_switch:
        push rbp
        push rdi
        load_registers
        vmrun
.exit:  xchg rdi, [rsp]
        mov [rdi + REG_RCX], rcx
        mov [rdi + REG_RDX], rdx
        mov [rdi + REG_RBX], rbx
        mov [rdi + REG_RBP], rbp
        mov [rdi + REG_RSI], rsi
        mov [rdi + REG_R8],  r8
        mov [rdi + REG_R9],  r9
        mov [rdi + REG_R10], r10
        mov [rdi + REG_R11], r11
        mov [rdi + REG_R12], r12
        mov [rdi + REG_R13], r13
        mov [rdi + REG_R14], r14
        mov [rdi + REG_R15], r15
        pop qword [rdi + REG_RDI]
        pop rbp
        ret

; The same for a vCPU in an interrupt shadow. VMRUN takes that from the VMCB; QEMU 7.2 does not, but keeps
; the one of an STI just before it. On a processor this STI does nothing: IF is set already.
global svm_world_switch_shadow
svm_world_switch_shadow:
        push rbp
        push rdi
        load_registers
        sti
        vmrun
        jmp svm_world_switch.exit

; void svm_take_pending(void)
; Lets a held-back NMI, or the #SX that an INIT became, reach its handler. Interrupts stay off.
global svm_take_pending
svm_take_pending:
        cli                             ; IF is set in the hypervisor, for exits by INTR: GIF guards it
        stgi
        nop
        clgi
        sti
        ret

; void svm_clear_gif(void)
global svm_clear_gif
svm_clear_gif:
        clgi
        ret
