# SPDX-License-Identifier: BSD-2-Clause
"""Guests run by programs of the service VM, in place of a VMM."""

import re

from framework import system_test

TESTS = "/lib/socle/tests"
# The programs take frames past socled, which must not have divided the pool or be zeroing it.
LAZY = "socle.lazy"


def passes(machine, program):
    output = machine.run(f"!{TESTS}/{program}", timeout=120)
    assert re.search(rf"^PASS: {program.split()[0]}", output, re.M), output


@system_test(smp=2, append=LAZY)
def runs_and_leaves_nothing(machine):
    passes(machine, "domain-smoke --cycles 20")


@system_test(smp=2, append=LAZY)
def takes_all_modes_and_no_bad_state(machine):
    passes(machine, "domain-state")


@system_test(smp=2, append=LAZY)
def keeps_what_is_beside_its_registers(machine):
    passes(machine, "domain-edges")


@system_test(smp=2, append=LAZY)
def is_left_at_other_cpus_nmis(machine):
    passes(machine, "domain-kick")


@system_test(smp=2, append=LAZY)
def reports_each_page_that_is_written_once(machine):
    passes(machine, "domain-dirty")
