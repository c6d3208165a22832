// SPDX-License-Identifier: BSD-2-Clause
#include "hv/panic.h"

#include "arch/x86/asm.h"
#include "hv/console.h"
#include "hv/cpu.h"
#include "hv/string.h"
#include "hv/symbols.h"

#define TRACE_LIMIT	  16
#define PORT_RESET	  0xcf9
#define PORT_KEYBOARD	  0x64
#define KEYBOARD_RESET	  0xfe
#define RESET_FULL	  0x0e
#define RESET_DELAY_TICKS 2000000000ull /* how long the message stays before the reset */

static const struct boot_info *boot_info;
static int panicking;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char line[160];
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = format_text_v(line, sizeof(line), format, arguments);
	va_end(arguments);
	console_write(line, length);
}

void panic_init(const struct boot_info *boot)
{
	boot_info = boot;
}

void panic_console_open(void)
{
	volatile uint32_t *pixels = NULL;

	if (boot_info->framebuffer_pdpte != 0) {
		*(volatile uint64_t *)boot_info->framebuffer_link = boot_info->framebuffer_pdpte;
		pixels = (volatile uint32_t *)(HV_FRAMEBUFFER_BASE +
					       boot_info->framebuffer.base % LARGE_PAGE_BYTES);
	}
	console_open(boot_info->serial_port, &boot_info->framebuffer, pixels);
}

void panic_console_close(void)
{
	console_close();
	if (boot_info->framebuffer_pdpte != 0) {
		*(volatile uint64_t *)boot_info->framebuffer_link = 0;
		write_cr3(read_cr3());
	}
}

_Noreturn void machine_reset(void)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < RESET_DELAY_TICKS)
		cpu_pause();
	if (boot_info->acpi_reset != 0)
		outb((int)(boot_info->acpi_reset >> 16), (uint8_t)boot_info->acpi_reset);
	outb(PORT_RESET, RESET_FULL);
	outb(PORT_KEYBOARD, KEYBOARD_RESET);
	triple_fault();
	cpu_stop();
}

/* True if the 16 bytes at an address lie in the stack of this CPU, so that they can be read. */
static bool on_stack(uint64_t at)
{
	uint64_t end = (uint64_t)cpu_current();

	return at % 8 == 0 && at >= end - HV_CPU_STACK_BYTES && at + 16 <= end;
}

static void say_address(uint64_t address)
{
	uint64_t offset;
	const char *name = symbol_find(address, &offset);

	say("  %016llx  %s+0x%llx\n", (unsigned long long)address, name,
	    (unsigned long long)offset);
}

static void say_trace(uint64_t frame)
{
	say("call trace:\n");
	for (unsigned i = 0; i < TRACE_LIMIT && on_stack(frame); i++) {
		const uint64_t *words = (const uint64_t *)frame;

		if (words[1] == 0 || words[0] <= frame) {
			if (words[1] != 0)
				say_address(words[1] - 1);
			break;
		}
		say_address(words[1] - 1); /* the call, not what follows it */
		frame = words[0];
	}
}

/* One CPU reports; any other that panics meanwhile stops. */
static void begin(void)
{
	if (__atomic_exchange_n(&panicking, 1, __ATOMIC_ACQUIRE) != 0)
		cpu_stop();
	panic_console_open();
	say("\nSocle %d.%d.%d: the hypervisor failed on CPU %u\n", SOCLE_VERSION_MAJOR,
	    SOCLE_VERSION_MINOR, SOCLE_VERSION_PATCH, cpu_current()->index);
}

_Noreturn void panic(const char *format, ...)
{
	char line[160];
	va_list arguments;

	begin();
	va_start(arguments, format);
	format_text_v(line, sizeof(line), format, arguments);
	va_end(arguments);
	say("cause: %s\n", line);
	say_trace((uint64_t)__builtin_frame_address(0));
	say("resetting the machine\n");
	machine_reset();
}

_Noreturn void panic_exception(const struct exception_frame *frame)
{
	begin();
	say("cause: exception %llu, error code 0x%llx\n", (unsigned long long)frame->vector,
	    (unsigned long long)frame->error_code);
#define PAIR(a, b)                                                                                 \
	say("  " #a " %016llx  " #b " %016llx\n", (unsigned long long)frame->a,                    \
	    (unsigned long long)frame->b)
	PAIR(rip, rsp);
	PAIR(rax, rbx);
	PAIR(rcx, rdx);
	PAIR(rsi, rdi);
	PAIR(rbp, r8);
	PAIR(r9, r10);
	PAIR(r11, r12);
	PAIR(r13, r14);
	PAIR(r15, rflags);
#undef PAIR
	say("  cr2 %016llx  cr3 %016llx\n", (unsigned long long)read_cr2(),
	    (unsigned long long)read_cr3());
	say_address(frame->rip);
	say_trace(frame->rbp);
	say("resetting the machine\n");
	machine_reset();
}
