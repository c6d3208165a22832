#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""C files are as clang-format would have them."""

import subprocess

import sources


def main():
    names = sources.files(".c", ".h")
    done = subprocess.run(("clang-format", "--dry-run", "-Werror", *names), cwd=sources.ROOT,
                          capture_output=True, text=True, check=False)
    sources.end(done.stderr.split("\n") if done.returncode else [], f"{len(names)} files")


main()
