# SPDX-License-Identifier: BSD-2-Clause
"""The repository's files, for the checks: what git tracks or would."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(*suffixes):
    """Paths from the top, sorted; with suffixes, only names that end so."""
    listing = subprocess.run(("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
                             cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = sorted(set(filter(None, listing.split("\0"))))
    return [name for name in names
            if os.path.isfile(os.path.join(ROOT, name)) and name.endswith(suffixes or "")]


def text(name):
    """The file's content, or None if it is no text."""
    with open(os.path.join(ROOT, name), "rb") as stream:
        data = stream.read()
    return None if b"\0" in data else data.decode(errors="replace")


def end(problems, summary):
    """Prints the problems, or the summary if there is none, and exits."""
    print("\n".join(problems) if problems else summary)
    sys.exit(1 if problems else 0)
