"""What is wrong with a manifest, where it is, and what to do about it."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Path = tuple[str | int, ...]
MAX_MESSAGE: Final = 500  # characters

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One sentence, on one line whatever it quotes, about one place; line and column count from 1."""

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
    """What a file says about itself is shown, never obeyed by a terminal or a log."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= MAX_MESSAGE else shown[:MAX_MESSAGE] + "…"


class Finding(NamedTuple):
    """A problem that a kind sees in its own fields: a path (keys and list indexes) instead of a place in a file."""

    path: Path
    message: str
    severity: Severity = "error"
