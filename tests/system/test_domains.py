# SPDX-License-Identifier: BSD-2-Clause
"""Domains, driven from the management shell: Debian's own kernel as the guest."""

import os
import shutil

from emulator.config import BUILD
from framework import system_test

GUEST = os.path.join(BUILD, "test-guest")
ESCAPE = "\x1d"  # Ctrl-]
CONFIG = """\
name = "linux"
memory = 192
vcpus = {vcpus}
kernel = "/srv/files/vmlinuz"
ramdisk = "/srv/files/initramfs.img"
extra = "console=ttyS0 quiet cryptomgr.notests rdinit=/bin/sh"
"""


def guest_files():
    """A directory with what the guests boot: the service VM's kernel and initramfs, as any other's."""
    service = os.path.join(BUILD, "service", "cloud")
    os.makedirs(GUEST, exist_ok=True)
    for name in ("vmlinuz", "initramfs.img"):
        if os.path.exists(os.path.join(service, name)):
            shutil.copy2(os.path.join(service, name), GUEST)
    for vcpus in (1, 2, 4):
        with open(os.path.join(GUEST, f"linux{vcpus}.cfg"), "w", encoding="ascii") as stream:
            stream.write(CONFIG.format(vcpus=vcpus))
    return GUEST


def boot(machine, vcpus, *settings):
    """Creates the domain with its console and waits for its shell."""
    machine.send_line(" ".join([f"create -c /srv/files/linux{vcpus}.cfg", *settings]))
    machine.expect(r"^/ # ", timeout=240, what="the guest's shell")


def leave(machine):
    """Leaves the console."""
    machine.send(ESCAPE)
    machine.expect(r"^socle> ", what="the prompt behind the console")


def states(machine):
    return {domain["name"]: domain["state"] for domain in machine.json("list --json")
            if domain["live"]}


def lives(machine):
    """Linux with one vCPU, from its creation to its destruction."""
    free = machine.json("info --json")["pool_free_bytes"]
    boot(machine, 1)
    machine.send_line("echo sum=$((40+2)); uname -r")
    machine.expect(r"^sum=42$", timeout=30)
    leave(machine)
    assert states(machine)["linux"] in ("blocked", "running")
    machine.run("pause linux")
    assert states(machine) == {"linux": "paused"}
    machine.run("unpause linux")
    assert states(machine)["linux"] in ("blocked", "running")
    machine.run("destroy linux")
    assert not states(machine)
    assert machine.json("info --json")["pool_free_bytes"] == free


@system_test(backends=("svm",), smp=2, files=guest_files())
def linux_boots_to_its_shell(machine):
    lives(machine)


# Bochs with one CPU is more than twice as fast as with two.
@system_test(backends=("vmx",), smp=1, files=guest_files())
def linux_boots_on_one_cpu(machine):
    lives(machine)


def has_cpus(machine, count):
    """A guest's life whose shell sees that many CPUs."""
    machine.send_line("mount -t proc proc /proc; echo cpus=$(nproc)")
    machine.expect(rf"^cpus={count}$", timeout=60)
    leave(machine)
    machine.run("destroy linux")


@system_test(backends=("vmx",), smp=1, long=True, files=guest_files())
def linux_has_two_vcpus_on_one_cpu(machine):
    boot(machine, 2)
    machine.send_line("mount -t proc proc /proc; echo cpus=$(nproc)")
    machine.expect(r"^cpus=2$", timeout=60)
    leave(machine)
    machine.run("destroy linux")


@system_test(backends=("svm",), smp=2, files=guest_files())
def linux_has_four_vcpus_on_two_cpus(machine):
    boot(machine, 4)
    has_cpus(machine, 4)


@system_test(backends=("svm",), smp=2, long=True, files=guest_files())
def linux_has_32_vcpus_on_two_cpus(machine):
    boot(machine, 4, "vcpus=32", "memory=384")
    has_cpus(machine, 32)


@system_test(backends=("svm",), smp=2, files=guest_files())
def a_guest_that_powers_off_ends_well(machine):
    boot(machine, 1)
    machine.send_line("mount -t proc proc /proc; poweroff -f")
    machine.expect(r"^socle> ", timeout=60, what="the prompt behind the console")
    ended = machine.json("list --json")[-1]
    assert ended["state"] == "shutdown" and ended["end"] == "poweroff", ended
    assert not states(machine)


@system_test(backends=("svm",), smp=2, files=guest_files())
def what_is_no_kernel_is_refused(machine):
    machine.run("!printf 'name = \"x\"\\nmemory = 64\\nkernel = \"/etc/inittab\"\\n' > /tmp/x.cfg")
    status, output = machine.fails("create /tmp/x.cfg", timeout=60)
    assert status and "kernel" in output, output
    status, output = machine.fails("create /srv/files/linux1.cfg memory=999999", timeout=60)
    assert "memory" in output, output
    status, output = machine.fails("create /srv/files/linux1.cfg vcpus=65", timeout=60)
    assert "vcpus" in output and "64" in output, output
    info = machine.json("info --json")
    assert info["pool_free_bytes"] == info["pool_bytes"]
