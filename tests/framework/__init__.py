# SPDX-License-Identifier: BSD-2-Clause
"""The framework of the system tests. docs/testing.md is its guide; in short:

    from framework import Skip, system_test

    @system_test(backends=("svm", "vmx"), quick=True)
    def has_two_cpus(machine):
        assert machine.run("!nproc").split() == ["2"]

is a file tests/system/test_NAME.py, found by itself. The test runs once on each back end, on a machine
that is at the prompt of the management shell. Tests that ask for equal machines share one boot.

`machine` is a `TestMachine` (see machines.py). Options of `system_test`:

    backends=("svm", "vmx")   where it runs: svm is QEMU, vmx is Bochs
    quick=False               also part of ./test --quick (on svm only)
    long=False                only part of ./test --long
    fresh=False               True: a boot for this test alone, and the machine may be left in any state
    last=False                True: after the other tests on their machine, which is thrown away then
    start=True                False (with fresh): the test gets a machine that is not started, to watch
                              the boot or to make it fail
    machine=True              False: no machine at all; the test gets a `Host` to start `./run` with
    anything else             a field of emulator.config.Config for the machine: smp=4, mem=1024,
                              append="...", cpu_model="...", conf=PATH, icount=True ...

A test fails by an exception (assert), and is skipped by `raise Skip("why")`.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))), "boot"))

from .declare import Skip, system_test  # noqa: E402
from .machines import FILES, Host, TestMachine  # noqa: E402

__all__ = ["FILES", "Host", "Skip", "TestMachine", "system_test"]
