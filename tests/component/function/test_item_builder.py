"""Output items of returned values, with and without a declared datatype."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import pathlib
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlmesh_component
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlmesh_component import json_codec
from mlmesh_component.function.item_builder import build_item
from mlmesh_component.function.items import DATATYPES, TENSORS, ItemError, find_fault

from tests.component.enums import Level, Tone, Word
from tests.servers.provision import environment

NAN = float("nan")
endless: list[Any] = []
endless.append(endless)


class Plain(enum.Enum):
    HALF = 0.5
    DAY = datetime.date(2026, 1, 2)


class Text(str):
    def __str__(self) -> str:
        return "shown otherwise"


class Number(int): ...


class Ratio(float): ...


@dataclasses.dataclass
class Point:
    x: float


class Model(pydantic.BaseModel):
    x: int


class Names(pydantic.RootModel[list[str]]): ...


@pytest.mark.parametrize(
    ("value", "datatype", "data", "shape"),
    [
        (0.5, "FP64", [0.5], [1]),
        (5, "INT64", [5], [1]),
        (True, "BOOL", [True], [1]),
        ([1.0, 2.0], "FP64", [1.0, 2.0], [2]),
        ([1, 2], "INT64", [1, 2], [2]),
        ((1, 2.0), "FP64", [1, 2.0], [2]),
        ([], "FP64", [], [0]),
        ([[1, 2, 3], [4, 5, 6]], "INT64", [1, 2, 3, 4, 5, 6], [2, 3]),
        ([True], "BOOL", [True], [1]),
        (["cat", "dog"], "str", ["cat", "dog"], [2]),
        (np.float32(0.5), "FP32", [0.5], [1]),
        (np.int64(5), "INT64", [5], [1]),
        (np.bool_(True), "BOOL", [True], [1]),
        (np.array([[1, 2], [3, 4]], dtype=np.int32), "INT32", [1, 2, 3, 4], [2, 2]),
        (np.array([0.5], dtype=np.float16), "FP32", [0.5], [1]),
        (np.array([1], dtype=np.uint8), "INT32", [1], [1]),
        (np.array([1], dtype=np.uint32), "INT64", [1], [1]),
        (np.array(["cat"]), "str", ["cat"], [1]),
        ([np.float32(0.5), np.float32(1.5)], "FP64", [0.5, 1.5], [2]),
        ([np.array([1, 2]), np.array([3, 4])], "INT64", [1, 2, 3, 4], [2, 2]),
    ],
)
def test_a_value_becomes_the_item_of_its_type(value: Any, datatype: str, data: list[Any], shape: list[int]) -> None:
    assert build_item("y", value) == {"name": "y", "datatype": datatype, "data": data, "shape": shape}


@pytest.mark.parametrize(
    ("value", "datatype", "data"),
    [("x", "str", "x"), ({"a": 1}, "dict", {"a": 1}), (pathlib.Path("/tmp/x"), "FILE", "/tmp/x")],
)
def test_a_value_without_a_shape_becomes_its_item(value: Any, datatype: str, data: Any) -> None:
    assert build_item("y", value) == {"name": "y", "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    ("value", "declared", "datatype"),
    [
        (0.5, ("FP32",), "FP32"),
        (5, ("FP32",), "FP32"),
        (5, ("INT32",), "INT32"),
        (True, ("INT32",), "BOOL"),
        (5, ("str",), "INT64"),
        (np.float64(1), ("FP32", "FP64"), "FP64"),
        ("/tmp/x", ("FILE",), "FILE"),
        ("x", ("str", "FILE"), "str"),
    ],
)
def test_a_declared_datatype_is_taken_where_it_can_hold_the_value(
    value: Any, declared: tuple[str, ...], datatype: str
) -> None:
    assert build_item("y", value, declared)["datatype"] == datatype


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "it is None"),
        (b"x", "bytes has no datatype; return text, or the path of a file"),
        (datetime.timedelta(1), "timedelta has no datatype; return its seconds"),
        (np.array([3], dtype="timedelta64[ns]"), r"an array of timedelta64\[ns\] has no datatype; return its seconds"),
        ([pathlib.Path("/tmp/x")], "a list of files has no datatype; return each as an output of its own"),
        ([None], "a list of NoneType has no datatype"),
        ([True, None], "an element has no value, which BOOL cannot represent"),
        ([True, 1], "a list of bool and int has no datatype"),
        ([1.5, "a"], "a list of float and str has no datatype"),
        ([[1], 2], "a list of lists of different lengths has no shape"),
        (endless, "it is nested too deeply, or contains itself"),
        (1j, "complex has no datatype"),
        (object(), "object has no datatype"),
        ([1, "a"], "a list of int and str has no datatype"),
        ([[1], [2, 3]], "a list of lists of different lengths has no shape"),
        (2**70, "1180591620717411303424 does not fit into INT64"),
        (np.array([1j]), "an array of complex128 has no datatype"),
    ],
)
def test_a_value_without_a_datatype_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ItemError, match=f"^{message}$"):
        build_item("y", value)


@pytest.mark.parametrize("declared", ["FP32", "FP64", "INT32", "INT64", "BOOL", "str", "dict"])
@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ([], [0]),
        ((), [0]),
        (set(), [0]),
        ([[], []], [2, 0]),
        ([np.array([]), np.array([])], [2, 0]),
        (np.array([]), [0]),
        (np.zeros((0, 3)), [0, 3]),
        (np.array([], dtype=np.int32), [0]),
        (np.array([], dtype=str), [0]),
        (np.array([], dtype=object), [0]),
    ],
)
def test_what_is_empty_has_the_declared_datatype(value: Any, shape: list[int], declared: str) -> None:
    assert build_item("y", value, (declared,)) == {"name": "y", "datatype": declared, "data": [], "shape": shape}


@pytest.mark.parametrize(
    ("value", "declared", "datatype"),
    [
        ([], ("FILE", "str"), "str"),
        (np.array([], dtype=np.int32), ("FP64", "INT32"), "INT32"),
        (np.array([], dtype=str), (), "str"),
        (np.array([], dtype="datetime64[s]"), (), "str"),
    ],
)
def test_what_is_empty_keeps_its_own_datatype_where_that_is_possible(
    value: Any, declared: tuple[str, ...], datatype: str
) -> None:
    assert build_item("y", value, declared)["datatype"] == datatype


@pytest.mark.parametrize(
    ("value", "declared", "data"),
    [
        ([1.0, 2.0], "INT64", [1, 2]),
        ([1, 2.0], "INT32", [1, 2]),
        (-3.0, "INT32", [-3]),
        (np.float64(4), "INT64", [4]),
        (np.float32(4), "INT32", [4]),
        (np.array([[1.0], [2.0]]), "INT64", [1, 2]),
        (np.array([1, 2]), "INT32", [1, 2]),
        (np.int8(5), "INT64", [5]),
        (np.uint64(5), "INT64", [5]),
        (np.uint64(5), "INT32", [5]),
        (np.int64(5), "FP64", [5.0]),
        (5, "FP32", [5.0]),
        (2**70, "FP64", [2.0**70]),
        (np.array([1, 2], dtype=np.uint8), "FP32", [1.0, 2.0]),
        (np.float64(0.5), "FP32", [0.5]),
        (np.array([0.5]), "FP32", [0.5]),
        (np.bool_(False), "BOOL", [False]),
        (np.array([True]), "BOOL", [True]),
        ([np.bool_(True), False], "BOOL", [True, False]),
        (NAN, "FP32", [NAN]),
        (math.inf, "FP32", [math.inf]),
        ([None, 1], "FP64", [NAN, 1.0]),
        ([None], "FP32", [NAN]),
        ([None], "str", [None]),
        (Level.HIGH, "FP64", [3.0]),
        (Plain.HALF, "FP32", [0.5]),
        (decimal.Decimal("1.5"), "FP64", [1.5]),
        (decimal.Decimal(2**62 + 1), "INT64", [2**62 + 1]),
        ([decimal.Decimal(2), decimal.Decimal("0.5")], "FP64", [2.0, 0.5]),
    ],
)
def test_a_value_is_taken_where_it_fits(value: Any, declared: str, data: list[Any]) -> None:
    item = build_item("y", value, (declared,))
    assert item["datatype"] == declared
    assert repr(item["data"]) == repr(data)


@pytest.mark.parametrize(
    ("value", "declared", "message"),
    [
        (2**31, ("INT32",), "2147483648 does not fit into INT32"),
        (-(2**31) - 1, ("INT32",), "-2147483649 does not fit into INT32"),
        ([1, 2**40, 2], ("INT32",), "1099511627776 does not fit into INT32"),
        (np.array([1, 2**40]), ("INT32",), "1099511627776 does not fit into INT32"),
        (2**63, ("INT64",), "9223372036854775808 does not fit into INT64"),
        (np.uint64(2**63), (), "9223372036854775808 does not fit into INT64"),
        (1e300, ("INT64",), "1000.* does not fit into INT64"),
        (1e39, ("FP32",), r"1e\+39 does not fit into FP32"),
        ([0.5, -1e39], ("FP32",), r"-1e\+39 does not fit into FP32"),
        (np.array([1e39]), ("FP32",), r"1e\+39 does not fit into FP32"),
        (10**400, ("FP64",), "1000.* does not fit into FP64"),
        ([10**5000], (), "a number of thousands of digits does not fit into INT64"),
        ([10**5000], ("FP32",), "a number of thousands of digits does not fit into FP64"),
        (0.5, ("INT32",), "0.5 is not a whole number, but INT32 is declared"),
        ([1.0, 1.5], ("INT64",), "1.5 is not a whole number, but INT64 is declared"),
        (NAN, ("INT64",), "nan is not a whole number, but INT64 is declared"),
        (math.inf, ("INT64",), "inf is not a whole number, but INT64 is declared"),
        (decimal.Decimal("0.5"), ("INT64",), "0.5 is not a whole number, but INT64 is declared"),
        ([1, None], ("INT64",), "an element has no value, which INT64 cannot represent"),
        ([], ("FILE",), "a list is not a file"),
    ],
)
def test_a_number_that_does_not_fit_is_named(value: Any, declared: tuple[str, ...], message: str) -> None:
    with pytest.raises(ItemError, match=f"^{message}$"):
        build_item("y", value, declared)


@pytest.mark.parametrize(
    ("value", "declared", "datatype"),
    [
        (2**40, ("INT32", "FP64"), "FP64"),
        (2**40, ("INT32", "INT64"), "INT64"),
        (2.0, ("INT32", "FP32"), "FP32"),
        (2.0, ("INT32", "INT64"), "INT32"),
        (2.0**40, ("INT32", "INT64"), "INT64"),
        (True, ("INT64", "FP64"), "BOOL"),
        (1, ("BOOL",), "INT64"),
        ("1", ("INT64",), "str"),
        ([{}], ("str",), "dict"),
    ],
)
def test_of_several_datatypes_one_that_can_hold_it_is_taken(
    value: Any, declared: tuple[str, ...], datatype: str
) -> None:
    """A bool is not a number: it keeps its datatype, which a different declaration refuses."""
    assert build_item("y", value, declared)["datatype"] == datatype


@pytest.mark.parametrize(
    ("value", "datatype", "data"),
    [
        (Level.HIGH, "INT64", [3]),
        (Number(3), "INT64", [3]),
        (Ratio(0.5), "FP64", [0.5]),
        (Plain.HALF, "FP64", [0.5]),
        (np.longdouble(1.5), "FP64", [1.5]),
        (range(3), "INT64", [0, 1, 2]),
        ({3, 1, 2}, "INT64", [1, 2, 3]),
        (frozenset(["b", "a"]), "str", ["a", "b"]),
        (collections.deque([1.5]), "FP64", [1.5]),
        ({"a": 1}.keys(), "str", ["a"]),
        ({"a": 1}.values(), "INT64", [1]),
        ([Level.HIGH, 1], "INT64", [3, 1]),
        ([Tone.WARM, Word.YES, Text("a"), np.str_("b")], "str", ["warm", "yes", "a", "b"]),
        ([uuid.UUID(int=0)], "str", ["00000000-0000-0000-0000-000000000000"]),
        ([datetime.date(2026, 1, 2), Plain.DAY], "str", ["2026-01-02", "2026-01-02"]),
        ([decimal.Decimal("1.50")], "str", ["1.50"]),
        (np.array(["2026-01-02T03:04:05.5", "NaT"], "datetime64[ns]"), "str", ["2026-01-02T03:04:05.500000", None]),
        (np.array(["2026-01-02"], "datetime64[D]"), "str", ["2026-01-02"]),
        (np.array([1, None], dtype=object), "FP64", [1.0, NAN]),
        (np.ma.array([1, 2], mask=[False, True]), "FP64", [1.0, NAN]),
        (["a", None], "str", ["a", None]),
        (["a", NAN], "str", ["a", None]),
        ([{"a": 1}, None], "dict", [{"a": 1}, None]),
        ([Point(0.5), Model(x=1)], "dict", [{"x": 0.5}, {"x": 1}]),
        (Names(["a"]), "str", ["a"]),
    ],
)
def test_values_of_other_types_are_what_they_stand_for(value: Any, datatype: str, data: list[Any]) -> None:
    item = build_item("y", value)
    assert (item["datatype"], item["shape"]) == (datatype, [len(data)])
    assert repr(item["data"]) == repr(data)


@pytest.mark.parametrize(
    ("value", "datatype", "data"),
    [
        (Tone.WARM, "str", "warm"),
        (Word.YES, "str", "yes"),
        (Text("a"), "str", "a"),
        (np.str_("a"), "str", "a"),
        (Plain.DAY, "str", "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "str", "2026-01-02T03:04:05+00:00"),
        (datetime.time(3, 4), "str", "03:04:00"),
        (np.datetime64("2026-01-02T03:04", "ns"), "str", "2026-01-02T03:04:00"),
        (uuid.UUID(int=0), "str", "00000000-0000-0000-0000-000000000000"),
        (decimal.Decimal("1.50"), "str", "1.50"),
        (Point(0.5), "dict", {"x": 0.5}),
        (Model(x=1), "dict", {"x": 1}),
        (collections.defaultdict(int, a=1), "dict", {"a": 1}),
        (collections.ChainMap({"a": 1}), "dict", {"a": 1}),
    ],
)
def test_texts_and_objects_of_other_types_are_what_they_stand_for(value: Any, datatype: str, data: Any) -> None:
    item = build_item("y", value)
    assert item == {"name": "y", "datatype": datatype, "data": data}
    assert type(item["data"]) is type(data)


@pytest.mark.parametrize(
    ("value", "shape"), [(((1, 2), (3, 4)), [2, 2]), ([(1,), [2]], [2, 1]), ([[[1], [2]]], [1, 2, 1])]
)
def test_nested_tuples_have_a_shape(value: Any, shape: list[int]) -> None:
    assert build_item("y", value)["shape"] == shape


NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**31) - 1, 2**31),
    st.floats(),
    st.integers(-9, 9).map(float),
    st.booleans(),
    st.none(),
    st.floats(width=32).map(np.float32),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.booleans().map(np.bool_),
    st.decimals(allow_nan=False, places=2),
)
TEXTS = st.one_of(st.text(max_size=3), st.just(Tone.WARM), st.none())
VALUES = st.one_of(NUMBERS, st.lists(NUMBERS, max_size=3), st.lists(st.lists(NUMBERS, max_size=2), max_size=2))


@given(
    VALUES | TEXTS | st.lists(TEXTS, max_size=3), st.lists(st.sampled_from([*TENSORS, "str"]), max_size=3, unique=True)
)
def test_an_item_is_well_formed_or_its_value_is_refused(value: Any, declared: Sequence[str]) -> None:
    try:
        item = build_item("y", value, tuple(declared))
    except ItemError:
        return
    assert item["datatype"] in DATATYPES
    if item["datatype"] in TENSORS:
        assert find_fault(item) is None
        assert len({type(element) for element in item["data"]}) <= 1
    text = json_codec.encode(item)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_codec, "orjson", None)
        assert json.loads(json_codec.encode(item)) == json.loads(text)


def test_columns_and_tables_of_pandas_are_answered() -> None:
    python = environment("tables", "pandas==3.1.1", "orjson")
    runtime = Path(mlmesh_component.__file__).parent.parent
    done = subprocess.run(
        [str(python), str(Path(__file__).parents[1] / "programs" / "real_tables.py")],
        env={"PYTHONPATH": str(runtime), "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "answered"), done.stderr
