# SPDX-License-Identifier: BSD-2-Clause
"""The bootable disk image: a GPT with a FAT EFI system partition, and behind it, as squashfs, the
directory that was given with --files. Made without root.

The EFI partition is as small as its content allows: under Bochs the firmware reads it by PIO.
"""

import os
import subprocess
import tempfile

from .config import FILES_PARTITION, Failure

SECTOR = 512
MIB = 1 << 20
# Bochs takes only whole cylinders of 16 heads and 63 sectors.
CYLINDER = 16 * 63 * SECTOR
# A FAT16 file system has at least 4085 clusters; below that the firmware would take it for FAT12.
ESP_MIN = 10 * MIB
# Equal inputs give an equal image, so nothing in it is random.
DISK_GUID = "50c1e000-0000-4000-8000-000000000000"
PARTITION_GUID = "50c1e000-0000-4000-8000-00000000000{}"
FAT_ID = "50C1E000"
TIME = 1767225600  # 2026-01-01, for what has a date


def build(config, path):
    """Writes the image for `config` to `path`."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path) or ".", prefix="disk-") as scratch:
        partitions = [("socle-esp", "uefi", _esp(config, scratch))]
        if config.files:
            partitions.append((FILES_PARTITION, "linux", _squashfs(config.files, scratch)))
        whole = os.path.join(scratch, "disk")
        _assemble(partitions, whole)
        os.rename(whole, path)


def _run(*command, **options):
    environment = dict(os.environ, SOURCE_DATE_EPOCH=str(TIME), MTOOLS_SKIP_CHECK="1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment,
                          **options)
    if done.returncode:
        raise Failure(f"{command[0]} failed while the disk image was made:\n"
                      f"{(done.stderr or done.stdout).strip()}")


def _esp(config, scratch):
    """The EFI system partition's content as a file."""
    tree = os.path.join(scratch, "esp.d")
    socle = os.path.join(tree, "EFI", "socle")
    os.makedirs(socle)
    sources = {config.vmlinuz: "vmlinuz", config.initramfs: "initramfs.img"}
    if not config.bare:
        os.makedirs(os.path.join(tree, "EFI", "BOOT"))
        sources[config.loader] = "../BOOT/BOOTX64.EFI"
    for source, name in sources.items():
        if not os.path.exists(source):
            raise Failure(f"{os.path.relpath(source)} is missing; it is made by the build")
        os.symlink(os.path.abspath(source), os.path.join(socle, name))
    if config.bare:
        # Without a boot loader the firmware ends in the UEFI shell, which runs this file.
        start = ("\\EFI\\socle\\vmlinuz initrd=\\EFI\\socle\\initramfs.img "
                 f"{config.command_line()}\r\n")
        _write(os.path.join(tree, "startup.nsh"), start.encode())
    else:
        _write(os.path.join(socle, "socle.conf"), config.socle_conf())

    content = sum(os.path.getsize(os.path.join(place, name))
                  for place, _, names in os.walk(tree) for name in names)
    size = max(ESP_MIN, content + content // 64 + MIB)
    size += -size % MIB
    image = os.path.join(scratch, "esp")
    _truncate(image, size)
    _run("mkfs.fat", "--invariant", "-F", "16", "-s", "4", "-i", FAT_ID, "-n", "SOCLE", image)
    roots = [os.path.join(tree, name) for name in sorted(os.listdir(tree))]
    _run("mcopy", "-s", "-i", image, *roots, "::/")  # it follows the symbolic links
    return image


def _squashfs(directory, scratch):
    image = os.path.join(scratch, "files")
    # The cheapest of the compressions that the kernel has: images of domains may be large.
    _run("mksquashfs", directory, image, "-noappend", "-all-root", "-no-progress", "-quiet",
         "-comp", "lz4")
    return image


def _assemble(partitions, path):
    """Writes the GPT and copies each partition's content into its place, from 1 MiB on."""
    start = MIB
    places = []
    for name, kind, source in partitions:
        size = os.path.getsize(source)
        size += -size % MIB
        places.append((name, kind, source, start, size))
        start += size
    size = start + MIB  # room for the second GPT
    _truncate(path, size + -size % CYLINDER)
    table = [f"label: gpt\nlabel-id: {DISK_GUID}\n"]
    for number, (name, kind, _, first, length) in enumerate(places, start=1):
        table.append(f"start={first // SECTOR}, size={length // SECTOR}, type={kind}, "
                     f"name={name}, uuid={PARTITION_GUID.format(number)}\n")
    _run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, input="".join(table))
    with open(path, "r+b") as disk:
        for _, _, source, first, _ in places:
            disk.seek(first)
            with open(source, "rb") as stream:
                while block := stream.read(4 * MIB):
                    disk.write(block)


def _truncate(path, size):
    with open(path, "wb") as stream:
        stream.truncate(size)


def _write(path, data):
    with open(path, "wb") as stream:
        stream.write(data)
