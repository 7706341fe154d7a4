from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from mlmesh_component.items import ItemError, fault, from_value


@pytest.mark.parametrize(
    "item",
    [
        {"datatype": "FP32", "data": [1, 2.5]},
        {"datatype": "FP64", "data": []},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": [2]},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": [1, 2]},
        {"datatype": "FP64", "data": [1.0], "shape": []},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": 7},
        {"datatype": "FP64", "data": [1.0, 2.0], "shape": None},
        {"datatype": "INT32", "data": [-(2**31), 2**31 - 1]},
        {"datatype": "INT64", "data": [-(2**63), 2**63 - 1]},
        {"datatype": "BOOL", "data": [True, False]},
        {"datatype": "str", "data": "", "content_type": "text/plain"},
        {"datatype": "dict", "data": {"a": [1]}},
        {"datatype": "FILE", "data": "group/file"},
    ],
)
def test_a_well_formed_item_has_no_fault(item: dict[str, Any]) -> None:
    assert fault(item) is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE"),
        ({"datatype": 5, "data": []}, "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE"),
        ({"datatype": "fp32", "data": []}, "datatype must be one of FP32, FP64, INT32, INT64, BOOL, str, dict, FILE"),
        ({"datatype": "FP32"}, "data is missing"),
        ({"datatype": "FP32", "data": 1.0}, "data must be a list of numbers"),
        ({"datatype": "FP32", "data": ["1"]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "FP32", "data": [[1.0]]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "FP64", "data": [True]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "FP64", "data": [None]}, "data must be a one-dimensional list of numbers"),
        ({"datatype": "INT32", "data": [1.0]}, "data must be a one-dimensional list of whole numbers"),
        ({"datatype": "INT32", "data": [2**31]}, "data has a number that does not fit into INT32"),
        ({"datatype": "INT64", "data": [2.0**64]}, "data has a number that does not fit into INT64"),
        ({"datatype": "INT64", "data": [-(2**63) - 1]}, "data has a number that does not fit into INT64"),
        ({"datatype": "BOOL", "data": [1]}, "data must be a one-dimensional list of true or false"),
        ({"datatype": "FP64", "data": [1.0], "shape": [2]}, "shape [2] holds 2 values, but data has 1"),
        ({"datatype": "FP64", "data": [1.0], "shape": [-1]}, "shape must be a list of whole numbers from 0"),
        ({"datatype": "FP64", "data": [1.0], "shape": [True]}, "shape must be a list of whole numbers from 0"),
        ({"datatype": "FP64", "data": [1.0], "shape": "1"}, "shape must be a list of whole numbers"),
        ({"datatype": "str", "data": ["a"]}, "data must be a string"),
        ({"datatype": "dict", "data": []}, "data must be an object"),
        ({"datatype": "FILE", "data": {}}, "data must be a string"),
        ({"datatype": "str", "data": "", "content_type": 1}, "content_type must be a string"),
    ],
)
def test_a_fault_says_what_is_wrong(item: dict[str, Any], message: str) -> None:
    assert fault(item) == message


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
    assert from_value("y", value) == {"name": "y", "datatype": datatype, "data": data, "shape": shape}


@pytest.mark.parametrize(
    ("value", "datatype", "data"),
    [("x", "str", "x"), ({"a": 1}, "dict", {"a": 1}), (pathlib.Path("/tmp/x"), "FILE", "/tmp/x")],
)
def test_a_value_without_a_shape_becomes_its_item(value: Any, datatype: str, data: Any) -> None:
    assert from_value("y", value) == {"name": "y", "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    ("value", "declared", "datatype"),
    [
        (0.5, ("FP32",), "FP32"),
        (5, ("FP32",), "FP32"),
        (5, ("INT32",), "INT32"),
        (0.5, ("INT32",), "FP64"),
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
    assert from_value("y", value, declared)["datatype"] == datatype


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "NoneType has no datatype"),
        (b"x", "bytes has no datatype"),
        ([1, "a"], "a list of int and str has no datatype"),
        ([[1], [2, 3]], "a list of lists of different lengths has no shape"),
        (2**70, "a number does not fit into INT64"),
        (np.array([1j]), "an array of complex128 has no datatype"),
    ],
)
def test_a_value_without_a_datatype_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ItemError, match=f"^{message}$"):
        from_value("y", value)
