# SPDX-License-Identifier: BSD-2-Clause
"""What domains are made of in system tests: kernels, initramfs, disks. All of it is put together from
Debian packages when it is first needed, and kept under build/test-guests.
"""

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys

from emulator.config import BUILD, ROOT, Failure

from .vmlinux import extract

PLACE = os.path.join(BUILD, "test-guests")
SOURCES = os.path.join(ROOT, "tests", "system", "debian")
SUITE = "bookworm"
ROOT_PACKAGES = ("initramfs-tools", "iproute2", "linux-image-cloud-amd64", "python3-minimal",
                 "stress-ng", "systemd-sysv", "udev", "zstd")
INSTALLER = "debian-installer-12-netboot-amd64"

SMALL_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "af_packet", "ext4")
SMALL_INIT = os.path.join(SOURCES, "init")

PLATFORM_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_balloon", "qemu_fw_cfg")
PLATFORM_INIT = os.path.join(ROOT, "tests", "system", "platform", "init")


def _run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Failure(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def _digest(*parts):
    """Of texts, and of the files among them."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
        if os.path.isfile(part):
            with open(part, "rb") as stream:
                digest.update(stream.read())
    return digest.hexdigest()


def _made(name, digest, make):
    """The directory PLACE/name, made by make(directory) unless it is there with that digest."""
    directory = os.path.join(PLACE, name)
    stamp = os.path.join(directory, "inputs")
    os.makedirs(PLACE, exist_ok=True)
    with open(os.path.join(PLACE, ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the lanes of the back ends are threads
        if os.path.exists(stamp):
            with open(stamp, encoding="ascii") as stream:
                if stream.read() == digest:
                    return directory
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        make(directory)
        with open(stamp, "w", encoding="ascii") as stream:
            stream.write(digest)
    return directory


def _image():
    """service/image.py, which knows the packages of the service VM."""
    sys.path.insert(0, os.path.join(ROOT, "service"))
    try:
        import image  # pylint: disable=import-outside-toplevel,import-error
    finally:
        sys.path.pop(0)
    return image


def small():
    """A directory with vmlinuz, and initrd.img: BusyBox, and an init that runs a script of tests/system/debian."""
    return _busybox("small", SMALL_MODULES, SMALL_INIT)


def platform():
    """A directory with vmlinuz, vmlinux (the same, uncompressed, for PVH) and initrd.img: a shell of BusyBox."""
    return _busybox("platform", PLATFORM_MODULES, PLATFORM_INIT, vmlinux=True)


def _busybox(name, modules, init, vmlinux=False):
    image = _image()
    files = image.packages("cloud", refresh=False)

    def make(directory):
        root = image.unpacked(files["kernel"])
        archive = image.cpio.Archive()
        for place in ("dev", "etc", "mnt", "proc", "sys", "tmp", "usr/bin", "usr/lib", "usr/sbin"):
            archive.directory(place)
        for place in ("bin", "sbin", "lib"):
            archive.link(place, f"usr/{place}")
        archive.character_device("dev/console", 5, 1)
        image.add_modules(archive, root, modules)
        image.add_busybox(archive, image.unpacked(files["busybox"]))
        archive.copy("init", init)
        with open(os.path.join(directory, "initrd.img"), "wb") as stream:
            stream.write(gzip.compress(archive.bytes()))
        (kernel,) = (name for name in os.listdir(os.path.join(root, "boot"))
                     if name.startswith("vmlinuz-"))
        shutil.copy(os.path.join(root, "boot", kernel), os.path.join(directory, "vmlinuz"))
        if vmlinux:
            extract(os.path.join(directory, "vmlinuz"), os.path.join(directory, "vmlinux"))

    return _made(name, _digest(*modules, files["kernel"], files["busybox"], init, str(vmlinux)),
                 make)


def debian():
    """A directory with vmlinuz, initrd.img and root.img: Debian with systemd, on ext4; its root's
    password is "socle"."""
    customize = os.path.join(SOURCES, "customize.sh")

    def make(directory):
        print(f"test: making a root disk of Debian {SUITE} in {directory}", file=sys.stderr)
        _run("mmdebstrap", "--quiet", "--variant=minbase", "--format=null",
             f"--include={','.join(ROOT_PACKAGES)}", f"--customize-hook={customize}", SUITE, "-",
             env=dict(os.environ, OUT=directory))

    return _made("debian", _digest(SUITE, *ROOT_PACKAGES, customize), make)


def installer():
    """A directory with vmlinuz and initrd.img: Debian's installer, for a text console."""
    image = _image()

    def make(directory):
        os.makedirs(image.CACHE, exist_ok=True)
        _run("dpkg-deb", "-x", os.path.join(image.CACHE, image.fetch(INSTALLER)),
             os.path.join(directory, "package"))
        for place, _, names in os.walk(os.path.join(directory, "package")):
            if place.endswith("/text/debian-installer/amd64") and "initrd.gz" in names:
                shutil.copy(os.path.join(place, "linux"), os.path.join(directory, "vmlinuz"))
                shutil.copy(os.path.join(place, "initrd.gz"), os.path.join(directory, "initrd.img"))
        shutil.rmtree(os.path.join(directory, "package"))

    return _made("installer", _digest(INSTALLER), make)


def empty_disk(name, mebibytes):
    """The path of an image full of zeros."""
    directory = _made(f"disk-{name}", _digest(str(mebibytes)),
                      lambda place: _truncate(os.path.join(place, "disk.img"), mebibytes << 20))
    return os.path.join(directory, "disk.img")


def ext4_disk(name, mebibytes, content=None):
    """The path of an image with an ext4 file system; content: the directory that goes into it."""
    def make(place):
        path = os.path.join(place, "disk.img")
        options = ["-d", content] if content else []
        _run("mke2fs", "-q", "-t", "ext4", "-F", *options, path, f"{mebibytes}M")

    files = sorted(os.path.join(place, one) for place, _, names in os.walk(content or "")
                   for one in names)
    return os.path.join(_made(f"disk-{name}", _digest(str(mebibytes), *files), make), "disk.img")


def _truncate(path, size):
    with open(path, "wb") as stream:
        stream.truncate(size)
