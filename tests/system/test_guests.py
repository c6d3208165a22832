# SPDX-License-Identifier: BSD-2-Clause
"""Guests of tests/guest: each checks from the inside what it runs on, and ends its domain with the outcome."""

import re
import time

from framework import system_test

PLACE = "/lib/socle/tests/guest"
# What an emulator gets wrong, and a guest therefore leaves out: what a "skip" line may begin with.
EMULATORS_DEFECTS = ("QEMU ", "Bochs ", "this processor has none")


def create(machine, name, timeout=60, place=PLACE, **settings):
    """Runs the guest to its end: the status of "create -c", and what the guest said."""
    words = [f"create -c {place}/{name}.cfg"]
    words += [f"{key}={value}" for key, value in settings.items()]
    status, output = machine.command(" ".join(words), timeout)
    return status, output.replace("\r", "")


def passes(machine, name, timeout=60, beside=(), **settings):
    """Runs a guest, all of whose checks are to be met. `beside`: the names of domains that live on."""
    status, output = create(machine, name, timeout, **settings)
    wrong = re.findall(r"^not ok .*", output, re.M)
    end = re.search(rf"^end {name}: (\d+) checks, (\d+) failed, (\d+) skipped$", output, re.M)
    assert not wrong, "\n".join(wrong)
    assert end, f"{name} did not reach its end:\n{output}"
    assert status == 0 and int(end[1]) > 0 and end[2] == "0", output
    for what, why in re.findall(r"^skip (.*?): ([^:]*)$", output, re.M):
        assert why.startswith(EMULATORS_DEFECTS), f"{what} was left out: {why}"
    lives = [domain["name"] for domain in machine.json("list --json") if domain["live"]]
    assert lives == list(beside), lives


def declare(name, smp=2, timeout=60, **options):
    """A test of the guest's name."""
    def test(machine):
        passes(machine, name, timeout)
    test.__name__ = name
    system_test(smp=smp, **options)(test)


for guest in ("cpuid", "msr", "modes", "exceptions"):
    declare(guest)
for guest in ("strings", "pci", "code", "mmio", "ipi", "interrupts", "protected", "pae",
              "real"):
    declare(guest)
# On a machine whose time is its instructions, as it always is in Bochs: else whoever holds up the emulator makes
# timers late. One CPU: what counts is the timers, not how soon a CPU of the emulator wakes another.
declare("timers", timeout=180, backends=("svm",), smp=1, icount=True)
declare("timers", backends=("vmx",), smp=1)


@system_test(smp=2)
def state(machine):
    """Both vCPUs on one CPU, so that each finds there what the other left."""
    passes(machine, "state", cpus=1)


@system_test(smp=2)
def hostile(machine):
    """A guest that does what it can to its VMM: its own end is orderly, and nothing is left of it."""
    free = machine.json("info --json")["pool_free_bytes"]
    machine.run("!dd if=/dev/urandom of=/tmp/hostile.img bs=64k count=16 2>/dev/null")
    machine.run(f"!cp {PLACE}/hostile.cfg /tmp/")
    machine.run("!echo \"disk = ['/tmp/hostile.img,raw,xvda,rw']\" >>/tmp/hostile.cfg")
    for seed in (1, 2):
        passes(machine, "hostile", timeout=120, place="/tmp", extra=f"seed={seed}")
    machine.run("!rm /tmp/hostile.img /tmp/hostile.cfg")
    assert machine.json("info --json")["pool_free_bytes"] == free


@system_test(smp=2)
def wild_guests_crash_alone(machine):
    """Page tables, stacks, code, vectors where no memory is: the domain ends, with a reason."""
    free = machine.json("info --json")["pool_free_bytes"]
    for how in range(14):
        status, output = create(machine, "wild", extra=f"how={how}")
        assert status == 1 and "still here" not in output, f"how={how}: {output}"
        ended = machine.json("list --json")[-1]
        assert ended["end"] == "crash" and ended["reason"], f"how={how}: {ended}"
    assert machine.json("info --json")["pool_free_bytes"] == free
    passes(machine, "code")


# QEMU aborts at a watchpoint in the delivery of an exception.
@system_test(backends=("vmx",), smp=2)
def a_guest_that_comes_to_no_instruction_keeps_nobody(machine):
    """Exceptions in the delivery of exceptions, for ever: others run beside it, and it can be destroyed."""
    free = machine.json("info --json")["pool_free_bytes"]
    for name, how in (("endless", 0), ("endless", 1), ("unaligned", 0)):
        machine.run(f"create {PLACE}/{name}.cfg extra=how={how}")
        deadline = time.monotonic() + 240
        while machine.json(f"stat {name} --json")["exits"].get("exception", 0) < 1000:
            assert time.monotonic() < deadline, machine.run(f"stat {name} --json")
        passes(machine, "code", beside=(name,))
        machine.run(f"destroy {name}")
    assert machine.json("info --json")["pool_free_bytes"] == free


@system_test(smp=2)
def a_triple_fault_ends_the_domain(machine):
    status, output = create(machine, "triple")
    assert status == 1 and "triple fault at" in output, output
    ended = machine.json("list --json")[-1]
    assert ended["end"] == "crash" and "triple fault" in ended["reason"], ended


# QEMU's AMD-V switches tasks without asking.
@system_test(backends=("vmx",), smp=2)
def an_exception_through_a_task_gate_ends_the_domain(machine):
    status, output = create(machine, "protected", extra="taskgate")
    assert status == 1 and "an exception through a task gate" in output, output
