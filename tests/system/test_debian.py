# SPDX-License-Identifier: BSD-2-Clause
"""Disks and networks of domains, with Debian as the guest: small ones of BusyBox, a root disk with
systemd, and the installer."""

import os
import re
import shutil

from framework import guests, system_test

CONFIG = """\
name = "{name}"
memory = {memory}
vcpus = 1
kernel = "/srv/files/{name}/vmlinuz"
ramdisk = "/srv/files/{name}/initrd.img"
extra = "console=ttyS0 quiet cryptomgr.notests no_timer_check"
"""
MEMORY = {"small": 128, "debian": 512, "installer": 640}


def files(*names):
    """A directory for --files with these guests."""
    place = os.path.join(guests.PLACE, "-".join(("files", *names)))
    shutil.rmtree(place, ignore_errors=True)
    for name in names:
        source = getattr(guests, name)()
        os.makedirs(os.path.join(place, name))
        for file in ("vmlinuz", "initrd.img"):
            os.link(os.path.join(source, file), os.path.join(place, name, file))
        with open(os.path.join(place, name, "config"), "w", encoding="ascii") as stream:
            stream.write(CONFIG.format(name=name, memory=MEMORY[name]))
    return place


def small_files():
    return files("small")


def store():
    """A file system with a disk's image in it."""
    image = guests.ext4_disk("inner", 32)
    return guests.ext4_disk("store", 96, os.path.dirname(image))


def small_disks():
    return store(), guests.ext4_disk("plain", 32)


def create(machine, name, test, *settings, timeout=240, extra=""):
    """What a small guest says that does `test`, and powers off."""
    words = [f"'{setting}'" for setting in settings]
    output = machine.run(f"create -c /srv/files/{name}/config {' '.join(words)} "
                         f"'extra+=\" test={test} {extra}\"'", timeout)
    assert f"test {test}: status 0" in output, output
    return output


def listen(machine, mebibytes):
    """Has the service VM send a file to whoever connects to port 7001, and take one at 7002."""
    machine.run(f"!head -c {mebibytes << 20} /dev/urandom >/tmp/down; rm -f /tmp/endless; "
                "mkfifo /tmp/endless")
    machine.run("!sleep 100000 >/tmp/endless & nc -l -p 7001 </tmp/down >/dev/null &")
    machine.run("!nc -l -p 7002 </tmp/endless >/tmp/up &")


def transferred(machine, output):
    """Whether both files have come as they went."""
    for word, file in (("received", "down"), ("sent", "up")):
        there = machine.run(f"!sha256sum /tmp/{file}").strip()
        assert there.startswith(value(output, word)), (word, there, output)
    machine.run("!killall sleep; rm /tmp/up /tmp/down")


def value(output, word):
    return re.search(rf"^{word} (\w+)$", output, re.M)[1]


SMALL = {"backends": ("svm",), "smp": 2, "files": small_files, "disks": small_disks}


@system_test(**SMALL)
def a_disk_keeps_what_is_written(machine):
    machine.run("!mount -t ext4 /dev/vdb /mnt")
    for target in ("/mnt/disk.img", "/dev/vdc"):
        written = create(machine, "small", "write", f'disk=["{target},raw,xvda,w"]')
        found = create(machine, "small", "check", f'disk=["{target},raw,xvda,r"]')
        assert value(written, "file") == value(found, "file"), (written, found)
    machine.run("!umount /mnt")


@system_test(**SMALL)
def a_network_in_user_mode_carries_both_ways(machine):
    machine.run("!ip addr add 10.0.3.1/32 dev lo")  # to be pinged; 10.0.2.2 is passt itself
    listen(machine, 4)
    output = create(machine, "small", "net", 'vif=[""]', extra="size=4")
    transferred(machine, output)
    assert "passt" not in machine.run("!ps")


@system_test(**SMALL)
def a_bridge_carries_both_ways(machine):
    machine.run("!brctl addbr br0 && ip addr add 192.168.77.1/24 dev br0 && ip link set br0 up")
    listen(machine, 4)
    output = create(machine, "small", "bridge", 'vif=["bridge=br0"]', extra="size=4")
    transferred(machine, output)
    assert "vif" not in machine.run("!ls /sys/class/net")
    machine.run("!ip link set br0 down && brctl delbr br0")
