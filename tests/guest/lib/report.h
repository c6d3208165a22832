/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest says and how it ends: the same in all modes of the processor. */
#ifndef GUEST_REPORT_H
#define GUEST_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Defined by each guest. */
extern const char guest_name[];
void guest_test(void);

/* report.c
 * ----------------------------------------------------------------------------------------- */

/* Knows %s %u (unsigned), %x (64 bits, hexadecimal), %d (int64_t). */
void say(const char *format, ...);
/* A check's outcome; all give true if it was met. */
bool check_true(const char *name, bool found);
bool check_equal(const char *name, uint64_t expected, uint64_t found);
bool check_range(const char *name, uint64_t low, uint64_t high, uint64_t found);
/* Counts a check and begins its line: all of it if it was met, else the rest is the caller's. */
bool check_outcome(const char *name, bool met);
/* A check that cannot be made here; the text says why. */
void check_skip(const char *name, const char *why);
/* Says "not ok" and ends the domain: there is no way on. */
_Noreturn void give_up(const char *format, ...);
/* Ends the domain through the debug-exit port. */
_Noreturn void guest_exit(uint32_t status);
/* True if the word is in the command line. */
bool guest_option(const char *word);
/* The number behind "NAME=" in the command line, or a default. */
uint64_t guest_number(const char *name, uint64_t otherwise);

/* True under QEMU's emulation (CPUID's brand says so), whose known defects some checks leave out.
 */
bool on_qemu(void);

extern uint32_t guest_boot_magic, guest_boot_info;

/* Runs guest_test(), says how it went and ends the domain. */
_Noreturn void guest_run(void);

#endif
