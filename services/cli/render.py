"""Output: tables and values on stdout, progress on stderr and only on a terminal.

All output goes through this module, which escapes control characters of untrusted text.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from libs.common.terminal import escape_controls, escape_to_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

NOT_A_TERMINAL_WIDTH = 1000
"""Width in columns for a file or a pipe: tables are not wrapped there."""
PROSE_COLUMNS = ("TITLE", "DESCRIPTION", "REASON", "MESSAGE", "PROBLEM", "KEYS", "MISSING", "SCOPES", "CLASSES")
"""Columns that may wrap; ids, names and addresses, which users copy, may not."""
PROSE_WIDTH = 16
"""Minimum width of such a column."""
GAP = 2
COLOURS = {
    "live": "green", "succeeded": "green", "healthy": "green", "running": "cyan", "starting": "cyan",
    "failed": "red", "expired": "red", "unhealthy": "red", "canceled": "yellow", "canceling": "yellow",
    "waiting": "yellow", "pending": "yellow", "queued": "yellow", "superseded": "dim", "replaced": "dim",
    "skipped": "dim",
}  # fmt: skip


def write_lines(text: str) -> None:
    """Write to stdout, with a line break at the end."""
    sys.stdout.write(escape_controls(text if text.endswith("\n") else text + "\n"))
    sys.stdout.flush()


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def write_log(pieces: Iterable[bytes]) -> None:
    """Write a program's log as it arrives, with control characters escaped: what reads a pipe may be a terminal."""
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    decoder = io.IncrementalNewlineDecoder(utf8, translate=False)  # keeps CR LF together
    for piece in pieces:
        sys.stdout.write(escape_controls(decoder.decode(piece)))
        sys.stdout.flush()
    sys.stdout.write(escape_controls(decoder.decode(b"", final=True)))
    sys.stdout.flush()


def write_note(text: str) -> None:
    """Write a remark for the user to stderr."""
    sys.stderr.write(escape_controls(text) + "\n")
    sys.stderr.flush()


def write_json(value: Any) -> None:
    write_lines(json.dumps(value, indent=2, ensure_ascii=False))


def write_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for title in titles:
        grid.add_column(title, overflow="fold", no_wrap=title not in PROSE_COLUMNS)
    cells = [[Text(escape_to_line(cell), COLOURS.get(cell, "")) for cell in map(cell_text, row)] for row in rows]
    for row in cells:
        grid.add_row(*row)
    console = _create_console()
    console.width = max(console.width, _least_width(titles, cells))  # the terminal itself wraps longer lines
    console.print(grid)


def _least_width(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """Minimum width at which no id, name or address wraps."""
    columns = zip(titles, zip(*rows, strict=True), strict=True) if rows else ()
    widths = [
        PROSE_WIDTH if title in PROSE_COLUMNS else max(len(title), *(cell.cell_len for cell in column))
        for title, column in columns
    ]
    return sum(widths) + GAP * len(widths)


def write_pairs(values: Iterable[tuple[str, Any]]) -> None:
    """Write one `name  value` per line; empty values are omitted."""
    entries = [(name, cell_text(value)) for name, value in values if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in entries), default=0)
    for name, value in entries:
        write_lines(f"{name.ljust(width)}  {escape_to_line(value)}")


def cell_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and "code" in value:
        return reason_text(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "yes" if value is True else "no" if value is False else str(value)


def reason_text(value: Mapping[str, object] | None) -> str:
    """`code: detail` of a machine-readable reason."""
    if not value:
        return ""
    parts = [str(value.get("code") or ""), str(value.get("detail") or "")]
    summary = ": ".join(part for part in parts if part)
    return f"{summary} (exit code {value['exit_code']})" if value.get("exit_code") is not None else summary


def size_text(count: float | None) -> str:
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@contextmanager
def transfer_progress(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar over `total` bytes, None if unknown; yields `advance(count)`."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=_create_console(stderr=True), transient=True) as progress:
        bar = progress.add_task(escape_to_line(what), total=total)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def live_lines() -> Iterator[Any]:
    """A live region on a terminal; yields `draw(lines)`. Without a terminal each new line is printed once."""
    if not sys.stderr.isatty():
        printed: set[str] = set()
        yield lambda lines: _note_new(lines, printed)
        return
    from rich.live import Live
    from rich.text import Text

    with Live(console=_create_console(stderr=True), transient=True, refresh_per_second=8) as place:
        yield lambda lines: place.update(Text(escape_controls("\n".join(lines))))


def _note_new(lines: Sequence[str], printed: set[str]) -> None:
    for line in lines:
        if line not in printed:
            printed.add(line)
            write_note(line)


def progress_bar(done: float, total: float, width: int = 20) -> str:
    share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
    filled = int(width * share)
    return f"{'━' * filled}{'╌' * (width - filled)} {done:.15g}/{total:.15g}"


def _create_console(stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else NOT_A_TERMINAL_WIDTH, highlight=False)
