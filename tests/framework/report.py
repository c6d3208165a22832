# SPDX-License-Identifier: BSD-2-Clause
"""What the tests print, and the files they leave under build/test-logs."""

import os
import re
import shutil
import threading

from .declare import ROOT

LOGS = os.path.join(ROOT, "build", "test-logs")
PASSED, FAILED, SKIPPED = "passed", "FAILED", "skipped"


class Report:
    """Counts and prints results; to be called from any thread."""

    def __init__(self):
        self.counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
        self.failures = []
        self.unsteadies = []
        self._lock = threading.Lock()
        shutil.rmtree(LOGS, ignore_errors=True)
        os.makedirs(LOGS)

    def result(self, outcome, name, seconds, detail=""):
        """One test has ended. `detail` is printed below it when it failed, behind it when not."""
        with self._lock:
            self.counts[outcome] += 1
            line = f"{outcome:7}  {seconds:6.1f} s  {name}"
            if detail and outcome != FAILED:
                line += f"  ({detail})"
            print(line, flush=True)
            if outcome == FAILED:
                self.failures.append(name)
                print("    " + detail.rstrip().replace("\n", "\n    "), flush=True)

    def unsteady(self, name, detail):
        """A test that failed and then passed: what the failure was."""
        with self._lock:
            self.unsteadies.append(name)
            print(f"UNSTEADY          {name}", flush=True)
            print("    " + detail.rstrip().replace("\n", "\n    "), flush=True)

    def add(self, passed=0, failed=0):
        """Counts cases beyond the one that result() has counted."""
        with self._lock:
            self.counts[PASSED] += passed
            self.counts[FAILED] += failed

    def note(self, text):
        with self._lock:
            print(f"         {text}", flush=True)

    def keep(self, name, data):
        """Writes bytes to a file among the logs; its path from the repository's top."""
        path = os.path.join(LOGS, re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") + ".log")
        with open(path, "wb") as stream:
            stream.write(data)
        return os.path.relpath(path, ROOT)

    def summary(self):
        """Prints the totals; the exit status."""
        for what, names in (("unsteady", self.unsteadies), ("failed", self.failures)):
            if names:
                print(f"\n{what}:")
                for name in names:
                    print(f"  {name}")
        print("{} passed, {} failed, {} skipped".format(
            self.counts[PASSED], self.counts[FAILED], self.counts[SKIPPED]), flush=True)
        return 1 if self.counts[FAILED] else 0
