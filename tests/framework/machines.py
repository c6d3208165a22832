# SPDX-License-Identifier: BSD-2-Clause
"""The machines that system tests get."""

import json
import os
import subprocess

from emulator.config import Config
from emulator.machine import Machine

from .declare import ROOT, SYSTEM

# The --files of a test's machine, unless it asks for others.
FILES = os.path.join(SYSTEM, "files")
# Tests state their deadlines for QEMU; Bochs gets this many times as long.
BOCHS_FACTOR = 8


class TestMachine(Machine):
    """A `Machine` with what tests want besides: run(), json(), and deadlines that fit the back end.

    run(line)          the output of a line at the management shell; it must succeed
    fails(line)        the same for a line that must not: (status, output)
    command(line)      (status, output)
    json(line)         the output of a line with --json, parsed
    expect(regex, s)   waits for output; start(), wait_prompt(), power_off(), wait_exit(): see Machine
    backend            "svm" or "vmx"
    """

    __test__ = False

    def __init__(self, backend, **options):
        options = {name: value() if callable(value) else value for name, value in options.items()}
        options.setdefault("files", FILES)
        super().__init__(Config(cpu=backend, **options))
        self.backend = backend

    def _scaled(self, seconds):
        return seconds * (BOCHS_FACTOR if self.config.bochs else 1)

    def command(self, line, timeout=60):
        return super().command(line, self._scaled(timeout))

    def expect(self, pattern, timeout=60, what=None):
        return super().expect(pattern, self._scaled(timeout), what)

    def wait_exit(self, timeout=60):
        return super().wait_exit(self._scaled(timeout))

    def run(self, line, timeout=60):
        status, output = self.command(line, timeout)
        assert status == 0, f"'{line}' ended with status {status}:\n{output}"
        return output

    def fails(self, line, timeout=60):
        status, output = self.command(line, timeout)
        assert status != 0, f"'{line}' succeeded:\n{output}"
        return status, output

    def json(self, line, timeout=60):
        output = self.run(line, timeout)
        try:
            return json.loads(output)
        except ValueError as error:
            raise AssertionError(f"'{line}' gave no JSON ({error}):\n{output}") from None


class Host:
    """What a test without a machine gets: `directory` for its files, and run() for ./run."""

    def __init__(self, backend, directory):
        self.backend = backend
        self.directory = directory
        self.processes = []

    def write(self, name, text):
        """Makes a file in the test's directory; its path."""
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        return path

    def run(self, *options, timeout=600, **settings):
        """Executes ./run with the options; the CompletedProcess, its output as text."""
        process = self.start(*options, **settings)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            self.end(process)
        return subprocess.CompletedProcess(options, process.returncode, out, err)

    def start(self, *options, **settings):
        """Starts ./run and returns the Popen; the test's end ends it."""
        settings.setdefault("stdin", subprocess.DEVNULL)
        settings.setdefault("text", True)
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            (os.path.join(ROOT, "run"), *options), cwd=self.directory,
            errors="replace" if settings["text"] else None,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)
        self.processes.append(process)
        return process

    @staticmethod
    def end(process):
        """Ends it as a user would, so that it tidies up after itself."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()

    def close(self):
        for process in self.processes:
            self.end(process)
