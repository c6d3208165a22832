# SPDX-License-Identifier: BSD-2-Clause
"""Takes the ELF kernel out of a bzImage, as Linux' scripts/extract-vmlinux does."""

import ctypes
import gzip
import lzma
import struct
import subprocess

from emulator.config import Failure

SECTOR = 512
# Documentation/arch/x86/boot.rst: offsets of the setup header's fields.
SETUP_SECTORS, PAYLOAD_OFFSET, PAYLOAD_LENGTH = 0x1f1, 0x248, 0x24c
LZ4_BLOCK = 8 << 20  # of the "legacy" frame format


def _lz4(data):
    """Blocks, each with its compressed size in front (lz4's doc/lz4_Frame_format.md, legacy frame). The library
    is there wherever apt is."""
    library = ctypes.CDLL("liblz4.so.1")
    room = ctypes.create_string_buffer(LZ4_BLOCK)
    at, content = 4, []
    while at + 4 < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        if size == 0 or at + 4 + size > len(data):
            break  # the size of the whole, which Linux' makefile appends
        got = library.LZ4_decompress_safe(data[at + 4:at + 4 + size], room, size, LZ4_BLOCK)
        if got < 0:
            raise Failure("the kernel's LZ4 payload is damaged")
        content.append(room.raw[:got])
        at += 4 + size
    return b"".join(content)


def _zstd(data):
    return subprocess.run(("zstd", "-d", "-q", "-c"), input=data, capture_output=True,
                          check=False).stdout


def _xz(data):
    return lzma.LZMADecompressor().decompress(data)


FORMATS = ((b"\x02\x21\x4c\x18", _lz4), (b"\x1f\x8b", gzip.decompress), (b"\xfd7zXZ", _xz),
           (b"\x28\xb5\x2f\xfd", _zstd))


def extract(bzimage, vmlinux):
    """Writes the ELF that is in the file bzimage to the path vmlinux."""
    with open(bzimage, "rb") as stream:
        image = stream.read()
    offset, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    offset += (image[SETUP_SECTORS] + 1) * SECTOR
    payload = image[offset:offset + length]
    for magic, unpack in FORMATS:
        if payload.startswith(magic):
            kernel = unpack(payload)
            if not kernel.startswith(b"\x7fELF"):
                break
            with open(vmlinux, "wb") as stream:
                stream.write(kernel)
            return
    raise Failure(f"{bzimage}: its payload begins with {payload[:6].hex()}, and is no kernel that is known here")
