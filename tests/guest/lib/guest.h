/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library of the 64-bit test guests: what a guest is made of, what it reports, exceptions and
 * interrupts, its other CPUs. A guest is one function, guest_test(), called on the first CPU in
 * 64-bit mode with interrupts off, 4 GiB mapped one to one (user accessible) and every vector
 * handled.
 *
 * Output: "ok NAME", "not ok NAME: expected X, found Y", "skip NAME: WHY", and at the end "end
 * GUEST: N checks, M failed, S skipped". Only the first CPU reports.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cpu.h"
#include "lib/report.h"

/* layout.inc */
#define GUEST_CPUS	     8
#define GUEST_TRAMPOLINE     0x8000u
#define SELECTOR_CODE	     0x08
#define SELECTOR_DATA	     0x10
#define SELECTOR_USER_DATA   0x1b
#define SELECTOR_USER_CODE   0x23
#define SELECTOR_CODE32	     0x28
#define SELECTOR_CODE16	     0x30
#define SELECTOR_DATA16	     0x38
#define SELECTOR_ABSENT	     0x40
#define SELECTOR_USER_CODE32 0x4b
#define SELECTOR_FREE	     0x50 /* up to SELECTOR_TSS: the tests' */
#define SELECTOR_TSS	     0x80 /* 16 bytes for each CPU */

/* trap.c
 * ------------------------------------------------------------------------------------------- */

/* What an entry of traps.asm pushes. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct trap {
	bool happened;
	unsigned vector;
	uint64_t error, rip, rflags, cs, cr2, dr6;
};

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3], reserved1, ist[7], reserved2;
	uint16_t reserved3, io_map;
	uint8_t ports[32]; /* 0 .. 255; bit set: refused */
	uint8_t end;
} __attribute__((packed));

/* One CPU; its GS base. The offsets of the first two are TRY()'s. */
struct cpu {
	uint64_t recovery_rip, recovery_rsp;
	unsigned number;
	bool x2apic;
	struct trap trap;
	struct tss tss;
	volatile uint32_t count[256]; /* interrupts by vector */
	void (*volatile work)(void *argument);
	void *volatile argument;
	volatile bool online;
} __attribute__((aligned(4096)));
_Static_assert(sizeof(struct cpu) == 4096, "layout.inc");

extern struct cpu guest_cpus[GUEST_CPUS];

static inline struct cpu *this_cpu(void)
{
	/* The stack is 16 KiB, aligned, but a trap's may be another: GS says. */
	return (struct cpu *)rdmsr(MSR_GS_BASE);
}

/*
 * Executes assembly that may raise an exception; the struct trap says which. Registers are then as
 * at the exception, but for RIP, RSP, CS, SS and RFLAGS, which are as before. Operands follow as
 * in an asm statement; at least a colon has to. Not for code that calls TRY().
 */
#define TRY(code, ...)                                                                             \
	({                                                                                         \
		this_cpu()->trap.happened = false;                                                 \
		__asm__ volatile("" : : : "memory");                                               \
		__asm__ volatile("movq $99f, %%gs:0\n\tmovq %%rsp, %%gs:8\n\t" code                \
				 "\n99:\tmovq $0, %%gs:0" __VA_ARGS__);                            \
		__asm__ volatile("" : : : "memory");                                               \
		this_cpu()->trap;                                                                  \
	})
/* Reports the exception that TRY() found: exactly this one, or (vector NO_TRAP) none. */
#define NO_TRAP 256u
bool check_trap(const char *name, struct trap found, unsigned vector, uint64_t error);

/* What a vector does instead of being counted and acknowledged (or, below 32, caught by TRY). */
typedef void trap_handler(struct frame *frame);
void trap_handle(unsigned vector, trap_handler *handler);
/* Puts a CPU's tables in place. */
void trap_init_cpu(struct cpu *cpu);
/* A descriptor of the GDT, and of the IDT (16 bytes). */
void gdt_set(unsigned selector, uint64_t descriptor);
extern uint64_t guest_gdt[];
struct gate {
	uint16_t offset0, selector;
	uint8_t ist, attributes;
	uint16_t offset1;
	uint32_t offset2, reserved;
};
extern struct gate guest_idt[256];
/* Runs code at CPL 3 until it raises an exception or does INT 0x80 (which is the trap then). */
struct trap user_run(void (*code)(void));

/* memory.c
 * ----------------------------------------------------------------------------------------- */

/* A window of 512 pages behind the first 4 GiB for tests to map what they like. */
#define WINDOW		0x100000000ull
#define PAGE_PRESENT	1ull
#define PAGE_WRITE	2ull
#define PAGE_USER	4ull
#define PAGE_NO_EXECUTE (1ull << 63)
extern uint64_t guest_window_table[512];
/* Maps page `index` of the window; entry: physical address and flags. Gives its address. */
uint8_t *window_map(unsigned index, uint64_t entry);
void *memory_set(void *to, int value, size_t bytes);
void *memory_copy(void *to, const void *from, size_t bytes);
int memory_compare(const void *a, const void *b, size_t bytes);

/* smp.c
 * -------------------------------------------------------------------------------------------- */

/* Starts CPU `number` (its APIC id) by INIT and SIPI. False: it does not come. */
bool cpu_start(unsigned number);
/* Has a CPU that was started run a function; waits for its end. */
void cpu_begin(unsigned number, void (*work)(void *), void *argument);
bool cpu_finish(unsigned number);

/* time.c
 * ------------------------------------------------------------------------------------------- */

/* Ticks of the TSC a millisecond, by the ACPI timer; nanoseconds from ticks. */
uint64_t tsc_khz(void);
uint64_t tsc_ns(uint64_t ticks);
/* Waits, spinning, until the counter has reached a number; false: 10 s have passed. */
bool wait_count(const volatile uint32_t *counter, uint32_t number);
void wait_us(uint64_t microseconds);

#endif
