# SPDX-License-Identifier: BSD-2-Clause
"""The service VM under the hypervisor: what it gets, what it must not get, and that it takes no exits."""

import re

from framework import system_test

TESTS = "/lib/socle/tests"


# Else socled divides the pool when it has nothing to do, and dax0.0 is whole no more.
@system_test(smp=2, quick=True, lazy=True)
def has_its_cpus_kernel_and_pool(machine):
    info = machine.json("info --json")
    assert info["backend"] == machine.config.cpu
    assert info["cpus"] == 2
    assert info["pool_bytes"] == machine.config.pool << 20
    assert info["pool_free_bytes"] == info["pool_bytes"]
    assert 0 < info["hypervisor_bytes"] <= 16 << 20
    assert machine.run("!nproc").split() == ["2"]
    assert "Debian" in machine.run("!uname -v")
    assert machine.run("!cat /sys/bus/dax/devices/dax0.0/size").split() == [str(info["pool_bytes"])]
    assert machine.run("!ls -l /dev/dax0.0").startswith("c")


@system_test(smp=4, backends=("svm",))
def has_four_cpus(machine):
    assert machine.json("info --json")["cpus"] == 4
    assert machine.run("!nproc").split() == ["4"]
    cpus = machine.json("stat --json")["cpus"]
    assert len(cpus) == 4 and all(cpu["service"]["exits"]["cpuid"] > 0 for cpu in cpus)


@system_test(smp=2, quick=True)
def sees_neither_vmx_nor_svm(machine):
    flags = machine.run("!grep -m1 ^flags /proc/cpuinfo").split()
    assert "hypervisor" in flags
    assert "vmx" not in flags and "svm" not in flags
    # FEATURE_CONTROL and VM_CR say that it is switched off; VM_HSAVE_PA and VMX_BASIC do not exist.
    register, missing = (0xc0010114, 0xc0010117) if machine.config.cpu == "svm" else (0x3a, 0x480)
    read = "!dd if=/dev/cpu/0/msr bs=8 count=1 iflag=skip_bytes skip=%d 2>/dev/null | hexdump -ve '/1 \"%%02x\"'"
    value = machine.run(read % register).strip()
    assert value == ("1800000000000000" if machine.config.cpu == "svm" else "0100000000000000"), value
    assert machine.run(read % missing).strip() == ""


@system_test(smp=2)
def takes_no_exits_while_it_works(machine):
    output = machine.run(f"!{TESTS}/exitless-load --seconds 10", timeout=240)
    assert re.search(r"^PASS: exitless-load", output, re.M), output


@system_test(smp=2)
def cannot_reach_the_hypervisor(machine):
    stride = 1 if machine.config.cpu == "svm" else 16
    output = machine.run(f"!{TESTS}/devmem-probe --stride {stride}", timeout=300)
    assert re.search(r"^PASS: devmem-probe", output, re.M), output
    assert machine.json("info --json")["key_ok"]
    assert machine.json("stat --json")["service"]["exits"][
        "npf" if machine.config.cpu == "svm" else "ept_violation"] > 0


@system_test(smp=2)
def refuses_calls_without_the_key(machine):
    output = machine.run(f"!{TESTS}/hypercall-storm --calls 10000", timeout=300)
    assert re.search(r"^PASS: hypercall-storm", output, re.M), output
    assert machine.json("stat --json")["hypercalls_denied"] >= 10000
    assert "with a wrong key" in machine.run("dmesg")


@system_test(backends=("svm",), smp=2)
def gets_its_nmis(machine):
    def count():
        line = machine.run("!grep NMI: /proc/interrupts")
        return sum(int(word) for word in line.split() if word.isdigit())

    def exits():
        reasons = machine.json("stat --json")["service"]["exits"]
        return reasons["nmi"], reasons["nmi_window"]

    before, exits_before = count(), exits()
    for _ in range(3):
        machine.emulator.qmp("inject-nmi")  # to the CPU whose LINT1 takes it: the first
        machine.run("!sleep 0.1")  # or the next would find this one pending
    assert count() - before == 3
    assert exits() == (exits_before[0] + 3, exits_before[1] + 3)


@system_test(smp=2)
def ends_awkward_exits_as_a_processor_would(machine):
    output = machine.run(f"!{TESTS}/exit-edges", timeout=60)
    assert re.search(r"^PASS: exit-edges", output, re.M), output
