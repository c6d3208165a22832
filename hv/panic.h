/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of the hypervisor: an exception or a broken promise of its own code. */
#ifndef HV_PANIC_H
#define HV_PANIC_H

#include "hv/boot_info.h"

/* What exception_common in entry.asm pushes. */
struct exception_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Tells panics where the console is and how to reset the machine. */
void panic_init(const struct boot_info *boot);

/* Opens the console on the framebuffer and the serial port; used while booting and by panics. */
void panic_console_open(void);
void panic_console_close(void);

/* Prints the cause, the registers where it is given them, a call trace; resets the machine. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void panic_exception(const struct exception_frame *frame);

/* Resets the machine: the FADT's reset register, port 0xcf9, the keyboard controller, a triple
 * fault. */
_Noreturn void machine_reset(void);

#define hv_assert(condition)                                                                       \
	do {                                                                                       \
		if (!(condition))                                                                  \
			panic("%s:%d: %s", __FILE__, __LINE__, #condition);                        \
	} while (0)

#endif
