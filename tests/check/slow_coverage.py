#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How much of the hypervisor's vendor-neutral code the unit tests on the host execute: hv/, ept/ and
arch/x86/*.c, in lines, as gcovr counts them. A build of its own, in build/coverage. Every file counts,
those too that no test has; only assembly and the vendors' directories are left out, which need a
processor. With --list it prints the lines that no test reaches."""

import json
import os
import subprocess
import sys

import sources

LEAST = 85  # percent of all lines together
LEAST_OF_A_FILE = 60
BUILD = os.path.join(sources.ROOT, "build", "coverage")
# Files that may be below LEAST_OF_A_FILE, and why.
EXCEPTIONS = {
    "hv/main.c": "starts a machine and never returns; every system test runs it",
}


def run(*command, directory=sources.ROOT):
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(f"{' '.join(command)}:\n{done.stdout[-6000:]}")
        sys.exit(1)
    return done.stdout


def measure():
    """Builds, runs the tests, and gives gcovr's files."""
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        run("cmake", "-S", sources.ROOT, "-B", BUILD, "-G", "Ninja", "-DSOCLE_COVERAGE=ON")
    run("ninja", "-C", BUILD, "hv-units", "hv-files")
    for directory, _, names in os.walk(BUILD):  # what earlier runs counted
        for name in names:
            if name.endswith(".gcda"):
                os.remove(os.path.join(directory, name))
    run("ctest", "--test-dir", os.path.join(BUILD, "tests"), "-L", "hv", "-j2", "--no-tests=error",
        "--output-on-failure")
    # Into a file of its own: gcovr replaces what it writes to, /dev/null too if root asks for that.
    report = os.path.join(BUILD, "coverage.json")
    run("gcovr", "-r", sources.ROOT, "-f", f"{sources.ROOT}/(hv|ept|arch/x86)/",
        "-e", f"{sources.ROOT}/arch/x86/(svm|vmx)/", "--json", report, BUILD)
    with open(report, encoding="utf-8") as stream:
        return json.load(stream)["files"]


def lines_of(entry):
    """(lines that count, those of them that were executed, numbers of the others)."""
    lines = [line for line in entry["lines"] if not line.get("gcovr/noncode")]
    missed = [line["line_number"] for line in lines if line["count"] == 0]
    return len(lines), len(lines) - len(missed), missed


def main():
    files = {entry["file"]: lines_of(entry) for entry in measure()}
    wanted = {name for name in sources.files(".c")
              if name.startswith(("hv/", "ept/")) or os.path.dirname(name) == "arch/x86"}
    total = sum(count for count, _, _ in files.values())
    executed = sum(done for _, done, _ in files.values())
    percent = 100 * executed / max(total, 1)
    if sys.argv[1:] == ["--list"]:
        for name, (count, done, missed) in sorted(files.items()):
            print(f"{name}: {done} of {count}", *missed)
    problems = [f"{name}: not measured" for name in sorted(wanted - set(files))]
    problems += [f"{name}: {done} of {count} lines; {LEAST_OF_A_FILE} % are wanted"
                 for name, (count, done, _) in sorted(files.items())
                 if 100 * done < LEAST_OF_A_FILE * count and name not in EXCEPTIONS]
    if percent < LEAST:
        problems.append(f"{percent:.1f} % of {total} lines; {LEAST} % are wanted")
    sources.end(problems, f"{percent:.1f} % of {total} lines of {len(files)} files (at least {LEAST} %)")


main()
