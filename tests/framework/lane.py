# SPDX-License-Identifier: BSD-2-Clause
"""Runs the system tests of one back end, one after the other."""

import tempfile
import time
import traceback

from emulator.config import Failure
from emulator.emulators import DIED
from emulator.machine import Ended, Timeout

from .declare import Skip
from .machines import Host, TestMachine
from .report import FAILED, PASSED, SKIPPED


class Lane:
    """The cases of one back end, ordered so that those with equal machines follow each other."""

    def __init__(self, cases, report, again=False):
        groups = []
        for case in cases:
            if case.group() not in groups:
                groups.append(case.group())
        self.cases = sorted(cases, key=lambda case: (case.fresh or not case.machine,
                                                     groups.index(case.group()), case.last))
        self.report = report
        self.again = again  # a failed case gets a second try, on a machine of its own
        self.machine = None  # started, at its prompt, and fit for the cases of the group below
        self.group = None
        self.boots = 0
        self.broken = {}  # group -> why it does not boot
        self.stopped = False
        self.reason = ""  # of the last unexpected end of a machine

    def stop(self):
        """From another thread: the machine is taken away, and no more tests are started."""
        self.stopped = True
        machine = self.machine
        if machine:
            machine.emulator.kill()

    def run(self):
        try:
            for case in self.cases:
                if self.stopped:
                    break
                self._case(case)
        finally:
            self._discard()

    def _case(self, case):
        begun = time.monotonic()
        outcome, detail = self._attempt(case)
        if outcome == DIED and not self.stopped:
            self.report.note(f"{case.name} is run once more: {self.reason}")
            outcome, detail = self._attempt(case)
        if self.stopped:
            return
        if outcome == DIED:
            outcome = FAILED
        if outcome == FAILED and self.again:
            outcome, detail = self._second_try(case, detail)
            if self.stopped:
                return
        self.report.result(outcome, case.name, time.monotonic() - begun, detail)

    def _second_try(self, case, detail):
        """What one run on a fresh machine gives; the first is reported as unsteady at any rate."""
        self._discard()
        self.broken.pop(case.group(), None)
        outcome, second = self._attempt(case)
        if outcome in (PASSED, SKIPPED):
            self.report.unsteady(case.name, detail)
            return outcome, second
        return FAILED, detail

    def _attempt(self, case):
        """Runs the case once: (outcome, detail), the outcome DIED if the emulator failed."""
        host = None
        try:
            if case.machine:
                case.function(self._machine_for(case))
            else:
                with tempfile.TemporaryDirectory(prefix="socle-test-") as directory:
                    host = Host(case.backend, directory)
                    try:
                        case.function(host)
                    finally:
                        host.close()
            return PASSED, ""
        except Skip as skip:
            return SKIPPED, str(skip)
        except Broken as broken:
            return FAILED, str(broken)
        except Ended as ended:
            self.reason = str(ended)
            detail = self._failure(case)
            self._discard()
            return DIED if ended.ending.kind == DIED else FAILED, detail
        except Exception as error:  # whatever a test does wrong is its own failure
            detail = self._failure(case)
            if isinstance(error, (Timeout, Failure)):
                self._discard()  # it may hang, or be in the middle of something
            return FAILED, detail
        finally:
            if case.fresh or case.last or not case.machine:
                self._discard()

    def _machine_for(self, case):
        group = case.group()
        if self.machine and self.group == group and not case.fresh and not self.machine.ending:
            return self.machine
        self._discard()
        if group in self.broken and case.start:
            raise Broken(f"its machine does not boot: see {self.broken[group]}")
        self.boots += 1
        self.machine, self.group = TestMachine(case.backend, **case.options), group
        if case.start:
            try:
                self.machine.start()
                self.machine.wait_prompt()
            except (Timeout, Failure):
                self.broken[group] = case.name
                raise
            except Ended as ended:
                if ended.ending.kind != DIED:
                    self.broken[group] = case.name
                raise
        return self.machine

    def _discard(self):
        machine, self.machine = self.machine, None
        if machine:
            machine.close()
            if machine.transcript:
                self.report.keep(f"{machine.backend}-{self.boots}", machine.transcript)

    def _failure(self, case):
        """The exception being handled, and the end of what the machine said."""
        text = traceback.format_exc()
        if self.machine and self.machine.transcript:
            log = self.report.keep(case.name, self.machine.transcript)
            text += f"\nthe machine's last lines (all: {log}):\n{self.machine.tail()}"
        return text


class Broken(Exception):
    """The machine that a test needs has already failed to boot."""
