from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, Dict, List, Literal, Optional, Union  # noqa: UP035 - as modules for older Pythons write it

import numpy as np
import pydantic
import pytest
from mlmesh_component.function.annotation_types import resolve_type
from mlmesh_component.function.schema import SchemaError
from mlmesh_component.function.signature import build_schema, read_signature

from tests.component import functions


class Options(pydantic.BaseModel):
    size: int


@dataclasses.dataclass
class Inner:
    z: float = 0.0


@dataclasses.dataclass
class Point:
    x: float
    label: str = ""
    inner: Optional[Inner] = None  # noqa: UP045
    deep: Inner = dataclasses.field(default_factory=Inner)


def item(datatype: str, data: Any, **members: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "data": data, **members}


@pytest.mark.parametrize(
    ("annotation", "request_item", "value"),
    [
        (int, item("INT32", [3]), 3),
        (int, item("INT64", 3), 3),
        (float, item("INT32", [3]), 3.0),
        (float, item("FP32", [0.5]), 0.5),
        (bool, item("BOOL", [True]), True),
        (str, item("str", "a"), "a"),
        (dict, item("dict", {"a": 1}), {"a": 1}),
        (dict[str, float], item("dict", {"a": 1}), {"a": 1}),
        (Dict[str, int], item("dict", {"a": 1}), {"a": 1}),  # noqa: UP006
        (list[float], item("INT32", [1, 2]), [1.0, 2.0]),
        (List[int], item("INT64", [1, 2]), [1, 2]),  # noqa: UP006
        (list[bool], item("BOOL", [True]), [True]),
        (list, item("FP64", [1.5]), [1.5]),
        (Optional[int], item("INT32", [3]), 3),  # noqa: UP045
        (Optional[int], item("INT32", None), None),  # noqa: UP045
        (int | None, item("INT32", [3]), 3),
        (Union[int, str], item("str", "a"), "a"),  # noqa: UP007
        (Union[int, str], item("INT64", [1]), 1),  # noqa: UP007
        (Literal["a", "b"], item("str", "b"), "b"),
        (Literal[1, 2], item("INT64", [2]), 2),
        (pathlib.Path, item("FILE", "/tmp/x"), pathlib.Path("/tmp/x")),
        (Options, item("dict", {"size": 3}), Options(size=3)),
        (Point, item("dict", {"x": 1}), Point(1.0)),
        (Point, item("dict", {"x": 1.5, "label": "a", "deep": {"z": 2}}), Point(1.5, "a", deep=Inner(2.0))),
        (Any, item("str", "a"), "a"),
        (Any, item("FP64", [1.0]), [1.0]),
    ],
)
def test_an_item_becomes_the_value_that_is_annotated(annotation: Any, request_item: dict[str, Any], value: Any) -> None:
    kind = resolve_type(annotation)
    assert not kind.datatypes or request_item["datatype"] in kind.datatypes
    result = kind.convert(request_item)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("request_item", "value"),
    [
        (item("FP32", [1, 2, 3, 4], shape=[2, 2]), np.array([[1, 2], [3, 4]], dtype=np.float32)),
        (item("INT64", [1, 2], shape=None), np.array([1, 2])),
        (item("BOOL", [True]), np.array([True])),
    ],
)
def test_an_array_has_the_datatype_and_the_shape_of_its_item(request_item: dict[str, Any], value: Any) -> None:
    result = resolve_type(np.ndarray).convert(request_item)
    np.testing.assert_array_equal(result, value, strict=True)


@pytest.mark.parametrize(
    ("annotation", "request_item", "message"),
    [
        (int, item("INT32", [1, 2]), "must be one value, not 2"),
        (int, item("INT32", []), "must be one value, not 0"),
        (Literal["a", "b"], item("str", "c"), "must be one of 'a', 'b'"),
        (Options, item("dict", {"size": "x"}), "size: Input should be a valid integer"),
        (Options, item("dict", {}), "size: Field required"),
        (Point, item("dict", {}), "x: is missing"),
        (Point, item("dict", {"x": 1, "q": 2}), "q: is not a field of Point"),
        (Point, item("dict", {"x": "a"}), "x: must be float"),
        (Point, item("dict", {"x": 1, "deep": {"z": "a"}}), "deep.z: must be float"),
        (Point, item("dict", {"x": 1, "deep": 3}), "deep: must be an object"),
    ],
)
def test_a_value_that_its_annotation_refuses_is_named(
    annotation: Any, request_item: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        resolve_type(annotation).convert(request_item)


@pytest.mark.parametrize("annotation", [set, complex, Callable, list[set[str]]])
def test_an_annotation_without_a_datatype_is_refused(annotation: Any) -> None:
    with pytest.raises(SchemaError):
        resolve_type(annotation)


def test_parameters_with_defaults_are_optional() -> None:
    result = build_schema(functions.greet)
    assert [(f.name, f.required, f.description) for f in result.inputs] == [
        ("name", True, "whom"),
        ("times", False, ""),
        ("tone", False, ""),
    ]
    assert not result.is_open
    assert result.description == "Greets."


def test_a_docstring_and_a_signature_make_one_schema() -> None:
    def both(text: str, inputs: list[Any]) -> dict[str, Any]:
        """Both.

        :param inputs.text: what to read
        :param inputs.size: how much
        :type inputs.size: INT32, optional
        :type outputs.y: str
        """
        return {}

    result = build_schema(both)
    assert [(f.name, f.type.datatypes, f.required, f.description) for f in result.inputs] == [
        ("text", ("str",), True, "what to read"),
        ("size", ("INT32",), False, "how much"),
    ]
    assert [f.name for f in result.outputs] == ["y"]


def test_classic_parameters_without_a_docstring_take_anything() -> None:
    result = build_schema(functions.echo)
    assert result.is_open
    assert result.inputs == ()
    assert read_signature(functions.echo).reserved == ("inputs",)


def test_wrapped_functions_partials_methods_and_objects_can_be_served() -> None:
    class Served:
        def __call__(self, text: str) -> dict[str, Any]:
            return {}

        def method(self, text: str) -> dict[str, Any]:
            return {}

    @functools.wraps(functions.greet)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return functions.greet(*args, **kwargs)

    for function in (Served(), Served().method, wrapper, functools.partial(functions.greet, times=2)):
        first = build_schema(function).inputs[0]
        assert first.type.datatypes == ("str",), function


def test_a_positional_only_parameter_is_refused() -> None:
    def f(x: int, /) -> dict[str, Any]:
        return {}

    with pytest.raises(SchemaError, match=r"^parameter 'x' is positional only"):
        read_signature(f)


def test_an_annotation_that_is_not_there_is_refused_with_the_parameter() -> None:
    def f(x: Nowhere) -> dict[str, Any]:  # type: ignore[name-defined]  # noqa: F821
        return {}

    with pytest.raises(SchemaError, match="Nowhere"):
        read_signature(f)
