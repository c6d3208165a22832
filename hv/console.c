// SPDX-License-Identifier: BSD-2-Clause
#include "hv/console.h"

#include "arch/x86/asm.h"

/* 16550 registers (National Semiconductor PC16550D, table II), as offsets from the base port. */
#define UART_THR      0
#define UART_IER      1
#define UART_LCR      3
#define UART_LSR      5
#define UART_LCR_DLAB 0x80
#define UART_LCR_8N1  0x03
#define UART_LSR_THRE 0x20
#define UART_WAIT_LIMIT                                                                            \
	100000 /* polls before a character is given up: a UART that is not there                   \
		*/

#define COLOR_TEXT 0x00c0c0c0
#define COLOR_BACK 0x00000000

static uint16_t serial;
static const struct boot_framebuffer *screen;
static volatile uint32_t *screen_pixels;
static uint32_t column, row;

static void serial_put(char c)
{
	for (int i = 0; i < UART_WAIT_LIMIT; i++)
		if (inb(serial + UART_LSR) & UART_LSR_THRE)
			break;
	outb(serial + UART_THR, (uint8_t)c);
}

static void serial_open(void)
{
	outb(serial + UART_IER, 0);
	outb(serial + UART_LCR, UART_LCR_DLAB | UART_LCR_8N1);
	outb(serial + UART_THR, 1); /* divisor 1: 115,200 baud */
	outb(serial + UART_IER, 0);
	outb(serial + UART_LCR, UART_LCR_8N1);
}

static void screen_clear_row(uint32_t at)
{
	for (uint32_t y = at * GLYPH_HEIGHT; y < (at + 1) * GLYPH_HEIGHT; y++)
		for (uint32_t x = 0; x < screen->width; x++)
			screen_pixels[(uint64_t)y * screen->stride + x] = COLOR_BACK;
}

/* At the bottom the text starts over at the top: a framebuffer is too slow to read for scrolling.
 */
static void screen_newline(void)
{
	column = 0;
	row++;
	if ((row + 1) * GLYPH_HEIGHT > screen->height)
		row = 0;
	screen_clear_row(row);
}

static void screen_put(char c)
{
	const uint8_t *glyph;
	uint64_t at;

	if (c == '\n') {
		screen_newline();
		return;
	}
	if (c < GLYPH_FIRST || c >= GLYPH_FIRST + GLYPH_COUNT)
		c = '?';
	if ((column + 1) * GLYPH_WIDTH > screen->width)
		screen_newline();
	glyph = screen->glyph[c - GLYPH_FIRST];
	at = (uint64_t)row * GLYPH_HEIGHT * screen->stride + column * GLYPH_WIDTH;
	for (uint32_t y = 0; y < GLYPH_HEIGHT; y++)
		for (uint32_t x = 0; x < GLYPH_WIDTH; x++)
			screen_pixels[at + y * screen->stride + x] =
				glyph[y] & (0x80 >> x) ? COLOR_TEXT : COLOR_BACK;
	column++;
}

void console_open(uint32_t serial_port, const struct boot_framebuffer *framebuffer,
		  volatile uint32_t *pixels)
{
	serial = (uint16_t)serial_port;
	if (serial != 0)
		serial_open();
	screen = framebuffer;
	screen_pixels = framebuffer->have_glyphs ? pixels : NULL;
	column = 0;
	row = 0;
	if (screen_pixels != NULL)
		screen_clear_row(0);
}

void console_close(void)
{
	serial = 0;
	screen_pixels = NULL;
}

void console_write(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (serial != 0) {
			if (text[i] == '\n')
				serial_put('\r');
			serial_put(text[i]);
		}
		if (screen_pixels != NULL)
			screen_put(text[i]);
	}
}
