/* SPDX-License-Identifier: BSD-2-Clause */
/* A unit test defines one suite; unit_main.c runs it and prints the summary. */
#ifndef SOCLE_UNIT_H
#define SOCLE_UNIT_H

#include <check.h>

Suite *unit_suite(void);

#endif
