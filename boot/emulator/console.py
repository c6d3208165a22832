# SPDX-License-Identifier: BSD-2-Clause
"""The terminal side of `run`: progress, the interactive console, and script mode."""

import os
import select
import sys
import termios
import time
import tty

from .config import Failure
from .emulators import OFF
from .machine import BOOT_LIMIT, Timeout

LEAVE = b"\x1c"  # Ctrl-\; Ctrl-] is for the domains' consoles
SPIN = "|/-\\"
# The stages of a start, by the text that the serial line brings when each begins.
STAGES = ("starting the firmware", "starting the hypervisor", "starting the service VM")
STAGE_STARTS = {
    "a microhypervisor\n": STAGES[1],
    "service VM: pool": STAGES[2],
    "vmlinuz initrd=": STAGES[2],  # --bare
}


class Progress:
    """One line a stage on standard error; on a terminal also a moving mark while all is silent."""

    def __init__(self):
        self.begun = time.monotonic()
        self.moving = False
        self.stage = ""
        self.hint = ""
        self.live = sys.stderr.isatty()

    def say(self, text):
        self.clear()
        # The terminal may be in raw mode, where a line's end takes both.
        end = "\r\n" if self.live else "\n"
        print(f"run: {time.monotonic() - self.begun:5.1f} s  {text}", end=end, file=sys.stderr,
              flush=True)

    def tick(self, machine):
        """Call a few times a second until the prompt is there."""
        stage = STAGES[0]
        for text, name in STAGE_STARTS.items():
            if text in machine.text:
                stage = name
        if stage != self.stage:
            self.stage = stage
            self.say(stage)
            if stage == STAGES[-1] and self.hint:  # the firmware has cleared the screen before
                self.say(self.hint)
        now = time.monotonic()
        quiet_since = machine.last_output
        if self.live and now - quiet_since > 1:
            mark = SPIN[int(now * 4) % len(SPIN)]
            sys.stderr.write(f"\r{mark} {self.stage}, {now - self.begun:.0f} s\x1b[K")
            sys.stderr.flush()
            self.moving = True

    def clear(self):
        if self.moving:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.moving = False


def printer(progress):
    """A sink for Machine that copies the serial output to standard output."""
    def sink(data):
        progress.clear()
        try:
            while data:
                data = data[os.write(1, data):]
        except BrokenPipeError:
            os._exit(1)
    return sink


def _limit(timeout, machine):
    """Seconds that are left of --timeout; without one, `None`."""
    if not timeout:
        return None
    return max(0.0, machine.started + timeout - time.monotonic())


def boot(machine, progress, timeout):
    """From power-on to the prompt."""
    limit = _limit(timeout, machine) or BOOT_LIMIT[machine.config.bochs]
    deadline = time.monotonic() + limit
    what = "the prompt of the management shell"
    while True:
        try:
            machine.wait_prompt(min(0.25, max(0.0, deadline - time.monotonic())))
            break
        except Timeout:
            if time.monotonic() >= deadline:
                raise Timeout(f"timed out after {limit:.0f} s while waiting for {what}") from None
            progress.tick(machine)
    progress.say("ready")


def script(machine, path, progress, timeout):
    """Runs the script's lines; 0 if every one succeeded and the machine then switched itself off."""
    with open(path, encoding="utf-8") as stream:
        lines = [line.strip() for line in stream]
    lines = [line for line in lines if line and not line.startswith("#")]
    boot(machine, progress, timeout)
    failed = []
    for line in lines:
        limit = _limit(timeout, machine)
        status, _ = machine.command(line, timeout=1e9 if limit is None else limit)
        if status:
            failed.append(f"'{line}' ended with status {status}")
    limit = _limit(timeout, machine)
    ending = machine.power_off(120 if limit is None else limit)
    progress.clear()
    print(flush=True)
    for failure in failed:
        progress.say(failure)
    if ending.kind != OFF:
        raise Failure(str(ending))
    return 1 if failed else 0


def interactive(machine, progress, timeout):
    """Relays between the terminal and the serial line until the machine ends or the user leaves."""
    terminal = sys.stdin.isatty()
    if terminal:
        progress.hint = "Ctrl-\\ leaves and ends the machine"
        progress.say(progress.hint)
    deadline = machine.started + timeout if timeout else None
    settings = termios.tcgetattr(0) if terminal else None
    # What is piped in waits for the prompt: the firmware would swallow it.
    source = [0] if terminal else []
    piped = not terminal
    try:
        if terminal:
            tty.setraw(0)
        while not machine.ending:
            if deadline and time.monotonic() > deadline:
                raise Timeout(f"timed out after {timeout:.0f} s while the machine was running")
            if not machine.booted:
                progress.tick(machine)
            elif piped:
                source, piped = [0], False
            if not select.select(source, [], [], 0.2)[0]:
                continue
            data = os.read(0, 4096)
            if terminal and (LEAVE in data or not data):
                return 0
            if not data:
                source = []
            machine.send(data.decode(errors="replace"))
    finally:
        progress.clear()
        if terminal:
            termios.tcsetattr(0, termios.TCSADRAIN, settings)
            print(flush=True)
    progress.say(str(machine.ending))
    return 0 if machine.ending.kind == OFF else 1
