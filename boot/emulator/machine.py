# SPDX-License-Identifier: BSD-2-Clause
"""A running machine and the talk with it over its serial line."""

import fcntl
import os
import re
import select
import shutil
import tempfile
import threading
import time

from . import disk, emulators
from .config import BUILD, Failure

# The prompt of the management shell: at the start of a line, with the status if it is not 0.
PROMPT = re.compile(r"(?:^|\n)socle(?: \[(\d+)\])?> ")
# The same behind a command's output that does not end its line; taken only when nothing follows.
PROMPT_AT_END = re.compile(r"socle(?: \[(\d+)\])?> \Z")
QUIET = 1.0  # seconds without output before PROMPT_AT_END counts

ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[0-Z\\^_`-~])")
UNFINISHED = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*|[()])?|\r+)\Z")

KERNEL_MESSAGE = re.compile(r"\[ *\d+\.\d{6}\] [^\n]*\n")

# Seconds until the prompt must be there, also when the caller sets no limit.
BOOT_LIMIT = {False: 240, True: 900}  # QEMU, Bochs


class Timeout(Exception):
    """What was waited for has not come in time."""


class Ended(Exception):
    """The machine came to its end while something else was waited for; `ending` says how."""

    def __init__(self, ending, waited_for):
        super().__init__(f"{ending} (while waiting for {waited_for})")
        self.ending = ending


class Machine:
    """One machine, from power-on to its end.

    start()             builds the disk image and starts the emulator
    expect(regex)       waits for the regular expression, returns the match
    command(line)       types a line at the prompt, returns (status, output)
    send(text)          types text as it is; send_line(text) with Enter behind it
    power_off()         types poweroff and waits for the end, returns the Ending
    wait_exit()         waits for the end, returns the Ending
    close()             ends whatever is left of it and removes its files; safe at any time
    text                everything received, without escape sequences, lines ended by \\n
    transcript          everything received, raw

    `sink` is called with each piece of raw output as it comes, from another thread. A machine must be
    started in a thread that lives as long as the machine: the kernel kills the emulator with it.
    """

    def __init__(self, config, sink=None):
        self.config = config
        self.sink = sink
        self.transcript = b""
        self.text = ""
        self.started = self.last_output = 0.0
        self.emulator = None
        self._directory = self._lock = None
        self._pending = b""  # received, but maybe the start of an escape sequence
        self._position = 0  # in text, where expect() goes on
        self._changed = threading.Condition()
        self._reader = None
        self._ending = None
        self._booted = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        self._directory, self._lock = _make_directory()
        self.emulator = emulators.make(self.config, self._directory)
        disk.build(self.config, self.emulator.disk)
        self.started = self.last_output = time.monotonic()
        self.emulator.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self):
        if self.emulator:
            self.emulator.kill()
            if self._reader:
                self._reader.join()
            self.emulator.close()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            os.close(self._lock)
            self._directory = None

    @property
    def ending(self):
        """How it ended; None while it runs."""
        return self._ending

    @property
    def booted(self):
        """Whether the first prompt has come."""
        if not self._booted:
            with self._changed:
                self._booted = bool(PROMPT.search(self.text))
        return self._booted

    def _read(self):
        while True:
            over = self.emulator.ending() or self.emulator.guest_is_over(self.text)
            ready, _, _ = select.select([self.emulator.output], [], [], 0 if over else 0.2)
            data = b""
            if ready:
                try:
                    data = os.read(self.emulator.output, 65536)
                except OSError:
                    pass
            if data:
                self._receive(data)
            elif over:
                break
            elif ready:
                time.sleep(0.01)  # the stream has ended, the process not yet
        self.emulator.kill()
        with self._changed:
            self._ending = over
            self._changed.notify_all()

    def _receive(self, data):
        if self.sink:
            self.sink(data)
        with self._changed:
            self.transcript += data
            self.last_output = time.monotonic()
            data = self._pending + data
            held = UNFINISHED.search(data)
            cut = held.start() if held else len(data)
            data, self._pending = data[:cut], data[cut:]
            clean = ESCAPE.sub(b"", data).replace(b"\0", b"")
            clean = re.sub(rb"\r+\n|\r+", b"\n", clean)
            self.text += clean.decode(errors="replace")
            self._changed.notify_all()

    def _wait(self, found, what, deadline):
        """Waits until found() gives something true, and returns it. Call with _changed held."""
        while True:
            result = found()
            if result:
                return result
            if self._ending:
                raise Ended(self._ending, what)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(f"timed out after {time.monotonic() - self.started:.0f} s "
                              f"while waiting for {what}")
            self._changed.wait(min(left, 0.5))

    def expect(self, pattern, timeout, what=None):
        """Waits for the regular expression in what was not yet matched; goes on behind the match."""
        expression = re.compile(pattern, re.MULTILINE)
        with self._changed:
            match = self._wait(lambda: expression.search(self.text, self._position),
                               what or f"/{expression.pattern}/", time.monotonic() + timeout)
            self._position = match.end()
            return match

    def _find_prompt(self):
        match = PROMPT.search(self.text, self._position)
        if not match and time.monotonic() - self.last_output > QUIET:
            match = PROMPT_AT_END.search(self.text, self._position)
        return match

    def _expect_prompt(self, deadline, what):
        """Waits for the prompt; (status, the text before it)."""
        with self._changed:
            match = self._wait(self._find_prompt, what, deadline)
            before = self.text[self._position:match.start()]
            self._position = match.end()
        return int(match.group(1) or 0), before

    def wait_prompt(self, timeout=None):
        """Waits for the first prompt after the start."""
        limit = timeout or BOOT_LIMIT[self.config.bochs]
        self._expect_prompt(time.monotonic() + limit, "the prompt of the management shell")

    def send(self, text):
        """Types text. Into Bochs it goes in pieces that fit the UART's FIFO, each when the last one's
        echo is there (or should have been)."""
        data = text.encode()
        step = 8 if self.emulator.paced else len(data)
        for start in range(0, len(data), step or 1):
            piece = data[start:start + step]
            with self._changed:
                before = len(self.transcript)
                self._write(piece)
                if self.emulator.paced:
                    self._changed.wait_for(
                        lambda: len(self.transcript) >= before + len(piece) or self._ending, 0.5)

    def send_line(self, text):
        self.send(text + "\r")

    def _write(self, data):
        try:
            while data:
                data = data[os.write(self.emulator.input, data):]
        except BrokenPipeError:
            pass  # the emulator is ending; whoever waits for an answer will hear how

    def command(self, line, timeout=60):
        """Types `line` at the prompt and waits for the next one; (status, output).

        Enter follows only when the line's echo is complete, so a character that got lost is noticed:
        the line is then taken back and typed once more.
        """
        deadline = time.monotonic() + timeout
        what = f"the end of '{line}'"
        for attempt in range(3):
            if attempt:
                self.send("\x15")  # Ctrl-U
            self.send(line)
            if self._echoed(line, min(deadline, time.monotonic() + 10)):
                break
        with self._changed:
            self._position = len(self.text)
        self.send("\r")
        status, output = self._expect_prompt(deadline, what)
        return status, output.removeprefix("\n")

    def _echoed(self, line, deadline):
        """Whether the line's echo came. Where it is wrapped the editor adds white space and
        backspaces, and the kernel may have said something in the middle of it."""
        wanted = "".join(line.split())

        def found():
            text = KERNEL_MESSAGE.sub("", self.text[self._position:])
            return wanted in "".join(text.replace("\b", "").split())

        with self._changed:
            try:
                self._wait(found, f"the echo of '{line}'", deadline)
            except Timeout:
                return False
        return True

    def wait_exit(self, timeout=60):
        """Waits for the machine's end; its Ending."""
        with self._changed:
            return self._wait(lambda: self._ending, "the machine to switch itself off",
                              time.monotonic() + timeout)

    def power_off(self, timeout=120):
        """Has the management shell switch the machine off; its Ending."""
        deadline = time.monotonic() + timeout
        # Without the hypervisor the shell would refuse.
        line = "!poweroff" if self.config.bare else "poweroff"
        try:
            status, output = self.command(line, timeout)
        except Ended as ended:
            return ended.ending
        if status:
            raise Failure(f"'{line}' ended with status {status}: {output.strip()}")
        return self.wait_exit(deadline - time.monotonic())

    def tail(self, lines=40):
        """The last lines of what was received, for a report."""
        return "\n".join(self.text.rstrip().split("\n")[-lines:])


def _make_directory():
    """A directory for one run's files, and a descriptor that keeps it locked while it is in use.

    Those of runs that were killed outright, known by their lock being free, are removed.
    """
    place = os.path.join(BUILD, "run")
    os.makedirs(place, exist_ok=True)
    for name in os.listdir(place):
        path = os.path.join(place, name)
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
    while True:
        path = tempfile.mkdtemp(dir=place)
        lock = _lock(path)
        if lock is not None:  # else another run, tidying up, was faster
            return path, lock


def _lock(directory):
    """A descriptor that holds the directory's lock; None if another process does, or it is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
