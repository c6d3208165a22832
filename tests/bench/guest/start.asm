; SPDX-License-Identifier: BSD-2-Clause
; Starts the probe: a Multiboot 1 kernel with load addresses in its header, so any loader takes it as it
; is (Multiboot Specification 0.6.96, section 3.1). From 32-bit protected mode to long mode on identity
; tables of the first 4 GiB; and the same for a second CPU, from the real mode of its SIPI.

extern probe_main, probe_second, interrupt, load_end, bss_end
global second_begin, second_end, vectors

MULTIBOOT_MAGIC	equ 0x1badb002
MULTIBOOT_FLAGS	equ 0x10000		; load addresses
SECOND_AT	equ 0x8000		; where the second CPU starts; probe.c copies it there
STACK_BYTES	equ 16384
CR0_PG_PE	equ 0x80000001
CR4_PAE		equ 1 << 5
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8
VECTORS		equ 256

section .start progbits alloc exec nowrite align=16
bits 32
header:
	dd MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
	dd header, header, load_end, bss_end, entry

entry:
	cli
	cld
	mov esp, stack_first + STACK_BYTES
	; Four page directories of 2 MiB pages: present, writable, large.
	mov edi, directories
	mov eax, 0x83
	mov ecx, 4 * 512
.page:	mov [edi], eax
	mov dword [edi + 4], 0
	add eax, 0x200000
	add edi, 8
	loop .page
	mov eax, directories + 3
	mov edi, pointers
	mov ecx, 4
.directory:
	mov [edi], eax
	add eax, 4096
	add edi, 8
	loop .directory
	mov dword [root], pointers + 3
	call long_mode
	jmp 0x08:main64

; Switches long mode on; the caller jumps to a 64-bit segment.
long_mode:
	lgdt [gdt_pointer]
	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov eax, root
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, CR0_PG_PE
	mov cr0, eax
	ret

second32:
	mov ax, 0x10
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, stack_second + STACK_BYTES
	call long_mode
	jmp 0x08:second64

bits 64
main64:
	call segments
	mov edi, ebx		; the loader's information
	call probe_main
.halt:	cli
	hlt
	jmp .halt

second64:
	call segments
	lidt [rel idt_pointer]
	call probe_second
	jmp main64.halt

segments:
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	ret

; A stub for each vector; they differ in the vector only. The CPU has pushed an error code or not.
	align 16
vectors:
%assign vector 0
%rep VECTORS
	align 16
%if vector = 8 || (vector >= 10 && vector <= 14) || vector = 17
%else
	push dword 0
%endif
	push dword vector
	jmp near dispatch
%assign vector vector + 1
%endrep

dispatch:
	push rax
	push rcx
	push rdx
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	mov rdi, [rsp + 72]	; vector
	lea rsi, [rsp + 88]	; the frame: rip first
	cld
	call interrupt
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

bits 16
second_begin:
	cli
	xor ax, ax
	mov ds, ax
	o32 lgdt [SECOND_AT + second_gdt - second_begin]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword 0x18:second32
second_gdt:
	dw gdt_end - gdt - 1
	dd gdt
second_end:

section .data
align 8
gdt:	dq 0
	dq 0x00af9b000000ffff	; 0x08: code, 64 bits
	dq 0x00cf93000000ffff	; 0x10: data
	dq 0x00cf9b000000ffff	; 0x18: code, 32 bits
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dq gdt

extern idt
global idt_pointer
idt_pointer:
	dw VECTORS * 16 - 1
	dq idt

section .bss nobits alloc write align=4096
root:		resb 4096
pointers:	resb 4096
directories:	resb 4 * 4096
stack_first:	resb STACK_BYTES
stack_second:	resb STACK_BYTES

section .note.GNU-stack noalloc noexec nowrite progbits
