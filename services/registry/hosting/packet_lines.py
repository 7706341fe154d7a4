"""Packet lines of Git's protocol: progress lines behind the answer to a push. Pure.

Source: gitprotocol-common(5), gitprotocol-pack(5), gitprotocol-http(5).
"""

from __future__ import annotations

FLUSH = b"0000"
"""Ends a stream of packets."""
PROGRESS = b"\x02"
"""The side band whose text a client shows as `remote: …`."""
SIDE_BAND = b"side-band-64k"
"""The capability of clients that read side bands; `git push` always asks for it."""
MAX_LINE = 900
"""Characters of a progress line, well below the 65,515 bytes of a packet."""


def encode_packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content


def encode_progress(line: str) -> bytes:
    """A line that appears at the client at once. Control characters are replaced."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
    return encode_packet(PROGRESS + text[:MAX_LINE].encode() + b"\n")


KEEP_ALIVE = encode_packet(PROGRESS)
"""An empty progress packet: the client shows nothing."""


def encode_service_header(service: str) -> bytes:
    """The head of the answer to `info/refs`."""
    return encode_packet(f"# service={service}\n".encode()) + FLUSH
