#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Puts the service VM's kernel and initramfs together from Debian packages, without root.

    service/image.py [--kernel cloud|generic] [--refresh]

Result: build/service/KERNEL/vmlinuz and build/service/KERNEL/initramfs.img. The packages are kept in
build/service/cache, so only the first run needs the network; --refresh looks for newer ones. Our own
programs come from the staging root build/service/stage (cmake --install). Nothing is done when the
result is newer than everything it is made of.
"""

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import cpio

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(HERE), "build", "service")
CACHE = os.path.join(BUILD, "cache")
STAGE = os.path.join(BUILD, "stage")

META_PACKAGES = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}
PROGRAMS = {"busybox": "busybox-static", "passt": "passt"}
TERMINALS = ("dumb", "linux", "vt100", "vt220", "xterm", "xterm-256color", "screen", "tmux")
DIRECTORIES = ("dev", "etc", "mnt", "proc", "root", "run", "srv/files", "sys", "usr/bin",
               "usr/lib", "usr/lib64", "usr/sbin", "var")
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n127.0.1.1 socle\n",
    "hostname": "socle\n",
    "shells": "/bin/sh\n",
    "os-release": 'NAME="Socle service VM"\nID=socle\nID_LIKE=debian\n',
}


class Failure(Exception):
    """The image cannot be made; the text says why and what to do."""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Failure(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def apt_field(package, field):
    text = run("apt-cache", "show", "--no-all-versions", package)
    found = re.search(rf"^{field}: (.*)$", text, re.MULTILINE)
    if not found:
        raise Failure(f"apt knows no {field} of the package {package}; try apt-get update")
    return found.group(1)


def fetch(package):
    """Downloads the package's candidate version into the cache unless it is there; its file name."""
    version = apt_field(package, "Version")
    name = f"{package}_{version.replace(':', '%3a')}_amd64.deb"
    if not os.path.exists(os.path.join(CACHE, name)):
        print(f"service: downloading {package} {version}", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            # As root, apt would hand the download to its user _apt, who may not come in here.
            try:
                run("apt-get", "-o", "APT::Sandbox::User=root", "download",
                    f"{package}={version}", cwd=scratch)
            except Failure as failure:
                raise Failure(f"{failure}\nThe service VM's image is made from Debian packages; the "
                              "first build needs the network (and a recent apt-get update).") from None
            (downloaded,) = os.listdir(scratch)
            os.rename(os.path.join(scratch, downloaded), os.path.join(CACHE, name))
    return name


def packages(kernel, refresh):
    """The .deb files by role ("kernel" and those in PROGRAMS), as locked by the first run."""
    os.makedirs(CACHE, exist_ok=True)
    lock = os.path.join(CACHE, kernel + ".json")
    if os.path.exists(lock) and not refresh:
        with open(lock, encoding="utf-8") as stream:
            files = json.load(stream)
        if files.keys() == {"kernel", *PROGRAMS} and all(
                os.path.exists(os.path.join(CACHE, name)) for name in files.values()):
            return files
    image = re.match(r"linux-image-\S+", apt_field(META_PACKAGES[kernel], "Depends"))
    files = {"kernel": fetch(image.group(0))}
    files |= {role: fetch(package) for role, package in PROGRAMS.items()}
    with open(lock, "w", encoding="utf-8") as stream:
        json.dump(files, stream)
    return files


def unpacked(deb):
    """The directory with the package's content, unpacked once."""
    place = os.path.join(CACHE, deb.removesuffix(".deb"))
    if not os.path.isdir(place):
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            root = os.path.join(scratch, "root")
            run("dpkg-deb", "-x", os.path.join(CACHE, deb), root)
            if glob.glob(os.path.join(root, "lib", "modules", "*")):
                run("depmod", "-b", root, kernel_version(root))
            os.rename(root, place)
    return place


def kernel_version(root):
    (version,) = os.listdir(os.path.join(root, "lib", "modules"))
    return version


def wanted_modules():
    with open(os.path.join(HERE, "modules.txt"), encoding="utf-8") as stream:
        lines = (line.split("#")[0].strip() for line in stream)
        return [line.replace("-", "_") for line in lines if line]


def add_modules(archive, root, names):
    """The modules of these names that the kernel has, and what they depend on."""
    version = kernel_version(root)
    base = os.path.join(root, "lib", "modules", version)
    needs, paths = {}, {}
    with open(os.path.join(base, "modules.dep"), encoding="utf-8") as stream:
        for line in stream:
            path, rest = line.split(":")
            needs[path] = rest.split()
            paths[os.path.basename(path).removesuffix(".ko").replace("-", "_")] = path
    chosen = set()
    todo = [paths[name] for name in names if name in paths]
    while todo:
        path = todo.pop()
        if path not in chosen:
            chosen.add(path)
            todo += needs[path]
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        small = os.path.join(scratch, "lib", "modules", version)
        for path in chosen:
            os.makedirs(os.path.dirname(os.path.join(small, path)), exist_ok=True)
            os.link(os.path.join(base, path), os.path.join(small, path))
            archive.copy(f"usr/lib/modules/{version}/{path}", os.path.join(base, path))
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copy(os.path.join(base, name), small)
        run("depmod", "-b", scratch, version)
        for name in ("modules.dep", "modules.alias", "modules.softdep", "modules.symbols",
                     "modules.builtin"):
            archive.copy(f"usr/lib/modules/{version}/{name}", os.path.join(small, name))


def add_busybox(archive, root):
    program = os.path.join(root, "bin", "busybox")
    archive.copy("usr/bin/busybox", program)
    for applet in run(program, "--list").split():
        if applet != "busybox":
            archive.link(f"usr/bin/{applet}", "busybox")
    archive.link("usr/sbin/modprobe", "../bin/busybox")


def add_passt(archive, root):
    """User-mode networking; it starts the variant for the processor by itself."""
    programs = glob.glob(os.path.join(root, "usr", "bin", "passt*"))
    for program in programs:
        archive.copy(f"usr/bin/{os.path.basename(program)}", program)
    add_libraries(archive, programs)


def add_programs(archive):
    """Everything in the staging root, and the shared libraries that its programs need."""
    programs = []
    for place, directories, names in os.walk(STAGE):
        directories.sort()
        for name in sorted(names):
            source = os.path.join(place, name)
            target = os.path.join("usr", os.path.relpath(source, STAGE))
            if os.path.islink(source):
                archive.link(target, os.readlink(source))
                continue
            archive.copy(target, source)
            if is_elf(source):
                programs.append(source)
    add_libraries(archive, programs)


def add_libraries(archive, programs):
    """The host's shared libraries that the programs need."""
    libraries = set()
    for program in programs:
        listing = subprocess.run(("ldd", program), capture_output=True, text=True,
                                 check=False).stdout
        if "not found" in listing:
            raise Failure(f"{program} lacks a library:\n{listing}")
        libraries.update(re.findall(r"(/\S+) \(0x", listing))
    for library in sorted(libraries):
        target = library if library.startswith("/usr/") else "/usr" + library
        archive.copy(target, os.path.realpath(library))


def is_elf(path):
    with open(path, "rb") as stream:
        return stream.read(4) == b"\x7fELF"


def add_terminals(archive):
    for name in TERMINALS:
        for base in ("/lib/terminfo", "/usr/share/terminfo"):
            source = os.path.join(base, name[0], name)
            if os.path.exists(source):
                archive.copy(f"usr/share/terminfo/{name[0]}/{name}", os.path.realpath(source))
                break


def build(kernel, files):
    archive = cpio.Archive()
    for directory in DIRECTORIES:
        archive.directory(directory)
    archive.directory("tmp", 0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        archive.link(name, f"usr/{name}")
    # What the kernel opens before /init has mounted devtmpfs.
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    for name, text in ETC.items():
        archive.file(f"etc/{name}", text.encode())
    archive.copy("init", os.path.join(HERE, "init"))
    archive.copy("etc/inittab", os.path.join(HERE, "inittab"))
    root = unpacked(files["kernel"])
    add_modules(archive, root, wanted_modules())
    add_busybox(archive, unpacked(files["busybox"]))
    add_passt(archive, unpacked(files["passt"]))
    add_terminals(archive)
    add_programs(archive)
    if "usr/bin/socle" not in archive.entries:
        archive.file("usr/bin/socle", b"#!/bin/sh\nexec /bin/sh -l\n", 0o755)

    place = os.path.join(BUILD, kernel)
    os.makedirs(place, exist_ok=True)
    packed = subprocess.run(("zstd", "-q", "-19", "-T1", "-c"), input=archive.bytes(),
                            capture_output=True, check=True).stdout
    replace(os.path.join(place, "initramfs.img"), packed)
    with open(os.path.join(root, "boot", "vmlinuz-" + kernel_version(root)), "rb") as stream:
        replace(os.path.join(place, "vmlinuz"), stream.read())


def replace(path, data):
    """Writes the file so that another run sees either the old or the new one."""
    with open(path + ".new", "wb") as stream:
        stream.write(data)
    os.rename(path + ".new", path)


def inputs_digest(files):
    """A digest over everything that the image is made of, apart from the host's libraries."""
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode())
    sources = [os.path.join(HERE, name)
               for name in ("image.py", "cpio.py", "init", "inittab", "modules.txt")]
    for place, directories, names in os.walk(STAGE):
        directories.sort()
        sources += [os.path.join(place, name) for name in sorted(names)]
    for source in sources:
        digest.update(os.path.relpath(source, HERE).encode())
        if os.path.islink(source):
            digest.update(os.readlink(source).encode())
        else:
            with open(source, "rb") as stream:
                digest.update(stream.read())
    return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description="Builds the service VM's kernel and initramfs.")
    parser.add_argument("--kernel", choices=sorted(META_PACKAGES), default="cloud")
    parser.add_argument("--refresh", action="store_true", help="look for newer packages")
    options = parser.parse_args()
    try:
        files = packages(options.kernel, options.refresh)
        stamp = os.path.join(BUILD, options.kernel, "inputs")
        digest = inputs_digest(files)
        if os.path.exists(stamp):
            with open(stamp, encoding="ascii") as stream:
                if stream.read() == digest:
                    return
        print("service: building the initramfs", file=sys.stderr)
        build(options.kernel, files)
        replace(stamp, digest.encode())
    except Failure as failure:
        sys.exit(f"service: {failure}")


if __name__ == "__main__":
    main()
