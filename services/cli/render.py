"""What a person sees: tables and values on stdout, progress on stderr and only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NOT_A_TERMINAL_WIDTH = 1000
"""Columns; a table that goes into a file or a pipe is not wrapped."""
COLOURS = {
    "live": "green", "succeeded": "green", "healthy": "green", "running": "cyan", "starting": "cyan",
    "failed": "red", "expired": "red", "unhealthy": "red", "canceled": "yellow", "canceling": "yellow",
    "waiting": "yellow", "pending": "yellow", "queued": "yellow", "superseded": "dim", "skipped": "dim",
}  # fmt: skip


def write(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A remark for a person, beside the data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def document(value: Any) -> None:
    write(json.dumps(value, indent=2, ensure_ascii=False))


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in titles:
        grid.add_column(title, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in map(text, row)))
    _console().print(grid)


def pairs(values: Iterable[tuple[str, Any]]) -> None:
    """One `name  value` a line, empty ones left out."""
    shown = [(name, text(value)) for name, value in values if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        write(f"{name.ljust(width)}  {value}")


def text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and "code" in value:
        return reason(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "yes" if value is True else "no" if value is False else str(value)


def reason(value: dict[str, Any] | None) -> str:
    """`code: detail` of a machine-readable reason."""
    if not value:
        return ""
    known = [str(value.get("code") or ""), str(value.get("detail") or "")]
    found = ": ".join(part for part in known if part)
    return f"{found} (exit code {value['exit_code']})" if value.get("exit_code") is not None else found


def size(count: float | None) -> str:
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@contextmanager
def transfer(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar over bytes, None when nobody knows how many; yields `advance(count)`."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=_console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def live() -> Iterator[Any]:
    """A place on the terminal that is drawn anew; yields `draw(lines)`."""
    if not sys.stderr.isatty():
        yield lambda lines: None
        return
    from rich.live import Live
    from rich.text import Text

    with Live(console=_console(stderr=True), transient=True, refresh_per_second=8) as place:
        yield lambda lines: place.update(Text("\n".join(lines)))


def bar(done: int, total: int, width: int = 20) -> str:
    filled = min(width, width * done // total) if total > 0 else 0
    return f"{'━' * filled}{'╌' * (width - filled)} {done}/{total}"


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else NOT_A_TERMINAL_WIDTH, highlight=False)
