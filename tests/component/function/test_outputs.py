"""Returned values against the declared outputs, and responses against the OpenAPI document."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import pathlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NotRequired, TypedDict

import jsonschema
import numpy as np
import pydantic
import pytest
from mlmesh_component import json_codec
from mlmesh_component.api import openapi
from mlmesh_component.api.oip import InferRequest
from mlmesh_component.function import signature
from mlmesh_component.function.output_encoding import encode_outputs
from mlmesh_component.function.outputs import build_outputs, select_outputs
from mlmesh_component.function.schema import Schema
from mlmesh_component.problems import Invalid, WrongOutput
from mlmesh_component.settings import Settings

NAN = float("nan")


class Typed(TypedDict):
    tags: list[str]
    best: int | None
    extra: NotRequired[float]


@dataclasses.dataclass
class Data:
    tags: list[str]
    best: int | None = None


class Named(NamedTuple):
    tags: list[str]
    best: int | None = None


class Model(pydantic.BaseModel):
    tags: list[str]
    best: int | None = None


class Key(enum.Enum):
    BEST = "best"


def in_words() -> dict[str, Any]:
    """Declares in words.

    :type outputs.tags: str
    :type outputs.best: INT64, optional
    """
    return {}


def return_typed_dict() -> Typed:
    return {"tags": [], "best": None}


def data() -> Data:
    return Data([])


def return_named_tuple() -> Named:
    return Named([])


def model() -> Iterator[Model]:
    yield Model(tags=[])


def all_optional() -> Data | None:
    return None


def of_texts() -> dict[str, list[str] | None]:
    return {}


def untold() -> dict[str, Any]:
    return {}


def declare_outputs(*outputs: str) -> Schema:
    """Of `name: datatype`."""

    def function() -> dict[str, Any]:
        return {}

    function.__doc__ = "\n".join(f":type outputs.{output}" for output in outputs)
    return signature.build_schema(function)


def build_answer(result: Any, schema: Schema) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = json.loads(
        encode_outputs(select_outputs(build_outputs(result, schema), (), schema))
    )["outputs"]
    return outputs


def response(schema: Schema) -> Any:
    document = openapi.build_document(Settings("m:f"), schema)
    return document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]


NO_TAGS = {"name": "tags", "datatype": "str", "data": [], "shape": [0]}
BEST = {"name": "best", "datatype": "INT64", "data": [3], "shape": [1]}


@pytest.mark.parametrize("function", [in_words, return_typed_dict, data, return_named_tuple, model])
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"tags": [], "best": None}, [NO_TAGS]),
        ({"tags": []}, [NO_TAGS]),
        ({"best": 3.0, "tags": ()}, [BEST, NO_TAGS]),
        (collections.ChainMap({"tags": []}), [NO_TAGS]),
        (Data([], 3), [NO_TAGS, BEST]),
        (Data([]), [NO_TAGS]),
        (Named([]), [NO_TAGS]),
        (Model(tags=[]), [NO_TAGS]),
        ([NO_TAGS, {"name": "best", "datatype": "INT64", "data": None}], [NO_TAGS]),
    ],
)
def test_an_optional_output_that_is_none_is_left_out(
    function: Callable[[], Any], result: Any, expected: list[Any]
) -> None:
    assert build_answer(result, signature.build_schema(function)) == expected


@pytest.mark.parametrize(
    ("function", "result", "name"),
    [
        (untold, {"y": None}, "y"),
        (in_words, {"tags": None}, "tags"),
        (return_typed_dict, {"tags": None}, "tags"),
        (data, [{"name": "tags", "datatype": "str", "data": None}], "tags"),
        (in_words, {"tags": [], "other": None}, "other"),
    ],
)
def test_any_other_none_is_named_with_what_to_do(function: Callable[[], Any], result: Any, name: str) -> None:
    with pytest.raises(WrongOutput) as wrong:
        build_outputs(result, signature.build_schema(function))
    assert wrong.value.detail == (
        f"The function's output {name!r} is None, but it is not optional: say `:type outputs.{name}: str, optional` in "
        "the docstring, or Optional in the TypedDict, dataclass or model that the function is annotated to return."
    )


def test_nothing_at_all_is_an_answer_where_all_is_optional() -> None:
    assert build_outputs(None, signature.build_schema(all_optional)) == []
    with pytest.raises(WrongOutput, match=r"^The function returned NoneType, not a list"):
        build_outputs(None, signature.build_schema(data))


def test_of_outputs_without_names_only_what_says_nothing_takes_the_datatype() -> None:
    schema = signature.build_schema(of_texts)
    count = {"name": "n", "datatype": "INT64", "data": [3], "shape": [1]}
    assert build_answer({"tags": [], "y": None, "n": 3}, schema) == [NO_TAGS, count]
    assert build_answer([count], schema) == [count]
    assert select_outputs(build_outputs({"tags": None}, schema), ("tags",), schema) == []
    with pytest.raises(Invalid):
        select_outputs([], ("tags",), signature.build_schema(untold))


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        ("INT32", 2**31, "2147483648 does not fit into INT32"),
        ("FP32", [1.0, 1e39], "1e+39 does not fit into FP32"),
        ("INT64", 0.5, "0.5 is not a whole number, but INT64 is declared"),
        ("INT64", True, "its datatype is 'BOOL', but INT64 is declared"),
        ("FP32 or FP64", [True], "its datatype is 'BOOL', but FP32 or FP64 is declared"),
        ("BOOL", 1, "its datatype is 'INT64', but BOOL is declared"),
        ("str", 1, "its datatype is 'INT64', but str is declared"),
        ("INT64", "1", "its datatype is 'str', but INT64 is declared"),
        ("str", pathlib.Path("/tmp/x"), "its datatype is 'FILE', but str is declared"),
        ("dict", [1, 0.5], "its datatype is 'FP64', but dict is declared"),
    ],
)
def test_what_does_not_fit_is_told_with_output_value_and_datatype(declared: str, value: Any, message: str) -> None:
    with pytest.raises(WrongOutput) as wrong:
        build_outputs({"y": value}, declare_outputs(f"y: {declared}"))
    assert wrong.value.detail == f"The function's output 'y' cannot be returned: {message}."


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"datatype": "INT64", "data": [1.0, 2.0]}, {"datatype": "INT64", "data": [1, 2], "shape": [2]}),
        ({"datatype": "INT64", "data": [[1], [2]]}, {"datatype": "INT64", "data": [1, 2], "shape": [2, 1]}),
        ({"datatype": "FP32", "data": np.ones((1, 2))}, {"datatype": "FP32", "data": [1.0, 1.0], "shape": [1, 2]}),
        (
            {"datatype": "FP32", "data": np.ones(2), "shape": np.ones((2, 1)).shape},
            {"datatype": "FP32", "data": [1.0, 1.0], "shape": [2, 1]},
        ),
        (
            {"datatype": "FP64", "data": [1.0], "shape": (np.int64(1), 1)},
            {"datatype": "FP64", "data": [1.0], "shape": [1, 1]},
        ),
        ({"datatype": "BOOL", "data": [np.bool_(True)]}, {"datatype": "BOOL", "data": [True], "shape": [1]}),
        ({"datatype": "str", "data": ("a", "b")}, {"datatype": "str", "data": ["a", "b"], "shape": [2]}),
        (
            {"datatype": "str", "data": Key.BEST, "content_type": "x"},
            {"datatype": "str", "data": "best", "content_type": "x"},
        ),
        ({"datatype": "FP64", "data": 5}, {"datatype": "FP64", "data": 5}),
        ({"datatype": "str", "data": None}, {"datatype": "str", "data": None}),
    ],
)
def test_an_item_of_ones_own_may_hold_what_may_be_returned_by_name(item: Any, expected: Any) -> None:
    assert build_answer([{"name": "y", **item}], Schema()) == [{"name": "y", **expected}]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"datatype": "INT64", "data": [1.5]}, "1.5 is not a whole number, but INT64 is declared"),
        ({"datatype": "INT32", "data": [2**31]}, "2147483648 does not fit into INT32"),
        ({"datatype": "str", "data": 5}, "data must be a string"),
        (
            {"datatype": "FP16", "data": [1.0]},
            "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE",
        ),
        ({"datatype": "FP64", "data": [1.0], "shape": [2]}, "shape [2] holds 2 values, but data has 1"),
        ({"datatype": "FP64", "data": np.ones(1), "shape": (2,)}, "shape [2] holds 2 values, but data has 1"),
        ({"datatype": "FP64", "data": [1.0], "shape": "1"}, "shape must be a list of whole numbers"),
        ({"datatype": "str", "data": ["a", 1]}, "a list of int and str has no datatype"),
    ],
)
def test_an_item_of_ones_own_that_is_wrong_is_named(item: Any, message: str) -> None:
    with pytest.raises(WrongOutput) as wrong:
        build_outputs([{"name": "y", **item}], Schema())
    assert wrong.value.detail == f"The function's output 'y' cannot be returned: {message}."


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["y", "y"], "The function returned its output 'y' twice; give each output its own name."),
        (["x", "y", "z", "y"], "The function returned its output 'y' twice; give each output its own name."),
        (["x", ""], "The function's output 1 ('') has no name."),
    ],
)
def test_each_item_of_ones_own_has_a_name_of_its_own(names: list[str], message: str) -> None:
    with pytest.raises(WrongOutput) as wrong:
        build_outputs([{"name": name, "datatype": "str", "data": "a"} for name in names], Schema())
    assert wrong.value.detail == message


def test_a_dict_has_no_output_without_a_name() -> None:
    with pytest.raises(WrongOutput) as wrong:
        build_outputs({"": 1}, Schema())
    assert wrong.value.detail == "The function returned a dict with the key ''; names of outputs are not empty."


def test_members_of_an_enum_are_names() -> None:
    assert build_answer({Key.BEST: 3}, Schema()) == [BEST]
    with pytest.raises(WrongOutput, match=r"with the key .*3.*; names of outputs are strings"):
        build_outputs({np.int64(3): 1}, Schema())


@pytest.fixture(params=["orjson", "standard library"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "standard library":
        monkeypatch.setattr(json_codec, "orjson", None)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("value", [[NAN, np.inf], np.array([NAN, -np.inf]), np.array([NAN, np.inf], "f4"), [None, NAN]])
def test_what_is_not_a_number_is_null_in_json_and_itself_in_binary(value: Any) -> None:
    items = build_outputs({"y": value}, declare_outputs("y: FP32"))
    assert json.loads(encode_outputs(items))["outputs"][0]["data"] == [None, None]
    infer = InferRequest("m")
    request = json.dumps({"inputs": [], "parameters": {"binary_data_output": True}}).encode()
    body = infer.parse_request(request, None, Schema()).encode_outputs(items)
    floats = struct.unpack("<2f", body[infer.header_length :])
    assert np.array_equal(np.array(floats), np.array(value, "f4"), equal_nan=True)


@pytest.mark.parametrize("values", [["a", None], [{}, None]])
def test_a_text_that_is_not_there_is_null_in_json_and_no_tensor(values: list[Any]) -> None:
    items = build_outputs({"y": values}, Schema())
    assert json.loads(encode_outputs(items))["outputs"][0]["data"] == values
    with pytest.raises(WrongOutput, match=r"'y' cannot be written as a tensor: an element has no value"):
        InferRequest("m").encode_response(items)


RETURNED = [
    *([], 1, [1.0, 2.0], 0.5, NAN, [0.5, None], True, [[1], [2]]),
    *("a", ["a", None], {"a": NAN}, [{}, None], pathlib.Path("/a")),
]


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT32", "INT64", "BOOL", "str", "dict", "FILE"])
def test_each_answer_fits_its_description(datatype: str) -> None:
    schema = declare_outputs(f"y: {datatype}", "z: str, optional")
    answer = response(schema)
    jsonschema.validate(answer["example"], answer["schema"])
    fitting = 0
    for value in RETURNED:
        try:
            items = build_outputs({"y": value, "z": None}, schema)
        except WrongOutput:
            continue
        fitting += 1
        jsonschema.validate(json.loads(encode_outputs(items)), answer["schema"])
    assert fitting >= 2


def test_the_description_says_what_is_optional_and_what_may_be_null() -> None:
    tags, best, extra = response(signature.build_schema(return_typed_dict))["schema"]["properties"]["outputs"]["items"][
        "anyOf"
    ]
    assert [item_schema["title"] for item_schema in (tags, best, extra)] == [
        "tags",
        "best (optional)",
        "extra (optional)",
    ]
    assert extra["oneOf"][0]["properties"]["data"]["items"]["type"] == ["number", "null"]
    assert best["oneOf"][0]["properties"]["data"]["items"]["type"] == "integer"
    assert tags["properties"]["data"]["oneOf"] == [
        {"type": "string"},
        {"type": "array", "items": {"type": ["string", "null"]}},
    ]
