/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest says, and how it ends. */
#include <stdarg.h>

#include "lib/cpu.h"
#include "lib/report.h"

#define UART		 0x3f8
#define UART_FCR	 (UART + 2)
#define UART_LSR	 (UART + 5)
#define UART_FIFO	 16 /* characters */
#define FCR_ENABLE	 1
#define LSR_THRE	 0x20 /* nothing is left to be sent */
#define DEBUG_EXIT	 0xf4
#define MULTIBOOT_LOADED 0x2badb002u
#define COMMAND_LINE	 16 /* offset in the Multiboot information */

static unsigned checks, failed, skipped;

/* Waits only when as much was sent as the UART has room for. */
static void put(char c)
{
	static unsigned left;

	if (left == 0) {
		out8(UART_FCR, FCR_ENABLE);
		while ((in8(UART_LSR) & LSR_THRE) == 0)
			pause();
		left = UART_FIFO;
	}
	out8(UART, (uint8_t)c);
	left--;
}

/* Divides by a small number without the compiler's library, which 32-bit code has none of. */
static unsigned divide(uint64_t *value, uint32_t by)
{
	uint32_t high = (uint32_t)(*value >> 32), low = (uint32_t)*value, rest = high % by;

	__asm__("divl %2" : "+a"(low), "+d"(rest) : "r"(by) : "cc");
	*value = (uint64_t)(high / by) << 32 | low;
	return rest;
}

static void put_number(uint64_t value, unsigned base)
{
	char digit[20];
	unsigned count = 0;

	do
		digit[count++] = "0123456789abcdef"[divide(&value, base)];
	while (value != 0);
	while (count > 0)
		put(digit[--count]);
}

static void put_format(const char *format, va_list list)
{
	const char *text;
	int64_t number;

	for (; *format != 0; format++) {
		if (*format != '%') {
			if (*format == '\n')
				put('\r');
			put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (text = va_arg(list, const char *); *text != 0; text++)
				put(*text);
			break;
		case 'u':
			put_number(va_arg(list, unsigned), 10);
			break;
		case 'd':
			number = va_arg(list, int64_t);
			if (number < 0)
				put('-');
			put_number(number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
			break;
		case 'x':
			put_number(va_arg(list, uint64_t), 16);
			break;
		default:
			put('%');
			break;
		}
	}
}

void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	put_format(format, list);
	va_end(list);
}

bool check_outcome(const char *name, bool met)
{
	checks++;
	failed += !met;
	say(met ? "ok %s\n" : "not ok %s: ", name);
	return met;
}

bool check_true(const char *name, bool found)
{
	if (!check_outcome(name, found))
		say("expected true, found false\n");
	return found;
}

bool check_equal(const char *name, uint64_t expected, uint64_t found)
{
	if (check_outcome(name, expected == found))
		return true;
	say("expected %x, found %x\n", expected, found);
	return false;
}

bool check_range(const char *name, uint64_t low, uint64_t high, uint64_t found)
{
	if (check_outcome(name, found >= low && found <= high))
		return true;
	say("expected %d to %d, found %d\n", low, high, found);
	return false;
}

void check_skip(const char *name, const char *why)
{
	skipped++;
	say("skip %s: %s\n", name, why);
}

void guest_exit(uint32_t status)
{
	out32(DEBUG_EXIT, status);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void give_up(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say("not ok %s: ", guest_name);
	put_format(format, list);
	va_end(list);
	say("\n");
	guest_exit(2);
}

/* The text behind `name` where it begins a word of the command line, or NULL. */
static const char *find_word(const char *name)
{
	const char *line;

	if (guest_boot_magic != MULTIBOOT_LOADED)
		return NULL;
	line = (const char *)(uintptr_t) * (uint32_t *)(uintptr_t)(guest_boot_info + COMMAND_LINE);
	for (bool first = true; *line != 0; first = *line++ == ' ') {
		const char *a = line, *b = name;

		if (!first)
			continue;
		while (*b != 0 && *a == *b) {
			a++;
			b++;
		}
		if (*b == 0)
			return a;
	}
	return NULL;
}

bool guest_option(const char *word)
{
	const char *rest = find_word(word);

	return rest != NULL && (*rest == 0 || *rest == ' ');
}

uint64_t guest_number(const char *name, uint64_t otherwise)
{
	const char *rest = find_word(name);
	uint64_t value = 0;

	if (rest == NULL || *rest++ != '=')
		return otherwise;
	for (; *rest >= '0' && *rest <= '9'; rest++)
		value = value * 10 + (uint64_t)(*rest - '0');
	return value;
}

bool on_qemu(void)
{
	return cpuid(0x80000002, 0).a == 0x554d4551; /* "QEMU" */
}

void guest_run(void)
{
	guest_test();
	say("end %s: %u checks, %u failed, %u skipped\n", guest_name, checks, failed, skipped);
	guest_exit(failed != 0);
}
