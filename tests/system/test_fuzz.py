# SPDX-License-Identifier: BSD-2-Clause
"""Random hypercalls, areas and guests with the real hypervisor (tests/service/machine_fuzz.c)."""

import re

from framework import system_test

PROGRAM = "/lib/socle/tests/machine-fuzz"


def storm(machine, seconds):
    """Runs it; it checks the balance of the pool and the log itself, and prints its seed."""
    output = machine.run(f"!{PROGRAM} --seconds {seconds}", timeout=3 * seconds + 120)
    assert re.search(r"^PASS: machine-fuzz: seed 0x", output, re.M), output
    dmesg = machine.run("dmesg")
    assert "panic" not in dmesg.lower(), dmesg


@system_test(backends=("vmx",), smp=2, lazy=True, last=True)
def survives_a_short_storm(machine):
    storm(machine, 10)


@system_test(backends=("svm",), smp=2, lazy=True, last=True)
def survives_a_storm_on_amd(machine):
    storm(machine, 25)
