# SPDX-License-Identifier: BSD-2-Clause
"""The command ./run itself: options, scripts, exit statuses, and that it leaves nothing behind."""

import hashlib
import os
import pty
import select
import signal
import subprocess
import time

from framework import FILES, system_test

BUILD_RUN = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))), "build", "run")


def status_of(result):
    return result.returncode, result.stderr


@system_test(backends=("svm",), machine=False, quick=True)
def refuses_bad_usage(host):
    for options in (("--cpu", "arm"), ("--smp", "0"), ("--smp", "two"), ("--nonsense",),
                    ("--script", "/nonexistent"), ("--files", "/nonexistent"), ("extra",),
                    ("--cpu", "vmx", "--icount"), ("--cpu", "svm", "--icount", "--smp", "2"),
                    ("--cpu", "vmx", "--mem", "4096"), ("--timeout", "-1")):
        result = host.run(*options)
        assert result.returncode == 2, (options, status_of(result))
        assert result.stderr.startswith("run: "), (options, result.stderr)
    result = host.run("--help")
    assert result.returncode == 0 and "--script FILE" in result.stdout


@system_test(backends=("svm",), machine=False, quick=True)
def writes_the_image(host):
    result = host.run("--cpu", "svm", "--image-only", "--files", FILES)
    assert result.returncode == 0, status_of(result)
    path = result.stdout.strip()
    assert os.path.getsize(path) % (16 * 63 * 512) == 0
    table = subprocess.run(("sfdisk", "--dump", path), capture_output=True, text=True,
                           check=True).stdout
    assert 'name="socle-esp"' in table and 'name="socle-files"' in table, table
    listing = subprocess.run(("mdir", "-/", "-b", "-i", path + "@@1M"), capture_output=True,
                             text=True, check=True).stdout
    for name in ("/EFI/BOOT/BOOTX64.EFI", "/EFI/socle/socle.conf", "/EFI/socle/vmlinuz",
                 "/EFI/socle/initramfs.img"):
        assert name in listing, listing


@system_test(backends=("svm",), machine=False, quick=True)
def writes_equal_images_from_equal_inputs(host):
    digests = set()
    for _ in range(2):
        path = host.run("--cpu", "svm", "--image-only", "--files", FILES).stdout.strip()
        with open(path, "rb") as stream:
            digests.add(hashlib.sha256(stream.read()).hexdigest())
        time.sleep(2.1)  # the resolution of FAT's times
    assert len(digests) == 1


@system_test(machine=False)
def runs_a_script(host):
    """Every line succeeds: 0. The transcript is on standard output."""
    script = host.write("script", "# a comment\n\n!echo one; echo two\n!nproc\n")
    result = host.run("--cpu", host.backend, "--smp", "1", "--script", script, timeout=900)
    assert result.returncode == 0, status_of(result)
    assert "one" in result.stdout and "comment" not in result.stdout


@system_test(backends=("svm",), machine=False)
def a_failing_line_fails_the_script(host):
    script = host.write("script", "!exit 5\n!echo still here\n")
    result = host.run("--cpu", "svm", "--script", script)
    assert result.returncode == 1, status_of(result)
    assert "still here" in result.stdout
    assert "'!exit 5' ended with status 5" in result.stderr, result.stderr


@system_test(backends=("svm",), machine=False)
def a_time_out_says_what_for(host):
    script = host.write("script", "!sleep 1000\n")
    result = host.run("--cpu", "svm", "--script", script, "--timeout", "45")
    assert result.returncode == 3, status_of(result)
    assert "waiting for the end of '!sleep 1000'" in result.stderr, result.stderr


@system_test(backends=("svm",), machine=False)
def says_why_the_loader_gave_up(host):
    conf = host.write("socle.conf", "kernel = \\EFI\\socle\\nothing\n")
    script = host.write("script", "!true\n")
    result = host.run("--cpu", "svm", "--conf", conf, "--script", script)
    assert result.returncode == 1, status_of(result)
    assert "Socle cannot start: " in result.stderr, result.stderr


@system_test(backends=("svm",), machine=False)
def boots_bare(host):
    script = host.write("script", "!nproc\n!test ! -e /sys/firmware/acpi/tables/SOCL\n")
    result = host.run("--cpu", "svm", "--bare", "--script", script)
    assert result.returncode == 0, status_of(result)


@system_test(backends=("svm",), machine=False)
def counts_instructions(host):
    """The deterministic mode: one CPU, and no wall clock in it."""
    script = host.write("script", "!nproc\n!date +%Y\n")
    result = host.run("--cpu", "svm", "--icount", "--script", script)
    assert result.returncode == 0, status_of(result)
    assert "\n2026\n" in result.stdout, result.stdout[-1000:]


def reads_until(terminal, wanted, timeout):
    """What the terminal shows, up to `wanted`."""
    text, deadline = "", time.monotonic() + timeout
    while wanted not in text:
        assert time.monotonic() < deadline, text[-1000:]
        if select.select([terminal], [], [], 1)[0]:
            data = os.read(terminal, 4096)
            assert data, f"it ended: {text[-1000:]}"
            text += data.decode(errors="replace")
    return text


@system_test(backends=("svm",), machine=False)
def leaves_by_its_own_key(host):
    """Ctrl-] reaches the service VM, where it leaves a domain's console; Ctrl-\\ ends all."""
    terminal, other = pty.openpty()
    process = host.start("--cpu", "svm", stdin=other, text=False)
    os.close(other)
    try:
        reads_until(process.stdout.fileno(), "socle> ", 240)
        os.write(terminal, b"create -c /lib/socle/tests/guest/exits.cfg extra=hlt\r")
        reads_until(process.stdout.fileno(), "extra=hlt", 60)
        os.write(terminal, b"\x1d")
        reads_until(process.stdout.fileno(), "socle> ", 60)
        assert process.poll() is None
        os.write(terminal, b"\x1c")
        assert process.wait(60) == 0
    finally:
        os.close(terminal)


def left(before):
    """Directories of machines that came since `before` and that no emulator uses."""
    return [name for name in set(os.listdir(BUILD_RUN)) - before if not in_use(name)]


@system_test(machine=False)
def leaves_nothing_behind(host):
    """Signals end the emulator and remove its files."""
    for number in (signal.SIGTERM, signal.SIGINT):
        before = set(os.listdir(BUILD_RUN)) if os.path.isdir(BUILD_RUN) else set()
        process = host.start("--cpu", host.backend)
        deadline = time.monotonic() + 60
        children = []
        while not children and time.monotonic() < deadline:
            time.sleep(0.5)
            children = [child for child in descendants(process.pid) if "disk.img" in child[1]
                        or "bochsrc" in child[1]]
        assert children, "no emulator was started"
        process.send_signal(number)
        assert process.wait(30) != 0
        assert not [child for child in children if os.path.exists(f"/proc/{child[0]}")]
        # Another machine that starts at the same time has its directory before its emulator.
        deadline = time.monotonic() + 30
        while (mine := left(before)) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not mine, mine


def in_use(name):
    """Whether a process has the run directory as its working directory."""
    path = os.path.join(BUILD_RUN, name)
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == path:
                return True
        except OSError:
            pass
    return False


def descendants(pid):
    """(pid, command line) of the processes below `pid`."""
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            children = stream.read().split()
        for child in children:
            with open(f"/proc/{child}/cmdline", encoding="utf-8", errors="replace") as stream:
                found.append((int(child), stream.read().replace("\0", " ")))
            found += descendants(int(child))
    except OSError:
        pass
    return found
