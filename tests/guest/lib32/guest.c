/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions, paging and the little that a 32-bit guest needs of its devices. */
#include "lib32/guest.h"

#define GATE_INTERRUPT 0x8e
#define GATE_USER      0xee
#define VECTOR_USER    0x80
#define TSS_ATTRIBUTES 0x89
#define CR4_PSE	       (1u << 4)
#define CR4_PAE	       (1u << 5)
#define CR4_OS_SSE     (3u << 9)
#define EFER_NXE       0x800u
#define ENTRY_ALL      (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
#define ENTRY_LARGE    0x80u
#define STACK_BYTES    8192
#define APIC_EOI       0x0b
#define PATIENCE       20000000000ull /* TSC ticks: several seconds */

struct tss guest_tss;
struct trap guest_trapped;
volatile uint32_t guest_count[256];
uint64_t guest_idt[256];
extern const uint32_t guest_stubs[256];
_Noreturn void guest_recover(struct frame *frame);

static trap_handler *handlers[256];
static uint8_t trap_stack[STACK_BYTES], user_stack[STACK_BYTES] __attribute__((aligned(16)));

/* Exceptions and interrupts -------------------------------------------------------------------- */

void trap_handle(unsigned vector, trap_handler *handler)
{
	handlers[vector] = handler;
}

void gdt_set(unsigned selector, uint64_t value)
{
	((volatile uint64_t *)guest_gdt)[selector / 8] = value;
}

uint64_t descriptor(uint32_t base, uint32_t limit, uint16_t attributes)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
	       (uint64_t)(attributes & 0xff) << 40 | (uint64_t)(limit >> 16 & 0xf) << 48 |
	       (uint64_t)(attributes >> 8 & 0xf) << 52 | (uint64_t)(base >> 24) << 56;
}

void gate_set(unsigned vector, uint16_t selector, uint32_t offset, uint8_t attributes)
{
	((volatile uint64_t *)guest_idt)[vector] = (offset & 0xffff) | (uint64_t)selector << 16 |
						   (uint64_t)attributes << 40 |
						   (uint64_t)(offset >> 16) << 48;
}

void guest_trap(struct frame *frame);
void guest_trap(struct frame *frame)
{
	unsigned vector = frame->vector & 255;
	unsigned long dr6;

	if (handlers[vector] != NULL) {
		handlers[vector](frame);
		return;
	}
	if (vector >= 32 && vector != VECTOR_USER) {
		guest_count[vector]++;
		lapic_write(APIC_EOI, 0);
		return;
	}
	if (guest_recovery_eip == 0)
		give_up("exception %u code %x at %x:%x, CR2 %x", vector, (uint64_t)frame->error,
			(uint64_t)frame->cs, (uint64_t)frame->eip, get_cr2());
	__asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
	guest_trapped = (struct trap){true,	     vector,	frame->error,	     frame->eip,
				      frame->eflags, frame->cs, (uint32_t)get_cr2(), (uint32_t)dr6,
				      frame->eax};
	guest_recover(frame);
}

bool check_trap(const char *name, struct trap found, unsigned vector, uint32_t error)
{
	bool good = vector == NO_TRAP
			    ? !found.happened
			    : found.happened && found.vector == vector && found.error == error;

	if (check_outcome(name, good))
		return true;
	say("expected exception %u code %x, found %u code %x at %x\n", vector, (uint64_t)error,
	    found.happened ? found.vector : NO_TRAP, (uint64_t)found.error, (uint64_t)found.eip);
	return false;
}

void trap_init(void)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		const void *base;
	} idtr = {sizeof(guest_idt) - 1, guest_idt};

	for (unsigned i = 0; i < 256; i++)
		gate_set(i, SELECTOR_CODE, guest_stubs[i], GATE_INTERRUPT);
	for (unsigned i = VECTOR_BP; i <= VECTOR_OF; i++)
		gate_set(i, SELECTOR_CODE, guest_stubs[i], GATE_USER);
	gate_set(VECTOR_USER, SELECTOR_CODE, guest_stubs[VECTOR_USER], GATE_USER);
	guest_tss.ss0 = SELECTOR_DATA;
	guest_tss.esp0 = (uint32_t)trap_stack + STACK_BYTES;
	guest_tss.io_map = offsetof(struct tss, ports);
	for (unsigned i = 0; i < sizeof(guest_tss.ports); i++)
		guest_tss.ports[i] = 0xff;
	guest_tss.end = 0xff;
	gdt_set(SELECTOR_TSS,
		descriptor((uint32_t)&guest_tss, sizeof(guest_tss) - 1, TSS_ATTRIBUTES));
	__asm__ volatile("lidt %0; ltr %w1" : : "m"(idtr), "r"(SELECTOR_TSS) : "memory");
}

struct trap enter(uint32_t cs, uint32_t eip, uint32_t ss, uint32_t esp, uint32_t eflags)
{
	/* Data segments that are not for its CPL would be lost on the way. */
	return TRY("pushl $0x1b; popl %%ds; pushl $0x1b; popl %%es;"
		   "pushl %3; pushl %2; pushl %4; pushl %0; pushl %1; iretl",
		   : "+c"(cs), "+b"(eip), "+S"(esp), "+d"(ss), "+D"(eflags)
		   :
		   : "eax", "ebp", "memory", "cc");
}

struct trap user_run(void (*code)(void))
{
	return enter(SELECTOR_USER_CODE, (uint32_t)code, SELECTOR_USER_DATA,
		     (uint32_t)user_stack + STACK_BYTES, 2);
}

/* Paging --------------------------------------------------------------------------------------- */

#ifdef GUEST_PAE
#define ENTRIES	   512u
#define LARGE_BITS 21
static paging_entry pointers[4] __attribute__((aligned(32)));
static paging_entry directories[4 * ENTRIES] __attribute__((aligned(4096)));
#define ROOT pointers
#else
#define ENTRIES	   1024u
#define LARGE_BITS 22
static paging_entry directories[ENTRIES] __attribute__((aligned(4096)));
#define ROOT	   directories
#endif
paging_entry guest_window_table[ENTRIES] __attribute__((aligned(4096)));
paging_entry guest_low_table[ENTRIES] __attribute__((aligned(4096)));

void paging_on(void)
{
	for (unsigned i = 0; i < ARRAY_COUNT(directories); i++)
		directories[i] = (paging_entry)i << LARGE_BITS | ENTRY_ALL | ENTRY_LARGE;
	for (unsigned i = 0; i < ENTRIES; i++)
		guest_low_table[i] = i * PAGE_BYTES | ENTRY_ALL;
	directories[0] = (paging_entry)(uint32_t)guest_low_table | ENTRY_ALL;
	directories[WINDOW >> LARGE_BITS] = (paging_entry)(uint32_t)guest_window_table | ENTRY_ALL;
#ifdef GUEST_PAE
	for (unsigned i = 0; i < 4; i++)
		pointers[i] = (uint32_t)&directories[i * ENTRIES] | PAGE_PRESENT;
	set_cr4(CR4_PAE | CR4_OS_SSE);
	wrmsr(MSR_EFER, EFER_NXE);
#else
	set_cr4(CR4_PSE | CR4_OS_SSE);
#endif
	set_cr3((uint32_t)ROOT);
	set_cr0(get_cr0() | CR0_PG | CR0_WP);
}

uint8_t *window_map(unsigned index, paging_entry entry)
{
	uint8_t *at = (uint8_t *)(WINDOW + index * PAGE_BYTES);

	((volatile paging_entry *)guest_window_table)[index] = entry;
	flush_page(at);
	return at;
}

/* Devices -------------------------------------------------------------------------------------- */

void lapic_write(unsigned number, uint32_t value)
{
	mmio_write(LOCAL_APIC + 16 * number, value);
}

uint32_t lapic_read(unsigned number)
{
	return mmio_read(LOCAL_APIC + 16 * number);
}

bool wait_count(const volatile uint32_t *counter, uint32_t number)
{
	uint64_t end = rdtsc() + PATIENCE;

	interrupts_on();
	while (*counter < number && rdtsc() < end)
		pause();
	interrupts_off();
	return *counter >= number;
}

/* The compiler calls these for structures. */
void *memset(void *to, int value, size_t bytes);
void *memset(void *to, int value, size_t bytes)
{
	uint8_t *at = to;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes)
{
	uint8_t *a = to;
	const uint8_t *b = from;

	for (size_t i = 0; i < bytes; i++)
		a[i] = b[i];
	return to;
}

void guest_main(void);
void guest_main(void)
{
	trap_init();
	paging_on();
	guest_run();
}
