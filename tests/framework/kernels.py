# SPDX-License-Identifier: BSD-2-Clause
"""Guests of a few instructions: flat Multiboot kernels in 32-bit protected mode without paging."""

import os
import struct

LOAD_AT = 0x100000
HEADER_BYTES = 48


def _out(port, value):
    """mov dx, port; mov eax, value; out dx, al"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb8" + struct.pack("<I", value) + b"\xee"


def _outw(port, value):
    return _out(port, value)[:-1] + b"\x66\xef"


def _say(text):
    return b"".join(_out(0x3f8, character) for character in text.encode("ascii"))


HALT = b"\xf4\xeb\xfd"  # hlt; jmp back

CODE = {
    # Waits for ever: with interrupts off nothing wakes it.
    "halt": HALT,
    # Computes for ever.
    "spin": b"\xeb\xfe",
    "hello": _say("hello\r\n") + HALT,
    # The sleep type S5 and SLP_EN to PM1a_CNT; the reset control register.
    "poweroff": _say("bye\r\n") + _outw(0x604, 5 << 10 | 1 << 13) + HALT,
    "reboot": _say("again\r\n") + _out(0xcf9, 6) + HALT,
    # lidt of a table of length 0 (six bytes of zeros in the header), then ud2.
    "triple": b"\x0f\x01\x1d" + struct.pack("<I", LOAD_AT + HEADER_BYTES - 8) + b"\x0f\x0b",
    # fnstcw [HPET]: no driver stores a control word of the FPU in a device.
    "strange": b"\xd9\x3d" + struct.pack("<I", 0xfed000f0) + HALT,
    # mov cr4, a reserved bit: QEMU's AMD-V leaves the guest for that, with "invalid state".
    "invalid": b"\xb8" + struct.pack("<I", 1 << 31) + b"\x0f\x22\xe0" + HALT,
}


def image(code):
    """A kernel of that code, entered at its first byte."""
    magic, flags = 0x1badb002, 1 << 16
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xffffffff, LOAD_AT, LOAD_AT, 0, 0,
                         LOAD_AT + HEADER_BYTES)
    return header.ljust(HEADER_BYTES, b"\0") + code


def write_kernels(directory):
    """Makes NAME.bin and NAME.cfg of each in the directory, which the service VM has as /srv/files."""
    os.makedirs(directory, exist_ok=True)
    for name, code in CODE.items():
        with open(os.path.join(directory, f"{name}.bin"), "wb") as stream:
            stream.write(image(code))
        with open(os.path.join(directory, f"{name}.cfg"), "w", encoding="ascii") as stream:
            stream.write(f'name = "{name}"\nmemory = 16\nkernel = "/srv/files/{name}.bin"\n')
    # Its header says that there is more of it.
    whole = bytearray(image(CODE["halt"]))
    struct.pack_into("<I", whole, 20, LOAD_AT + 0x10000)
    with open(os.path.join(directory, "short.bin"), "wb") as stream:
        stream.write(whole)
