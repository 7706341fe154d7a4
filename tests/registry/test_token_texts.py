"""Tokens: random text, stored hash, scopes."""

import pytest

from libs.common.errors import Invalid
from services.registry.token_texts import constant_time_equal, hash_token, is_expired, new_token, validate_scopes


def test_tokens_differ_and_say_what_they_are() -> None:
    tokens = {new_token("mlmesh_key") for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("mlmesh_key_") and len(token) == len("mlmesh_key_") + 43 for token in tokens)


def test_what_is_kept_of_a_token_is_its_sha256() -> None:
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("presented", "expected", "equal"), [("a", "a", True), ("a", "b", False), ("", "", False), ("é", "e", False)]
)
def test_only_the_same_text_is_the_same_token(presented: str, expected: str, equal: bool) -> None:
    assert constant_time_equal(presented, expected) is equal


@pytest.mark.parametrize(("expires_at", "over"), [(None, False), (9.0, True), (10.0, True), (10.1, False)])
def test_a_token_is_over_at_its_time(expires_at: float | None, over: bool) -> None:
    assert is_expired(expires_at, now=10.0) is over


def test_scopes_keep_their_order_and_are_named_once() -> None:
    assert validate_scopes(["write:leaf-scan", "read", "read"]) == ("write:leaf-scan", "read")


@pytest.mark.parametrize(
    "scope", ["", "root", "read:", "read:Leaf", "read:-x", "admin:x", "read:a b", "read:" + "a" * 64]
)
def test_what_is_no_scope_is_named(scope: str) -> None:
    with pytest.raises(Invalid, match=f"unknown scope {scope!r}"):
        validate_scopes(["read", scope])


def test_a_token_without_scopes_is_refused() -> None:
    with pytest.raises(Invalid, match="at least one scope"):
        validate_scopes([])
