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
extra = "console=ttyS0 quiet panic=-1 cryptomgr.notests"
"""
MEMORY = {"small": 128, "debian": 512, "installer": 960}


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
    """Has the service VM send a file to whoever connects to port 7001, and take one at 7002. It says
    a word there first: the passt of Debian 12 resets a connection after some 18 seconds on which
    only the guest has sent something."""
    machine.run(f"!head -c {mebibytes << 20} /dev/urandom >/tmp/down; rm -f /tmp/endless; "
                "mkfifo /tmp/endless")
    machine.run("!(echo ready; sleep 100000) >/tmp/endless & nc -l -p 7001 </tmp/down >/dev/null &")
    machine.run("!nc -l -p 7002 </tmp/endless >/tmp/up &")


def transferred(machine, output):
    """Whether both files have come as they went."""
    for word, file in (("received", "down"), ("sent", "up")):
        there = machine.run(f"!sha256sum /tmp/{file}").strip()
        assert there.startswith(value(output, word)), (word, there, output)
    machine.run("!killall sleep; rm /tmp/up /tmp/down")


def value(output, word):
    return re.search(rf"^{word} (\w+)(?:  ?-)?$", output, re.M)[1]


# Small guests


def leave_console(machine):
    machine.send("\x1d")
    machine.expect(r"^socle> ", what="the prompt behind the console")


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


@system_test(**SMALL)
def a_disk_that_may_not_be_written_is_not(machine):
    before = machine.run("!sha256sum /dev/vdc")
    output = create(machine, "small", "protected", 'disk=["/dev/vdc,raw,xvda,r"]')
    assert value(output, "ro") == "1" and "Operation not permitted" in output, output
    assert machine.run("!sha256sum /dev/vdc") == before


@system_test(**SMALL)
def a_snapshot_is_forgotten(machine):
    before = machine.run("!sha256sum /dev/vdc")
    output = create(machine, "small", "write", 'disk=["/dev/vdc,raw,xvda,w,snapshot"]')
    assert value(output, "file"), output
    assert machine.run("!sha256sum /dev/vdc") == before


@system_test(**SMALL)
def a_disk_that_is_cut_short_gives_errors(machine):
    machine.run("!mount -t ext4 /dev/vdb /mnt && cp /mnt/disk.img /mnt/cut.img")
    machine.run("create /srv/files/small/config 'disk=[\"/mnt/cut.img,raw,xvda,w\"]' "
                "'extra+=\" test=vanish\"'")
    machine.send_line("console small")
    machine.expect(r"^disk read$", timeout=240)
    leave_console(machine)
    machine.run("!truncate -s 0 /mnt/cut.img && rm /mnt/cut.img")
    machine.send_line("console small")
    machine.expect(r"^disk read$")
    machine.send("\r")
    machine.expect(r"^disk gone$")
    leave_console(machine)
    assert "has become shorter than the 33554432 bytes" in machine.run("domlog small")
    machine.send_line("console small")
    machine.expect(r"^disk gone$")
    machine.send("\r")
    machine.expect(r"^test vanish: status 0$")
    machine.expect(r"^socle> ", what="the prompt behind the console")
    ended = machine.json("list --json")[-1]
    assert ended["name"] == "small" and ended["end"] == "poweroff", ended
    machine.run("!umount /mnt")


@system_test(**SMALL)
def disks_that_cannot_be_used_are_refused(machine):
    free = machine.json("info --json")["pool_free_bytes"]
    machine.run("!printf short >/tmp/short.img")
    for target, words in (("/tmp/short.img", "it has no sector"), ("/nowhere", "No such file"),
                          ("/tmp", "expected a file or a block device")):
        _, output = machine.fails(f"create /srv/files/small/config 'disk=[\"{target},raw,xvda,r\"]'")
        assert words in output and target in output, output
    machine.run("create -p /srv/files/small/config 'disk=[\"/dev/vdc,raw,xvda,w\"]'")
    _, output = machine.fails("create /srv/files/small/config name=other "
                              "'disk=[\"/dev/vdc,raw,xvda,r\"]'")
    assert "/dev/vdc is in use by another domain" in output, output
    machine.run("destroy small")
    assert machine.json("info --json")["pool_free_bytes"] == free


# Debian with systemd, and its installer


def debian_files():
    return files("debian")


def installer_files():
    return files("installer")


def root_disk():
    return (os.path.join(guests.debian(), "root.img"),)


def shell(machine, line, timeout=120):
    """What a line says in the guest's shell, where it must succeed."""
    before = len(machine.text)
    machine.send_line(f"{line}; echo sta''tus=$?")  # so that the echo of it is not taken for it
    status = machine.expect(r"^status=(\d+)$", timeout=timeout, what=f"the end of '{line}'")[1]
    output = machine.text[before:]
    assert status == "0", output
    return output


def start_debian(machine, *settings, extra=""):
    """Boots Debian from the service VM's second disk up to root's shell."""
    words = " ".join(f"'{setting}'" for setting in settings)
    machine.send_line("create -c /srv/files/debian/config 'disk=[\"/dev/vdb,raw,xvda,w\"]' "
                      f"{words} 'extra+=\" root=/dev/vda {extra}\"'")
    machine.expect(r"^guest login: ", timeout=600, what="the login prompt")
    machine.send_line("root")
    machine.expect(r"^Password: ", timeout=120)
    machine.send_line("socle")
    machine.expect(r"^root@guest:~# ", timeout=120, what="root's shell")


def power_off_debian(machine):
    machine.send_line("poweroff")
    machine.expect(r"^socle> ", timeout=240, what="the shell's prompt, with status 0")
    ended = machine.json("list --json")[-1]
    assert ended["end"] == "poweroff" and ended["state"] == "shutdown", ended


DEBIAN = {"backends": ("svm",), "smp": 2, "mem": 3072, "pool": 1024, "files": debian_files,
          "disks": root_disk}


@system_test(long=True, **DEBIAN)
def debian_boots_from_its_disk(machine):
    listen(machine, 64)
    start_debian(machine, 'vif=[""]')
    shell(machine, "systemctl is-system-running --wait", 600)
    output = shell(machine, "echo received $(cat </dev/tcp/10.0.2.2/7001 | sha256sum)", 600)
    output += shell(machine, "head -c 64M /dev/urandom >up; echo sent $(sha256sum <up)", 600)
    shell(machine, "exec 3<>/dev/tcp/10.0.2.2/7002 && read -u 3 && cat up >&3; exec 3>&-", 600)
    power_off_debian(machine)
    transferred(machine, output)


@system_test(long=True, **{**DEBIAN, "mem": 3584, "pool": 1536})
def four_vcpus_bear_stress(machine):
    start_debian(machine, "vcpus=4", "memory=1024")
    assert "\n4\n" in shell(machine, "nproc")
    output = shell(machine, "stress-ng --cpu 4 --vm 2 --io 2 -t 30 --verify", 600)
    assert "successful run completed" in output, output
    power_off_debian(machine)


@system_test(backends=("svm",), smp=2, mem=3072, pool=1024, long=True, files=installer_files)
def the_installer_asks_its_first_question(machine):
    machine.send_line("create -c /srv/files/installer/config")
    machine.expect(r"Select a language", timeout=900)
    leave_console(machine)
    machine.run("destroy installer", 240)  # 78 s were seen, and not explained
