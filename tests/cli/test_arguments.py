from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlmesh_component.api import openapi
from mlmesh_component.function.signature import build_schema
from mlmesh_component.settings import Settings

from services.cli.arguments import ANY_TYPE, InputType, build_input, parse_assignments, parse_value
from services.cli.cli_errors import WrongUsage
from services.cli.predict import find_input_types


def test_assignments_are_split_at_the_first_equals_sign() -> None:
    assert parse_assignments(["a=1", "b=x=y", "c="]) == [("a", "1"), ("b", "x=y"), ("c", "")]


@pytest.mark.parametrize("text", ["a", "=1"])
def test_what_is_no_assignment_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage, match="write NAME=VALUE"):
        parse_assignments([text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("[1,2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("true", True),
        ("hello", "hello"),
        ('"1"', "1"),
    ],
)
def test_a_value_is_json_else_text(text: str, expected: Any) -> None:
    assert parse_value(text) == expected


def test_a_value_after_an_at_sign_is_a_file_of_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1, 2]")
    (tmp_path / "y.json").write_text("[1, 2")
    assert parse_value(f"@{tmp_path}/x.json") == [1, 2]
    with pytest.raises(WrongUsage, match=r"y\.json is not JSON"):
        parse_value(f"@{tmp_path}/y.json")


@pytest.mark.parametrize(
    ("data", "accepted", "expected"),
    [
        ("hello", (), {"datatype": "str", "data": "hello"}),
        ("g/a.png", ("FILE",), {"datatype": "FILE", "data": "g/a.png"}),
        ({"a": 1}, (), {"datatype": "dict", "data": {"a": 1}}),
        (3, (), {"datatype": "INT64", "shape": [1], "data": [3]}),
        (3, ("FP32", "FP64"), {"datatype": "FP32", "shape": [1], "data": [3]}),
        (3, ("INT32",), {"datatype": "INT32", "shape": [1], "data": [3]}),
        (2.5, (), {"datatype": "FP64", "shape": [1], "data": [2.5]}),
        (2.5, ("INT32", "FP32"), {"datatype": "FP32", "shape": [1], "data": [2.5]}),
        (True, (), {"datatype": "BOOL", "shape": [1], "data": [True]}),
        ([1, 2.5], (), {"datatype": "FP64", "shape": [2], "data": [1, 2.5]}),
        ([[1, 2, 3], [4, 5, 6]], (), {"datatype": "INT64", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}),
    ],
)
def test_an_input_has_the_datatype_that_fits(data: Any, accepted: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert build_input("x", data, InputType(accepted)) == {"name": "x", **expected}


TAGS = InputType(("str",), single=False)
EITHER = InputType(("str",))
TEXT = InputType(("str",), listed=False)
BYTES = InputType(("str", "FILE"), listed=False, base64=True)


@pytest.mark.parametrize(
    ("typed", "accepted", "expected"),
    [
        ('["a", "b"]', TAGS, {"datatype": "str", "shape": [2], "data": ["a", "b"]}),
        ("[]", TAGS, {"datatype": "str", "shape": [0], "data": []}),
        ("a, b", TAGS, {"datatype": "str", "shape": [1], "data": ["a, b"]}),
        ("[a", TAGS, {"datatype": "str", "shape": [1], "data": ["[a"]}),
        ('["a"]', EITHER, {"datatype": "str", "shape": [1], "data": ["a"]}),
        ("a", EITHER, {"datatype": "str", "data": "a"}),
        ('["a"]', TEXT, {"datatype": "str", "data": '["a"]'}),
        ('["a"]', ANY_TYPE, {"datatype": "str", "shape": [1], "data": ["a"]}),
        ('[{"a": 1}]', InputType(("dict",), single=False), {"datatype": "dict", "shape": [1], "data": [{"a": 1}]}),
        ('{"a": 1}', InputType(("dict",), single=False), {"datatype": "dict", "shape": [1], "data": [{"a": 1}]}),
        ("null", InputType(("INT32",)), {"datatype": "INT32", "data": None}),
        ("[]", InputType(("INT32",)), {"datatype": "INT32", "shape": [0], "data": []}),
        ("AAE=", BYTES, {"datatype": "str", "data": "AAE="}),
    ],
)
def test_values_are_parsed_as_the_accepted_type(typed: str, accepted: InputType, expected: dict[str, Any]) -> None:
    assert build_input("x", parse_value(typed, accepted), accepted) == {"name": "x", **expected}


def test_a_file_of_bytes_travels_in_base64(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0\1")
    assert parse_value(f"@{tmp_path}/x.bin", BYTES) == "AAE="
    with pytest.raises(WrongUsage, match=r"y\.bin cannot be read: No such file"):
        parse_value(f"@{tmp_path}/y.bin", BYTES)


def test_a_description_says_what_a_component_takes() -> None:
    def f(tags: list[str], text: str, either: str | list[str], content: bytes, size: int | None) -> None: ...

    described = openapi.build_document(Settings("m:f"), build_schema(f))
    assert dict(find_input_types(described)) == {
        "tags": TAGS,
        "text": TEXT,
        "either": EITHER,
        "content": BYTES,
        "size": InputType(("INT32", "INT64"), listed=False),
    }


@pytest.mark.parametrize("data", [[1, "a"], [True, 1], [[1, 2], [3]], [[1], 2], [None], ["a", {}]])
def test_a_list_that_is_no_tensor_is_wrong_usage(data: Any) -> None:
    with pytest.raises(WrongUsage):
        build_input("x", data)


def test_datatypes_are_found_in_a_description() -> None:
    image = {"type": "object", "properties": {"name": {"const": "image"}, "datatype": {"enum": ["FP32", "FP64"]}}}
    two = {"type": "object", "properties": {"name": {"const": "top"}, "datatype": {"const": "INT64"}}}
    described = {"paths": {"/predict": {"post": {"requestBody": {"schema": {"items": {"oneOf": [image, two]}}}}}}}
    assert find_input_types(described) == [
        ("image", InputType(("FP32", "FP64"), listed=False)),
        ("top", InputType(("INT64",), listed=False)),
    ]
