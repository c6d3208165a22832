#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""shellcheck has nothing to say about the shell scripts."""

import re
import subprocess

import sources


def is_script(name):
    return name.endswith(".sh") or re.match(r"#!/bin/(?:ba)?sh\b", sources.text(name) or "")


def main():
    names = [name for name in sources.files() if is_script(name)]
    done = subprocess.run(("shellcheck", "-x", "--format=gcc", *names), cwd=sources.ROOT,
                          capture_output=True, text=True, check=False)
    output = (done.stdout + done.stderr).strip()
    sources.end(output.split("\n") if done.returncode else [], f"{len(names)} scripts")


main()
