# SPDX-License-Identifier: BSD-2-Clause
"""The two back ends behind one interface: QEMU (AMD-V in TCG, or KVM) and Bochs (VT-x).

An emulator has `start()`, a `process`, file descriptors `output` and `input` for the serial line, and
`ending()`, which says how a process that has ended came to its end.
"""

import ctypes
import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import tty

from .config import BOCHS_IPS, Failure

OVMF = "/usr/share/OVMF"
VGA_BIOS = "/usr/share/seabios/vgabios-stdvga.bin"

# How a machine came to its end.
OFF = "off"  # the guest switched it off
RESET = "reset"  # the guest reset it, which ends the emulator
CRASHED = "crashed"  # a triple fault of the guest; QEMU calls that a reset
DIED = "died"  # the emulator itself failed
KILLED = "killed"  # by us


class Ending:
    """How it ended (`kind`), and in words."""

    def __init__(self, kind, detail):
        self.kind = kind
        self.detail = detail

    def __str__(self):
        return self.detail


def make(config, directory):
    """The emulator for `config`; `directory` holds its private files (and stays until it has ended)."""
    return (Bochs if config.bochs else Qemu)(config, directory)


def _need(path, package):
    if not os.path.exists(path):
        raise Failure(f"{path} is missing; it is in the Debian package {package}")
    return path


def _quoted(path):
    """As QEMU's options want it: a comma twice."""
    return path.replace(",", ",,")


def _die_with_parent():
    """In the child, before exec: its end is tied to ours even if we are killed outright."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _host_cpu():
    """A CPU for an emulator that is to have just one, and the lock that keeps others from it; if all of
    them are taken, any, and None."""
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    for cpu in cpus:
        path = os.path.join(tempfile.gettempdir(), f"socle-{os.getuid()}-cpu{cpu}.lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cpu, lock
        except BlockingIOError:
            os.close(lock)
    return random.choice(cpus), None


def _without_network():
    """A prefix for a command that is to have no network: Bochs' screen listens for anybody."""
    command = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
    works = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if works else []


class _Emulator:
    """What both back ends have in common."""

    def __init__(self, config, directory):
        self.config = config
        self.directory = directory
        self.disk = os.path.join(directory, "disk.img")
        self.errors = os.path.join(directory, "emulator.err")
        self.process = None
        self.output = self.input = -1
        self.killed = False
        self.host_cpu = self.host_cpu_lock = None

    def _prepare_child(self):
        _die_with_parent()
        if self.host_cpu is not None:
            os.sched_setaffinity(0, {self.host_cpu})

    def _spawn(self, command, **streams):
        with open(self.errors, "wb") as errors:
            # A session of its own keeps the terminal's Ctrl-C away: the launcher decides.
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                command, cwd=self.directory, start_new_session=True, stderr=errors,
                preexec_fn=self._prepare_child, **streams)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.killed = True
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        if self.host_cpu_lock is not None:
            os.close(self.host_cpu_lock)
            self.host_cpu_lock = None
        for descriptor in {self.output, self.input} - {-1}:
            os.close(descriptor)
        self.output = self.input = -1

    def ending(self):
        """The `Ending`, once the process is over; None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        if self.killed:
            return Ending(KILLED, "the emulator was stopped")
        if status < 0:
            name = signal.Signals(-status).name
            return Ending(DIED, f"the emulator died of {name}{self._complaint()}")
        return self._ending(status)

    def guest_is_over(self, _text):
        """The Ending, if what the guest did ought to have ended the emulator and has not."""
        return None

    def _ending(self, status):
        raise NotImplementedError

    def _complaint(self):
        with open(self.errors, "rb") as stream:
            text = stream.read().decode(errors="replace").strip()
        return ": " + text[-2000:] if text else ""


class Qemu(_Emulator):
    """QEMU's q35 with OVMF; the serial line is its standard input and output."""

    paced = False

    def __init__(self, config, directory):
        super().__init__(config, directory)
        self.reason = None  # of the shutdown, from QMP
        self._qmp = None
        self._replies = []
        self._reply_came = threading.Condition()

    def command(self):
        config = self.config
        code = _need(f"{OVMF}/OVMF_CODE_4M.fd", "ovmf")
        accel = "kvm" if config.kvm else "tcg" if config.icount else "tcg,thread=multi"
        model = config.cpu_model or ("host" if config.kvm else "max")
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
            "-machine", "q35", "-accel", accel, "-cpu", model,
            "-smp", str(config.smp), "-m", f"{config.mem}M",
            "-display", "none", "-vga", "std",
            "-drive", f"if=pflash,format=raw,readonly=on,file={code}",
            "-drive", "if=pflash,format=raw,file=vars.fd",
            "-drive", "if=none,id=disk,format=raw,file=disk.img",
            "-device", "virtio-blk-pci,drive=disk,bootindex=0",
            "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
            "-mon", "chardev=qmp,mode=control",
        ]
        for number, path in enumerate(config.disks):
            keep = "" if config.keep_disks else ",snapshot=on"
            command += ["-drive", f"if=none,id=disk{number},format=raw,discard=unmap,"
                        f"file={_quoted(path)}{keep}",
                        "-device", f"virtio-blk-pci,drive=disk{number},serial=disk{number}"]
        if config.icount:
            command += ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm",
                        "-seed", "1"]
        else:
            command += ["-device", "virtio-rng-pci"]  # the host's randomness
        return command

    def start(self):
        shutil.copy(_need(f"{OVMF}/OVMF_VARS_4M.fd", "ovmf"),
                    os.path.join(self.directory, "vars.fd"))
        if not shutil.which("qemu-system-x86_64"):
            raise Failure("there is no qemu-system-x86_64; it is in the package qemu-system-x86")
        if not (self.config.spread or self.config.kvm):
            # With none of its threads at the same time as another its CPUs do not destroy each other's state.
            self.host_cpu, self.host_cpu_lock = _host_cpu()
        ours, theirs = socket.socketpair()
        command = self.command() + ["-chardev", f"socket,id=qmp,fd={theirs.fileno()}"]
        self._spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),))
        theirs.close()
        self.output = os.dup(self.process.stdout.fileno())
        self.input = os.dup(self.process.stdin.fileno())
        self.process.stdout.close()
        self.process.stdin.close()
        self._qmp = ours
        ours.sendall(b'{"execute":"qmp_capabilities"}\n')
        threading.Thread(target=self._read_qmp, args=(ours.makefile("rb"),), daemon=True).start()

    def _read_qmp(self, stream):
        try:
            for line in stream:
                message = json.loads(line)
                if message.get("event") == "SHUTDOWN":
                    self.reason = message["data"]["reason"]
                elif "return" in message or "error" in message:
                    with self._reply_came:
                        self._replies.append(message)
                        self._reply_came.notify_all()
        except OSError:
            pass

    def qmp(self, command, **arguments):
        """Executes a QMP command and returns its result; RuntimeError when QEMU refuses."""
        with self._reply_came:
            self._reply_came.wait_for(lambda: self._replies, 10)  # of qmp_capabilities
            before = len(self._replies)
            self._qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
            if not self._reply_came.wait_for(lambda: len(self._replies) > before, 60):
                raise RuntimeError(f"QEMU did not answer {command}")
            reply = self._replies[-1]
        if "error" in reply:
            raise RuntimeError(reply["error"]["desc"])
        return reply["return"]

    def close(self):
        super().close()
        if self._qmp:
            self._qmp.close()

    def _ending(self, status):
        if status:
            return Ending(DIED, f"QEMU ended with status {status}{self._complaint()}")
        if self.reason == "guest-reset":
            return Ending(RESET, "the machine reset itself")
        return Ending(OFF, "the machine was switched off")


class Bochs(_Emulator):
    """Bochs' i440FX with OVMF; the serial line is a pseudoterminal."""

    paced = True  # its UART drops what overflows the FIFO

    def __init__(self, config, directory):
        super().__init__(config, directory)
        self.log = os.path.join(directory, "bochs.log")
        self._far_end = -1

    def start(self):
        config = self.config
        if not shutil.which("bochs"):
            raise Failure("there is no bochs; it is in the package bochs")
        self.output, self._far_end = pty.openpty()
        tty.setraw(self._far_end)
        self.input = os.dup(self.output)
        settings = os.path.join(self.directory, "bochsrc")
        with open(settings, "w", encoding="ascii") as stream:
            stream.write("\n".join([
                "config_interface: textconfig",
                'display_library: rfb, options="timeout=0"',
                f"memory: guest={config.mem}, host={config.mem}",
                f"romimage: file={_need(f'{OVMF}/OVMF_CODE.fd', 'ovmf')}",
                f"vgaromimage: file={_need(VGA_BIOS, 'seabios')}",
                f"cpu: model={config.cpu_model or 'corei7_skylake_x'}, count={config.smp}, "
                f"ips={BOCHS_IPS}, reset_on_triple_fault=0",
                "pci: enabled=1, chipset=i440fx",
                "vga: extension=vbe",
                f"com1: enabled=1, mode=term, dev={os.ttyname(self._far_end)}",
                "port_e9_hack: enabled=1",
                "sound: driver=dummy",  # ALSA without a sound card would abort it
                "clock: sync=none",
                "log: bochs.log",
                "debugger_log: -",
                "magic_break: enabled=0",
                # A CPU's panic is a triple fault; other devices' are survivable.
                "panic: action=report" + "".join(f", cpu{n}=fatal" for n in range(config.smp)),
                "error: action=ignore",
                "info: action=ignore, pc_system=report",  # resets; see guest_is_over()
                "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
                "ata0-master: type=disk, path=disk.img, mode=flat",
                "boot: disk", ""]))
        commands = os.path.join(self.directory, "commands")
        with open(commands, "w", encoding="ascii") as stream:
            stream.write("c\nquit\n")
        with open(os.path.join(self.directory, "bochs.out"), "wb") as out:
            self._spawn([*_without_network(), "bochs", "-q", "-unlock", "-f", "bochsrc",
                         "-rc", "commands"], stdin=subprocess.DEVNULL, stdout=out)

    def guest_is_over(self, text):
        """Bochs would go on after a reset, and after Linux without ACPI has halted: the Ending."""
        if self._log().count("Reset(HARDWARE) called") > 1:
            return Ending(RESET, "the machine reset itself")
        if self.config.bare and "reboot: System halted" in text[-200:]:
            return Ending(OFF, "the machine halted")
        return None

    def close(self):
        super().close()
        if self._far_end >= 0:
            os.close(self._far_end)
            self._far_end = -1

    def _log(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, "rb") as stream:
            return stream.read().decode(errors="replace")

    def _ending(self, status):
        log = self._log()
        if re.search("soft power off|shutdown requested", log):
            return Ending(OFF, "the machine was switched off")
        if "3rd (" in log or "exception with no resolution" in log:
            return Ending(CRASHED, f"a CPU triple-faulted: {log[-1000:].strip()}")
        return Ending(DIED, f"Bochs ended with status {status}{self._complaint()}: {log[-1000:]}")
