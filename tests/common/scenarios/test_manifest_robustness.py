"""Whatever the bytes are, the reader answers with problems, never with an exception."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.manifests import KINDS, read_documents, read_example
from libs.common.manifests.fields import API_VERSION, ORIGINAL_API_VERSION
from libs.common.manifests.parsing import parse
from libs.common.manifests.problems import Problem
from services.registry.checks.catalog import Catalog, check_manifests

QUICK = settings(deadline=None)  # the machine may be busy
EXAMPLES = {kind: read_example(kind) for kind in KINDS}
PIECES = st.sampled_from(
    ["a", ":", ": ", "- ", "\n", "\n  ", " ", "\t", "&x ", "*x", "<<", "{", "}", "[", "]", ",", "'", '"', "#", " #",
     "|", "|2-", ">", "?", "? ", "!", "!!int ", "!<", "%YAML 1.1\n", "%TAG ! x\n", "---", "\n---\n", "...", "\\", "\\u",
     "\r", "\x85", "\u2028", "\ufeff", "kind", "spec", "null", "1e9", "0x", "é", "🍃", "@", "`", "~", "=", "-"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**6), st.text(max_size=8), st.sampled_from(["1G", "30s", "a:f"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def sound(files: dict[str, bytes]) -> None:
    catalog, problems = check_manifests(files, None)
    assert (catalog is None) == any(found.severity == "error" for found in problems)
    for found in problems:
        assert isinstance(found, Problem)
        assert found.line >= 1
        assert found.column >= 1
        assert "\n" not in found.message
    if catalog is not None:
        assert Catalog.from_json(catalog.to_json()) == catalog


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_answered_with_problems(content: bytes) -> None:
    sound({"m.yml": content})


@QUICK
@given(st.lists(PIECES, max_size=40).map("".join))
def test_anything_that_looks_like_yaml_is_answered_with_problems(text: str) -> None:
    sound({"m.yml": text.encode()})


@pytest.mark.parametrize("kind", KINDS)
@settings(QUICK, max_examples=30)
@given(data=st.data())
def test_an_example_with_a_piece_put_in_is_answered_with_problems(kind: str, data: Any) -> None:
    text = EXAMPLES[kind]
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 20))
    sound({"m.yml": (text[:at] + data.draw(PIECES) + text[at + cut :]).encode()})


@pytest.mark.parametrize("kind", KINDS)
@settings(QUICK, max_examples=30)
@given(data=st.data())
def test_an_example_with_a_field_of_another_value_is_answered_with_problems(kind: str, data: Any) -> None:
    (root,) = parse(EXAMPLES[kind].encode())
    document: Any = root.to_plain()
    places = [*spots(document)]
    holder, key = data.draw(st.sampled_from(places))
    if isinstance(holder, dict) and data.draw(st.booleans()):
        key = "unknown"
    holder[key] = data.draw(VALUES)
    document["apiVersion"] = data.draw(st.sampled_from([API_VERSION, ORIGINAL_API_VERSION]))
    sound({"m.yml": json_text(document)})


@QUICK
@given(VALUES)
def test_a_manifest_of_any_shape_is_answered_with_problems(value: object) -> None:
    for kind in KINDS:
        sound({"m.yml": json_text({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "x"}, "spec": value})})
        sound(
            {"m.yml": json_text({"apiVersion": ORIGINAL_API_VERSION, "kind": kind, "metadata": value, "spec": value})}
        )


def test_many_problems_in_one_file_stay_quick() -> None:
    text = "kind: X\n---\n" * 3000
    assert len(read_documents({"m.yml": text.encode()})[1]) == 3000


def spots(value: Any) -> Any:
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from spots(value[key])


def json_text(value: object) -> bytes:

    return json.dumps(value).encode()
