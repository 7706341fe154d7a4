"""Scopes of credentials."""

from __future__ import annotations

import pytest

from libs.common.scopes import limit_scopes, suffices


@pytest.mark.parametrize(
    ("scope", "needed", "app", "is_enough"),
    [
        ("admin", "write", "texts", True),
        ("admin", "admin", None, True),
        ("write", "admin", None, False),
        ("write:texts", "develop", "texts", True),
        ("write:texts", "call", "texts", True),
        ("write:texts", "read", "other", False),
        ("write:texts", "read", None, False),
        ("develop:texts", "write", "texts", False),
        ("develop", "read", "texts", True),
        ("read:texts", "call", "texts", False),
        ("call:texts", "read", "texts", False),
        ("call:texts", "call", "texts", True),
    ],
)
def test_a_scope_includes_others(scope: str, needed: str, app: str | None, is_enough: bool) -> None:
    assert suffices(frozenset({scope}), needed, app) is is_enough


@pytest.mark.parametrize(
    ("scopes", "limits", "common"),
    [
        ({"call:texts"}, {"write:texts"}, {"call:texts"}),
        ({"admin"}, {"write:texts", "read:other"}, {"write:texts", "read:other"}),
        ({"write:texts"}, {"develop:texts"}, {"develop:texts"}),
        ({"read"}, {"write:texts"}, {"read:texts"}),
        ({"read"}, {"admin"}, {"read"}),
        ({"write"}, {"read:texts"}, {"read:texts"}),
        ({"read:texts"}, {"call:texts"}, set()),
        ({"write:texts"}, {"write:other"}, set()),
        ({"write:texts"}, set(), set()),
    ],
)
def test_scopes_are_limited_to_what_both_allow(scopes: set[str], limits: set[str], common: set[str]) -> None:
    assert limit_scopes(scopes, frozenset(limits)) == common
