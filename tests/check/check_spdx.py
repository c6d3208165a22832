#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every text file names its licence in one of its first lines."""

import sources

WANTED = "SPDX-License-" + "Identifier: BSD-2-Clause"
EXEMPT = (".gitignore",)
INPUTS = "tests/fuzz/corpus/"  # what fuzzers begin with: each byte counts


def main():
    names = [name for name in sources.files() if name not in EXEMPT and not name.startswith(INPUTS)]
    texts = {name: sources.text(name) for name in names}
    problems = [f"{name}: no '{WANTED}' in its first five lines" for name, text in texts.items()
                if text is not None and not any(WANTED in line for line in text.split("\n")[:5])]
    sources.end(problems, f"{len(names)} files")


main()
