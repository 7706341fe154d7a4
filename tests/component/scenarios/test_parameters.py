"""Values of parameters: from mlmesh's JSON, from the Open Inference Protocol, and in the OpenAPI document."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import pathlib
import struct
from collections.abc import Sequence
from typing import Any, List, Literal, Optional, Union  # noqa: UP035 - as modules for older Pythons write it

import jsonschema
import numpy
import pydantic
import pytest
from mlmesh_component import json_codec
from mlmesh_component.api import openapi
from mlmesh_component.api.docs_page import render
from mlmesh_component.api.oip import InferRequest, build_metadata
from mlmesh_component.function.annotation_types import resolve_type
from mlmesh_component.function.context import Context
from mlmesh_component.function.function import Function
from mlmesh_component.function.schema import SchemaError, validate_request
from mlmesh_component.problems import Invalid
from mlmesh_component.settings import Settings

from tests.component.serving import serving

UTC = datetime.UTC
NOON = "2026-01-31T12:00:00Z"
AT_NOON = datetime.datetime.combine(datetime.date(2026, 1, 31), datetime.time(12))


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rate(enum.Enum):
    HALF = 0.5
    ONE = 1.0


class Mixed(enum.Enum):
    AUTO = "auto"
    TWO = 2


class Nothing(enum.Enum):
    pass


class Objects(enum.Enum):
    PAIR = (1, 2)


class Options(pydantic.BaseModel):
    size: int


@dataclasses.dataclass
class Node:
    name: str
    color: Color = Color.RED
    at: datetime.date | None = None
    inner: Node | None = None
    nodes: list[Node] = dataclasses.field(default_factory=list)
    size: int | str = 0


def item(datatype: str, data: Any, **members: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "data": data, **members}


def function(annotation: Any) -> Function:
    def f(x: Any) -> dict[str, Any]:
        return {}

    f.__annotations__["x"] = annotation
    return Function(f)


def or_none(x: str = None) -> dict[str, Any]:  # type: ignore[assignment]  # noqa: RUF013 - as many write it
    return {}


def got(served: Function, *items: dict[str, Any]) -> Any:
    inputs = validate_request(json_codec.decode(json.dumps({"inputs": list(items)})), served.schema)
    return served.build_arguments(inputs, Context("r"))["x"]


def got_of_tensor(served: Function, tensor: dict[str, Any], content: bytes = b"") -> Any:
    header = json.dumps({"inputs": [{"name": "x", **tensor}]}).encode()
    inputs = InferRequest("m").parse_request(header + content, len(header), served.schema)
    return served.build_arguments(inputs, Context("r"))["x"]


def get_request_content(served: Function) -> Any:
    described = openapi.build_document(Settings("m:f"), served.schema)
    return described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]


def same(actual: Any, value: Any) -> bool:
    return repr(actual) == repr(value) and type(actual) is type(value)


TAKEN: list[tuple[Any, dict[str, Any], Any]] = [
    (list[str], item("str", ["a", "ü"]), ["a", "ü"]),
    (list[str], item("str", ["a", "b"], shape=[2, 1]), ["a", "b"]),
    (list[str], item("str", [], shape=[0]), []),
    (List[str], item("str", ["a"]), ["a"]),  # noqa: UP006
    (Sequence[str], item("str", ["a"]), ["a"]),
    (tuple[str, ...], item("str", ["a"]), ["a"]),
    (List[dict], item("dict", [{"a": 1}, {}]), [{"a": 1}, {}]),  # type: ignore[type-arg]  # noqa: UP006
    (list[dict[str, Any]], item("dict", [{"a": None}]), [{"a": None}]),
    (list[Options], item("dict", [{"size": 1}, {"size": 2}]), [Options(size=1), Options(size=2)]),
    (list[Node], item("dict", [{"name": "a"}, {"name": "b", "color": "green"}]), [Node("a"), Node("b", Color.GREEN)]),
    (Node, item("dict", {"name": "a", "at": "2026-01-31"}), Node("a", at=datetime.date(2026, 1, 31))),
    (Node, item("dict", {"name": "a", "inner": {"name": "b", "inner": None}}), Node("a", inner=Node("b"))),
    (Node, item("dict", {"name": "a", "nodes": [{"name": "b"}], "size": "c"}), Node("a", nodes=[Node("b")], size="c")),
    (Color, item("str", "green"), Color.GREEN),
    (Level, item("INT64", [2]), Level.HIGH),
    (Level, item("INT32", 1), Level.LOW),
    (Rate, item("FP64", [0.5]), Rate.HALF),
    (Rate, item("FP64", [1]), Rate.ONE),
    (Mixed, item("str", "auto"), Mixed.AUTO),
    (Mixed, item("INT64", [2]), Mixed.TWO),
    (list[Color], item("str", ["red", "green"]), [Color.RED, Color.GREEN]),
    (list[Level], item("INT64", [2, 1]), [Level.HIGH, Level.LOW]),
    (Literal["a", "b"], item("str", "b"), "b"),
    (Literal["auto", 3], item("INT64", 3), 3),
    (Literal["a", None], item("str", None), None),
    (Literal[Color.RED], item("str", "red"), Color.RED),
    (list[Literal["a", "b"]], item("str", ["b", "b"]), ["b", "b"]),
    (datetime.datetime, item("str", NOON), datetime.datetime(2026, 1, 31, 12, tzinfo=UTC)),
    (datetime.datetime, item("str", "2026-01-31 12:00"), AT_NOON),
    (datetime.datetime, item("str", "2026-01-31T12:00:00.5"), AT_NOON.replace(microsecond=500000)),
    (datetime.datetime, item("str", "2026-01-31T12:00:00.123456789z"),
     datetime.datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)),
    (datetime.datetime, item("str", "2026-01-31T12:00:00+05:30"),
     datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30)))),
    (datetime.date, item("str", "2026-01-31"), datetime.date(2026, 1, 31)),
    (datetime.time, item("str", "12:30"), datetime.time(12, 30)),
    (list[datetime.date], item("str", ["2026-01-31"]), [datetime.date(2026, 1, 31)]),
    (bytes, item("str", "AAH/"), b"\0\1\xff"),
    (bytes, item("str", ""), b""),
    (list[bytes], item("str", ["AAH/", "YQ=="]), [b"\0\1\xff", b"a"]),
    (str | None, item("str", None), None),
    (list[str] | None, item("str", None), None),
    (list[str] | None, item("str", ["a"]), ["a"]),
    (Optional[List[str]], item("str", ["a"]), ["a"]),  # noqa: UP006, UP045
    (Union[List[str], str], item("str", "a"), "a"),  # noqa: UP006, UP007
    (Color | None, item("str", "red"), Color.RED),
    (pathlib.Path | None, item("FILE", None), None),
    (str | list[str], item("str", "a"), "a"),
    (str | list[str], item("str", ["a"]), ["a"]),
    (list[float] | str, item("str", "a"), "a"),
    (float | list[str], item("FP64", [0.5]), 0.5),
    (list[float] | float, item("FP64", 0.5), 0.5),
    (list[float] | float, item("FP64", [0.5]), [0.5]),
    (float | int, item("INT64", [3]), 3),
    (float | int, item("FP64", [3]), 3.0),
    (int | None | str, item("str", None), None),
    (Literal["auto"] | int, item("INT64", [4]), 4),
    (Color | str, item("str", "red"), Color.RED),
    (Color | str, item("str", "blue"), "blue"),
    (datetime.datetime | datetime.date, item("str", "2026-01-31"), datetime.date(2026, 1, 31)),
    (Options | Node, item("dict", {"name": "a"}), Node("a")),
    (Options | dict[str, Any], item("dict", {"name": "a"}), {"name": "a"}),
    (Any, item("str", ["a", "b"]), ["a", "b"]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "request_item", "value"), TAKEN, ids=range(len(TAKEN)))
def test_a_parameter_gets_what_is_annotated(annotation: Any, request_item: dict[str, Any], value: Any) -> None:
    served = function(annotation)
    assert same(got(served, request_item), value)
    jsonschema.validate({"inputs": [request_item]}, get_request_content(served)["schema"])


NOT_TAKEN: list[tuple[Any, dict[str, Any], str]] = [
    (list[str], item("str", "a"), "data must be a list, each of it a string"),
    (list[str], item("str", ["a", 1]), "data must be a list, each of it a string"),
    (list[str], item("str", ["a", None]), "data must be a list, each of it a string"),
    (list[str], item("str", ["a"], shape=[2]), "shape [2] holds 2 values, but data has 1"),
    (list[str], item("FP64", [1.0]), "datatype must be str, not 'FP64'"),
    (list[dict[str, Any]], item("dict", {}), "data must be a list, each of it an object"),
    (str, item("str", ["a"]), "data must be a string"),
    (str, item("str", None), "data must be a string"),
    (str | None, item("str", 1), "data must be a string"),
    (str | list[str], item("str", 1), "data must be a string or a list of them"),
    (str | list[str], item("str", [1]), "data must be a list, each of it a string"),
    (pathlib.Path | list[str], item("str", "a"), "must be a list"),
    (list[Options], item("dict", [{"size": 1}, {"size": "x"}]),
     "data[1]: size: Input should be a valid integer, unable to parse string as an integer"),
    (list[Node], item("dict", [{"name": "a"}, {"name": "b", "color": "blue"}]),
     "data[1].color: must be one of 'red', 'green', not 'blue'"),
    (Node, item("dict", {"name": "a", "nodes": [{"name": "b"}, {}]}), "nodes[1].name: is missing"),
    (Node, item("dict", {"name": "a", "at": "31.1.2026"}),
     "at: must be a date in ISO 8601 like 2026-01-31, not '31.1.2026'"),
    (Node, item("dict", {"name": "a", "size": []}), "size: must be int, not []; or must be str, not []"),
    (Color, item("str", "blue"), "must be one of 'red', 'green', not 'blue'"),
    (Color, item("str", "b" * 90), "must be one of 'red', 'green', not '" + "b" * 59 + "…"),
    (Level, item("INT64", [3]), "must be one of 1, 2, not 3"),
    (Level, item("INT64", [1, 2]), "must be one value, not 2"),
    (Mixed, item("INT64", [3]), "must be one of 'auto', 2, not 3"),
    (list[Color], item("str", ["red", "blue"]), "data[1]: must be one of 'red', 'green', not 'blue'"),
    (Literal["a", "b"], item("str", "c"), "must be one of 'a', 'b', not 'c'"),
    (datetime.datetime, item("str", "2026-01-31"),
     "must be a date-time in ISO 8601 like 2026-01-31T12:00:00Z, not '2026-01-31'"),
    (datetime.date, item("str", "2026-02-30"), "2026-02-30 is not a valid date: day is out of range for month"),
    (datetime.date, item("str", "20260131"), "must be a date in ISO 8601 like 2026-01-31, not '20260131'"),
    (bytes, item("str", "a"), "must be bytes in base64, not 'a'"),
    (bytes, item("str", "YWJj="), "must be bytes in base64, not 'YWJj='"),
    (bytes, item("str", "a b="), "must be bytes in base64, not 'a b='"),
    (list[bytes], item("str", ["YQ==", "ü"]), "data[1]: must be bytes in base64, not 'ü'"),
    (datetime.datetime | datetime.date, item("str", "now"),
     "must be a date-time in ISO 8601 like 2026-01-31T12:00:00Z, not 'now'; or "
     "must be a date in ISO 8601 like 2026-01-31, not 'now'"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "request_item", "message"), NOT_TAKEN, ids=range(len(NOT_TAKEN)))
def test_what_a_parameter_refuses_is_named(annotation: Any, request_item: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as refused:
        got(function(annotation), request_item)
    assert refused.value.status == 422
    assert refused.value.members["errors"] == [{"input": "x", "message": message}]


def tensor(datatype: str, *data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": list(data)}


TENSORS: list[tuple[Any, dict[str, Any], Any]] = [
    (list[str], tensor("BYTES", "a", "b"), ["a", "b"]),
    (list[str], tensor("BYTES", "a"), ["a"]),
    (list[str], tensor("BYTES", ["a"], ["b"], shape=[2, 1]), ["a", "b"]),
    (list[dict[str, Any]], tensor("BYTES", '{"a": 1}', "{}"), [{"a": 1}, {}]),
    (list[Options], tensor("BYTES", '{"size": 1}'), [Options(size=1)]),
    (Color, tensor("BYTES", "green"), Color.GREEN),
    (Level, tensor("UINT8", 2), Level.HIGH),
    (list[Level], tensor("INT16", 2, 1), [Level.HIGH, Level.LOW]),
    (datetime.date, tensor("BYTES", "2026-01-31"), datetime.date(2026, 1, 31)),
    (bytes, tensor("BYTES", "AAH/"), b"\0\1\xff"),
    (list[bytes], tensor("BYTES", "AAH/", "YQ=="), [b"\0\1\xff", b"a"]),
    (str | None, tensor("BYTES", None), None),
    (str | None, tensor("BYTES", "a"), "a"),
    (str | list[str], tensor("BYTES", "a"), "a"),
    (str | list[str], tensor("BYTES", "a", "b"), ["a", "b"]),
    (Any, tensor("BYTES", "a", "b"), ["a", "b"]),
]


@pytest.mark.parametrize(("annotation", "request_item", "value"), TENSORS, ids=range(len(TENSORS)))
def test_a_tensor_becomes_what_is_annotated(annotation: Any, request_item: dict[str, Any], value: Any) -> None:
    assert same(got_of_tensor(function(annotation), request_item), value)


@pytest.mark.parametrize(
    ("annotation", "request_item", "message"),
    [
        (str, tensor("BYTES", "a", "b"), "must be one text, not 2"),
        (str, tensor("BYTES", None), "must be a text"),
        (list[str], tensor("BYTES", "a", "b", shape=[3]), "shape [3] holds 3 values, but data has 2"),
        (list[dict[str, Any]], tensor("BYTES", "[]"), "data must be a list, each of it an object"),
        (Color, tensor("BYTES", "blue"), "must be one of 'red', 'green', not 'blue'"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(annotation: Any, request_item: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as refused:
        got_of_tensor(function(annotation), request_item)
    assert refused.value.members["errors"] == [{"input": "x", "message": message}]


@pytest.mark.parametrize(
    ("annotation", "elements", "value"),
    [
        (list[str], [b"a", "ü".encode()], ["a", "ü"]),
        (bytes, [b"\0\xff"], b"\0\xff"),
        (list[bytes], [b"\0\xff", b""], [b"\0\xff", b""]),
        (bytes | None, [b"\xff"], b"\xff"),
    ],
)
def test_binary_elements_are_taken_as_they_came(annotation: Any, elements: list[bytes], value: Any) -> None:
    content = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    tensor = {"datatype": "BYTES", "shape": [len(elements)], "parameters": {"binary_data_size": len(content)}}
    assert same(got_of_tensor(function(annotation), tensor, content), value)


@pytest.mark.parametrize("binary", [b"\xff", "\udc80".encode("utf-8", "surrogatepass")])
def test_a_text_in_binary_is_unicode(binary: bytes) -> None:
    content = struct.pack("<I", len(binary)) + binary
    tensor = {"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(content)}}
    with pytest.raises(Invalid, match="BYTES must be text in UTF-8 here"):
        got_of_tensor(function(str), tensor, content)


def test_bytes_are_what_a_file_holds(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(b"\0\xff")
    assert got(function(bytes), item("FILE", str(file))) == b"\0\xff"
    assert got(function(pathlib.Path | bytes), item("FILE", str(file))) == file


def test_null_and_nothing_are_none() -> None:
    assert got(function(str | None)) is None
    served = Function(or_none)
    assert got(served, item("str", None)) is None
    assert served.build_arguments(validate_request({"inputs": []}, served.schema), Context("r")) == {}


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (list[list[float]], "a list of list[float] is not supported; a list may hold numbers, bool, str, dict, models, "
         "members of an Enum, dates or bytes"),
        (list[str | None], "a list of str | None is not supported; a list may hold"),
        (list[pathlib.Path], "a list of Path is not supported; a list may hold"),
        (list[int | str], "a list of int | str is not supported; a list may hold"),
        (list[Any], "a list of Any is not supported; a list may hold"),
        (list[numpy.ndarray], "a list of ndarray is not supported; a list may hold"),
        (str | datetime.date, "date is never reached behind str: write str last"),
        (dict[str, Any] | Options, "Options is never reached behind dict[str, typing.Any]: write"),
        (list[str] | list[Color], "is never reached behind list[str]: write list[str] last"),
        (bytes | str, "bytes and str cannot be distinguished: both are sent as text"),
        (Objects, "Objects has the value (1, 2); values are str, int, float or bool"),
        (Nothing, "Nothing has no values"),
    ],
)  # fmt: skip
def test_what_cannot_come_is_refused_at_the_start(annotation: Any, sentence: str) -> None:
    with pytest.raises(SchemaError) as refused:
        resolve_type(annotation)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("annotation", list(dict.fromkeys(str(taken_type) for taken_type, *_ in TAKEN)))
def test_the_published_example_fits_and_is_taken(annotation: str) -> None:
    served = function(next(taken_type for taken_type, *_ in TAKEN if str(taken_type) == annotation))
    example = get_request_content(served)["example"]
    jsonschema.validate(example, get_request_content(served)["schema"])
    validate_request(example, served.schema)
    if example["inputs"] and "Node" not in annotation and "Options" not in annotation and "Path" not in annotation:
        got(served, *example["inputs"])


@pytest.mark.parametrize(
    ("annotation", "datatype", "data"),
    [
        (list[str], "str", {"type": "array", "items": {"type": "string"}}),
        (list[dict[str, Any]], "dict", {"type": "array", "items": {"type": "object"}}),
        (Color, "str", {"type": "string", "enum": ["red", "green"]}),
        (list[Color], "str", {"type": "array", "items": {"type": "string", "enum": ["red", "green"]}}),
        (datetime.datetime, "str", {"type": "string", "format": "date-time"}),
        (list[bytes], "str", {"type": "array", "items": {"type": "string", "format": "byte"}}),
        (str | None, "str", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (str | list[str], "str", {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ],
)
def test_the_form_of_an_input_is_published(annotation: Any, datatype: str, data: Any) -> None:
    served = function(annotation)
    [item_schema] = [get_request_content(served)["schema"]["properties"]["inputs"]["items"]]
    assert item_schema["properties"]["datatype"] == {"const": datatype}
    assert item_schema["properties"]["data"] == data
    listed = "array" in str(data)
    assert build_metadata("m", served.schema)["inputs"] == [
        {"name": "x", "datatype": "BYTES", "shape": [-1] if listed else [1]}
    ]
    page = render(openapi.build_document(Settings("m:f"), served.schema))
    assert (f"list of {datatype}" in page) is (data.get("type") == "array")


async def test_lists_of_texts_travel_over_both_routes() -> None:
    request_item = {"name": "tags", "datatype": "str", "data": ["a", "b"], "shape": [2]}
    tensor = {"name": "tags", "datatype": "BYTES", "data": ["a", "b"], "shape": [2]}
    async with serving("join_tags") as served:
        plain = await served.predict(request_item)
        infer = await served.ask("POST", "/v2/models/component/infer", json.dumps({"inputs": [tensor]}).encode())
    assert [plain.json["outputs"][0]["data"], infer.json["outputs"][0]["data"]] == ["a, b", ["a, b"]]


async def test_in_a_batch_each_request_has_its_own_list() -> None:
    async with serving("joined_together", batch_size=4) as served:
        answer = await served.predict({"name": "tags", "datatype": "str", "data": ["a", "b"]})
    assert answer.json["outputs"][0]["data"] == "a, b"


async def test_bytes_of_a_file_reach_a_function_on_the_loop(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0\xff")
    async with serving("size_async") as served:
        answer = await served.predict({"name": "content", "datatype": "FILE", "data": str(tmp_path / "x.bin")})
    assert answer.json["outputs"][0]["data"] == [2]
