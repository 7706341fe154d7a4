"""Prints logs as they arrive: plain text, or server-sent events of a followed log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.cli import render
from services.cli.client import Response

CHUNK = 64 * 1024


def print_logs(response: Response) -> None:
    if "event-stream" in response.headers.get("Content-Type", ""):
        render.write_log(parse_events(response.stream))
    else:
        render.write_log(_read_pieces(response))


def _read_pieces(response: Response) -> Iterator[bytes]:
    while piece := response.stream.read(CHUNK):
        yield piece


def parse_events(stream: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event; comments and other fields are skipped."""
    data: list[bytes] = []
    for raw in stream:
        line = raw.rstrip(b"\r\n")
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data) + b"\n"
            data = []
