#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The hypervisor's call graph, as GCC sees it (-fcallgraph-info), over all files: no recursion, and the
deepest stack, that of an exception included, fits into a CPU's. Calls through pointers are followed by
what their line says: the vendors' operations, the handlers of exits, the hypercalls."""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess

import sources

BUILD = os.path.join(sources.ROOT, "build")
OWN = os.path.join(BUILD, "stack")
ROOTS = ("hv_start", "hv_exception")
# What entry.asm pushes for an exception: the processor's part, and struct exception_frame.
FRAME_BYTES = 256
# Functions in assembly, by what they push at most.
ASSEMBLY = {"svm_world_switch": 128, "vmx_world_switch": 128, "cpu_load_tables": 32,
            "svm_clear_gif": 0, "svm_take_pending": 64, "vmx_unblock_nmis": 64}
# Operations that a vendor may lack, and pointers' tables: how a call looks, and where its targets are.
OPERATION = re.compile(r"arch->(\w+)\(")
TABLES = (
    (re.compile(r"->handlers\["), re.compile(r"_handlers\[\w*\] = \{(.*?)^\};", re.S | re.M)),
    (re.compile(r"root_calls\["), re.compile(r"root_calls\[\w*\] = \{(.*?)^\};", re.S | re.M)),
)
ENTRY = re.compile(r"\]\s*=\s*(\w+)")


def compile_one(entry):
    """The graph of a file, as text, with errors of the compiler as an exception."""
    words = shlex.split(entry["command"])
    output = os.path.join(OWN, os.path.relpath(entry["file"], sources.ROOT).replace("/", "-") + ".o")
    words[words.index("-o") + 1] = output
    subprocess.run((*words, "-fcallgraph-info=su"), cwd=entry["directory"], check=True)
    with open(output[:-2] + ".ci", encoding="utf-8") as stream:
        return stream.read()


def graphs():
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as stream:
        entries = [entry for entry in json.load(stream)
                   if "hv_objects.dir" in entry["command"] and entry["file"].endswith(".c")]
    os.makedirs(OWN, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, entries))


def short(title):
    """The function's name; static ones of different files keep the file's name."""
    path, _, name = title.rpartition(":")
    return f"{os.path.relpath(path, sources.ROOT)}:{name}" if path else name


class Graph:
    def __init__(self):
        self.bytes, self.calls, self.problems = {}, {}, []
        self.code = {name: sources.text(name) for name in sources.files(".c", ".h")
                     if name.startswith(("hv/", "arch/x86/", "ept/"))}

    def read(self, text):
        for title, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]*)"', text):
            found = re.search(r"(\d+) bytes \(([\w,]+)", label)
            if found:
                self.bytes[short(title)] = int(found[1])
                self.calls.setdefault(short(title), set())
                if found[2] not in ("static", "dynamic,bounded"):
                    self.problems.append(f"{short(title)}: its stack has no bound")
        local = {short(title).rpartition(":")[2]: short(title)
                 for title in re.findall(r'node: \{ title: "([^"]+)"', text)}
        for source, target, label in re.findall(
                r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)" label: "([^"]*)"', text):
            targets = self.behind(label, local) if target == "__indirect_call" else [short(target)]
            self.calls.setdefault(short(source), set()).update(targets)

    def behind(self, label, local):
        """The functions that the call through a pointer, at this place, may reach."""
        path, line, _ = label.rsplit(":", 2)
        name = os.path.relpath(path, sources.ROOT)
        text = self.code[name].split("\n")[int(line) - 1]
        operation = OPERATION.search(text)
        if operation:
            found = [value for code in self.code.values()
                     for value in re.findall(rf"^\t\.{operation[1]} = (\w+),", code, re.M)]
            if found:
                return found
        for call, table in TABLES:
            if call.search(text):
                return [self.static(function) for code in self.code.values()
                        for body in table.findall(code) for function in ENTRY.findall(body)]
        self.problems.append(f"{name}:{line}: where does this call go?")
        return []

    @staticmethod
    def static(function):
        return "*" + function  # one of that name in any file: resolved when all is read

    def resolve(self):
        by_name = {}
        for title in self.bytes:
            by_name.setdefault(title.rpartition(":")[2], []).append(title)
        for source, targets in self.calls.items():
            self.calls[source] = {title for target in targets for title in
                                  (by_name.get(target[1:], [target[1:]]) if target[0] == "*"
                                   else [target])}

    def deepest(self, title, path=()):
        """(bytes, way) of the deepest stack below a function."""
        if title in path:
            way = " -> ".join((*path[path.index(title):], title))
            self.problems.append(f"recursion: {way}")
            return 0, ()
        if title not in self.known:
            if title not in self.bytes and title not in ASSEMBLY:
                self.problems.append(f"{title}: called by {path[-1] if path else '?'}, and unknown")
            # Before the way down, so that a cycle ends there.
            below = max((self.deepest(target, (*path, title))
                         for target in sorted(self.calls.get(title, ()))), default=(0, ()))
            own = self.bytes.get(title, ASSEMBLY.get(title, 0)) + 8
            self.known[title] = (own + below[0], (title, *below[1]))
        return self.known[title]

    known = {}


def main():
    graph = Graph()
    for text in graphs():
        graph.read(text)
    graph.resolve()
    limit = int(re.search(r"HV_CPU_STACK_BYTES (\w+)", sources.text("hv/layout.h"))[1], 0)
    ways = [graph.deepest(root) for root in ROOTS]
    total = sum(way[0] for way in ways) + FRAME_BYTES
    if total > limit:
        graph.problems.append(f"{total} bytes of stack, a CPU has {limit}:")
    if graph.problems:
        graph.problems += [" -> ".join(way[1]) + f": {way[0]} bytes" for way in ways]
    sources.end(sorted(set(graph.problems)),
                f"no recursion in {len(graph.bytes)} functions; {total} bytes of stack of {limit}")


main()
