#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""cppcheck over what clang-tidy looks at, which it looks at in another way. What is suppressed, by file,
is in cppcheck.txt with the reasons."""

import os
import subprocess

import sources

PARTS = ("hv/", "ept/", "arch/x86/", "boot/", "vmm-user/")
LIST = os.path.join(sources.ROOT, "tests", "check", "cppcheck.txt")
# It cannot parse attributes of function pointers.
FLAGS = ("--enable=warning,performance,portability", "--quiet", f"-j{os.cpu_count()}", "--std=c11",
         "--error-exitcode=1", "-D__attribute__(x)=", "-D_GNU_SOURCE", "-I.", "-Iabi",
         "-Ivmm-user/lib", "-Ivmm-user/config", f"--suppressions-list={LIST}",
         "--template={file}:{line}: {severity}: {message} [{id}]")


def main():
    names = [name for name in sources.files(".c") if name.startswith(PARTS)]
    done = subprocess.run(("cppcheck", *FLAGS, *names), cwd=sources.ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    sources.end([done.stdout] if done.returncode else [], f"{len(names)} files")


main()
