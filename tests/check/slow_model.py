#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Spin proves the protocol of running, kicking, waking and destroying (tests/model/run.pml), and finds
each mistake that can be switched on in it: a model that finds none would prove nothing."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import sources

MODEL = os.path.join(sources.ROOT, "tests", "model", "run.pml")
CASES = ("RUN", "KICK", "MAP", "WAKE", "IPI")
# The mistake, and the case in which it shows.
MISTAKES = {
    "BREAK_RUNNING": "RUN",
    "BREAK_USERS": "RUN",
    "BREAK_GRACE": "RUN",
    "BREAK_UNLINK": "RUN",
    "BREAK_ANSWER_AT_ONCE": "RUN",
    "BREAK_ANSWER_LATE": "KICK",
    "BREAK_LOCK": "MAP",
    "BREAK_FIND": "MAP",
    "BREAK_IDLE": "WAKE",
    "BREAK_GUEST": "WAKE",
    "BREAK_KICK": "WAKE",
    "BREAK_NOTIFY": "WAKE",
    "BREAK_POST": "IPI",
}
# No search for invalid end states (-E): guests compute for ever, and sleep. Hash table of 2^22 entries.
SEARCH = ("./pan", "-E", "-m1000000", "-w22", "-n")


def execute(command, directory):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)


def search(switches):
    """Spin's verdict: (number of errors, states), or an error of the tools as text."""
    with tempfile.TemporaryDirectory(prefix="socle-model-") as directory:
        for command in (("spin", "-a", *(f"-D{switch}" for switch in switches), MODEL),
                        ("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2000", "-o", "pan",
                         "pan.c")):
            done = execute(command, directory)
            if done.returncode:
                return f"{command[0]}: {done.stdout}"
        output = execute(SEARCH, directory).stdout
        errors = re.search(r"errors: (\d+)", output)
        states = re.search(r"(\d+) states, stored", output)
        # A search that stopped at a limit proves nothing.
        if not errors or not states or "out of memory" in output or "max search depth" in output:
            return output
        return int(errors[1]), int(states[1])


def judge(case, mistake):
    result = search([case, mistake] if mistake else [case])
    name = f"{case} with {mistake}" if mistake else case
    if isinstance(result, str):
        return f"{name}: the search failed:\n{result}", 0
    errors, states = result
    if mistake and errors == 0:
        return f"{name}: the mistake was not found in {states} states", states
    if not mistake and errors:
        return (f"{name}: Spin found an error; see it with\n  spin -a -D{case} tests/model/run.pml && "
                "gcc -O2 -DSAFETY -o pan pan.c && ./pan -E -m1000000; "
                f"spin -t -p -g -D{case} tests/model/run.pml"), states
    return None, states


def main():
    with open(MODEL, encoding="utf-8") as stream:
        switches = set(re.findall(r"BREAK_[A-Z_]*[A-Z]", stream.read()))
    problems = [f"{name}: not in both this list and the model" for name in switches ^ set(MISTAKES)]
    jobs = [(case, None) for case in CASES] + [(case, name) for name, case in MISTAKES.items()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: judge(*job), jobs))
    problems += [problem for problem, _ in results if problem]
    states = sum(states for (_, states), (_, mistake) in zip(results, jobs) if not mistake)
    sources.end(problems, f"no error in {states} states of {len(CASES)} cases; "
                f"{len(MISTAKES)} mistakes found")


if __name__ == "__main__":
    sys.exit(main())
