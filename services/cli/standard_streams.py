"""Prepares standard streams: missing ones are opened, and unencodable characters are escaped."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def prepare_streams() -> bool:
    """Must run before any output. False if standard output was closed when the process started."""
    had_output = sys.stdout is not None
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # else a file or socket would get the number
        os.set_inheritable(free, True)
    os.close(free)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  the process's own, to its end
    for stream in (sys.stdout, sys.stderr):
        escape_unencodable(stream)
    return had_output


def escape_unencodable(stream: TextIO) -> None:
    """Write characters that the stream cannot encode as escapes."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def discard_output(stream: TextIO) -> None:
    """Discard the buffer of a stream whose reader is gone, so that the exit raises no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a stream without a file descriptor
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
