#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who may include whom: vmm-user -> abi <- hv -> arch/x86 -> {vmx, svm}. The vendors know nothing of each
other and nobody includes them; ept/ knows neither a vendor nor hv's objects. And the table of operations
through which the vendors are reached stays small."""

import os
import re

import sources

MAX_OPERATIONS = 19  # members of struct arch_ops; to be lowered, never raised
PARTS = ("abi", "hv", "ept", "arch/x86/svm", "arch/x86/vmx", "arch/x86", "boot", "vmm-user")
# What a part may include beside itself: other parts, or single files of them.
MAY = {
    "abi": (),
    # Pages' bits and bare types: nothing of a control block.
    "ept": ("hv/types.h", "hv/string.h", "arch/x86/x86.h"),
    "hv": ("abi", "ept", "arch/x86"),
    "arch/x86": ("abi", "ept", "hv"),
    "arch/x86/svm": ("abi", "ept", "hv", "arch/x86"),
    "arch/x86/vmx": ("abi", "ept", "hv", "arch/x86"),
    # What it shares with the hypervisor: the hand-over and its layout, the console, log levels, the
    # vendors' answer to whether they can run here.
    "boot": ("abi", "hv/boot_info.h", "hv/console.h", "hv/layout.h", "hv/log.h", "hv/string.h",
             "hv/types.h", "arch/x86/asm.h", "arch/x86/x86.h", "arch/x86/svm/svm.h",
             "arch/x86/vmx/vmx.h"),
    "vmm-user": ("abi",),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
INCLUDE_ASM = re.compile(r'^\s*%include\s+"([^"]+)"', re.M)


def part_of(name):
    """The part of the tree that a file is in; the longest prefix."""
    return next((part for part in sorted(PARTS, key=len, reverse=True)
                 if name.startswith(part + "/")), None)


def resolve(name, target, known):
    """The file of ours that an #include in `name` means, or None."""
    for base in ("", os.path.dirname(name), "abi"):
        path = os.path.normpath(os.path.join(base, target))
        if path in known:
            return path
    return None


def main():
    names = [name for name in sources.files(".c", ".h", ".asm", ".inc") if part_of(name)]
    known = set(sources.files())
    problems, count = [], 0
    for name in names:
        part = part_of(name)
        pattern = INCLUDE_ASM if name.endswith((".asm", ".inc")) else INCLUDE
        for target in pattern.findall(sources.text(name)):
            path = resolve(name, target, known)
            into = part_of(path) if path else None
            if into is None or into == part:
                continue
            count += 1
            if into not in MAY[part] and path not in MAY[part]:
                problems.append(f"{name}: includes {path}: {part} may not know {into}")
    operations = re.search(r"struct arch_ops \{(.*?)^\};", sources.text("arch/x86/arch.h"), re.S | re.M)
    members = re.findall(r"\(\*\w+\)\(|^\tconst [^(;]*;", operations[1], re.M)
    if len(members) > MAX_OPERATIONS:
        problems.append(f"struct arch_ops has {len(members)} members, {MAX_OPERATIONS} are allowed")
    sources.end(problems, f"{count} includes across parts; {len(members)} operations")


main()
