"""What is wrong with a manifest, where it is, and what to do about it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Path = tuple[str | int, ...]
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One sentence about one place; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class Finding(NamedTuple):
    """A problem that a kind sees in its own fields: a path (keys and list indexes) instead of a place in a file."""

    path: Path
    message: str
    severity: Severity = "error"
