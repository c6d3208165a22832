# SPDX-License-Identifier: BSD-2-Clause
"""`run`, after the build: takes the options, boots the machine and returns the exit status.

With --check-usage as the first argument the options are only checked; the kernel that they choose is
then printed, for the build.
"""

import argparse
import os
import signal
import sys

from . import console, disk
from .config import BOCHS_MEMORY_MAX, BUILD, Config, Failure
from .machine import Ended, Machine, Timeout

USAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "usage.txt")
STATUS_FAILED, STATUS_USAGE, STATUS_TIMEOUT = 1, 2, 3


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"run: {message}\nrun: ./run --help tells the options", file=sys.stderr)
        sys.exit(STATUS_USAGE)


def number(low, high):
    def convert(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {low} to {high}")
        return int(text)
    return convert


def directory(text):
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"there is no directory '{text}'")
    return os.path.abspath(text)


def readable_file(text):
    if not os.path.isfile(text) or not os.access(text, os.R_OK):
        raise argparse.ArgumentTypeError(f"there is no readable file '{text}'")
    return os.path.abspath(text)


def writable_file(text):
    if not os.access(readable_file(text), os.W_OK):
        raise argparse.ArgumentTypeError(f"'{text}' cannot be written to")
    return os.path.abspath(text)


def parse(arguments):
    parser = Parser(prog="run", add_help=False, allow_abbrev=False)
    parser.add_argument("--cpu", choices=("auto", "svm", "vmx"), default="auto")
    parser.add_argument("--smp", type=number(1, 255))
    parser.add_argument("--mem", type=number(32, 1 << 24), default=2048)
    parser.add_argument("--pool", type=number(0, 1 << 24), default=512)
    parser.add_argument("--files", type=directory)
    parser.add_argument("--disk", type=writable_file, action="append", default=[])
    parser.add_argument("--script", type=readable_file)
    parser.add_argument("--timeout", type=number(1, 1 << 30))
    parser.add_argument("--icount", action="store_true")
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--image-only", action="store_true")
    parser.add_argument("--kernel", choices=("cloud", "generic"), default="cloud")
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--cpu-model")
    parser.add_argument("--append", default="")
    parser.add_argument("--conf", type=readable_file)
    options = parser.parse_args(arguments)
    options.kvm = False
    if options.cpu == "auto":
        vendor = None if options.icount else nesting()
        options.cpu, options.kvm = vendor or "svm", bool(vendor)
    if options.icount and options.cpu != "svm":
        parser.error("--icount goes with --cpu svm only")
    if options.icount and options.smp not in (None, 1):
        parser.error("--icount has one CPU")
    options.smp = options.smp or (1 if options.icount else 2)
    if options.cpu == "vmx" and not options.kvm and options.disk:
        parser.error("--disk does not go with Bochs")
    if options.cpu == "vmx" and not options.kvm and options.mem > BOCHS_MEMORY_MAX:
        parser.error(f"Bochs has at most {BOCHS_MEMORY_MAX} MiB of memory")
    return options


def nesting():
    """"svm" or "vmx" when this machine's KVM can give its guests that; else None.

    The device alone says nothing: it exists on machines that cannot nest.
    """
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
        flags = next((line.split() for line in stream if line.startswith("flags")), [])
    for flag, module in (("svm", "kvm_amd"), ("vmx", "kvm_intel")):
        parameter = f"/sys/module/{module}/parameters/nested"
        if flag in flags and os.access("/dev/kvm", os.R_OK | os.W_OK) and os.path.exists(parameter):
            with open(parameter, encoding="ascii") as stream:
                return flag if stream.read().strip() in ("1", "Y") else None
    return None


def config_of(options):
    names = ("cpu", "kvm", "smp", "mem", "pool", "files", "kernel", "bare", "icount", "spread",
             "cpu_model", "append", "conf")
    return Config(disks=tuple(options.disk), keep_disks=True,
                  **{name: getattr(options, name) for name in names})


def stop(number_, _frame):
    """On a signal: leave through the `finally` clauses, which end the emulator."""
    raise SystemExit(128 + number_)


def main(arguments):
    if "--help" in arguments:
        with open(USAGE, encoding="utf-8") as stream:
            print("".join(stream.readlines()[1:]), end="")  # the first line is the licence
        return 0
    only_check = arguments[:1] == ["--check-usage"]
    options = parse(arguments[1:] if only_check else arguments)
    if only_check:
        print(options.kernel)
        return 0
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    progress = console.Progress()
    config = config_of(options)
    try:
        if options.image_only:
            path = os.path.join(BUILD, "socle.img")
            disk.build(config, path)
            print(path)
            return 0
        return boot(options, config, progress)
    except Timeout as timeout:
        progress.say(str(timeout))
        return STATUS_TIMEOUT
    except (Ended, Failure) as failure:
        progress.say(str(failure))
        return STATUS_FAILED


def boot(options, config, progress):
    what = {"svm": "AMD-V", "vmx": "VT-x"}[config.cpu]
    how = "KVM" if config.kvm else "Bochs" if config.bochs else "QEMU, deterministic" \
        if config.icount else "QEMU"
    progress.say(f"{what} by {how}, {config.smp} CPU(s), {config.mem} MiB"
                 + (", without the hypervisor" if config.bare else ""))
    machine = Machine(config, sink=console.printer(progress))
    try:
        machine.start()
        if options.script:
            return console.script(machine, options.script, progress, options.timeout)
        return console.interactive(machine, progress, options.timeout)
    finally:
        machine.close()
        progress.clear()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
