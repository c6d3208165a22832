# SPDX-License-Identifier: BSD-2-Clause
"""Tests that are programs of this machine: static checks (tests/check), unit tests (ctest), fuzzers."""

import glob
import concurrent.futures
import json
import os
import re
import subprocess
import time

from .declare import ROOT
from .report import FAILED, PASSED, SKIPPED

UNIT_BUILD = os.path.join(ROOT, "build", "tests")
FUZZ_RUN = os.path.join(ROOT, "tests", "fuzz", "run")
FUZZ_SECONDS = 20
AT_ONCE = 2  # programs
STATUS_SKIP = 77
TIMEOUT = 600  # seconds for one program


def checks(slow):
    """The static checks' paths; the slow ones, which take a minute or two, only on request."""
    kinds = ("check", "slow") if slow else ("check",)
    return [path for kind in kinds
            for path in sorted(glob.glob(os.path.join(ROOT, "tests", "check", f"{kind}_*.py")))]


def check_name(path):
    return "check." + os.path.basename(path).split(".")[0].split("_", 1)[1]


def unit_name(name):
    return "unit." + name


def _execute(command, directory, timeout=TIMEOUT):
    """(status, output); a program that does not end counts as failed."""
    try:
        done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, timeout=timeout,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        return 1, f"it did not end within {timeout} s"
    return done.returncode, done.stdout.decode(errors="replace")


def run_all(paths, units, report):
    """Runs these checks and these of unit_tests(), some at a time."""
    work = [(_check, path) for path in paths]
    work += [(_unit_test, name, test) for name, test in units.items()]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda item: item[0](*item[1:], report), work))


def _check(path, report):
    """Runs a static check. It prints what is wrong, or one line on success; 77 means skipped."""
    begun = time.monotonic()
    status, output = _execute([path], ROOT)
    outcome = {0: PASSED, STATUS_SKIP: SKIPPED}.get(status, FAILED)
    detail = output if outcome == FAILED else output.strip().split("\n")[-1]
    report.result(outcome, check_name(path), time.monotonic() - begun, detail)


def unit_tests():
    """The tests that ctest knows, by name: {"command": [...], "environment": [...],
    "directory": ..., "timeout": seconds}."""
    if not os.path.isdir(UNIT_BUILD):
        return {}
    text = subprocess.run(("ctest", "--test-dir", UNIT_BUILD, "--show-only=json-v1"),
                          stdout=subprocess.PIPE, check=True).stdout
    found = {}
    for test in json.loads(text)["tests"]:
        properties = {item["name"]: item["value"] for item in test["properties"]}
        found[test["name"]] = {"command": test["command"],
                               "environment": properties.get("ENVIRONMENT", []),
                               "directory": properties["WORKING_DIRECTORY"],
                               "timeout": properties.get("TIMEOUT", TIMEOUT)}
    return found


def _unit_test(name, test, report):
    """Runs a test of ctest's, not by ctest, whose log has room for one at a time. The cases of a Check
    program count one by one."""
    begun = time.monotonic()
    status, output = _execute(("env", *test["environment"], *test["command"]), test["directory"],
                              test["timeout"])
    seconds = time.monotonic() - begun
    log = report.keep(unit_name(name), output.encode())
    # Check's summary: "100%: Checks: 12, Failures: 0, Errors: 0", one for each suite runner.
    sums = [tuple(map(int, found)) for found in
            re.findall(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", output)]
    total = sum(found[0] for found in sums)
    bad = sum(found[1] + found[2] for found in sums)
    if status == 0:
        report.result(PASSED, unit_name(name), seconds, f"{total} cases" if total else "")
        report.add(passed=max(total - 1, 0))
        return
    lines = output.rstrip().split("\n")
    wrong = [line for line in lines if re.search(r":[FE]:", line)] or lines[-40:]
    report.result(FAILED, unit_name(name), seconds, "\n".join(wrong) + f"\nwhole output: {log}")
    report.add(passed=total - bad, failed=max(bad - 1, 0))


def fuzz_name(name):
    return "fuzz." + name


def fuzzers():
    """The names of the fuzzers."""
    output = subprocess.run((FUZZ_RUN,), stdout=subprocess.PIPE, check=True).stdout
    return sorted(output.decode().split())


def fuzz_all(names, report):
    """Builds the fuzzers and runs them, some at a time."""
    if not names:
        return
    begun = time.monotonic()
    status, output = _execute((FUZZ_RUN, "--build"), ROOT)
    if status:
        report.result(FAILED, "fuzz", time.monotonic() - begun, output)
        return
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: _fuzz(name, report), names))


def _fuzz(name, report):
    begun = time.monotonic()
    status, output = _execute((FUZZ_RUN, name, str(FUZZ_SECONDS)), ROOT)
    log = report.keep(fuzz_name(name), output.encode())
    seconds = time.monotonic() - begun
    units = re.search(r"^Done (\d+) runs", output, re.M)
    if status == 0 and units:
        report.result(PASSED, fuzz_name(name), seconds, f"{units[1]} inputs")
        return
    lines = [line for line in output.split("\n")
             if re.search(r"ERROR|SUMMARY|Test unit|runtime error|^\s+#\d+ .*/tests?/|Assert", line)]
    report.result(FAILED, fuzz_name(name), seconds,
                  "\n".join(lines[:30] or output.split("\n")[-20:]) + f"\nwhole output: {log}")
