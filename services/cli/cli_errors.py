"""Errors of commands: one sentence on stderr, and an exit code for scripts.

0 done   1 failed   2 wrong usage   3 not reachable   4 refused: not allowed
130 interrupted (Ctrl-C)   141 the reader of the output closed the pipe
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from libs.common.errors import Forbidden, MeshError, Unauthorized

FAILED, USAGE, NOT_REACHABLE, REFUSED = 1, 2, 3, 4
INTERRUPTED, READER_GONE = 130, 141
"""As a shell reports the signals SIGINT and SIGPIPE."""


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


def error_lines(error: Exception) -> list[str]:
    """The lines to print: the help of a group of commands, the error's message, the positions of its problems."""
    match error:
        case MeshError():
            return _mesh_error_lines(error)
        case UnicodeError():
            return [f"a text is not UTF-8: {error}"]
        case OSError(filename=str(name), strerror=str(why)):
            return [f"{name}: {why}"]
    return [str(error) or type(error).__name__]


def _mesh_error_lines(error: MeshError) -> list[str]:
    problems = _problem_lines(error.extensions.get("errors"))
    help_lines = str(error.extensions.get("help", "")).splitlines()
    return [
        *(f"  {line}" for line in help_lines),
        error.detail,
        *(f"  {line}" for line in problems if line not in error.detail),
    ]


def _problem_lines(problems: Iterable[object] | None) -> Iterator[str]:
    for problem in problems or ():
        if isinstance(problem, dict) and problem.get("message"):
            yield format_problem(problem)


def format_problem(problem: Mapping[str, object]) -> str:
    """`file:line:column: message`; unknown parts are omitted."""
    position = [str(problem[key]) for key in ("file", "line", "column") if problem.get(key) not in (None, "")]
    where = ":".join(position) or str(problem.get("input") or problem.get("field") or "")
    return f"{where}: {problem['message']}" if where else str(problem["message"])
