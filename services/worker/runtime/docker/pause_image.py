"""The pause image of sandboxes (as in CRI): a program that sleeps until it is killed. Pure.

An ELF file for x86-64 is built here, so that no image must be downloaded.
"""

from __future__ import annotations

import io
import struct
import tarfile

ARCHITECTURE = "amd64"
"""Its name in the Docker API."""
PATH = "/pause"
ADDRESS = 0x400000
HEADERS = 64 + 56
"""Bytes of the file header and the header of its only segment."""
CODE = bytes.fromhex("b822000000 0f05 ebf7")
"""mov eax, 34 (pause); syscall; jump to the beginning."""


def build_elf(code: bytes = CODE) -> bytes:
    """Build an ELF file of position-independent `code` in one segment (read, execute)."""
    kind = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little endian, version 1
    executable, x86_64, readable_and_executable, page = 2, 62, 5, 0x1000
    header = struct.pack("<HHIQQQIHHHHHH", executable, x86_64, 1, ADDRESS + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = HEADERS + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, readable_and_executable, 0, ADDRESS, ADDRESS, size, size, page)
    return kind + header + segment + code


def image_archive() -> bytes:
    """Build the tar archive of the image's files."""
    content, target = build_elf(), io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(PATH.lstrip("/"))
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
