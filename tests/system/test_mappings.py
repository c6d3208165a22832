# SPDX-License-Identifier: BSD-2-Clause
"""What the hypervisor has mapped, read from outside: QEMU stops the machine and gives its memory, and
the page tables are walked as the processor walks them. Bochs has no way to read memory of a machine that
runs; the tables are made by the same code there."""

import os
import struct
import tempfile

from emulator.config import BUILD
from framework import system_test
from framework.kernels import write_kernels

FILES = os.path.join(BUILD, "test-kernels")
write_kernels(FILES)

HV_BASE = 0xffffffff80000000  # hv/layout.h
HV_POOL_BASE = 0xffffff0000000000
HV_APIC_BASE = 0xffffff7fc0000000
CPU_AREA_BYTES = 0x10000
APIC = 0xfee00000
PAGE, FRAME = 0x1000, 0x200000
VCPU_AREA_BYTES = 2 * PAGE
DOMAIN_ALIVE = 1

BOOT_INFO_MAGIC = 0x3130454c434f53
HSAVE_CR3 = 0x400 + 0x150  # where VMRUN keeps the host's CR3 (APM volume 2, table B-2)

PRESENT, WRITE, USER, UNCACHED, LARGE = 1, 2, 4, 0x18, 0x80
NX = 1 << 63
ADDRESS = 0x000ffffffffff000


class Memory:
    """Physical memory of a machine that stands still."""

    def __init__(self, machine, base, size):
        self.machine, self.base = machine, base
        self.region = self.read(base, size)

    def read(self, at, size):
        with tempfile.TemporaryDirectory(prefix="socle-memory-") as directory:
            path = os.path.join(directory, "dump")
            self.machine.emulator.qmp("pmemsave", val=at, size=size, filename=path)
            with open(path, "rb") as stream:
                return stream.read()

    def words(self, at):
        """The 512 words of a page."""
        offset = at - self.base
        inside = 0 <= offset <= len(self.region) - PAGE
        page = self.region[offset:offset + PAGE] if inside else self.read(at, PAGE)
        return struct.unpack("<512Q", page)


class BootInfo:
    """What is looked at of hv/boot_info.h, found by its magic number."""

    def __init__(self, memory):
        at = -1
        while True:
            at = memory.region.index(struct.pack("<Q", BOOT_INFO_MAGIC), at + 1)
            fields = struct.unpack_from("<QIIQQII2048s8Q", memory.region, at)
            self.base, self.bytes, _, _, self.pool_base, self.pool_bytes = fields[8:14]
            if at % PAGE == 0 and self.base == memory.base and self.bytes == len(memory.region):
                break
        self.offset = at
        self.cr3, self.cpu_areas, self.cpu_count = fields[3], fields[4], fields[5]


def leaves(memory, table, level=4, base=0, user=True, write=True, nx=False):
    """(virtual, physical, bytes, user, write, nx, entry) of all that is mapped."""
    for index, entry in enumerate(memory.words(table)):
        if not entry & PRESENT:
            continue
        shift = 12 + 9 * (level - 1)
        at = base + (index << shift)
        if level == 4 and index >= 256:
            at |= 0xffff << 48
        rights = (user and bool(entry & USER), write and bool(entry & WRITE), nx or bool(entry & NX))
        if level == 1 or entry & LARGE:
            yield (at, entry & ADDRESS, 1 << shift, *rights, entry)
        else:
            yield from leaves(memory, entry & ADDRESS, level - 1, at, *rights)


def check_own(boot, virtual, physical, size, write, nx):
    """A mapping of the hypervisor's region: linear, by pages, executable or writable, never both."""
    offset = virtual - HV_BASE
    assert size == PAGE and physical == boot.base + offset and offset < boot.bytes, hex(virtual)
    assert not (write and not nx), f"{virtual:#x} can be written and executed"
    if not nx:
        assert offset < boot.offset, f"{virtual:#x} is executable and not of the image"
    area = virtual - boot.cpu_areas
    if 0 <= area < boot.cpu_count * CPU_AREA_BYTES:
        assert area % CPU_AREA_BYTES != 0, f"the guard page {virtual:#x} is mapped"


def look(machine, info):
    """Walks and checks everything. Gives the pool's (whole frames, single pages) that are mapped."""
    machine.emulator.qmp("stop")
    try:
        memory = Memory(machine, info["hypervisor_base"], info["hypervisor_bytes"])
        boot = BootInfo(memory)
        frames, pages, executable, apics = [], [], 0, 0
        for virtual, physical, size, user, write, nx, entry in leaves(memory, boot.cr3):
            assert not user, f"{virtual:#x} is user space's"
            if virtual >= HV_BASE:
                check_own(boot, virtual, physical, size, write, nx)
                executable += not nx
                continue
            assert nx and write, f"{virtual:#x}: {entry:#x}"
            if virtual == HV_APIC_BASE:
                assert (physical, size, entry & UNCACHED) == (APIC, PAGE, UNCACHED), hex(entry)
                apics += 1
                continue
            first = boot.pool_base & ~0x3fffffff
            assert virtual == HV_POOL_BASE + physical - first, f"{virtual:#x} maps {physical:#x}"
            assert boot.pool_base <= physical < boot.pool_base + boot.pool_bytes, hex(physical)
            assert size in (PAGE, FRAME)
            (frames if size == FRAME else pages).append(physical)
        assert apics == 1 and executable > 4, (apics, executable)
        # The tables that were looked at are those that the CPUs run the hypervisor on.
        used = sum(struct.unpack_from("<Q", memory.region, at + HSAVE_CR3)[0] == boot.cr3
                   for at in range(0, boot.bytes, PAGE))
        assert used == boot.cpu_count, (used, boot.cpu_count)
        heads = [struct.unpack_from("<II", memory.read(frame, PAGE), 16) for frame in frames]
    finally:
        machine.emulator.qmp("cont")
    return heads, pages


@system_test(backends=("svm",), smp=2, files=FILES)
def the_hypervisor_maps_its_own_and_what_it_was_given(machine):
    info = machine.json("info --json")
    assert look(machine, info) == ([], [])

    # Domains: one donated frame each, which begins with its struct domain, and the vCPUs' areas.
    # Guests have 16 MiB each: a mapping of any of it would be one too many.
    machine.run("create /srv/files/spin.cfg")
    machine.run("create /srv/files/halt.cfg vcpus=3")
    domains = [domain["domid"] for domain in machine.json("list --json") if domain["domid"] != 0]
    assert len(domains) == 2, domains
    heads, pages = look(machine, info)
    assert sorted(heads) == sorted((number, DOMAIN_ALIVE) for number in domains), (heads, domains)
    assert len(pages) == len(set(pages)) == (1 + 3) * VCPU_AREA_BYTES // PAGE, pages

    machine.run("destroy spin")
    machine.run("destroy halt")
    assert look(machine, info) == ([], [])
