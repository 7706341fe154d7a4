"""The same results with orjson and without it."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from typing import Any

import numpy as np
import pytest
from mlmesh_component import jsontext


@dataclasses.dataclass
class Point:
    x: int


@pytest.fixture(params=["orjson", "standard library"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "standard library":
        monkeypatch.setattr(jsontext, "orjson", None)


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[1,]", b"[" * 100_000, b"nul"])
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jsontext.decode(body)


def test_json_is_read() -> None:
    assert jsontext.decode('{"a":[1,2.5,"ü",null,true]}'.encode()) == {"a": [1, 2.5, "ü", None, True]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, "ü", None, True]}, '{"a":[1,2.5,"ü",null,true]}'),
        ([float("nan"), float("inf"), 1.0], "[null,null,1.0]"),
        ({"p": {3: 0.5}}, '{"p":{"3":0.5}}'),
        (np.array([[1, 2]]), "[[1,2]]"),
        ([np.float64(0.5), np.int32(3), np.bool_(True)], "[0.5,3,true]"),
        ((1, 2), "[1,2]"),
        ({7}, "[7]"),
        (Point(1), '{"x":1}'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (pathlib.Path("/a"), '"/a"'),
    ],
)
def test_values_are_written_alike(value: Any, text: str) -> None:
    assert jsontext.encode(value).decode() == text


@pytest.mark.parametrize("value", [object(), {"a": [b"x"]}, {(1, 2): 3}, "\ud800"])
def test_what_has_no_json_form_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        jsontext.encode(value)


def test_a_value_that_contains_itself_is_a_type_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError):
        jsontext.encode(value)
