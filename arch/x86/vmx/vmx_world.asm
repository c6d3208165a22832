; SPDX-License-Identifier: BSD-2-Clause
; The world switch of VT-x.

bits 64
default rel
%include "arch/x86/registers.inc"

VMCS_HOST_RSP equ 0x6c14                ; vmcs.h

section .text

; Runs the vCPU of the current VMCS until it exits. RDI: struct vcpu_registers; RAX: 0 if the VMCS was
; never entered. Returns RAX: 0 if VMLAUNCH or VMRESUME failed. Keeps RSP and RBP, no other register. The
; vCPU's RSP, RIP and RFLAGS go through the VMCS. The syscall registers stay the vCPU's while the
; hypervisor runs: it uses none.
global vmx_world_switch
vmx_world_switch:
        push rbp
        push rdi
        test eax, eax
        jnz .load
        mov ecx, VMCS_HOST_RSP
        vmwrite rcx, rsp
        test eax, eax                   ; the loads leave the flags alone
.load:  mov rax, [rdi + REG_RAX]
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
        jz .launch
        vmresume
        jmp .failed
.launch:
        vmlaunch
.failed:
        pop rdi
        pop rbp
        xor eax, eax
        ret

; Where every exit arrives: VMCS_HOST_RIP. The stack is as it was at the entry.
global vmx_world_exit
vmx_world_exit:
        xchg rdi, [rsp]
        mov [rdi + REG_RAX], rax
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
        mov eax, 1
        ret

; void vmx_unblock_nmis(void)
; An exit by an NMI blocks NMIs until IRET. The next entry would unblock them too (SDM volume 3, section
; 27.7.1), but does not under Bochs 2.7, where the first NMI would be the last.
global vmx_unblock_nmis
vmx_unblock_nmis:
        mov rax, rsp
        mov ecx, ss
        push rcx
        push rax
        pushfq
        mov ecx, cs
        push rcx
        lea rax, [.done]
        push rax
        iretq
.done:  ret
