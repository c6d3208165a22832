# SPDX-License-Identifier: BSD-2-Clause
"""What keeps Socle from starting is said on the serial line, and the firmware gets the machine back."""

import re
import tempfile

from framework import system_test

CONF = r"""
kernel = \EFI\socle\vmlinuz
initramfs = \EFI\socle\initramfs.img
cmdline = console=ttyS0,115200
"""


def start(machine, conf=None):
    """Starts the machine, with a socle.conf of the test's own if one is given."""
    if conf is None:
        machine.start()
        return
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as stream:
        stream.write(conf)
        stream.flush()
        machine.config.conf = stream.name
        machine.start()  # builds the disk image first


def refuses(machine, pattern, conf=None):
    """The machine says on its serial line why it does not start, and the firmware goes on."""
    start(machine, conf)
    machine.expect(r"Socle cannot start: [^\n]*" + pattern, timeout=120)
    machine.expect(r"returning to the firmware", timeout=60)
    machine.expect(r"failed to start Boot", timeout=60)


@system_test(backends=("svm",), start=False, cpu_model="max,-svm")
def without_virtualization(machine):
    refuses(machine, r"VT-x or AMD-V needed, found neither")


@system_test(backends=("svm",), start=False, cpu_model="max,-npt")
def without_nested_paging(machine):
    refuses(machine, r"nested paging \(NPT\) needed: CPUID 0x8000000A EDX=0x")


@system_test(backends=("vmx",), start=False, cpu_model="core2_penryn_t9600")
def without_ept(machine):
    refuses(machine, r"EPT needed: MSR 0x48b offers bits 0x0 of 0x2")


@system_test(backends=("vmx",), start=False, cpu_model="corei5_lynnfield_750")
def without_unrestricted_guest(machine):
    refuses(machine, r"unrestricted guest needed: MSR 0x48b offers bits 0x2 of 0x82")


@system_test(backends=("svm",), start=False)
def with_a_kernel_that_is_not_there(machine):
    refuses(machine, r"the file \\EFI\\socle\\nothing is not on the volume",
            CONF.replace("vmlinuz", "nothing"))


@system_test(backends=("svm",), start=False)
def with_a_kernel_that_is_none(machine):
    refuses(machine, r"initramfs\.img is not a Linux kernel: expected a bzImage",
            CONF.replace("vmlinuz", "initramfs.img"))


@system_test(backends=("svm", "vmx"), start=False)
def with_a_configuration_of_garbage(machine):
    refuses(machine, r'socle\.conf, line 5: pool "lots": expected an even number of MiB',
            CONF + "pool = lots\n")


@system_test(backends=("svm",), start=False, pool=4096)
def with_a_pool_larger_than_memory(machine):
    refuses(machine, r"pool = 4096 MiB in socle\.conf: the largest free range of memory has \d+ MiB")


@system_test(backends=("svm",), start=False, mem=128, pool=64)
def with_little_memory(machine):
    refuses(machine, r"(pool = 64 MiB|memory needed)")


@system_test(backends=("svm",), start=False)
def with_more_cpus_than_allowed(machine):
    start(machine, CONF + "pool = 256\ncpus = 1\n")
    machine.expect(r"warning: 2 CPUs found, 1 used: the limit is cpus = 1", timeout=120)
    machine.wait_prompt()
    assert machine.json("info --json")["cpus"] == 1
    assert machine.run("!nproc").split() == ["1"]


@system_test(backends=("svm", "vmx"), start=False)
def a_failing_hypervisor_tells_why(machine):
    start(machine, CONF + "pool = 256\nselftest = exception\n")
    machine.expect(r"the hypervisor failed on CPU 0\ncause: exception 6, error code 0x0", timeout=180)
    match = machine.expect(r"rip ([0-9a-f]{16})", timeout=10)
    assert match.group(1).startswith("ffffffff8")
    machine.expect(r"  ffffffff8[0-9a-f]{7}  selftest\+0x", timeout=10)
    machine.expect(r"call trace:\n(  ffffffff8[0-9a-f]{7}  hv_start\+0x[0-9a-f]+\n)?"
                   r"  ffffffff8[0-9a-f]{7}  hv_entry\+0x", timeout=10)
    machine.expect(r"resetting the machine", timeout=10)
    assert re.search("reset", str(machine.wait_exit(timeout=120)))
