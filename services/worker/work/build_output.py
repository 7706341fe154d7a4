"""What the output of a build says to people: the step that runs, and why it failed. Pure.

BuildKit begins each line with the number of its step, and lines of programs with their time too: `#8 1.225 ERROR: …`.
The excerpt at the end of a failed build has the time alone, and lines of the Dockerfile: `4 | >>> RUN …`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_PROGRESS = 200
"""Characters of a line that is shown as progress."""
PREFIX = re.compile(r"(?:#\d+ )?(?:\d+\.\d{1,3} )?")
NOISE = re.compile(
    r"sha256:|DONE|CACHED|exporting|writing image|naming to|transferring|resolve |extracting |-{3,}|> \[|\d+ \||$"
)
"""Lines that say nothing of the progress."""
CONSEQUENCE = re.compile(
    r"(?:ERROR: )?(?:executor failed running|process \"|failed to (?:solve|build))",
)
"""The builder's own words about a program that failed: the program's are better."""
CAUSE = re.compile(r"error|fail|not found|no matching|no such|denied|cannot|unable|timed out", re.IGNORECASE)


def find_progress(piece: bytes) -> str | None:
    """The last line of a piece of output that says what the build does."""
    lines = [strip_prefix(line) for line in piece.decode(errors="replace").splitlines()]
    return next((line[:MAX_PROGRESS] for line in reversed(lines) if not NOISE.match(line)), None)


def find_cause(lines: Iterable[str]) -> str | None:
    """The last line that names an error: a program's if there is one, else the builder's."""
    causes = [line for line in map(strip_prefix, lines) if CAUSE.search(line)]
    of_programs = [line for line in causes if not CONSEQUENCE.match(line) and not NOISE.match(line)]
    return next(reversed(of_programs or causes), None)


def strip_prefix(line: str) -> str:
    return PREFIX.sub("", line.strip(), count=1).strip()
