# SPDX-License-Identifier: BSD-2-Clause
"""Guests run by programs of the service VM, in place of a VMM. They take frames past socled, hence `lazy`."""

import re

from framework import system_test

TESTS = "/lib/socle/tests"


def passes(machine, program):
    output = machine.run(f"!{TESTS}/{program}", timeout=120)
    assert re.search(rf"^PASS: {program.split()[0]}", output, re.M), output


@system_test(smp=2, lazy=True)
def runs_and_leaves_nothing(machine):
    passes(machine, "domain-smoke --cycles 20")


@system_test(smp=2, lazy=True)
def takes_all_modes_and_no_bad_state(machine):
    passes(machine, "domain-state")


@system_test(smp=2, lazy=True)
def keeps_what_is_beside_its_registers(machine):
    passes(machine, "domain-edges")


@system_test(smp=2, lazy=True)
def is_left_at_other_cpus_nmis(machine):
    passes(machine, "domain-kick")


@system_test(smp=2, lazy=True)
def reports_each_page_that_is_written_once(machine):
    passes(machine, "domain-dirty")
