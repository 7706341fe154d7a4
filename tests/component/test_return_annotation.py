"""What return annotations tell of the outputs."""

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
from mlmesh_component.function.schema import Field, Kind, Schema

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
    more: NotRequired[int]


class Partial(Typed, total=False):
    rest: float


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
    return signature.schema(function, batched=batched)


TYPED = (Field("tags", Kind(("str",))), Field("note", Kind(("str",)), False), Field("more", Kind(INT), False))
DATA = (Field("score", Kind(FLOAT)), Field("best", Kind(INT), False))


@pytest.mark.parametrize(
    ("annotation", "fields"),
    [
        (Typed, TYPED),
        (Partial, (*TYPED, Field("rest", Kind(FLOAT), False))),
        (Data, DATA),
        (Named, DATA),
        (Model, (dataclasses.replace(DATA[0], description="how good"), DATA[1])),
        (Iterator[Data], DATA),
        (AsyncIterator[Data], DATA),
        (Annotated[Data, "x"], DATA),
        (Data | Exception, DATA),
        (Data | None, tuple(dataclasses.replace(one, required=False) for one in DATA)),
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

        assert signature.schema(function).outputs == fields
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
    made = dataclasses.make_dataclass("made", [("y", annotation)])
    assert outputs(made).outputs == (Field("y", Kind(datatypes), required),)


def test_an_annotation_that_cannot_be_read_says_nothing() -> None:
    def function(inputs: list[Any]) -> pathlib.NoSuchThing:  # type: ignore[name-defined]
        """Answers.

        :type outputs.y: str
        """
        return {}

    assert signature.schema(function).outputs == (Field("y", Kind(("str",))),)


def test_of_a_dict_it_is_known_what_it_holds() -> None:
    assert outputs(dict[str, list[str]]).others == Field("", Kind(("str",)))
    assert outputs(Mapping[str, float | None]).others == Field("", Kind(FLOAT), False)
    assert outputs(dict[str, list[str]]).outputs == ()
    assert outputs(dict).others == outputs(dict[str, Any]).others == Field("")


def test_the_docstring_goes_before_the_annotation() -> None:
    doc = ":param outputs.best: the best\n:type outputs.score: FP32\n:type outputs.more: str, optional"
    assert outputs(Data, doc=doc).outputs == (
        Field("best", Kind(INT), False, "the best"),
        Field("score", Kind(("FP32",))),
        Field("more", Kind(("str",)), False),
    )


def test_a_docstring_makes_an_output_optional() -> None:
    assert not outputs(Data, doc=":type outputs.score: FP32, optional").outputs[0].required


def test_annotations_of_a_module_with_a_future_import_are_read() -> None:
    def function() -> Typed:
        return {"tags": [], "note": None}

    assert signature.schema(function).outputs == TYPED
