"""Logs as they arrive: plain text, or the server-sent events of a log that is followed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from services.cli.client import Answer

CHUNK = 64 * 1024


def printed(answer: Answer) -> None:
    if "event-stream" in answer.headers.get("Content-Type", ""):
        for line in events(answer.stream):
            sys.stdout.write(line)
            sys.stdout.flush()
        return
    while piece := answer.stream.read(CHUNK):
        sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def events(stream: Iterable[bytes]) -> Iterator[str]:
    """The data of each event, its lines as they were; comments and other fields are skipped."""
    data: list[str] = []
    for raw in stream:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data) + "\n"
            data = []
