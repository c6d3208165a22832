#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The privileged part stays small: counts the lines of code of hv/, arch/x86/ and ept/ (neither blank
nor comment) and fails at the limit."""

import re

import sources

LIMIT = 8000
PARTS = ("hv/", "arch/x86/", "ept/")

# Strings are matched too, so that a comment's start inside one does not count.
C_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
ASM_COMMENT = re.compile(r";[^\n]*")


def without_comments(name, text):
    if name.endswith(".asm"):
        return ASM_COMMENT.sub("", text)
    # A comment leaves its newlines, so that code around it stays on its own lines.
    return C_TOKEN.sub(lambda token: token[0] if token[0][0] in "\"'" else
                       "\n" * token[0].count("\n"), text)


def main():
    counts = dict.fromkeys(PARTS, 0)
    for name in sources.files(".c", ".h", ".asm"):
        part = next((part for part in PARTS if name.startswith(part)), None)
        if part:
            lines = without_comments(name, sources.text(name)).split("\n")
            counts[part] += sum(1 for line in lines if line.strip())
    total = sum(counts.values())
    parts = ", ".join(f"{part} {count}" for part, count in counts.items())
    summary = f"{total} privileged lines of at most {LIMIT - 1}: {parts}"
    sources.end([summary] if total >= LIMIT else [], summary)


main()
