/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library of the guests that stay in 32-bit protected mode: with 32-bit paging, or (built with
 * GUEST_PAE) with PAE paging. One CPU. guest_test() is called with interrupts off, everything
 * mapped one to one and user accessible, and every vector handled.
 */
#ifndef GUEST32_H
#define GUEST32_H

#include "lib/cpu.h"
#include "lib/report.h"

#define SELECTOR_CODE	   0x08
#define SELECTOR_DATA	   0x10
#define SELECTOR_USER_DATA 0x1b
#define SELECTOR_USER_CODE 0x23
#define SELECTOR_CODE16	   0x28 /* base 0, 64 KiB */
#define SELECTOR_DATA16	   0x30
#define SELECTOR_ABSENT	   0x38 /* data */
#define SELECTOR_TSS	   0x40
#define SELECTOR_FREE	   0x48 /* eight: the tests' */

/* Exceptions and interrupts -------------------------------------------------------------------- */

/* What an entry of entries.asm pushes; esp and what follows only if the CPL was not 0. */
struct frame {
	uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax;
	uint32_t vector, error, eip, cs, eflags, esp, ss;
	uint32_t es, ds, fs, gs; /* of virtual-8086 mode */
};

struct trap {
	bool happened;
	unsigned vector;
	uint32_t error, eip, eflags, cs, cr2, dr6;
	uint32_t eax;
};

struct tss {
	uint32_t link, esp0, ss0, outer[4], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi,
		edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt;
	uint16_t trap, io_map;
	uint8_t ports[128]; /* 0 .. 0x3ff; bit set: refused */
	uint8_t end;
} __attribute__((packed));

extern struct tss guest_tss;
extern struct trap guest_trapped;
extern uint32_t guest_recovery_eip, guest_recovery_esp;
extern volatile uint32_t guest_count[256];
extern uint64_t guest_gdt[], guest_idt[256];

/* As in 64-bit guests; the data segments and SS are the guest's own again. */
#define TRY(code, ...)                                                                             \
	({                                                                                         \
		guest_trapped.happened = false;                                                    \
		__asm__ volatile("" : : : "memory");                                               \
		__asm__ volatile("movl $99f, guest_recovery_eip\n\t"                               \
				 "movl %%esp, guest_recovery_esp\n\t" code                         \
				 "\n99:\tmovl $0, guest_recovery_eip" __VA_ARGS__);                \
		__asm__ volatile("" : : : "memory");                                               \
		guest_trapped;                                                                     \
	})
#define NO_TRAP 256u
bool check_trap(const char *name, struct trap found, unsigned vector, uint32_t error);
/* What a vector does instead of being counted (and, from 32 on, acknowledged at the local APIC). */
typedef void trap_handler(struct frame *frame);
void trap_handle(unsigned vector, trap_handler *handler);
void trap_init(void);
void gate_set(unsigned vector, uint16_t selector, uint32_t offset, uint8_t attributes);
uint64_t descriptor(uint32_t base, uint32_t limit, uint16_t attributes);
void gdt_set(unsigned selector, uint64_t value);
/* Goes to CS:EIP with SS:ESP and EFLAGS, until it raises an exception or does INT 0x80. */
struct trap enter(uint32_t cs, uint32_t eip, uint32_t ss, uint32_t esp, uint32_t eflags);
/* The same for code at CPL 3 with a stack of its own. */
struct trap user_run(void (*code)(void));

/* Paging --------------------------------------------------------------------------------------- */

#ifdef GUEST_PAE
typedef uint64_t paging_entry;
#else
typedef uint32_t paging_entry;
#endif
#define PAGE_PRESENT  1u
#define PAGE_WRITE    2u
#define PAGE_USER     4u
#define PAGE_ACCESSED 0x20u
#define PAGE_DIRTY    0x40u
#define PAGE_BYTES    4096u

/* 512 pages that tests may map as they like. */
#define WINDOW 0xc0000000u
extern paging_entry guest_window_table[], guest_low_table[];
void paging_on(void);
uint8_t *window_map(unsigned index, paging_entry entry);

/* Devices -------------------------------------------------------------------------------------- */

#define LOCAL_APIC 0xfee00000u
void lapic_write(unsigned number, uint32_t value);
uint32_t lapic_read(unsigned number);
/* Waits for a counter with interrupts on; false: several seconds have passed. */
bool wait_count(const volatile uint32_t *counter, uint32_t number);

#endif
