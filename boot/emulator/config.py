# SPDX-License-Identifier: BSD-2-Clause
"""What a machine is to be: the options of `run`, as the other modules take them."""

import dataclasses
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
LOADER = os.path.join(BUILD, "boot", "uefi", "socle.efi")

# The partition of --files, which service/init finds by this name.
FILES_PARTITION = "socle-files"

BOCHS_MEMORY_MAX = 2048

# What a second is for Bochs: this many instructions, and ticks of the time-stamp counter.
BOCHS_IPS = 50000000


class Failure(Exception):
    """Something that the user must hear of and that ends the run; the text is complete."""


@dataclasses.dataclass(unsafe_hash=True)
class Config:
    """One machine. Sizes are in MiB. `cpu` is "svm" or "vmx"; `kvm` replaces the emulator by KVM."""

    cpu: str = "svm"
    kvm: bool = False
    smp: int = 2
    mem: int = 2048
    pool: int = 512
    files: str = None
    kernel: str = "cloud"
    bare: bool = False
    icount: bool = False
    # QEMU's threads may be on all of the host's CPUs at once: its own races with them (docs/testing.md).
    spread: bool = False
    cpu_model: str = None
    append: str = ""
    # For programs that take frames past socled: it leaves the pool as it is (service/init).
    lazy: bool = False
    conf: str = None
    # Images of further disks, raw; and whether what is written to them stays.
    disks: tuple = ()
    keep_disks: bool = False
    loader: str = LOADER

    @property
    def bochs(self):
        return self.cpu == "vmx" and not self.kvm

    @property
    def vmlinuz(self):
        return os.path.join(BUILD, "service", self.kernel, "vmlinuz")

    @property
    def initramfs(self):
        return os.path.join(BUILD, "service", self.kernel, "initramfs.img")

    def command_line(self):
        """The service kernel's command line. The serial line is last, so it is /dev/console."""
        words = ["console=tty0", "console=ttyS0,115200", "quiet", "panic=-1"]
        if not self.kvm:
            # Linux compares the PIT's ticks with the TSC; an emulator that is held up by a busy
            # machine gives too few of them, and Linux panics.
            words.append("no_timer_check")
        if self.files:
            words.append("socle.files")
        if self.bochs:
            # Its CPU models tell their real frequency, but the counter ticks once an instruction:
            # a second of Linux' would take a minute of two idle CPUs.
            words.append(f"tsc_early_khz={BOCHS_IPS // 1000}")
            # The kernel's tests of its own ciphers take half of the whole boot here.
            words.append("cryptomgr.notests")
        if self.lazy:
            words.append("socle.lazy")
        if self.append:
            words.append(self.append)
        return " ".join(words)

    def socle_conf(self):
        """The text of \\EFI\\socle\\socle.conf."""
        if self.conf:
            with open(self.conf, "rb") as stream:
                return stream.read()
        return (
            "# Written by run; the format is described in docs/install.md.\n"
            "kernel = \\EFI\\socle\\vmlinuz\n"
            "initramfs = \\EFI\\socle\\initramfs.img\n"
            f"cmdline = {self.command_line()}\n"
            f"pool = {self.pool}\n"
            "log = info\n"
        ).encode()
