# SPDX-License-Identifier: BSD-2-Clause
"""Declaring system tests, and finding those that were declared."""

import dataclasses
import glob
import importlib.util
import os

from emulator.config import Config

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYSTEM = os.path.join(ROOT, "tests", "system")
BACKENDS = ("svm", "vmx")

_declared = []


class Skip(Exception):
    """The test cannot be run here; the text says why."""


@dataclasses.dataclass
class Case:
    """One test on one back end."""

    function: callable
    backend: str
    options: dict  # of the machine
    quick: bool
    long: bool
    fresh: bool
    last: bool
    start: bool
    machine: bool

    @property
    def name(self):
        module = self.function.__module__.removeprefix("test_")
        return f"{module}.{self.function.__name__}[{self.backend}]"

    def group(self):
        """Cases with an equal group may use one machine after the other."""
        return Config(**self.options)


def system_test(backends=BACKENDS, quick=False, long=False, fresh=False, last=False, start=True,
                machine=True, **options):
    """Declares the decorated function a system test; see the package's description."""
    def declare(function):
        for backend in backends:
            assert backend in BACKENDS, backend
            _declared.append(Case(function, backend, options, quick, long, fresh or not start,
                                  last, start, machine))
        return function
    return declare


def find():
    """Loads tests/system/test_*.py; the cases, in the order of their declaration."""
    for path in sorted(glob.glob(os.path.join(SYSTEM, "test_*.py"))):
        name = os.path.basename(path).removesuffix(".py")
        spec = importlib.util.spec_from_file_location(name, path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return list(_declared)
