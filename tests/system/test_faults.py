# SPDX-License-Identifier: BSD-2-Clause
"""Bad luck: VMMs that die, memory that runs out, disks that fail, a CPU that goes, a storm of
NMIs. Whatever belongs to nobody else has to go on, and nothing may be left."""

import os
import random
import re

from emulator.config import BUILD
from framework import guests, system_test
from framework.kernels import write_kernels

TESTS = "/lib/socle/tests"
EXITS = f"{TESTS}/guest/exits.cfg"
KERNELS = os.path.join(BUILD, "test-kernels")
DISKS = os.path.join(BUILD, "test-disks")
write_kernels(KERNELS)


# Of the failing disk; in 4 KiB blocks, and in sectors.
BAD_READ, BAD_WRITE = 256, 512


def program(machine, name, *options, timeout):
    seed = random.randrange(1, 1 << 32)
    output = machine.run(f"!{TESTS}/{name} --seed {seed} {' '.join(options)}", timeout=timeout)
    assert re.search(rf"^PASS: {name}", output, re.M), output


def live(machine, name):
    found = [domain for domain in machine.json("list --json")
             if domain["name"] == name and domain["live"]]
    return found[0] if found else None


def goes_on(machine, name):
    """The domain's vCPUs still get CPU time."""
    def used():
        domain = live(machine, name)
        assert domain is not None, f"{name} is gone"
        return domain["time_seconds"]

    before = used()
    for _ in range(100):
        machine.run("!usleep 100000")
        if used() > before:
            return
    raise AssertionError(f"{name} stands still")


@system_test(backends=("svm",), smp=2, files=KERNELS)
def a_vmm_may_die_at_any_exit(machine):
    program(machine, "vmm-kill", "--times 2", timeout=300)


@system_test(backends=("svm",), smp=2, files=KERNELS)
def allocations_may_fail(machine):
    program(machine, "low-memory", timeout=240)


# Disks


def failing_disk():
    """A disk that cannot read one block and cannot write another: QEMU's blkdebug sees to it."""
    os.makedirs(DISKS, exist_ok=True)
    rules = os.path.join(DISKS, "rules")
    image = os.path.join(DISKS, "failing.img")
    with open(rules, "w", encoding="ascii") as stream:
        for event, block in (("read_aio", BAD_READ), ("write_aio", BAD_WRITE)):
            stream.write(f'[inject-error]\nevent = "{event}"\nerrno = "5"\nsector = "{block * 8}"\n'
                         'once = "off"\nimmediately = "off"\n')
    with open(image, "wb") as stream:
        stream.truncate(8 << 20)
    return (f"blkdebug:{rules}:{image}",)


def small_files():
    place = os.path.join(guests.PLACE, "files-faults")
    os.makedirs(place, exist_ok=True)
    source = guests.small()
    for name in ("vmlinuz", "initrd.img"):
        path = os.path.join(place, name)
        if os.path.exists(path):
            os.unlink(path)
        os.link(os.path.join(source, name), path)
    with open(os.path.join(place, "small.cfg"), "w", encoding="ascii") as stream:
        stream.write('name = "small"\nmemory = 128\nvcpus = 1\nkernel = "/srv/files/vmlinuz"\n'
                     'ramdisk = "/srv/files/initrd.img"\n'
                     'extra = "console=ttyS0 quiet cryptomgr.notests no_timer_check"\n')
    return place


def start_with(machine, disk):
    """A small guest that does test=errors: it has read and written well when it says "ready"."""
    machine.send_line(f"create -c /srv/files/small.cfg 'disk=[\"{disk},raw,xvda,w\"]' "
                      f"'extra+=\" test=errors bad_read={BAD_READ} bad_write={BAD_WRITE}\"'")
    machine.expect(r"^ready$", timeout=240)


FAILING = {"backends": ("svm",), "smp": 2, "files": small_files, "disks": failing_disk,
           "keep_disks": True}


def sees_errors(machine):
    """The guest is told of both, can use the rest of its disk, and powers off as it should."""
    machine.expect(r"^read fails, write fails, the rest works$", timeout=120)
    machine.expect(r"^test errors: status 0$", timeout=60)
    machine.command("!true", 60)
    ended = machine.json("list --json")[-1]
    assert ended["state"] == "shutdown" and ended["end"] == "poweroff", ended


@system_test(**FAILING)
def a_disk_may_fail(machine):
    start_with(machine, "/dev/vdb")
    machine.send_line("go")
    sees_errors(machine)


# The machine


@system_test(backends=("svm",), smp=2, fresh=True, last=True)
def a_cpu_may_go(machine):
    """Linux takes a CPU offline; its part of the hypervisor answers all the same."""
    free = machine.json("info --json")["pool_free_bytes"]
    machine.run(f"create {EXITS} extra=interrupt")
    machine.run("!echo 0 >/sys/devices/system/cpu/cpu1/online", timeout=120)
    assert machine.run("!nproc").strip() == "1"
    goes_on(machine, "exits")
    machine.run("destroy exits", timeout=60)
    assert machine.json("info --json")["pool_free_bytes"] == free
    machine.run(f"create {EXITS} extra=io")
    goes_on(machine, "exits")
    machine.run("destroy exits", timeout=60)
    program(machine, "vmm-kill", "--times 1", timeout=240)


@system_test(backends=("svm",), smp=2, files=KERNELS)
def a_storm_of_nmis_is_the_service_vms(machine):
    def count():
        line = machine.run("!grep NMI: /proc/interrupts")
        return sum(int(word) for word in line.split() if word.isdigit())

    # What Linux says of NMIs that it does not know the reason of would be among the outputs.
    machine.run("!cp /proc/sys/kernel/printk /tmp/printk; echo 0 >/proc/sys/kernel/printk")
    machine.run(f"create {EXITS} extra=interrupt")
    before = count()
    for _ in range(2000):
        machine.emulator.qmp("inject-nmi")
    # Those that meet one that waits are one with it: how many there are is the emulator's affair.
    arrived = count() - before
    assert 2 <= arrived <= 2000, arrived
    # None is left over, and none is missing from here on.
    machine.run("!sleep 0.5")
    before = count()
    for number in range(1, 4):
        machine.emulator.qmp("inject-nmi")
        machine.run("!sleep 0.1")
        assert count() - before == number
    goes_on(machine, "exits")
    machine.run("destroy exits", timeout=60)
    machine.run("!cat /tmp/printk >/proc/sys/kernel/printk")
