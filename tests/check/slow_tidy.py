#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""clang-tidy over everything that is built for the machine or for the service VM: .clang-tidy says what
it looks for, and why not for the rest. A file that passed is looked at again when it or a header changed."""

import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess

import sources

BUILD = os.path.join(sources.ROOT, "build")
OWN = os.path.join(BUILD, "tidy")  # the compilation database for clang, and what has passed
PARTS = ("hv/", "ept/", "arch/x86/", "boot/", "vmm-user/")
GCC_ONLY = ("-maccumulate-outgoing-args", "-fno-tree-loop-distribute-patterns", "-fcall-used-")
FLAGS = ("--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-ignored-optimization-argument",
         "--extra-arg=-Wno-gnu-variable-sized-type-not-at-end")


def database():
    """Each file once, as it is compiled for use, not for tests. Gives the files' names."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as stream:
        entries = json.load(stream)
    chosen = {}
    for entry in entries:
        name = os.path.relpath(entry["file"], sources.ROOT)
        output = re.search(r" -o (\S+)", entry["command"])[1]
        if (not name.startswith(PARTS) or not name.endswith(".c") or output.startswith("tests/")
                or "-unit.dir" in output):
            continue
        entry["command"] = shlex.join(word for word in shlex.split(entry["command"])
                                      if not word.startswith(GCC_ONLY))
        chosen.setdefault(name, entry)
    os.makedirs(OWN, exist_ok=True)
    with open(os.path.join(OWN, "compile_commands.json"), "w", encoding="utf-8") as stream:
        json.dump(list(chosen.values()), stream)
    return sorted(chosen)


def tidy(name, common):
    """What clang-tidy finds in a file."""
    stamp = os.path.join(OWN, name.replace("/", "-") + ".passed")
    digest = hashlib.sha256((common + sources.text(name)).encode()).hexdigest()
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as stream:
            if stream.read() == digest:
                return ""
    done = subprocess.run(("clang-tidy", "-p", OWN, "--quiet", *FLAGS, name), cwd=sources.ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        return done.stdout.replace(sources.ROOT + "/", "")
    with open(stamp, "w", encoding="utf-8") as stream:
        stream.write(digest)
    return ""


def main():
    if not os.path.exists(os.path.join(BUILD, "compile_commands.json")):
        subprocess.run(("cmake", "-S", sources.ROOT, "-B", BUILD, "-G", "Ninja"), check=True,
                       stdout=subprocess.DEVNULL)
    names = database()
    common = "".join(sources.text(name) for name in sources.files(".h", ".clang-tidy"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(filter(None, pool.map(lambda name: tidy(name, common), names)))
    sources.end(found, f"{len(names)} files")


main()
