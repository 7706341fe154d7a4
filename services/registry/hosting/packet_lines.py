"""Packet lines of Git's protocol: progress lines behind the answer to a push. Pure.

Source: gitprotocol-common(5), gitprotocol-pack(5), gitprotocol-http(5).
"""

from __future__ import annotations

from libs.common.errors import Malformed

FLUSH = b"0000"
"""Ends a stream of packets."""
PROGRESS = b"\x02"
"""The side band whose text a client shows as `remote: …`."""
FAILURE = b"\x03"
"""The side band whose text ends the client's program."""
SIDE_BAND = b"side-band-64k"
"""The capability of clients that read side bands; `git push` always asks for it."""
MAX_LINE = 900
"""Characters of a progress line, well below the 65,515 bytes of a packet."""


def encode_packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content


def replace_controls(line: str) -> str:
    """A line that is safe on another person's terminal, and not too long."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line[:MAX_LINE])


def encode_progress(line: str) -> bytes:
    """A line that appears at the client at once."""
    return encode_packet(PROGRESS + replace_controls(line).encode() + b"\n")


def encode_failure(line: str) -> bytes:
    """Ends the push at the client: `fatal: …`."""
    return encode_packet(FAILURE + replace_controls(line).encode() + b"\n")


KEEP_ALIVE = encode_packet(PROGRESS)
"""An empty progress packet: the client shows nothing."""


def encode_service_header(service: str) -> bytes:
    """The head of the answer to `info/refs`."""
    return encode_packet(f"# service={service}\n".encode()) + FLUSH


class CommandLimit:
    """Counts what comes before the pack of a push: the refs that it moves, which Git keeps in memory."""

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        self._max_packets, self._max_bytes = max_packets, max_bytes
        self._packets = self._bytes = 0
        self._buffer = b""
        self._done = False

    def check(self, chunk: bytes) -> None:
        """Raises Malformed."""
        if self._done:
            return
        self._count_packets(self._buffer + chunk)
        if self._packets > self._max_packets or self._bytes + len(self._buffer) > self._max_bytes:
            raise Malformed(f"this push moves too many branches and tags; push at most {self._max_packets} at once")

    def _count_packets(self, content: bytes) -> None:
        """Keeps what is not a whole packet yet."""
        start = 0
        while len(content) - start >= len(FLUSH):
            length = _parse_length(content[start : start + len(FLUSH)])
            if length < len(FLUSH):
                self._done, start = True, len(content)
                break
            if len(content) - start < length:
                break
            start += length
            self._packets, self._bytes = self._packets + 1, self._bytes + length
        self._buffer = content[start:]


def _parse_length(head: bytes) -> int:
    """0 for what is no length: Git says what is wrong with it."""
    try:
        return int(head, 16)
    except ValueError:
        return 0
