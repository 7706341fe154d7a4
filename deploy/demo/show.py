"""What the person who started the demo sees."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SHADES = " .:-=+*#%@"
BRIGHTEST = 16


class Failed(Exception):
    """A step of the demo did not do what it should; the message says what happened instead."""


class Unanswered(Failed):
    """The mesh does not answer at all."""


class Show:
    """Numbered steps on stdout. `present` is the step that goes on."""

    def __init__(self) -> None:
        self.present = "preparing"
        self._count = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.present = title
        self._count += 1
        began = time.monotonic()
        line(f"\n{bold(f'{self._count}. {title}')}")
        yield
        line(f"   {dim(f'done in {time.monotonic() - began:.1f} s')}")


def line(text: str = "") -> None:
    print(text, flush=True)


def command(text: str) -> None:
    line(f"   {cyan('$ ' + text)}")


def detail(text: str) -> None:
    for one in text.splitlines():
        line(f"   {one}")


def picture(pixels: Sequence[float], width: int = 8) -> str:
    """Brightness from 0 to 16, row by row, as characters."""
    marks = [SHADES[min(len(SHADES) - 1, round(one / BRIGHTEST * (len(SHADES) - 1)))] * 2 for one in pixels]
    return "\n".join("".join(marks[start : start + width]) for start in range(0, len(marks), width))


def bold(text: str) -> str:
    return _styled("1", text)


def dim(text: str) -> str:
    return _styled("2", text)


def cyan(text: str) -> str:
    return _styled("36", text)


def _styled(code: str, text: str) -> str:
    import os

    plain = os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
