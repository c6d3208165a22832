# SPDX-License-Identifier: BSD-2-Clause
"""`test`, after the build: static checks and unit tests, then the system tests.

QEMU and Bochs machines run side by side, each kind one after the other.
"""

import argparse
import os
import signal
import sys
import threading

from . import lane, programs
from .declare import BACKENDS, find
from .report import Report

DESCRIPTION = """Builds Socle and tests it: static checks, unit tests on this machine, then system tests
in QEMU (AMD-V, "svm") and Bochs (VT-x, "vmx"). A NAME chooses the tests whose name contains it."""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./test", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true",
                        help="checks, unit tests and the quickest system tests, under 3 minutes")
    parser.add_argument("--long", action="store_true", help="also the tests that take long")
    parser.add_argument("--again", action="store_true",
                        help="a system test that fails is run once more on a fresh machine; what it "
                        "failed at is printed, and its name is listed as unsteady")
    parser.add_argument("--list", action="store_true", help="print the tests' names")
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)

    def chosen(name):
        return not options.names or any(wanted in name for wanted in options.names)

    cases = [case for case in find() if chosen(case.name)]
    if options.quick:
        cases = [case for case in cases if case.quick and case.backend == "svm"]
    if not options.long:
        cases = [case for case in cases if not case.long]
    checks = [path for path in programs.checks(slow=not options.quick)
              if chosen(programs.check_name(path))]
    units = {name: test for name, test in programs.unit_tests().items()
             if chosen(programs.unit_name(name))}
    fuzzers = [name for name in programs.fuzzers()
               if not options.quick and chosen(programs.fuzz_name(name))]
    if options.list:
        names = [programs.check_name(path) for path in checks]
        names += [programs.unit_name(name) for name in units]
        names += [programs.fuzz_name(name) for name in fuzzers]
        print("\n".join(names + [case.name for case in cases]))
        return 0

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    report = Report()
    programs.run_all(checks, units, report)
    programs.fuzz_all(fuzzers, report)
    lanes = [lane.Lane([case for case in cases if case.backend == backend], report, options.again)
             for backend in BACKENDS]
    threads = [threading.Thread(target=each.run) for each in lanes]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        for each in lanes:
            each.stop()
        for thread in threads:
            thread.join()
        raise
    return report.summary()


def stop(number, _frame):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
