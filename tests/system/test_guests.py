# SPDX-License-Identifier: BSD-2-Clause
"""Guests of tests/guest: each checks from the inside what it runs on, and ends its domain with the outcome."""

import re

from framework import system_test

PLACE = "/lib/socle/tests/guest"
# What an emulator gets wrong, and a guest therefore leaves out: what a "skip" line may begin with.
EMULATORS_DEFECTS = ("QEMU ", "Bochs ", "this processor has none")


def create(machine, name, timeout=60, **settings):
    """Runs the guest to its end: the status of "create -c", and what the guest said."""
    words = [f"{key}={value}" for key, value in settings.items()]
    status, output = machine.command(f"create -c {PLACE}/{name}.cfg {' '.join(words)}", timeout)
    return status, output.replace("\r", "")


def passes(machine, name, timeout=60, **settings):
    """Runs a guest, all of whose checks are to be met."""
    status, output = create(machine, name, timeout, **settings)
    wrong = re.findall(r"^not ok .*", output, re.M)
    end = re.search(rf"^end {name}: (\d+) checks, (\d+) failed, (\d+) skipped$", output, re.M)
    assert not wrong, "\n".join(wrong)
    assert end, f"{name} did not reach its end:\n{output}"
    assert status == 0 and int(end[1]) > 0 and end[2] == "0", output
    for what, why in re.findall(r"^skip (.*?): ([^:]*)$", output, re.M):
        assert why.startswith(EMULATORS_DEFECTS), f"{what} was left out: {why}"
    assert not [domain for domain in machine.json("list --json") if domain["live"]]


def declare(name, **options):
    """A test of the guest's name."""
    def test(machine):
        passes(machine, name)
    test.__name__ = name
    system_test(smp=2, **options)(test)


for guest in ("cpuid", "msr", "modes", "exceptions"):
    declare(guest)
for guest in ("strings", "pci", "code", "mmio", "ipi", "interrupts"):
    declare(guest)


@system_test(smp=2)
def a_triple_fault_ends_the_domain(machine):
    status, output = create(machine, "triple")
    assert status == 1 and "triple fault at" in output, output
    ended = machine.json("list --json")[-1]
    assert ended["end"] == "crash" and "triple fault" in ended["reason"], ended
