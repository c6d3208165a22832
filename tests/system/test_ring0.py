# SPDX-License-Identifier: BSD-2-Clause
"""A kernel of our own in the service VM's place (tests/ring0): what Linux does not do in ring 0."""

import re

from framework import system_test


@system_test(quick=True, start=False, kernel="ring0", files=None, smp=2, mem=512, pool=64)
def ring_0_finds_what_it_should(machine):
    machine.start()
    machine.expect(r"ring0: done, \d+ failed", timeout=120)
    failed = re.findall(r"ring0: FAIL.*|ring0:   .* expected .*", machine.text)
    assert not failed, "\n".join(failed)
    # Its last act: no exception can be delivered any more.
    machine.expect(r"service VM, CPU 0: triple fault", timeout=60)
