/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of the configuration's test share. */
#ifndef SOCLE_TEST_CONFIG_H
#define SOCLE_TEST_CONFIG_H

#include "config.h"
#include "unit.h"

extern struct config_reporter reporter;
extern struct config_tree tree;
extern char said[4096]; /* all messages since said_nothing(), each with a newline */

void config_start(void);
void config_stop(void);

/* Empties tree and messages, then parses. */
bool parse(const char *text);

void expect_said(const char *part);

TCase *config_domain_case(void); /* test_config_domain.c */

#endif
