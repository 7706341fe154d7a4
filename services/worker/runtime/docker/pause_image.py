"""A program that does nothing until it is killed, as an image: what a sandbox runs. Pure.

A whole ELF file of the x86-64 kind: no image of a sleeping program need be had from anywhere.
"""

from __future__ import annotations

import io
import struct
import tarfile

ARCHITECTURE = "amd64"
"""As the engine calls it."""
PATH = "/pause"
ADDRESS = 0x400000
HEADERS = 64 + 56
"""Bytes of the file's header and of that of its only segment."""
CODE = bytes.fromhex("b822000000 0f05 ebf7")
"""mov eax, 34 (pause); syscall; and again from the beginning."""


def build_elf(code: bytes = CODE) -> bytes:
    """`code`, which is loaded as it is, for reading and running."""
    kind = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little endian, version 1
    executable, x86_64, readable_and_executable, page = 2, 62, 5, 0x1000
    header = struct.pack("<HHIQQQIHHHHHH", executable, x86_64, 1, ADDRESS + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = HEADERS + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, readable_and_executable, 0, ADDRESS, ADDRESS, size, size, page)
    return kind + header + segment + code


def image_archive() -> bytes:
    """The files of the image, as a tar archive."""
    content, target = build_elf(), io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(PATH.lstrip("/"))
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
