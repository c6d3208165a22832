/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's last words, on the serial port and the screen, and the ways to reset a machine.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/fake/fake_cpu.h"
#include "hv/console.h"
#include "hv/panic.h"
#include "hv/symbols.h"
#include "unit.h"

#define PORT   0x3f8
#define LSR    (PORT + 5)
#define READY  0x20
#define WIDTH  64 /* 8 characters */
#define HEIGHT 60 /* 3 rows, and a bit */
#define STRIDE 80
#define TEXT   0x00c0c0c0
#define NEVER  0x12345678

const struct symbol symbols[] = {{0x1000, "first"}, {0x2000, "second"}, {0x3000, "third"}};
const size_t symbols_count = 3;

static struct boot_info boot;
static struct cpu *cpu;
static uint32_t pixels[STRIDE * HEIGHT];
static uint64_t link_entry;

static void start(void)
{
	fake_start();
	fake_tsc_step(1000000000);
	cpu = fake_cpu_new(5, 7);
	fake_cpu_is(cpu);
	fake_port(LSR, READY);
	boot = (struct boot_info){
		.serial_port = PORT,
		.framebuffer_link = (uint64_t)&link_entry,
		.framebuffer = {.width = WIDTH, .height = HEIGHT, .stride = STRIDE},
	};
	for (unsigned c = 0; c < GLYPH_COUNT; c++)
		memset(boot.framebuffer.glyph[c], (int)(GLYPH_FIRST + c), GLYPH_HEIGHT);
	boot.framebuffer.have_glyphs = 1;
	for (unsigned i = 0; i < ARRAY_COUNT(pixels); i++)
		pixels[i] = NEVER;
	panic_init(&boot);
}

/* What was sent to the serial port, behind the UART's set-up. */
static const char *serial_text(void)
{
	static char text[4096];
	size_t length = 0;

	for (unsigned i = 5; i < fake_outs() && length + 1 < sizeof(text); i++)
		if (fake_out(i) >> 8 == PORT)
			text[length++] = (char)fake_out(i);
	text[length] = '\0';
	return text;
}

/* The character at a place of the screen, by its glyph: all its lines are the same. */
static char screen_char(unsigned row, unsigned column)
{
	char c = 0;

	for (unsigned y = 0; y < GLYPH_HEIGHT; y++) {
		char line = 0;

		for (unsigned x = 0; x < GLYPH_WIDTH; x++)
			line |= (char)((pixels[(row * GLYPH_HEIGHT + y) * STRIDE +
					       column * GLYPH_WIDTH + x] == TEXT)
				       << (7 - x));
		if (y == 0)
			c = line;
		ck_assert_int_eq(line, c);
	}
	return c;
}

START_TEST(uart_is_set_up)
{
	static const uint32_t expected[] = {0x3f900, 0x3fb83, 0x3f801, 0x3f900, 0x3fb03};

	console_open(PORT, &boot.framebuffer, NULL);
	console_write("a\nb", 3);
	for (unsigned i = 0; i < ARRAY_COUNT(expected); i++)
		ck_assert_uint_eq(fake_out(i), expected[i]);
	ck_assert_str_eq(serial_text(), "a\r\nb");
	console_close();
	console_write("c", 1);
	ck_assert_str_eq(serial_text(), "a\r\nb");
}
END_TEST

/* A UART that is never ready holds nothing up for ever. */
START_TEST(uart_is_dead)
{
	fake_port(LSR, 0);
	console_open(PORT, &boot.framebuffer, NULL);
	console_write("x", 1);
	ck_assert_str_eq(serial_text(), "x");
}
END_TEST

START_TEST(screen)
{
	console_open(0, &boot.framebuffer, pixels);
	console_write("ab\ncdefghijkl", 13);
	ck_assert_uint_eq(fake_outs(), 0);
	ck_assert_int_eq(screen_char(0, 0), 'a');
	ck_assert_int_eq(screen_char(0, 1), 'b');
	ck_assert_int_eq(screen_char(0, 2), 0); /* the row was cleared */
	ck_assert_int_eq(screen_char(1, 7), 'j');
	ck_assert_int_eq(screen_char(2, 0), 'k'); /* the line was too long */
	ck_assert_int_eq(screen_char(2, 1), 'l');
	/* at the bottom it starts over at the top */
	console_write("\n\tm", 3);
	ck_assert_int_eq(screen_char(0, 0), '?');
	ck_assert_int_eq(screen_char(0, 1), 'm');
	ck_assert_int_eq(screen_char(0, 2), 0);
	/* nothing beside it */
	for (unsigned y = 0; y < HEIGHT; y++)
		for (unsigned x = 0; x < STRIDE; x++)
			if (x >= WIDTH || y >= 3 * GLYPH_HEIGHT)
				ck_assert_uint_eq(pixels[y * STRIDE + x], NEVER);
}
END_TEST

START_TEST(no_glyphs)
{
	boot.framebuffer.have_glyphs = 0;
	console_open(0, &boot.framebuffer, pixels);
	console_write("ab", 2);
	ck_assert_uint_eq(pixels[0], NEVER);
}
END_TEST

/* The framebuffer is mapped while the console is open, and not afterwards. */
START_TEST(framebuffer_link)
{
	boot.framebuffer.have_glyphs = 0;
	panic_console_open();
	ck_assert_uint_eq(link_entry, 0); /* there is none */
	panic_console_close();
	boot.framebuffer_pdpte = 0x1003;
	panic_console_open();
	ck_assert_uint_eq(link_entry, 0x1003);
	ck_assert_uint_eq(fake_flushes(), 0);
	panic_console_close();
	ck_assert_uint_eq(link_entry, 0);
	ck_assert_uint_eq(fake_flushes(), 1);
}
END_TEST

static void do_panic(void *unused)
{
	(void)unused;
	panic("%s is %d", "the answer", 42);
}

static void check_resets(unsigned first)
{
	/* 0xcf9, the keyboard controller, a triple fault */
	ck_assert_str_eq(fake_panic_text(), "triple fault");
	ck_assert_uint_eq(fake_out(fake_outs() - 2), 0xcf9u << 8 | 0x0e);
	ck_assert_uint_eq(fake_out(fake_outs() - 1), 0x64u << 8 | 0xfe);
	ck_assert_uint_ge(fake_outs(), first);
}

START_TEST(message)
{
	ck_assert(fake_panics(do_panic, NULL));
	ck_assert_ptr_nonnull(strstr(serial_text(), "the hypervisor failed on CPU 5\r\n"));
	ck_assert_ptr_nonnull(strstr(serial_text(), "cause: the answer is 42\r\n"));
	ck_assert_ptr_nonnull(strstr(serial_text(), "resetting the machine\r\n"));
	check_resets(0);
}
END_TEST

/* The FADT's reset register comes first. */
START_TEST(acpi_reset)
{
	boot.acpi_reset = 0xcafe0006;
	ck_assert(fake_panics(do_panic, NULL));
	ck_assert_uint_eq(fake_out(fake_outs() - 3), 0xcafeu << 8 | 0x06);
	check_resets(1);
}
END_TEST

/* A second CPU that panics says nothing, and stops. */
START_TEST(second)
{
	unsigned before;

	ck_assert(fake_panics(do_panic, NULL));
	before = fake_outs();
	ck_assert(fake_panics(do_panic, NULL));
	ck_assert_str_eq(fake_panic_text(), "stop");
	ck_assert_uint_eq(fake_outs(), before);
}
END_TEST

static struct exception_frame frame;

static void do_exception(void *unused)
{
	(void)unused;
	panic_exception(&frame);
}

/* Puts a stack frame of a function that was called from `from` into the CPU's stack. */
static uint64_t push(uint64_t at, uint64_t next, uint64_t from)
{
	uint64_t *words = (uint64_t *)((uint64_t)cpu - at);

	words[0] = next;
	words[1] = from;
	return (uint64_t)words;
}

START_TEST(exception)
{
	const char *text;

	frame = (struct exception_frame){
		.vector = 14, .error_code = 2, .rip = 0x2345, .r15 = 0xf15, .rax = 0xaaaa};
	frame.rbp = push(256, push(128, push(64, 0, 0), 0x3005), 0x1010);
	ck_assert(fake_panics(do_exception, NULL));
	text = serial_text();
	ck_assert_ptr_nonnull(strstr(text, "cause: exception 14, error code 0x2\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "rax 000000000000aaaa"));
	ck_assert_ptr_nonnull(strstr(text, "r15 0000000000000f15"));
	ck_assert_ptr_nonnull(strstr(text, "cr2 00000000c2c2c2c2"));
	ck_assert_ptr_nonnull(strstr(text, "0000000000002345  second+0x345\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "000000000000100f  first+0xf\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "0000000000003004  third+0x4\r\n"));
	check_resets(0);
}
END_TEST

/* A trace reads this CPU's stack and nothing else, and ends whatever is there. */
START_TEST(bad_traces)
{
	uint64_t end = (uint64_t)cpu;
	const uint64_t rbp[] = {
		0,
		1,
		end,
		end - 8,
		end - 4,
		end - HV_CPU_STACK_BYTES - 16,
		0xffffffffffffffff,
		push(64, end - 64, 0x1001),  /* a loop */
		push(128, end - 512, 0x1001) /* backwards */
	};

	frame = (struct exception_frame){.vector = 13, .rbp = rbp[_i]};
	ck_assert(fake_panics(do_exception, NULL));
	ck_assert_ptr_nonnull(strstr(serial_text(), "call trace:\r\n"));
	check_resets(0);
}
END_TEST

START_TEST(symbol)
{
	uint64_t offset;

	ck_assert_str_eq(symbol_find(0xfff, &offset), "?");
	ck_assert_uint_eq(offset, 0xfff);
	ck_assert_str_eq(symbol_find(0x1000, &offset), "first");
	ck_assert_uint_eq(offset, 0);
	ck_assert_str_eq(symbol_find(0x2fff, &offset), "second");
	ck_assert_uint_eq(offset, 0xfff);
	ck_assert_str_eq(symbol_find(UINT64_MAX, &offset), "third");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("panic");
	TCase *tests = tcase_create("panic");

	tcase_add_checked_fixture(tests, start, NULL);
	tcase_add_test(tests, uart_is_set_up);
	tcase_add_test(tests, uart_is_dead);
	tcase_add_test(tests, screen);
	tcase_add_test(tests, no_glyphs);
	tcase_add_test(tests, framebuffer_link);
	tcase_add_test(tests, message);
	tcase_add_test(tests, acpi_reset);
	tcase_add_test(tests, second);
	tcase_add_test(tests, exception);
	tcase_add_loop_test(tests, bad_traces, 0, 9);
	tcase_add_test(tests, symbol);
	suite_add_tcase(suite, tests);
	return suite;
}
