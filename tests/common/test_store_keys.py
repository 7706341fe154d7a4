from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Forbidden, Invalid, Malformed, MeshError
from libs.common.locations import Location
from libs.common.store_keys import (
    BoxAddress,
    box_of_key,
    check_prefix,
    decode_path,
    enclosing_folders,
    location_error,
    location_key,
    parse_address,
)
from tests.file_names import NAMES

ROOT = "shop/data/users/alice/file_groups/"


@pytest.mark.parametrize(
    ("path", "kind", "key"),
    [
        ("", "box", ROOT),
        ("g", "group", f"{ROOT}g/"),
        ("g/", "group", f"{ROOT}g/"),
        ("g.txt", "group", f"{ROOT}g.txt/"),
        ("g/f", "file", f"{ROOT}g/f"),
        ("g/f/", "group", f"{ROOT}g/f/"),
        ("g/a/b", "file", f"{ROOT}g/a/b"),
        ("日本/語", "file", f"{ROOT}日本/語"),
        ("...", "group", f"{ROOT}.../"),
    ],
)
def test_a_path_is_a_group_or_a_file(path: str, kind: str, key: str) -> None:
    found = parse_address("shop", "data", "alice", path)
    assert (found.kind, found.key) == (kind, key)


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/g/f", "g//f", "g//", ".", "..", "./f", "g/.", "g/..", "g/../f", "g/%2e%2e", "g/%2E.", "g/a%2fb",
        "g/a%5cb", "g\\f", "g/..\\f", "\0", "g/a\0", "g/a\n", "g/\x7f", "g/\x85", "g/%00", "g/%0a", "g/\ud800",
        "g/" + "n" * 256, "g/" + "é" * 128, "n/" * 512 + "f",
    ],
)  # fmt: skip
def test_a_hostile_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        parse_address("shop", "data", "alice", path)


@pytest.mark.parametrize(("name", "rule"), NAMES.items(), ids=ascii)
def test_a_name_is_refused_by_its_rule(name: str, rule: str | None) -> None:
    why = location_error("shop", Location(box="data", user="alice", group="g", file=name))
    assert why == (rule and f"{name if len(name) <= 80 else name[:80] + '…'!a}: {rule}")


def test_a_key_has_at_most_1024_bytes() -> None:
    room = 1024 - len(ROOT)
    path = "/".join(["n" * 199] * (room // 200)) + "/" + "n" * (room % 200)
    assert len(parse_address("shop", "data", "alice", path).key) == 1024
    with pytest.raises(Invalid, match="too long"):
        parse_address("shop", "data", "alice", path + "n")


@pytest.mark.parametrize("user", ["alice", "a.b-c_d@example.org", "0", "x" * 64, "..."])
def test_users_have_ordinary_names(user: str) -> None:
    assert parse_address("shop", "data", user, "g/f") == BoxAddress("file", f"shop/data/users/{user}/file_groups/g/f")


@pytest.mark.parametrize("user", ["", ".", "..", "a/b", "a b", "é", "x" * 65, "a\n", "a%2e"])
def test_other_users_are_refused(user: str) -> None:
    with pytest.raises(Invalid):
        parse_address("shop", "data", user, "g/f")


def test_the_anonymous_user_has_no_files() -> None:
    with pytest.raises(Forbidden):
        parse_address("shop", "data", "anonymous", "g/f")


@pytest.mark.parametrize("name", ["", ".internal", "..", "-a", "a/b", "a b", "x" * 64, "a\n"])
def test_apps_and_boxes_have_ordinary_names(name: str) -> None:
    with pytest.raises(Invalid):
        parse_address(name, "data", "alice", "g/f")
    with pytest.raises(Invalid):
        parse_address("shop", name, "alice", "g/f")


@pytest.mark.parametrize(
    ("location", "key"),
    [
        ({"box": "data", "user": "alice", "group": "g"}, f"{ROOT}g/"),
        ({"box": "data", "user": "alice", "group": "runs/1/out", "file": "a/b"}, f"{ROOT}runs/1/out/a/b"),
        ({"area": "runs/1/train/1/out"}, "shop/.internal/runs/1/train/1/out/"),
        ({"area": "runs/1", "file": "f"}, "shop/.internal/runs/1/f"),
    ],
)
def test_a_location_has_a_key(location: dict[str, str], key: str) -> None:
    assert location_key("shop", Location(**location)) == key


@pytest.mark.parametrize(
    "location",
    [
        {"box": "data", "user": "anonymous", "group": "g"}, {"box": "data", "user": "alice", "group": "../g"},
        {"box": "data", "user": "alice", "group": ""}, {"box": ".internal", "user": "alice", "group": "g"},
        {"area": ".."}, {"area": "/etc"}, {"area": "a", "file": ""}, {"area": "a", "file": "../b"},
    ],
)  # fmt: skip
def test_a_bad_location_is_named(location: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=r"^location '"):
        location_key("shop", Location(**location))


def test_a_key_counts_for_its_box() -> None:
    assert box_of_key(f"{ROOT}g/f") == ("shop", "data")
    assert box_of_key("shop/.internal/runs/1/f") is None


def test_the_folders_above_a_file_are_below_its_group() -> None:
    assert enclosing_folders(f"{ROOT}g/f") == []
    assert enclosing_folders(f"{ROOT}g/a/b/f") == [f"{ROOT}g/a", f"{ROOT}g/a/b"]


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b"])
def test_a_prefix_may_end_anywhere(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "..", "../", "a/../b", "a//", "\0"])
def test_a_hostile_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(Invalid):
        check_prefix(prefix)


@pytest.mark.parametrize(("raw", "text"), [(b"a%20b", "a b"), (b"%C3%A9", "é"), (b"a+b", "a+b"), (b"%252e", "%2e")])
def test_a_path_is_decoded_once(raw: bytes, text: str) -> None:
    assert decode_path(raw) == text


@pytest.mark.parametrize("raw", [b"%FF", b"%C0%AE", b"%ED%A0%80", b"\xff"])
def test_a_path_that_is_not_utf8_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_path(raw)


@given(st.text(max_size=40))
def test_no_path_leaves_the_callers_area(path: str) -> None:
    try:
        found = parse_address("shop", "data", "alice", path)
    except MeshError:
        return
    assert found.key.startswith(ROOT)
    assert not {".", ".."} & set(found.key.split("/"))
