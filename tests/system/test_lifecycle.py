# SPDX-License-Identifier: BSD-2-Clause
"""How domains begin and end, what is said of it, and that nothing is left of them."""

import os
import random
import re

from emulator.config import BUILD
from framework import system_test
from framework.kernels import write_kernels

FILES = os.path.join(BUILD, "test-kernels")
write_kernels(FILES)
MACHINE = {"backends": ("svm",), "smp": 2, "files": FILES}

# Exit statuses of socle (docs/operations.md).
FAILED = 1
CONFIG = 9
REBOOTED = 10
DESTROYED = 11


def pool_free(machine):
    return machine.json("info --json")["pool_free_bytes"]


def create(machine, name, *settings):
    machine.run(" ".join([f"create /srv/files/{name}.cfg", *settings]))


def entry(machine, name):
    """What "list" has of the domain, or None."""
    found = [domain for domain in machine.json("list --json") if domain["name"] == name]
    assert len(found) <= 1, found
    return found[0] if found else None


def ended(machine, name):
    """The same, waiting until its last word is said; each look takes the shell some time."""
    for _ in range(300):
        domain = entry(machine, name)
        if domain is not None and domain["state"] in ("crashed", "shutdown"):
            return domain
        machine.run("!usleep 20000")
    raise AssertionError(f"{name} does not end: {domain}")


def crashes(machine, name, reason, **more):
    """A domain that crashes by itself: its record has the reason, and its memory is free."""
    free = pool_free(machine)
    create(machine, name)
    domain = ended(machine, name)
    assert domain["state"] == "crashed" and domain["end"] == "crash", domain
    assert re.search(reason, domain["reason"]), domain
    assert not domain["live"] and domain["vmm_pid"] is None, domain
    assert pool_free(machine) == free
    machine.run(f"destroy {name}")
    assert entry(machine, name) is None


# Reasons of a crash


@system_test(**MACHINE)
def a_triple_fault_is_a_crash(machine):
    crashes(machine, "triple", r"^vCPU 0: triple fault at .*0x10003")


@system_test(**MACHINE)
def a_state_that_cannot_run_is_a_crash(machine):
    crashes(machine, "invalid", r"^vCPU 0: its state is not one to run in")


@system_test(**MACHINE)
def an_instruction_that_the_vmm_cannot_do_is_a_crash(machine):
    crashes(machine, "strange", r"^vCPU 0: .*0xfed000f0 .*d9 3d f0 00 d0 fe")


@system_test(**MACHINE)
def a_killed_vmm_is_a_crash(machine):
    free = pool_free(machine)
    create(machine, "spin")
    machine.run("!kill -9 $(pidof socle-vmm)")
    domain = ended(machine, "spin")
    assert domain["state"] == "crashed" and "signal 9" in domain["reason"], domain
    assert pool_free(machine) == free
    machine.run("destroy spin")


# Domains that cannot begin: an error, and nothing else


def refused(machine, command, status, *words):
    free = pool_free(machine)
    found, output = machine.fails(command)
    assert found == status, (found, output)
    for word in words:
        assert word in output, output
    assert pool_free(machine) == free


@system_test(**MACHINE)
def bad_images_are_refused(machine):
    refused(machine, "create /srv/files/halt.cfg kernel=/etc/inittab", FAILED, "/etc/inittab",
            "expected")
    refused(machine, "create /srv/files/halt.cfg kernel=/srv/files/short.bin", FAILED, "short.bin",
            "cut short")
    refused(machine, "create /srv/files/halt.cfg kernel=/nowhere", FAILED, "/nowhere",
            "No such file")
    refused(machine, "create /srv/files/halt.cfg kernel=/tmp", FAILED, "/tmp", "file")
    refused(machine, "create /srv/files/halt.cfg kernel=/dev/null", FAILED, "/dev/null", "file")
    refused(machine, "create /srv/files/halt.cfg ramdisk=/nowhere", FAILED, "ramdisk", "/nowhere",
            "No such file")
    machine.run("!: >/tmp/empty")
    refused(machine, "create /srv/files/halt.cfg kernel=/tmp/empty", FAILED, "/tmp/empty")
    refused(machine, 'create /srv/files/halt.cfg \'disk=["/nowhere,raw,xvda,rw"]\'', FAILED, "/nowhere",
            "No such file")
    refused(machine, "create /srv/files/halt.cfg memory=999998", FAILED, "not enough memory",
            "999998 MiB")
    refused(machine, "create /nowhere.cfg", CONFIG, "/nowhere.cfg", "No such file")
    refused(machine, "create /srv/files/halt.cfg vcpus=many", CONFIG, "vcpus", "many")
    machine.run("!printf 'name = \"x\"\\nmemory = 16\\nkernel = 5 5\\n' >/tmp/bad.cfg")
    refused(machine, "create /tmp/bad.cfg", CONFIG, "/tmp/bad.cfg:3")
    refused(machine, "destroy nobody", FAILED, "nobody")
    create(machine, "halt")
    refused(machine, "create /srv/files/halt.cfg", FAILED, "halt", "already")
    machine.run("destroy halt")


@system_test(**MACHINE)
def an_image_that_vanishes_is_a_crash(machine):
    free = pool_free(machine)
    machine.run("!cp /srv/files/reboot.bin /tmp/vanishes.bin")
    create(machine, "reboot", "-p", "kernel=/tmp/vanishes.bin")
    machine.run("!rm /tmp/vanishes.bin")
    machine.run("unpause reboot")
    domain = ended(machine, "reboot")
    assert domain["state"] == "crashed", domain
    assert "/tmp/vanishes.bin" in domain["reason"] and "No such file" in domain["reason"], domain
    assert pool_free(machine) == free
    machine.run("destroy reboot")


# What "create -c" gives back


@system_test(**MACHINE)
def the_console_tells_the_end(machine):
    output = machine.run("create -c /srv/files/poweroff.cfg")
    assert "bye" in output, output
    status, output = machine.fails("create -c /srv/files/triple.cfg")
    assert status == FAILED and "triple crashed: vCPU 0: triple fault" in output, output
    status, output = machine.fails("create -c /srv/files/reboot.cfg on_reboot='\"destroy\"'")
    assert status == REBOOTED and "again" in output, output
    machine.run("!(until socle pause spin; do usleep 100000; done; socle destroy spin)"
                " >/dev/null 2>&1 &")
    status, output = machine.fails("create -c /srv/files/spin.cfg")
    assert status == DESTROYED and "spin was destroyed" in output, output


# The list


@system_test(**MACHINE)
def the_service_vm_is_the_first_of_the_list(machine):
    create(machine, "halt", "vcpus=2")
    create(machine, "spin")
    rows = [line.split() for line in machine.run("list").splitlines()]
    assert rows[0] == ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"], rows
    assert [row[0] for row in rows[1:]] == ["Domain-0", "halt", "spin"], rows
    assert rows[1][1] == "0" and rows[1][3:5] == ["2", "r-----"], rows
    assert rows[2][2:5] == ["16", "2", "-b----"], rows
    assert rows[3][2:5] == ["16", "1", "r-----"], rows
    live = [domain["name"] for domain in machine.json("list --json") if domain["live"]]
    assert live == ["halt", "spin"], live
    service = machine.json("list --json Domain-0")
    assert len(service) == 1 and service[0]["domid"] == 0, service
    assert 1000 < service[0]["memory_mib"] < 2048 and service[0]["vcpus"] == 2, service
    machine.fails("create /srv/files/halt.cfg name=Domain-0")
    machine.run("destroy halt spin")


# on_poweroff, on_reboot, on_crash


@system_test(**MACHINE)
def an_end_can_be_preserved(machine):
    free = pool_free(machine)
    for name, key, state in (("poweroff", "on_poweroff", "shutdown"),
                             ("reboot", "on_reboot", "shutdown"), ("triple", "on_crash", "crashed")):
        create(machine, name, f"{key}=preserve")
        domain = ended(machine, name)
        assert domain["live"] and domain["state"] == state, domain
        assert domain["domid"] is not None and domain["reason"], domain
        assert pool_free(machine) < free
        machine.fails(f"pause {name}")
        machine.run(f"destroy {name}")
        assert entry(machine, name) is None
        assert pool_free(machine) == free


@system_test(**MACHINE)
def an_end_can_be_a_restart(machine):
    free = pool_free(machine)
    for name, key in (("poweroff", "on_poweroff"), ("reboot", "on_reboot"), ("triple", "on_crash")):
        create(machine, name, f"{key}=restart")
        # It ends at once each time, and is given up.
        domain = ended(machine, name)
        assert domain["state"] == "crashed" and domain["restarts"] == 5, domain
        assert "6 times" in domain["reason"], domain
        assert pool_free(machine) == free
        machine.run(f"destroy {name}")


@system_test(**MACHINE)
def an_end_can_be_the_end(machine):
    free = pool_free(machine)
    create(machine, "reboot", "on_reboot=destroy")
    domain = ended(machine, "reboot")
    assert domain["state"] == "shutdown" and domain["end"] == "reboot", domain
    assert not domain["live"] and domain["restarts"] == 0, domain
    assert pool_free(machine) == free
    machine.run("destroy reboot")


# What a VMM has

# What its descriptors may be: socket and pipe to socled, what epoll and timers are made of, its domain's
# memory and the kernel.
DESCRIPTORS = (r"socket:\[\d+\]", r"pipe:\[\d+\]", r"anon_inode:\[(eventpoll|eventfd|timerfd)\]", r"/dev/null",
               r"/dev/dax\d+\.\d+", r"/srv/files/\w+\.bin")


def status_of(machine, pid):
    lines = machine.run(f"!cat /proc/{pid}/status").splitlines()
    return {line.split(":")[0]: line.split(":", 1)[1].split() for line in lines if ":" in line}


@system_test(**MACHINE)
def a_vmm_has_nothing_but_its_domain(machine):
    users, devices = set(), set()
    for name in ("halt", "spin"):
        create(machine, name)
        pid = entry(machine, name)["vmm_pid"]
        status = status_of(machine, pid)
        assert len(set(status["Uid"])) == 1 and len(set(status["Gid"])) == 1, status
        assert not status["Groups"] and status["Uid"][0] not in ("0", *users), status
        users.add(status["Uid"][0])
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind][0], 16) == 0, status
        assert status["NoNewPrivs"] == ["1"] and status["Seccomp"] == ["2"], status
        # Each thread has the filter, not the first alone.
        threads = machine.run(f"!cat /proc/{pid}/task/*/status | grep Seccomp:").split("\n")
        assert len(threads) >= 2 and all(line.split() == ["Seccomp:", "2"] for line in threads), threads
        found = re.findall(r" -> (.*)$", machine.run(f"!ls -l /proc/{pid}/fd"), re.M)
        for target in found:
            assert any(re.fullmatch(one, target) for one in DESCRIPTORS), found
        mine = {target for target in found if target.startswith("/dev/dax")}
        assert len(mine) == 1 and not mine & devices, found
        devices |= mine
        assert f"/srv/files/{name}.bin" in found, found
        assert f"domain-{entry(machine, name)['domid']}" in machine.run(f"!cat /proc/{pid}/cgroup")
    # Nor can its user open what is another's, the hypervisor's key or socled's socket.
    for user in users:
        machine.run(f"!echo vmm:x:{user}:{user}::/:/bin/sh >>/etc/passwd")
        for path in (*devices, "/dev/mem", "/dev/cpu/0/msr", "/sys/firmware/acpi/tables/SOCL",
                     "/run/socle/socled.sock", "/run/socle/socled.log"):
            opened, output = machine.command(f"!start-stop-daemon -S -p /nowhere -c {user}:{user} -a /bin/dd -- "
                                             f"if={path} count=0")
            assert opened != 0 and "Permission denied" in output, (path, opened, output)
        machine.run("!sed -i /^vmm:/d /etc/passwd")
    machine.run("destroy halt spin")


# What they take


@system_test(**MACHINE)
def a_domain_takes_its_memory_and_one_frame(machine):
    free = pool_free(machine)
    for vcpus in (1, 16):
        create(machine, "halt", f"vcpus={vcpus}")
        assert free - pool_free(machine) == (16 + 2) << 20
        machine.run("destroy halt")
    assert pool_free(machine) == free


def cycles(machine, count, timeout):
    seed = random.randrange(1, 1 << 32)
    output = machine.run(f"!/lib/socle/tests/domain-cycles --cycles {count} --seed {seed}",
                         timeout=timeout)
    assert re.search(r"^PASS: domain-cycles", output, re.M), output


@system_test(**MACHINE)
def twenty_domains_leave_nothing(machine):
    cycles(machine, 20, 240)


@system_test(**MACHINE, long=True)
def two_hundred_domains_leave_nothing(machine):
    cycles(machine, 200, 2400)
