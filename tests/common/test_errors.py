"""Errors and their problem documents."""

from __future__ import annotations

import pytest

from libs.common import errors
from libs.common.errors import (
    Conflict,
    MeshError,
    TooLarge,
    Unavailable,
    find_first_error,
    from_problem,
    problem_document,
    problem_headers,
)


def test_the_docstring_is_the_default_message() -> None:
    assert str(Conflict()) == "Conflicts with the current state."


def test_a_problem_has_the_fields_of_rfc_9457_and_the_errors_own() -> None:
    assert problem_document(TooLarge("too big", used=3), "id-1") == {
        "type": "about:blank",
        "title": "Request Entity Too Large",
        "status": 413,
        "detail": "too big",
        "request_id": "id-1",
        "retryable": False,
        "used": 3,
    }


def test_unavailable_always_says_when_to_come_back() -> None:
    assert problem_headers(Unavailable()) == {
        "Content-Type": "application/problem+json",
        "X-Mlmesh-Error": "1",
        "Retry-After": "1",
    }


@pytest.mark.parametrize("status", sorted(errors.ERRORS_BY_STATUS))
def test_every_error_survives_the_way_between_services(status: int) -> None:
    original = errors.ERRORS_BY_STATUS[status]("why", field="x")
    found = from_problem(status, problem_document(original, "id"))
    assert (type(found), found.detail, found.extensions) == (type(original), "why", {"field": "x"})


def test_an_unknown_status_is_a_plain_error() -> None:
    assert type(from_problem(418, {})) is MeshError


def test_the_first_error_is_found_in_groups_of_groups() -> None:
    first, second = Conflict(), TooLarge()
    assert find_first_error(first) is first
    assert find_first_error(ExceptionGroup("", [ExceptionGroup("", [first, second]), second])) is first
