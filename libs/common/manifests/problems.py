"""Problems of manifests: position, message and severity."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Path = tuple[str | int, ...]
MAX_MESSAGE: Final = 500  # characters

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A one-line message about a position in a file; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    severity: Severity = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", to_single_line(self.message))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def to_single_line(text: str) -> str:
    """Escapes control characters of quoted text, so that a message cannot command a terminal or forge a log line."""
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return line if len(line) <= MAX_MESSAGE else line[:MAX_MESSAGE] + "…"


class Finding(NamedTuple):
    """A problem within one manifest: a path (keys and list indexes) instead of a position in a file."""

    path: Path
    message: str
    severity: Severity = "error"
