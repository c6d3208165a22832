# SPDX-License-Identifier: BSD-2-Clause
"""What Linux finds in a domain beside processors, disks and networks: consoles, tables, the balloon; and the
ways in which its kernel can be started."""

import os
import re
import shutil

from framework import guests, system_test

ESCAPE = "\x1d"  # Ctrl-]
UUID = "12345678-9abc-def0-1234-56789abcdef0"
CONFIG = f"""\
name = "platform"
uuid = "{UUID}"
memory = 160
kernel = "/srv/files/vmlinuz"
ramdisk = "/srv/files/initrd.img"
extra = "console=ttyS0 quiet cryptomgr.notests no_timer_check"
"""
FAILED = 1


def files():
    """A directory for --files with the guest."""
    place = os.path.join(guests.PLACE, "files-platform")
    source = guests.platform()
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    for name in ("vmlinuz", "vmlinux", "initrd.img"):
        os.link(os.path.join(source, name), os.path.join(place, name))
    with open(os.path.join(place, "config"), "w", encoding="ascii") as stream:
        stream.write(CONFIG)
    return place


MACHINE = {"backends": ("svm",), "smp": 2, "files": files}


class Guest:
    """A domain whose console the test is at."""

    def __init__(self, machine, *settings):
        self.machine = machine
        self.count = 0
        words = " ".join(f"'{setting}'" for setting in settings)
        machine.send_line(f"create -c /srv/files/config {words}")
        machine.expect(r"^/ # ", timeout=240, what="the guest's shell")

    def run(self, line, timeout=60):
        """The output of a line that must succeed. What is typed comes back, so the marks are put together."""
        self.count += 1
        self.machine.send_line(f"echo be'gin' {self.count}; {{ {line}\n}}; echo do'ne' {self.count} $?")
        self.machine.expect(rf"begin {self.count}\s", timeout=timeout, what=f"the begin of '{line}'")
        match = self.machine.expect(rf"(?s)(.*?)done {self.count} (\d+)\s", timeout=timeout,
                                    what=f"the end of '{line}'")
        output = match[1].replace("\r", "").strip()
        assert match[2] == "0", f"'{line}' in the guest: status {match[2]}:\n{output}"
        self.machine.expect(r"^/ # ", timeout=60, what="the guest's prompt")
        return output

    def leave(self):
        self.machine.send(ESCAPE)
        self.machine.expect(r"^socle> ", what="the shell behind the console")

    def back(self):
        self.machine.send_line("console platform")
        self.machine.expect(r"^/ # ", what="the guest's prompt of before")
        # Whatever the console showed of the past ends with a mark that is new.
        self.machine.send_line(f"echo ba'ck' {self.count}")
        self.machine.expect(rf"^back {self.count}$", what="the guest's answer")
        self.machine.expect(r"^/ # ", what="the guest's prompt")

    def power_off(self):
        self.machine.send_line("exit")
        self.machine.expect(r"^socle> ", timeout=60, what="the prompt behind the console")


def memory(machine):
    return machine.json("list --json platform")[0]["memory_mib"]


def reaches(machine, mebibytes):
    """Waits until the guest has that much."""
    for _ in range(300):
        if memory(machine) == mebibytes:
            return
        machine.run("!usleep 100000")
    raise AssertionError(f"the guest has {memory(machine)} MiB and not {mebibytes}")


def available(guest):
    """MiB that the guest could use. (MemTotal stays what it is if a guest may let the air out by itself.)"""
    return int(guest.run("grep MemAvailable /proc/meminfo").split()[1]) >> 10


@system_test(**MACHINE)
def linux_knows_its_machine(machine):
    guest = Guest(machine)
    dmi = guest.run("cd /sys/class/dmi/id; cat sys_vendor product_name product_uuid product_serial; cd /")
    assert dmi.split("\n") == ["Socle", "Socle domain", UUID, UUID], dmi
    guest.run("cmp /sys/firmware/dmi/tables/DMI /sys/firmware/qemu_fw_cfg/by_name/etc/smbios/smbios-tables/raw")
    assert guest.run("cat /sys/firmware/qemu_fw_cfg/rev") == "3"
    serial = guest.run("cat /proc/tty/driver/serial")
    assert re.search(r"^1: uart:16550A port:000002F8 irq:3", serial, re.M), serial
    guest.power_off()


@system_test(**MACHINE)
def consoles_are_shown_and_typed_at(machine):
    guest = Guest(machine, 'serial=["pty","pty"]', 'channel=["name=one,connection=pty","name=two"]')
    for device in ("ttyS1", "hvc0", "hvc1"):
        guest.run(f"stty raw -echo </dev/{device}; sh -c 'echo at {device}; while read word; do echo {device}-$word; "
                  f"done' </dev/{device} >/dev/{device} 2>&1 &")
    guest.leave()
    for options, device in (("-t serial -n 1", "ttyS1"), ("-t pv", "hvc0"), ("-t pv -n 1", "hvc1")):
        machine.send_line(f"console {options} platform")
        machine.expect(rf"^at {device}", what=f"what {device} said before")
        machine.send("hello\n")
        machine.expect(rf"{device}-hello", what=f"an answer at {device}")
        machine.send(ESCAPE)
        machine.expect(r"^socle> ", what="the shell behind the console")
    machine.fails("console -t pv -n 2 platform")
    machine.run("destroy platform")


@system_test(**MACHINE)
def a_channel_can_be_the_console(machine):
    guest = Guest(machine, "serial=none", 'channel=["name=console"]', 'extra+=" console=hvc0"')
    assert guest.run("tty") == "/dev/hvc0"
    assert guest.run("echo from the kernel >/dev/kmsg; dmesg -n 8; echo again >/dev/kmsg").endswith("again")
    guest.power_off()


@system_test(**MACHINE)
def the_balloon_takes_and_gives_back(machine):
    guest = Guest(machine)
    guest.run("dd if=/dev/urandom of=/tmp/data bs=1M count=16")
    before = guest.run("sha256sum </tmp/data")
    free = available(guest)
    guest.leave()
    machine.run("mem-set platform 96")
    reaches(machine, 96)
    domain = machine.json("list --json platform")[0]
    assert domain["memory_max_mib"] == 160 and domain["memory_target_mib"] == 96, domain
    assert 0 < domain["memory_free_mib"] < 160, domain
    counters = machine.json("stat platform --json")
    assert counters["exits"]["io"] > 100 and counters["exits"]["hlt"] > 0, counters
    assert counters["exits_total"] == sum(counters["exits"].values()), counters
    assert [vcpu["vcpu"] for vcpu in counters["vcpu_list"]] == [0], counters
    guest.back()
    assert 56 <= free - available(guest) <= 72, (free, available(guest))
    assert guest.run("sha256sum </tmp/data") == before
    guest.leave()
    machine.run("mem-set platform 160m")
    reaches(machine, 160)
    guest.back()
    assert abs(free - available(guest)) <= 8, (free, available(guest))
    # All of it can be written again.
    guest.run("dd if=/dev/zero of=/tmp/more bs=1M count=40")
    assert guest.run("sha256sum </tmp/data") == before
    guest.power_off()


def interrupts(guest, name):
    """Of each CPU: how many interrupts of that name it took; by line of /proc/interrupts."""
    found = []
    for line in guest.run("cat /proc/interrupts").split("\n"):
        if line.rstrip().endswith(name) or f"{name}." in line:
            assert "PCI-MSI" in line, line
            found.append([int(word) for word in line.split()[1:5]])
    return found


@system_test(**MACHINE)
def each_cpu_has_a_queue_with_its_interrupt(machine):
    machine.run("!truncate -s 16M /tmp/queues.img")
    guest = Guest(machine, "vcpus=4", 'disk=["/tmp/queues.img,raw,xvda,w"]')
    assert guest.run("ls /sys/block/vda/mq").split() == ["0", "1", "2", "3"]
    (name,) = {match for match in re.findall(r"(virtio\d+)-req", guest.run("cat /proc/interrupts"))}
    before = interrupts(guest, f"{name}-req")
    assert len(before) == 4, before
    for cpu in range(4):
        guest.run(f"taskset -c {cpu} dd if=/dev/vda of=/dev/null bs=4k count=8 skip={cpu * 8} iflag=direct")
    after = interrupts(guest, f"{name}-req")
    for cpu in range(4):
        grown = [after[queue][cpu] - before[queue][cpu] for queue in range(4)]
        assert sorted(grown)[-1] >= 8 and sorted(grown)[:-1] == [0, 0, 0], (cpu, before, after)
    guest.power_off()
    machine.run("!rm /tmp/queues.img")


@system_test(**MACHINE)
def an_elf_kernel_starts_at_its_pvh_entry(machine):
    guest = Guest(machine, "kernel=/srv/files/vmlinux", 'type="pvh"')
    # Linux' PVH entry makes its own boot_params, and calls the boot loader 0xb (QEMU's).
    assert guest.run("cat /proc/sys/kernel/bootloader_type") == "176"
    assert guest.run("cat /sys/class/dmi/id/product_uuid") == UUID
    guest.power_off()
    ended = machine.json("list --json")[-1]
    assert ended["end"] == "poweroff", ended


def refused(machine, settings, *words):
    status, output = machine.fails(f"create /srv/files/config {settings}")
    assert status == FAILED, (status, output)
    for word in words:
        assert word in output, output


@system_test(**MACHINE)
def kernels_that_cannot_be_loaded_are_refused(machine):
    free = machine.json("info --json")["pool_free_bytes"]
    machine.run("!head -c 1000000 /srv/files/vmlinuz >/tmp/short")
    refused(machine, "kernel=/tmp/short", "/tmp/short is cut short", "found 1000000")
    machine.run("!head -c 2000000 /srv/files/vmlinux >/tmp/short")
    refused(machine, "kernel=/tmp/short", "/tmp/short is cut short", "segment")
    machine.run("!head -c 70 /srv/files/vmlinux >/tmp/short")
    refused(machine, "kernel=/tmp/short", "program headers")
    refused(machine, "memory=16", "/srv/files/vmlinuz does not fit")
    machine.run("!truncate -s 150M /tmp/large")
    refused(machine, "ramdisk=/tmp/large", "/tmp/large does not fit")
    machine.run("!rm /tmp/short /tmp/large")
    assert machine.json("info --json")["pool_free_bytes"] == free
