#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the hypervisor costs, in instructions: a run of QEMU's deterministic mode, in which the time-stamp
counter counts them (docs/testing.md). Prints a table; --json prints the figures.

It sees path length only. World switches, TLB misses and caches cost nothing here, so the number of exits
stands beside the instructions.
"""

import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "boot"))

from emulator.config import Config  # noqa: E402
from emulator.machine import Machine  # noqa: E402

# What the issue allows; the takeover is in instructions, of which a second of emulated time has 10^9.
LIMITS = {"null hypercall": 120, "takeover": 1000000000}
KERNEL_END = re.compile(r"\[ *(\d+\.\d+)\] Run /init as init process")
LOADER_END = re.compile(r"\[ *(\d+\.\d+)\] service VM: pool")


def boot(bare):
    """Boots with a talkative kernel; (machine at its prompt, seconds of emulated time to /init)."""
    machine = Machine(Config(cpu="svm", smp=1, icount=True, bare=bare, append="ignore_loglevel"))
    machine.start()
    machine.wait_prompt(600)
    return machine, float(KERNEL_END.search(machine.text).group(1))


def measure():
    """The figures, by name."""
    machine, with_socle = boot(bare=False)
    try:
        loader = float(LOADER_END.search(machine.text).group(1))
        status, output = machine.command("!/lib/socle/tests/call-bench --json", 300)
        if status:
            raise RuntimeError(output)
        calls = json.loads(output)["ticks"]
        exits = json.loads(machine.command("stat --json", 300)[1])["service"]["exits"]
    finally:
        machine.close()
    machine, without = boot(bare=True)
    machine.close()
    return {
        "null hypercall": calls["poke"]["minimum"],
        "cpuid": calls["cpuid"]["minimum"],
        "takeover": round((loader + with_socle - without) * 1e9),
        "exits": {reason: count for reason, count in exits.items() if count},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    subprocess.run([os.path.join(ROOT, "run"), "--image-only"], check=True,
                   stdout=subprocess.DEVNULL)
    figures = measure()
    if arguments.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
    else:
        print(f"{'WHAT':32} {'INSTRUCTIONS':>14} {'AT MOST':>14} {'EXITS':>6}")
        for name, exits in (("null hypercall", 1), ("cpuid", 1), ("takeover", 0)):
            print(f"{name:32} {figures[name]:14,} {LIMITS.get(name, '-'):>14,} {exits:6}"
                  if name in LIMITS else f"{name:32} {figures[name]:14,} {'-':>14} {exits:6}")
        print("\nexits of the service VM until then:",
              ", ".join(f"{reason} {count}" for reason, count in figures["exits"].items()))
    return int(any(figures[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
