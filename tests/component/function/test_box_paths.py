"""Parsing and formatting of file names in boxes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlmesh_component.function.box_paths import (
    Boxes,
    BoxPath,
    InvalidFileName,
    find_name_fault,
    find_unused_path,
    format_name,
    parse_name,
    result_group,
)

from libs.common.errors import Invalid
from libs.common.store_keys import check_path
from tests.file_names import NAMES

ONE = Boxes(("data",))
TWO = Boxes(("weights", "data"), "weights", ("scans",))
SEGMENTS = st.sampled_from(["data", "weights", "scans", "results", "g", "x"])


@pytest.mark.parametrize(
    ("boxes", "default"),
    [
        (Boxes(), None),
        (ONE, "data"),
        (TWO, "data"),
        (Boxes(("data", "weights"), "weights"), "data"),
        (Boxes(("data", "more")), "data"),
        (Boxes(("data", "more"), "weights"), "data"),
        (Boxes(("weights",), "weights"), "weights"),
        (Boxes(("weights", "data", "more"), "weights"), "data"),
    ],
)
def test_the_default_box_is_the_first_that_is_not_the_models(boxes: Boxes, default: str | None) -> None:
    assert boxes.default_box == default


@pytest.mark.parametrize(
    ("name", "boxes", "expected"),
    [
        ("g/a", ONE, BoxPath("data", "g/a")),
        ("data/a", ONE, BoxPath("data", "data/a")),
        ("data/g/a", ONE, BoxPath("data", "g/a")),
        ("g/sub/a", ONE, BoxPath("data", "g/sub/a")),
        ("g/a", TWO, BoxPath("data", "g/a")),
        ("g/sub/a", TWO, BoxPath("data", "g/sub/a")),
        ("weights/a", TWO, BoxPath("data", "weights/a")),
        ("weights/g/a", TWO, BoxPath("weights", "g/a")),
        ("data/g/sub/a", TWO, BoxPath("data", "g/sub/a")),
        ("data/scans/a", TWO, BoxPath("data", "scans/a")),
    ],
)
def test_a_name_is_a_place_in_a_box(name: str, boxes: Boxes, expected: BoxPath) -> None:
    assert parse_name(name, boxes) == expected


@pytest.mark.parametrize(
    ("name", "boxes", "message"),
    [
        ("g/a", Boxes(), "no box is connected"),
        ("scans/a", TWO, "box scans is not connected to this component; connected are weights, data"),
        ("scans/g/a", TWO, "box scans is not connected to this component; connected are weights, data"),
        ("a", ONE, "must be <group>/<file>, or <box>/<group>/<file>"),
        ("data", TWO, "must be <group>/<file>, or <box>/<group>/<file>"),
        ("g/a\\b", ONE, "must be <group>/<file>, or <box>/<group>/<file>: a name may not hold a slash or backslash"),
    ],
)
def test_a_name_without_a_place_says_why(name: str, boxes: Boxes, message: str) -> None:
    with pytest.raises(InvalidFileName, match=message):
        parse_name(name, boxes)


@given(st.sampled_from([ONE, TWO, Boxes(("results",)), Boxes(("weights",), "weights")]), st.data())
def test_a_place_is_found_by_its_name(boxes: Boxes, data: st.DataObject) -> None:
    box = data.draw(st.sampled_from(boxes.connected))
    at = BoxPath(box, "/".join(data.draw(st.lists(SEGMENTS, min_size=2, max_size=4))))
    assert parse_name(format_name(at, boxes), boxes) == at


@pytest.mark.parametrize(
    ("request_id", "group"), [("abc-1", "results/abc-1"), ("a/b+c", "results/a-b-c"), ("..", "results/-")]
)
def test_results_have_a_group_of_their_call(request_id: str, group: str) -> None:
    assert result_group(request_id) == group


def test_files_of_one_name_have_folders_of_their_own() -> None:
    used_paths: set[str] = set()
    for _ in range(3):
        used_paths.add(find_unused_path("results/r", "x.txt", used_paths))
    assert used_paths == {"results/r/x.txt", "results/r/2/x.txt", "results/r/3/x.txt"}


@pytest.mark.parametrize(("name", "rule"), NAMES.items(), ids=ascii)
def test_a_name_is_refused_by_its_rule(name: str, rule: str | None) -> None:
    assert find_name_fault(name) == find_name_fault(f"g/{name}") == rule


PIECES = st.sampled_from(["%", "2", "e", "E", "f", "F", "5", "c", "0", "a", "7", "C2", "85", ".", "/", "\\", "\0", "é"])


@given(st.text(max_size=30) | st.lists(PIECES, max_size=12).map("".join))
def test_what_databox_refuses_is_refused_before_it_is_asked(path: str) -> None:
    assert find_name_fault(path) == _rule_of_databox(path)


def _rule_of_databox(path: str) -> str | None:
    try:
        check_path(path)
    except Invalid as error:
        return error.detail.rpartition(": ")[2]
    return None


def test_a_path_is_not_longer_than_a_key() -> None:
    assert find_name_fault("/".join(["n" * 204] * 5)) is None
    assert (
        find_name_fault("/".join(["n" * 204] * 5) + "n")
        == "the path is too long: with its box and user it may have 1024 bytes"
    )
