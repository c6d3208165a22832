/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text on the serial port and the framebuffer, while the loader and the hypervisor have the machine
 * to themselves: until the service VM starts, and again in a panic. Used by the loader too.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include "hv/boot_info.h"

/*
 * Opens the console. serial_port is the I/O port of a 16550, or 0. pixels is where the framebuffer
 * is mapped, or NULL.
 */
void console_open(uint32_t serial_port, const struct boot_framebuffer *framebuffer,
		  volatile uint32_t *pixels);

/* Writes go nowhere from here on. */
void console_close(void);

/* Writes text; a newline becomes CR LF on the serial port. The caller serialises. */
void console_write(const char *text, size_t bytes);

#endif
