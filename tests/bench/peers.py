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
STORM = os.path.join(BUILD, "bench", "storm")
QEMU = "/usr/bin/qemu-system-x86_64"
# What Debian's QEMU needs of its own to start a kernel directly.
QEMU_FILES = ("/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/multiboot_dma.bin",
              "/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/kvmvapic.bin")
MEMORY = 64  # MiB of the probe
LINUX_MEMORY = 256
# What the Linux guest loads, in this order.
LINUX_MODULES = ("virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_modern_dev",
                 "virtio/virtio_pci_legacy_dev", "virtio/virtio_pci", "block/virtio_blk",
                 "net/core/failover", "net/net_failover", "net/virtio_net")
NETWORK = "192.168.251.1/24"
CMDLINE = "console=ttyS0 quiet panic=-1 cryptomgr.notests"
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


def modules():
    """The directory of the cloud kernel's modules."""
    (place,) = glob.glob(os.path.join(BUILD, "service", "cache", "linux-image-*cloud*", "lib",
                                      "modules", "*", "kernel"))
    return place


def linux_initramfs():
    """The Linux guest's: the storm as /init, and drivers."""
    archive = cpio.Archive()
    archive.directory("dev")
    archive.character_device("dev/console", 5, 1)
    archive.copy("init", STORM)
    for number, name in enumerate(LINUX_MODULES):
        base = name if name.startswith("net/core") else "drivers/" + name
        archive.copy(f"modules/{number:02}-{os.path.basename(name)}.ko",
                     os.path.join(modules(), base + ".ko"))
    return archive.bytes()


class Peer:
    """One way to run guests, in a machine that has booted to its prompt."""

    name = None
    bare = False
    watch = "none"

    def __init__(self, mem=6144, pool=2304):
        self.scratch = tempfile.TemporaryDirectory(dir=BUILD)  # pylint: disable=consider-using-with
        config = BenchConfig(cpu="svm", smp=1, icount=True, bare=self.bare, mem=mem, pool=pool)
        config.extra = os.path.join(self.scratch.name, "initramfs.img")
        archive = cpio.Archive()
        archive.copy("bench/probe", PROBE)
        archive.copy("bench/vmlinuz", config.vmlinuz)
        archive.file("bench/linux.img", linux_initramfs())
        archive.copy("bench/brd.ko", os.path.join(modules(), "drivers/block/brd.ko"))
        self.add(archive)
        write_image(config.extra, archive)
        self.machine = Machine(config)

    def __enter__(self):
        self.machine.start()
        self.machine.wait_prompt(600)
        self.prepare()
        self.run("sleep 1")  # socled prepares the pool as soon as it has nothing else to do
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

    def guest(self, name, timeout):
        """Runs "probe", "linux", or "first", which is the probe's first word and no more, to its end;
        what it wrote, with the counters in between."""
        return self.machine.command(f"!{WATCH} {self.watch} {self.command(name)}", timeout)[1]

    def free(self):
        """Bytes of memory that nothing uses."""
        return int(re.search(r"MemFree: *(\d+)", self.run("cat /proc/meminfo"))[1]) << 10

    def start_idle(self, count, first):
        """That many guests of 16 MiB that do not run, the first of them with that number."""
        for number in range(first, first + count):
            self.run(self.idle(number), 120)

    def idle(self, number):
        """The command for one of them."""
        raise NotImplementedError

    def command(self, name):
        """The command that starts that guest, whose serial port is its output."""
        raise NotImplementedError


class Socle(Peer):
    """A domain of Socle, by its own tools."""

    name = "socle"
    watch = "socle"

    def add(self, archive):
        archive.file("bench/probe.cfg", (
            '# SPDX-License-Identifier: BSD-2-Clause\n'
            f'name = "probe"\nmemory = {MEMORY}\nvcpus = 2\nkernel = "/bench/probe"\n').encode())
        archive.file("bench/linux.cfg", (
            '# SPDX-License-Identifier: BSD-2-Clause\n'
            f'name = "linux"\nmemory = {LINUX_MEMORY}\nvcpus = 1\nkernel = "/bench/vmlinuz"\n'
            f'ramdisk = "/bench/linux.img"\ncmdline = "{CMDLINE}"\n'
            'disk = ["/dev/ram0,raw,xvda,rw"]\nvif = ["bridge=bench0"]\n').encode())

    def prepare(self):
        self.run("insmod /bench/brd.ko && ip link add bench0 type bridge && "
                 f"ip addr add {NETWORK} dev bench0 && ip link set bench0 up")

    def command(self, name):
        if name == "first":
            return "socle create -c /bench/probe.cfg name=first extra=loop=end"
        return f"socle create -c /bench/{name}.cfg"

    def idle(self, number):
        return f"socle create -p /bench/probe.cfg name=idle{number} memory=16"


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
        for name in ("virt/lib/irqbypass", "arch/x86/kvm/kvm", "arch/x86/kvm/kvm-amd"):
            archive.copy(f"bench/{os.path.basename(name)}.ko", os.path.join(modules(), name + ".ko"))

    def prepare(self):
        self.run("for m in irqbypass kvm kvm-amd brd; do insmod /bench/$m.ko || exit 1; done; "
                 "mount -t debugfs debugfs /sys/kernel/debug; tunctl -t tap0 && "
                 f"ip addr add {NETWORK} dev tap0 && ip link set tap0 up", 120)

    def command(self, name):
        common = ("qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel kvm -cpu host "
                  "-display none -serial stdio")
        if name != "linux":
            end = " -append loop=end" if name == "first" else ""
            return (f"{common} -smp 2 -m {MEMORY} -kernel /bench/probe "
                    f"-device isa-debug-exit,iobase=0xf4{end}")
        return (f"{common} -smp 1 -m {LINUX_MEMORY} -kernel /bench/vmlinuz "
                f"-initrd /bench/linux.img -append '{CMDLINE}' -no-reboot "
                "-drive if=none,id=d,format=raw,file=/dev/ram0,cache=none,aio=io_uring "
                "-device virtio-blk-pci,drive=d "
                "-netdev tap,id=n,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=n,romfile=")


    def idle(self, number):
        return (f"{QEMU} -nodefaults -no-user-config -machine q35 -accel kvm -cpu host -smp 2 -m 16 "
                "-display none -serial null -kernel /bench/probe -S -daemonize")


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


def lines(text):
    """The lines with words in them, taken apart; behind some of them the counters, by name."""
    for line in text.replace("\r", "").split("\n"):
        words = line.split()
        if words and words[0] == "counts":
            yield words[0], dict(zip(words[1::2], map(int, words[2::2])))
        elif words:
            yield words[0], words[1:]


def difference(before, after):
    """What counters grew by."""
    return {key: value - before.get(key, 0) for key, value in after.items()
            if value != before.get(key, 0)}


def operations(text):
    """What a guest measured: by name {"minimum": ..., "median": ..., "mean": ..., "count": ...,
    "counters": {...}, which are of one operation}; None for what it has not."""
    found, before, last = {}, {}, None
    for word, rest in lines(text):
        if word == "none":
            found[rest[0]] = None
        elif word == "end":
            found[rest[0]] = dict(zip(rest[1::2], map(int, rest[2::2])))
        elif word == "counts" and last[0] == "begin":
            before = rest
        elif word == "counts" and last[0] == "end":
            entry = found[last[1][0]]
            entry["counters"] = {key: round(value / entry["count"], 2) for key, value
                                 in difference(before, rest).items() if key != "tsc"}
        if word != "counts":
            last = (word, rest)
    return found


def started(text):
    """From the command to the guest's first word: the counters' growth, "tsc" being instructions;
    "guest" is to when the guest began to say it."""
    found, last, guest = {}, None, 0
    for word, rest in lines(text):
        if word == "counts" and last in ("launch", "start"):
            found[last] = rest
        elif word == "start":
            guest = int(rest[-1])
        last = word
    growth = difference(found["launch"], found["start"])
    # Where the guest's counter is the machine's own, it tells when it was.
    if found["launch"]["tsc"] < guest < found["start"]["tsc"]:
        growth["guest"] = guest - found["launch"]["tsc"]
    return growth
