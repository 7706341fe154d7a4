"""Outputs that are declared by return annotations."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Dict, Literal, NamedTuple, NotRequired, Optional, TypedDict, Union  # noqa: UP035

import numpy as np
import pydantic
import pytest
from mlmesh_component.function import signature
from mlmesh_component.function.schema import Field, FieldType, Schema

Answer = dict[str, Any]
FLOAT, INT = ("FP64", "FP32"), ("INT64", "INT32")


class Tone(enum.StrEnum):
    WARM = "warm"


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Typed(TypedDict):
    tags: list[str]
    note: Optional[str]  # noqa: UP045
    extra: NotRequired[int]


class Partial(Typed, total=False):
    remainder: float


@dataclasses.dataclass
class Data:
    score: float
    best: int | None = None


class Named(NamedTuple):
    score: float
    best: int | None


class Model(pydantic.BaseModel):
    score: float = pydantic.Field(description="how good")
    best: int | None = None


def outputs(annotation: Any, *, batched: bool = False, doc: str | None = None) -> Schema:
    def function(text: str) -> Any:
        return {}

    function.__annotations__ = {"text": str, "return": annotation}
    function.__doc__ = doc
    return signature.build_schema(function, batched=batched)


TYPED = (
    Field("tags", FieldType(("str",))),
    Field("note", FieldType(("str",)), False),
    Field("extra", FieldType(INT), False),
)
DATA = (Field("score", FieldType(FLOAT)), Field("best", FieldType(INT), False))


@pytest.mark.parametrize(
    ("annotation", "fields"),
    [
        (Typed, TYPED),
        (Partial, (*TYPED, Field("remainder", FieldType(FLOAT), False))),
        (Data, DATA),
        (Named, DATA),
        (Model, (dataclasses.replace(DATA[0], description="how good"), DATA[1])),
        (Iterator[Data], DATA),
        (AsyncIterator[Data], DATA),
        (Annotated[Data, "x"], DATA),
        (Data | Exception, DATA),
        (Data | None, tuple(dataclasses.replace(field, required=False) for field in DATA)),
        (Data | Typed, ()),
        (dict, ()),
        (list[Answer], ()),
        (str, ()),
        (None, ()),
        (Any, ()),
        ("Nowhere", ()),
    ],
)
def test_the_return_annotation_names_the_outputs(annotation: Any, fields: tuple[Field, ...]) -> None:
    if annotation == "Nowhere":

        def function() -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
            return {}

        assert signature.build_schema(function).outputs == fields
    else:
        assert outputs(annotation).outputs == fields


@pytest.mark.parametrize("annotation", [list[Data], Sequence[Data], list[Data | Exception]])
def test_with_batching_it_is_that_of_one_request(annotation: Any) -> None:
    assert outputs(annotation, batched=True).outputs == DATA
    assert outputs(annotation).outputs == ()


@pytest.mark.parametrize(
    ("annotation", "datatypes", "required"),
    [
        (float, FLOAT, True),
        (bool, ("BOOL",), True),
        (Optional[float], FLOAT, False),  # noqa: UP045
        (int | float, INT + FLOAT, True),
        (int | str | None, (*INT, "str"), False),
        (Literal["a", "b"], ("str",), True),
        (Literal["a", None], ("str",), False),
        (Tone, ("str",), True),
        (Mixed, (*INT, "str"), True),
        (list[float], FLOAT, True),
        (list[list[int]], INT, True),
        (list[str | None], ("str",), True),
        (tuple[float, ...], FLOAT, True),
        (set[str], ("str",), True),
        (Sequence[Data], ("dict",), True),
        (dict, ("dict",), True),
        (Dict[str, int], ("dict",), True),  # noqa: UP006
        (Mapping[str, int], ("dict",), True),
        (Typed, ("dict",), True),
        (Model, ("dict",), True),
        (pathlib.Path, ("FILE",), True),
        (datetime.datetime, ("str",), True),
        (datetime.date | None, ("str",), False),
        (uuid.UUID, ("str",), True),
        (decimal.Decimal, ("str",), True),
        (Annotated[Optional[float], "x"], FLOAT, False),  # noqa: UP045
        (Union[float, Annotated[int, "x"]], FLOAT + INT, True),  # noqa: UP007
        (np.ndarray, (), True),
        (list, (), True),
        (Any, (), True),
        (Callable, (), True),
        (bytes, (), True),
    ],
)
def test_each_annotation_has_its_datatypes(annotation: Any, datatypes: tuple[str, ...], required: bool) -> None:
    record = dataclasses.make_dataclass("made", [("y", annotation)])
    assert outputs(record).outputs == (Field("y", FieldType(datatypes), required),)


def test_an_annotation_that_cannot_be_read_says_nothing() -> None:
    def function(inputs: list[Any]) -> pathlib.NoSuchThing:  # type: ignore[name-defined]
        """Answers.

        :type outputs.y: str
        """
        return {}

    assert signature.build_schema(function).outputs == (Field("y", FieldType(("str",))),)


def test_of_a_dict_it_is_known_what_it_holds() -> None:
    assert outputs(dict[str, list[str]]).default_output == Field("", FieldType(("str",)))
    assert outputs(Mapping[str, float | None]).default_output == Field("", FieldType(FLOAT), False)
    assert outputs(dict[str, list[str]]).outputs == ()
    assert outputs(dict).default_output == outputs(dict[str, Any]).default_output == Field("")


def test_the_docstring_goes_before_the_annotation() -> None:
    doc = ":param outputs.best: the best\n:type outputs.score: FP32\n:type outputs.more: str, optional"
    assert outputs(Data, doc=doc).outputs == (
        Field("best", FieldType(INT), False, "the best"),
        Field("score", FieldType(("FP32",))),
        Field("more", FieldType(("str",)), False),
    )


def test_a_docstring_makes_an_output_optional() -> None:
    assert not outputs(Data, doc=":type outputs.score: FP32, optional").outputs[0].required


def test_annotations_of_a_module_with_a_future_import_are_read() -> None:
    def function() -> Typed:
        return {"tags": [], "note": None}

    assert signature.build_schema(function).outputs == TYPED
