from __future__ import annotations

import pytest

from libs.common.errors import Conflict, Forbidden, Invalid, MeshError, NotFound, Unauthorized, Unavailable
from services.cli.cli_errors import Failure, NotReachable, WrongUsage, error_lines, exit_code, format_problem


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure("x"), 1), (WrongUsage("x"), 2), (NotReachable("x"), 3), (Unauthorized(), 4), (Forbidden(), 4),
        (NotFound(), 1), (Conflict(), 1), (Unavailable(), 1), (MeshError(), 1), (FileNotFoundError("x"), 1),
    ],
)  # fmt: skip
def test_the_exit_code_tells_kinds_of_failure_apart(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_is_its_message_and_positions() -> None:
    where = {"file": "a.yml", "line": 3, "column": 5, "message": "a typo"}
    error = Invalid("two things are wrong", errors=[where, {"input": "image", "message": "missing"}])
    assert error_lines(error) == ["two things are wrong", "  a.yml:3:5: a typo", "  image: missing"]


def test_a_position_in_the_message_is_not_repeated() -> None:
    wrong = [{"input": "a", "message": "is missing"}, {"input": "b", "message": "is no number"}]
    assert error_lines(Invalid("a: is missing; b: is no number", errors=wrong)) == ["a: is missing; b: is no number"]
    assert error_lines(Invalid("a: is missing", errors=wrong)) == ["a: is missing", "  b: is no number"]


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        ({"message": "m"}, "m"),
        ({"file": "f", "line": 1, "column": 2, "message": "m"}, "f:1:2: m"),
        ({"file": None, "line": None, "column": None, "message": "m"}, "m"),
        ({"field": "name", "message": "m"}, "name: m"),
    ],
)
def test_a_position_omits_unknown_parts(problem: dict[str, object], line: str) -> None:
    assert format_problem(problem) == line
