"""How a command fails: one sentence on stderr and an exit code that scripts can tell apart.

0 done   1 failed   2 wrong usage   3 not reachable   4 refused: not allowed
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from libs.common.errors import Forbidden, MeshError, Unauthorized

FAILED, USAGE, NOT_REACHABLE, REFUSED = 1, 2, 3, 4


class Failure(MeshError):
    """The command failed."""

    code: ClassVar[int] = FAILED


class WrongUsage(Failure):
    """The command was given something that it cannot work with."""

    code = USAGE


class NotReachable(Failure):
    """Nothing answers at this address."""

    code = NOT_REACHABLE


def exit_code(error: Exception) -> int:
    if isinstance(error, Failure):
        return error.code
    return REFUSED if isinstance(error, Unauthorized | Forbidden) else FAILED


def sentences(error: Exception) -> list[str]:
    """What to print: the error's own sentence, and below it the places that it names."""
    if not isinstance(error, MeshError):
        return [str(error) or type(error).__name__]
    return [error.detail, *(f"  {line}" for line in _places(error.members) if line != error.detail)]


def _places(members: dict[str, Any]) -> Iterator[str]:
    for one in members.get("errors") or ():
        if isinstance(one, dict) and one.get("message"):
            yield place(one)


def place(problem: dict[str, Any]) -> str:
    """`file:line:column: sentence`, or what of it is known."""
    position = [str(problem[key]) for key in ("file", "line", "column") if problem.get(key) not in (None, "")]
    where = ":".join(position) or str(problem.get("input") or problem.get("field") or "")
    return f"{where}: {problem['message']}" if where else str(problem["message"])
