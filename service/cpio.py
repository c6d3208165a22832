# SPDX-License-Identifier: BSD-2-Clause
"""Writes a cpio archive (SVR4 "newc", the form of an initramfs) without being root.

Everything belongs to root and carries one fixed time, so equal content gives equal bytes.
"""

import os
import stat

TIME = 1767225600  # 2026-01-01, for every entry


class Archive:
    """Entries by their path in the image; parents are made on demand, writing sorts."""

    def __init__(self):
        self.entries = {}

    def _put(self, path, mode, data=b"", device=(0, 0)):
        path = path.strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.directory(parent)
        self.entries[path] = (mode, data, device)

    def directory(self, path, permissions=0o755):
        self._put(path, stat.S_IFDIR | permissions)

    def file(self, path, data, permissions=0o644):
        self._put(path, stat.S_IFREG | permissions, data)

    def copy(self, path, source):
        """Adds the host's file `source`; of its permissions only "executable" is kept."""
        with open(source, "rb") as stream:
            data = stream.read()
        self.file(path, data, 0o755 if os.stat(source).st_mode & 0o111 else 0o644)

    def link(self, path, target):
        self._put(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path, major, minor, permissions=0o600):
        self._put(path, stat.S_IFCHR | permissions, b"", (major, minor))

    def bytes(self):
        parts = []
        for number, path in enumerate(sorted(self.entries), start=1):
            parts.append(_entry(number, path, *self.entries[path]))
        parts.append(_entry(0, "TRAILER!!!", 0, b"", (0, 0)))
        whole = b"".join(parts)
        return whole + bytes(-len(whole) % 512)


def _entry(number, path, mode, data, device):
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    time = TIME if mode else 0
    fields = (number, mode, 0, 0, links, time, len(data), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
