# SPDX-License-Identifier: BSD-2-Clause
"""The machines that tests/bench/compare measures in: the service VM's Debian, with Socle below it or
with KVM in it, and the emulator alone. All of them count instructions, not time: see docs/benchmarks.md.

What a guest or a peer needs besides the service VM's image lies under /bench there, in an archive of
its own before it: the kernel unpacks one behind the other.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "boot"), os.path.join(ROOT, "service")]

import cpio  # noqa: E402
import image  # noqa: E402
from emulator.config import BUILD, Config  # noqa: E402
from emulator.machine import Machine  # noqa: E402

WATCH = "/lib/socle/tests/bench-watch"
PROBE = os.path.join(BUILD, "bench", "probe")
QEMU = "/usr/bin/qemu-system-x86_64"
# What Debian's QEMU needs of its own to start a kernel directly.
QEMU_FILES = ("/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/multiboot_dma.bin",
              "/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/kvmvapic.bin")
MEMORY = 64  # MiB of the probe
EMULATOR = ("-accel", "tcg", "-cpu", "max", "-icount", "shift=0,sleep=off",
            "-rtc", "base=2026-01-01,clock=vm", "-seed", "1")


class BenchConfig(Config):
    """A machine whose initramfs is the service VM's with more in front of it."""

    extra = None

    @property
    def initramfs(self):
        return self.extra


def write_image(path, archive):
    """The archive, and the service VM's behind it."""
    with open(os.path.join(BUILD, "service", "cloud", "initramfs.img"), "rb") as stream:
        service = stream.read()
    with open(path, "wb") as stream:
        stream.write(archive.bytes())
        stream.write(service)


class Peer:
    """One way to run guests, in a machine that has booted to its prompt."""

    name = None
    bare = False
    watch = "none"

    def __init__(self, mem=2048, pool=512):
        self.scratch = tempfile.TemporaryDirectory(dir=BUILD)  # pylint: disable=consider-using-with
        config = BenchConfig(cpu="svm", smp=1, icount=True, bare=self.bare, mem=mem, pool=pool)
        config.extra = os.path.join(self.scratch.name, "initramfs.img")
        archive = cpio.Archive()
        archive.copy("bench/probe", PROBE)
        self.add(archive)
        write_image(config.extra, archive)
        self.machine = Machine(config)

    def __enter__(self):
        self.machine.start()
        self.machine.wait_prompt(600)
        self.prepare()
        return self

    def __exit__(self, *_):
        self.machine.close()
        self.scratch.cleanup()

    def add(self, archive):
        """Puts into the archive what the peer needs."""

    def prepare(self):
        """What is to be done at the prompt before anything is run."""

    def run(self, line, timeout=60):
        """A line of the shell /bin/sh; its output."""
        status, output = self.machine.command("!" + line, timeout)
        if status:
            raise RuntimeError(f"{self.name}: '{line}' ended with {status}: {output}")
        return output

    def guest(self, timeout, **settings):
        """Runs a guest to its end; what it wrote, with the counters in between."""
        return self.machine.command(f"!{WATCH} {self.watch} {self.command(**settings)}", timeout)[1]

    def command(self, **settings):
        """The command that starts a guest whose serial port is its output."""
        raise NotImplementedError


class Socle(Peer):
    """A domain of Socle, by its own tools."""

    name = "socle"
    watch = "socle"

    def add(self, archive):
        archive.file("bench/probe.cfg", (
            '# SPDX-License-Identifier: BSD-2-Clause\n'
            f'name = "probe"\nmemory = {MEMORY}\nvcpus = 2\nkernel = "/bench/probe"\n').encode())

    def command(self, **settings):
        return "socle create -c /bench/probe.cfg"


class Kvm(Peer):
    """Debian's KVM and Debian's QEMU, as they come."""

    name = "kvm"
    bare = True
    watch = "kvm"

    def add(self, archive):
        archive.copy(QEMU.lstrip("/"), os.path.realpath(QEMU))
        image.add_libraries(archive, [QEMU])
        for path in QEMU_FILES:
            archive.copy(f"usr/share/qemu/{os.path.basename(path)}", path)
        (modules,) = glob.glob(os.path.join(BUILD, "service", "cache", "linux-image-*cloud*", "lib",
                                            "modules", "*"))
        for name in ("virt/lib/irqbypass", "arch/x86/kvm/kvm", "arch/x86/kvm/kvm-amd"):
            archive.copy(f"bench/{os.path.basename(name)}.ko",
                         os.path.join(modules, "kernel", name + ".ko"))

    def prepare(self):
        self.run("for m in irqbypass kvm kvm-amd; do insmod /bench/$m.ko || exit 1; done; "
                 "mount -t debugfs debugfs /sys/kernel/debug", 120)

    def command(self, **settings):
        return ("qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel kvm -cpu host "
                f"-smp 2 -m {MEMORY} -display none -serial stdio -kernel /bench/probe "
                "-device isa-debug-exit,iobase=0xf4")


def without_hypervisor(timeout=300):
    """The probe in the emulator itself; what it wrote."""
    done = subprocess.run(
        (QEMU, "-nodefaults", "-no-user-config", "-machine", "q35", *EMULATOR, "-smp", "2",
         "-m", str(MEMORY), "-display", "none", "-serial", "stdio", "-kernel", PROBE,
         "-device", "isa-debug-exit,iobase=0xf4"),
        capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL)
    if "done" not in done.stdout:
        raise RuntimeError(f"the probe did not end: {done.stdout}{done.stderr}")
    return done.stdout


def operations(text):
    """What the probe wrote: by name {"minimum": ..., "median": ..., "mean": ..., "count": ...,
    "counters": {...}, each per operation}; None for what it has not."""
    found, begun, counters, name = {}, {}, {}, None
    for line in text.replace("\r", "").split("\n"):
        words = line.split()
        if not words:
            continue
        if words[0] == "none":
            found[words[1]] = None
        elif words[0] in ("begin", "end"):
            name = words
            if words[0] == "end":
                values = dict(zip(words[2::2], map(int, words[3::2])))
                found[words[1]] = values
        elif words[0] == "counts" and name:
            counters = dict(zip(words[1::2], map(int, words[2::2])))
            if name[0] == "begin":
                begun = counters
            else:
                entry = found[name[1]]
                entry["counters"] = {
                    key: round((value - begun.get(key, 0)) / entry["count"], 2)
                    for key, value in counters.items() if key != "tsc"}
    return found


def started(text):
    """(instructions from the command to the guest's own first word, as the watcher saw both)."""
    launch = re.search(r"^launch (\d+)", text, re.M)
    first = re.search(r"^start .*\r?\ncounts tsc (\d+)", text, re.M)
    return int(first[1]) - int(launch[1]) if launch and first else None
