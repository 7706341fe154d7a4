"""Ctrl-C during an import ends the process as it ends any program: an import may swallow a KeyboardInterrupt."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def end_on_interrupt() -> Iterator[None]:
    """For imports, in the main thread; afterwards SIGINT does what it did before."""
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
