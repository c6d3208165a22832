#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""No file knows where somebody's checkout or home directory is."""

import re

import sources

PLACES = ("work", "farm", r"home/\w+", "Users", r"root/\.?\w+")
PATTERN = re.compile(r"(?:^|[^A-Za-z0-9_.}])/(?:" + "|".join(PLACES) + ")/")


def main():
    problems = []
    names = sources.files()
    for name in names:
        for number, line in enumerate((sources.text(name) or "").split("\n"), start=1):
            if PATTERN.search(line) or sources.ROOT + "/" in line:
                problems.append(f"{name}:{number}: a path of one machine: {line.strip()}")
    sources.end(problems, f"{len(names)} files")


main()
