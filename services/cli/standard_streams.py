"""The streams of this process, made fit: there is always one to write to, and no character fails."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def prepare_streams() -> bool:
    """Call it before anything is printed. False: standard output was closed before the command began."""
    had_output = sys.stdout is not None
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # else a file or a socket would take the number
        os.set_inheritable(free, True)
    os.close(free)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  the process's own, to its end
    for stream in (sys.stdout, sys.stderr):
        escape_unencodable(stream)
    return had_output


def escape_unencodable(stream: TextIO) -> None:
    """A character that the stream's encoding does not have is written as an escape."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def discard_output(stream: TextIO) -> None:
    """Nobody reads it any more: what is still in its buffer goes nowhere, so that the end of the process is quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a stream without a number has nothing to lose
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
